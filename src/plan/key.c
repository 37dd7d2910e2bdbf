/* key.c: keys of a link's rows. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "link/keys.h"
#include "plan/keep.h"
#include "plan/key.h"

TsKeySet *
ts_key_set_create(const TsLink *link, Relation source)
{
	TsKeySet   *set = palloc0(sizeof(TsKeySet));
	TsKeyOrder *order = ts_keys_order(link, source);

	set->link = link;
	set->order = palloc0(sizeof(FmgrInfo) * link->nkeys);
	set->collation = palloc0(sizeof(Oid) * link->nkeys);
	set->equal = palloc0(sizeof(Oid) * link->nkeys);
	for (int i = 0; i < link->nkeys; i++)
	{
		set->order[i] = order[i].compare;
		set->collation[i] = order[i].collation;
		set->equal[i] = order[i].equal;
	}
	return set;
}

/* Room for more keys. */
static void
grow(TsKeySet *set, int more)
{
	Datum	  **keys = palloc(sizeof(Datum *) * (set->n + more));

	if (set->n > 0)
		memcpy(keys, set->keys, sizeof(Datum *) * set->n);
	set->keys = keys;
}

static Datum
read_datum(Oid type, char *text)
{
	Oid			input,
				param;

	getTypeInputInfo(type, &input, &param);
	return OidInputFunctionCall(input, text, param, -1);
}

Datum
ts_key_source_datum(const TsColumn *col, char *text)
{
	return read_datum(col->source_type, text);
}

Datum
ts_key_target_datum(const TsColumn *col, char *text)
{
	return read_datum(col->target_base, text);
}

void
ts_key_set_read(TsKeySet *set, List *keys)
{
	static const Oid types[] = {TEXTARRAYOID};
	const TsLink *link = set->link;
	MemoryContext context = CurrentMemoryContext;
	int			n = 0;
	Datum	   *texts = palloc(sizeof(Datum) * (list_length(keys) + 1));
	Datum		values[1];
	StringInfoData sql;
	ListCell   *lc;

	foreach(lc, keys)
		texts[n++] = CStringGetTextDatum(lfirst(lc));
	grow(set, n);
	values[0] = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "CASE WHEN q.%s IS NOT NULL THEN pg_catalog.format('%%s', q.%s) END, ", quote_identifier(link->columns[link->keys[i]].target_name),
						 quote_identifier(link->columns[link->keys[i]].target_name));
	appendStringInfo(&sql, "v.j FROM pg_catalog.unnest($1) WITH ORDINALITY AS v(j, n), LATERAL %s ORDER BY v.n", ts_statement_key(link, "v.j", true));
	SPI_connect();
	if (SPI_execute_with_args(sql.data, 1, (Oid *) types, values, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != (uint64) n)
		elog(ERROR, "could not read the keys of rows");
	for (int k = 0; k < n; k++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Datum	   *key = set->keys[set->n] = palloc(sizeof(Datum) * link->nkeys);

		for (int i = 0; i < link->nkeys; i++)
		{
			char	   *text = ts_sql_text(k, i + 1);

			if (text == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the row %s in quarantine has no value for key column %s of target %s", ts_sql_text(k, link->nkeys + 1),
								quote_identifier(link->columns[link->keys[i]].target_name), ts_link_target(link)),
						 errdetail("The column was renamed after the row went into quarantine."),
						 errhint("Take the row off the list with tracksync.discard(%s, …), then change it at the source.", quote_literal_cstr(link->name))));
			key[i] = ts_key_source_datum(&link->columns[link->keys[i]], text);
		}
		set->n++;
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

void
ts_key_set_add(TsKeySet *set, const Datum *values)
{
	const TsLink *link = set->link;

	if (ts_key_set_has(set, values, false))
		return;
	grow(set, 1);
	set->keys[set->n] = palloc(sizeof(Datum) * link->nkeys);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		set->keys[set->n][i] = datumCopy(values[link->keys[i]], col->byval, col->len);
	}
	set->n++;
}

bool
ts_key_set_has(const TsKeySet *set, const Datum *values, bool of_key)
{
	const TsLink *link = set->link;

	for (int k = 0; k < set->n; k++)
	{
		bool		same = true;

		for (int i = 0; same && i < link->nkeys; i++)
			same = DatumGetInt32(FunctionCall2Coll(&set->order[i], set->collation[i], values[of_key ? i : link->keys[i]], set->keys[k][i])) == 0;
		if (same)
			return true;
	}
	return false;
}
