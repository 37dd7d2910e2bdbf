/* repeats.c: keys that are there twice in a source without a unique index on them. */
#include "postgres.h"

#include "access/relation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "link/rows.h"
#include "plan/change.h"
#include "plan/repeats.h"

bool
ts_keys_may_repeat(const TsLink *link)
{
	Relation	source;
	TsKeyIndex *index;

	if (!link->by_diff)
		return false;
	source = relation_open(link->source, NoLock);
	index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);
	relation_close(source, NoLock);
	return link->order_apart || index == NULL || !index->immediate;
}

/*
 * (SELECT r.*, rank() OVER w <> row_number() OVER w AS … FROM source r WINDOW w AS (ORDER BY r.k USING <))
 *
 * Equal are those that the target's index holds for equal: its own order is used. The sort serves a merge join, too.
 */
char *
ts_repeats_rows(const TsLink *link)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "(SELECT r.*, pg_catalog.rank() OVER w OPERATOR(pg_catalog.<>) pg_catalog.row_number() OVER w AS " TS_REPEATED
					 " FROM %s AS r WINDOW w AS (ORDER BY ", ts_source_rows(link));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		Oid			order = get_ordering_op_for_equality_op(col->key_eq_op, true);

		appendStringInfo(&sql, "%s%s", i ? ", " : "", ts_diff_key_value(col, "r", col->target_name));
		if (OidIsValid(order))
			appendStringInfo(&sql, " USING %s", ts_quote_operator(order));
	}
	appendStringInfoString(&sql, "))");
	return sql.data;
}

void
ts_repeats_refuse(const TsLink *link, HeapTuple tuple, TupleDesc desc)
{
	StringInfoData names,
				values;

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		appendStringInfo(&names, "%s%s", i ? ", " : "", quote_identifier(link->columns[k].source_name));
		appendStringInfo(&values, "%s%s", i ? ", " : "", SPI_getvalue(tuple, desc, link->ncolumns + k + 2));
	}
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("rows of the source of link \"%s\" have the same key", link->name),
			 errdetail("Key (%s)=(%s) is there more than once.", names.data, values.data),
			 errhint("Make the link with a key that tells the rows of %s apart, or leave all but one of them out.",
					 ts_quote_relation(link->source))));
}
