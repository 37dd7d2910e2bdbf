/*
 * holders.c: statements about unique values, and about the rows that have them.
 *
 *   WITH m AS (SELECT v.p9 AS <number>, <id of t> AS <id>, t.k, v.p2 AS a, … FROM ROWS FROM (…) AS v(…)
 *     JOIN ONLY s.t AS t ON t.k OPERATOR(pg_catalog.=) v.p1),
 *   n AS (SELECT <number>, <id>, k, a, (lower(a)) AS g FROM m OFFSET 0)
 *   SELECT a.<number>, b.<id>, 0, b.key FROM (SELECT <number>, <id>, (lower(a)) AS e1 FROM n WHERE <predicate>) AS a
 *     JOIN (SELECT <id of t> AS <id>, jsonb_build_object('k', t.k) AS key, (lower(a)) AS e1 FROM ONLY s.t AS t WHERE <predicate>) AS b
 *       ON b.e1 OPERATOR(pg_catalog.=) a.e1 AND a.<id> IS DISTINCT FROM b.<id>
 *    UNION ALL <the same for each constraint>
 *   UPDATE ONLY s.t AS t SET a = NULL FROM ROWS FROM (…) AS v(…) WHERE <key and old values> RETURNING v.p9
 *
 * n holds the rows as they will be, under the names of the target's columns, so that expressions and predicates of indexes can be
 * used as they are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "link/remote.h"
#include "plan/holders.h"
#include "plan/parking.h"

/* Names that no column of a target has. */
#define ROW_NUMBER "\"tracksync, number of the row\""
#define ROW_ID "\"tracksync, id of the row\""
/* The same row has the same for all links. */
#define ROW_ID_VALUE "(t.tableoid::pg_catalog.text OPERATOR(pg_catalog.||) t.ctid::pg_catalog.text)"

bool
ts_holders_matter(const TsLink *link, const TsUnique *unique, TsChangeOp op, const unsigned char *mask)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (unique->touches[i] && (op == TS_CHANGE_INSERT || (mask[i] & TS_COLUMN_CHANGED) != 0))
			return true;
	return false;
}

/* The key of the target's row t, JSON. */
static char *
row_key(const TsLink *link)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "pg_catalog.jsonb_build_object(");
	for (int i = 0; i < link->nkeys; i++)
	{
		const char *name = link->columns[link->keys[i]].target_name;

		appendStringInfo(&out, "%s%s, t.%s", i ? ", " : "", quote_literal_cstr(name), quote_identifier(name));
	}
	appendStringInfoChar(&out, ')');
	return out.data;
}

/* The column of the row as it will be; NULL: it stays as it is. */
static char *
new_value(TsBuilder *b, AttrNumber attnum)
{
	for (int i = 0; i < b->link->ncolumns; i++)
		if (b->link->columns[i].target_attnum == attnum &&
			(b->stmt->op == TS_CHANGE_INSERT || (b->mask[i] & (TS_COLUMN_CHANGED | TS_COLUMN_MOVED)) != 0))
			return ts_build_target_form(b, i, false);
	return NULL;
}

/*
 * A value in the column's declared type and collation: an index's expression means another function or order for others. Not so with a
 * NULL that is in place of a column that is not known, which a domain may refuse.
 */
static char *
as_declared(TsBuilder *b, Form_pg_attribute att, const char *value)
{
	if (value == NULL)
		return psprintf("(SELECT x.%s FROM %s AS x WHERE false)", quote_identifier(NameStr(att->attname)), ts_link_target(b->link));
	if (getBaseType(att->atttypid) != att->atttypid)
		value = psprintf("(%s)::%s", value, ts_target_type_name(b->link, att->atttypid, -1));
	if (OidIsValid(att->attcollation) && att->attcollation != DEFAULT_COLLATION_OID)
		value = psprintf("(%s) COLLATE %s", value, ts_quote_collation(att->attcollation));
	return unconstify(char *, value);
}

/* m: the rows as they will be, but for generated columns; n: with them. */
static void
append_new_rows(TsBuilder *b)
{
	Relation	rel = table_open(b->link->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		insert = b->stmt->op == TS_CHANGE_INSERT;
	StringInfoData names;

	initStringInfo(&names);
	appendStringInfo(&b->sql, "WITH m AS (SELECT v.p%d AS " ROW_NUMBER ", %s AS " ROW_ID, ts_build_param(b, -1, false),
					 insert ? "NULL::pg_catalog.text" : ROW_ID_VALUE);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));
		char	   *value = att->attisdropped ? NULL : new_value(b, i + 1);
		char	   *generated = att->attisdropped ? NULL : ts_unique_generated(rel, i + 1);

		if (att->attisdropped)
			continue;
		if (generated != NULL)
		{
			appendStringInfo(&names, ", (%s) AS %s", generated, name);
			continue;
		}
		if (value != NULL || insert)
			appendStringInfo(&b->sql, ", %s AS %s", as_declared(b, att, value), name);
		else
			appendStringInfo(&b->sql, ", t.%s", name);
		appendStringInfo(&names, ", %s", name);
	}
	table_close(rel, NoLock);
	appendStringInfoString(&b->sql, "\n  FROM ");
	ts_build_rows(b);
	if (!insert)
	{
		appendStringInfo(&b->sql, "\n  JOIN %s%s AS t ON ", ts_build_only(b->link), ts_link_target(b->link));
		ts_build_key_match(b);
	}
	/* not to be taken apart, or an index on several columns would be used for some of them only */
	appendStringInfo(&b->sql, "),\nn AS (SELECT " ROW_NUMBER ", " ROW_ID "%s FROM m OFFSET 0)", names.data);
}

