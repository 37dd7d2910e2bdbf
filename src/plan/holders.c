/*
 * holders.c: statements about unique values, and about the rows that have them.
 *
 *   WITH n AS (SELECT v.p9 AS "ts n", jsonb_build_object('k', t.k) AS "ts id", t.k AS k, v.p2 AS a, … FROM ROWS FROM (…) AS v(…)
 *     JOIN ONLY s.t AS t ON t.k OPERATOR(pg_catalog.=) v.p1)
 *   SELECT a."ts n", b."ts id", 0 FROM (SELECT "ts n", "ts id", (lower(a)) AS e1 FROM n WHERE <predicate>) AS a
 *     JOIN (SELECT jsonb_build_object('k', t.k) AS "ts id", (lower(a)) AS e1 FROM ONLY s.t AS t WHERE <predicate>) AS b
 *       ON b.e1 OPERATOR(pg_catalog.=) a.e1 AND a."ts id" IS DISTINCT FROM b."ts id"
 *    UNION ALL <the same for each constraint>
 *   UPDATE ONLY s.t AS t SET a = NULL FROM ROWS FROM (…) AS v(…) WHERE <key and old values> RETURNING v.p9
 *
 * n holds the rows as they will be, under the names of the target's columns, so that expressions and predicates of indexes can be
 * used as they are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "plan/holders.h"
#include "plan/parking.h"

#define ROW_NUMBER "\"ts n\""
#define ROW_ID "\"ts id\""

bool
ts_holders_matter(const TsLink *link, const TsUnique *unique, TsChangeOp op, const unsigned char *mask)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (unique->touches[i] && (op == TS_CHANGE_INSERT || (mask[i] & TS_COLUMN_CHANGED) != 0))
			return true;
	return false;
}

/* The id of the target's row t. */
static char *
row_id(const TsLink *link)
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

static void
append_new_rows(TsBuilder *b)
{
	Relation	rel = table_open(b->link->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		insert = b->stmt->op == TS_CHANGE_INSERT;

	appendStringInfo(&b->sql, "WITH n AS (SELECT v.p%d AS " ROW_NUMBER ", %s AS " ROW_ID, ts_build_param(b, -1, false),
					 insert ? "NULL::pg_catalog.jsonb" : row_id(b->link));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));
		char	   *value = att->attisdropped ? NULL : new_value(b, i + 1);

		if (att->attisdropped)
			continue;
		if (value != NULL)
			appendStringInfo(&b->sql, ", %s AS %s", value, name);
		else if (insert)
			appendStringInfo(&b->sql, ", NULL::%s AS %s", ts_quote_type(getBaseType(att->atttypid), -1), name);
		else
			appendStringInfo(&b->sql, ", t.%s", name);
	}
	table_close(rel, NoLock);
	appendStringInfoString(&b->sql, "\n  FROM ");
	ts_build_rows(b);
	if (!insert)
	{
		appendStringInfo(&b->sql, "\n  JOIN %s%s AS t ON ", ts_build_only(b->link), ts_link_target(b->link));
		ts_build_key_match(b);
	}
	appendStringInfoChar(&b->sql, ')');
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

/* The rows that have what one of the new rows is to have, by one constraint. */
static void
append_holders(TsBuilder *b, const TsUnique *unique, int number)
{
	appendStringInfo(&b->sql, "\nSELECT a." ROW_NUMBER ", b." ROW_ID ", %d FROM (SELECT " ROW_NUMBER ", " ROW_ID, number);
	append_parts(b, unique, "n");
	appendStringInfo(&b->sql, " AS a\n  JOIN (SELECT %s AS " ROW_ID, row_id(b->link));
	append_parts(b, unique, psprintf("%s%s AS t", ts_build_only(b->link), ts_link_target(b->link)));
	appendStringInfoString(&b->sql, " AS b ON ");
	for (int i = 0; i < unique->nparts; i++)
	{
		const TsUniquePart *part = &unique->parts[i];

		appendStringInfo(&b->sql, unique->nulls_equal ? "(b.e%d %s a.e%d%s OR (a.e%d IS NULL AND b.e%d IS NULL)) AND " : "b.e%d %s a.e%d%s AND ",
						 i + 1, part->operator, i + 1, part->collate, i + 1, i + 1);
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
			append_holders(b, lfirst(lc), number);
			first = false;
		}
		number++;
	}
}

void
ts_holders_build_identify(TsBuilder *b)
{
	appendStringInfo(&b->sql, "SELECT v.p%d, %s\n  FROM ", ts_build_param(b, -1, false), row_id(b->link));
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