static void
append_parts(TsBuilder *b, const TsUnique *unique, const char *from)
{
	for (int i = 0; i < unique->nparts; i++)
		appendStringInfo(&b->sql, ", (%s) AS e%d", unique->parts[i].sql, i + 1);
	appendStringInfo(&b->sql, " FROM %s", from);
	if (unique->predicate != NULL)
		appendStringInfo(&b->sql, " WHERE %s", unique->predicate);
	appendStringInfoChar(&b->sql, ')');
}

/* The rows that have what one of the new rows is to have, by one constraint; nulls: because both have NULL. */
static void
append_holders(TsBuilder *b, const TsUnique *unique, int number, bool nulls)
{
	appendStringInfo(&b->sql, "\nSELECT a." ROW_NUMBER ", b." ROW_ID ", %d, b.key FROM (SELECT " ROW_NUMBER ", " ROW_ID, number);
	append_parts(b, unique, "n");
	appendStringInfo(&b->sql, " AS a\n  JOIN (SELECT " ROW_ID_VALUE " AS " ROW_ID ", %s AS key", row_key(b->link));
	append_parts(b, unique, psprintf("%s%s AS t", ts_build_only(b->link), ts_link_target(b->link)));
	appendStringInfoString(&b->sql, " AS b ON ");
	for (int i = 0; i < unique->nparts; i++)
	{
		const TsUniquePart *part = &unique->parts[i];

		if (nulls)
			appendStringInfo(&b->sql, "b.e%d IS NULL AND a.e%d IS NULL AND ", i + 1, i + 1);
		else
			appendStringInfo(&b->sql, unique->nulls_equal && unique->nparts > 1 ? "(b.e%d %s a.e%d%s OR (a.e%d IS NULL AND b.e%d IS NULL)) AND " :
							 "b.e%d %s a.e%d%s AND ", i + 1, part->operator, i + 1, part->collate, i + 1, i + 1);
	}
	appendStringInfoString(&b->sql, "a." ROW_ID " IS DISTINCT FROM b." ROW_ID);
}

void
ts_holders_build(TsBuilder *b)
{
	ListCell   *lc;
	int			number = 0;
	bool		first = true;

	append_new_rows(b);
	foreach(lc, b->link->uniques)
	{
		if (ts_holders_matter(b->link, lfirst(lc), b->stmt->op, b->mask))
		{
			appendStringInfoString(&b->sql, first ? "" : "\nUNION ALL");
			append_holders(b, lfirst(lc), number, false);
			if (((TsUnique *) lfirst(lc))->nulls_equal && ((TsUnique *) lfirst(lc))->nparts == 1)
			{
				appendStringInfoString(&b->sql, "\nUNION ALL");
				append_holders(b, lfirst(lc), number, true);
			}
			first = false;
		}
		number++;
	}
}

void
ts_holders_build_identify(TsBuilder *b)
{
	appendStringInfo(&b->sql, "SELECT v.p%d, " ROW_ID_VALUE "\n  FROM ", ts_build_param(b, -1, false));
	ts_build_rows(b);
	appendStringInfo(&b->sql, "\n  JOIN %s%s AS t ON ", ts_build_only(b->link), ts_link_target(b->link));
	ts_build_key_match(b);
}

void
ts_holders_build_vacate(TsBuilder *b, bool anyway)
{
	int			n = 0;
	int			number = ts_build_param(b, -1, false);

	appendStringInfo(&b->sql, "UPDATE %s%s AS t\n   SET ", ts_build_only(b->link), ts_link_target(b->link));
	for (int i = 0; i < b->link->ncolumns; i++)
		if (b->mask[i] & TS_COLUMN_VACATED)
			appendStringInfo(&b->sql, "%s%s = %s", n++ ? ", " : "", quote_identifier(b->link->columns[i].target_name),
							 ts_parking_vacant(b->link, i, psprintf("v.p%d", number)));
	appendStringInfoString(&b->sql, "\n  FROM ");
	ts_build_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	ts_build_key_match(b);
	if (!anyway)
		ts_build_image_eq(b, " AND ", TS_COLUMN_CHANGED | TS_COLUMN_KNOWN, true, false);
	appendStringInfo(&b->sql, "\nRETURNING v.p%d", number);
	for (int i = 0; i < b->link->nkeys; i++)
		appendStringInfo(&b->sql, ", t.%s::pg_catalog.text", quote_identifier(b->link->columns[b->link->keys[i]].target_name));
}
