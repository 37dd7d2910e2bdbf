/*
 * statement.c: the SQL of an append.
 *
 *   INSERT INTO s.t AS t (k, a) OVERRIDING SYSTEM VALUE SELECT v.c1, v.c2 FROM tracksync_append_rows AS v(c1, c2, n)
 *     ON CONFLICT (k COLLATE s.c) DO NOTHING
 *   UPDATE ONLY s.t AS t SET a = v.c2 FROM tracksync_append_rows AS v(c1, c2, n) WHERE t.k OPERATOR(pg_catalog.=) v.c1
 *     AND NOT record_image_eq(ROW(t.k, t.a), ROW(v.c1, v.c2)) RETURNING v.n
 *   SELECT v.n, t.k, t.a FROM tracksync_append_rows AS v(c1, c2, n)
 *     CROSS JOIN LATERAL (SELECT t.k, t.a FROM ONLY s.t AS t WHERE t.k OPERATOR(pg_catalog.=) v.c1 OFFSET 0) AS t
 *
 * The last one is planned when the table may be empty, and still used when it is large: OFFSET 0 keeps the planner from scanning the table
 * first, and the batch for each of its rows.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "append/statement.h"
#include "base/quote.h"

static const char *
column_name(const TsAppend *append, int i)
{
	return quote_identifier(NameStr(TupleDescAttr(append->desc, i)->attname));
}

static char *
table_name(const TsAppend *append)
{
	return ts_quote_relation(RelationGetRelid(append->target));
}

/* Inheritance's children have keys of their own. */
static const char *
only(const TsAppend *append)
{
	return append->target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ";
}

static bool
is_identity_always(const TsAppend *append, int i)
{
	return TupleDescAttr(RelationGetDescr(append->target), append->attnums[i] - 1)->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
}

/* prefix.a, prefix.b */
static char *
list_columns(const TsAppend *append, const char *prefix)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < append->ncolumns; i++)
		appendStringInfo(&list, "%s%s%s", i ? ", " : "", prefix, column_name(append, i));
	return list.data;
}

/* tracksync_append_rows AS v(c1, c2, n) */
static char *
rows_table(const TsAppend *append)
{
	StringInfoData table;

	initStringInfo(&table);
	appendStringInfoString(&table, TS_APPEND_ROWS " AS v(");
	for (int i = 0; i < append->ncolumns; i++)
		appendStringInfo(&table, "c%d, ", i + 1);
	appendStringInfoString(&table, "n)");
	return table.data;
}

static char *
collation(const TsKeyColumn *column)
{
	return OidIsValid(column->collation) ? psprintf(" COLLATE %s", ts_quote_collation(column->collation)) : "";
}

static char *
key_match(const TsAppend *append)
{
	StringInfoData match;

	initStringInfo(&match);
	for (int i = 0; i < append->key->nkeys; i++)
	{
		const TsKeyColumn *column = &append->key->columns[i];
		const char *name = column_name(append, append->positions[i]);
		int			c = append->positions[i] + 1;

		appendStringInfoString(&match, i ? " AND " : "");
		if (append->nulls_equal)
			appendStringInfo(&match, "(t.%s IS NULL AND v.c%d IS NULL OR ", name, c);
		appendStringInfo(&match, "t.%s %s v.c%d%s", name, ts_quote_operator(column->eq_op), c, collation(column));
		if (append->nulls_equal)
			appendStringInfoChar(&match, ')');
	}
	return match.data;
}

char *
ts_append_insert(const TsAppend *append, bool arbitrate)
{
	bool		overriding = false;
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < append->ncolumns; i++)
		overriding |= is_identity_always(append, i);
	appendStringInfo(&sql, "INSERT INTO %s AS t (%s)%s\nSELECT ", table_name(append), list_columns(append, ""),
					 overriding ? " OVERRIDING SYSTEM VALUE" : "");
	for (int i = 0; i < append->ncolumns; i++)
		appendStringInfo(&sql, "%sv.c%d", i ? ", " : "", i + 1);
	appendStringInfo(&sql, " FROM %s", rows_table(append));
	if (!arbitrate)
		return sql.data;
	appendStringInfoString(&sql, "\n ON CONFLICT (");
	for (int i = 0; i < append->key->nkeys; i++)
		appendStringInfo(&sql, "%s%s%s", i ? ", " : "", column_name(append, append->positions[i]), collation(&append->key->columns[i]));
	appendStringInfoString(&sql, ") DO NOTHING");
	return sql.data;
}

char *
ts_append_update(const TsAppend *append)
{
	StringInfoData set;
	StringInfoData values;
	int			n = 0;

	initStringInfo(&set);
	initStringInfo(&values);
	for (int i = 0; i < append->ncolumns; i++)
	{
		appendStringInfo(&values, "%sv.c%d", i ? ", " : "", i + 1);
		if (!is_identity_always(append, i))
			appendStringInfo(&set, "%s%s = v.c%d", n++ ? ", " : "", column_name(append, i), i + 1);
	}
	return psprintf("UPDATE %s%s AS t SET %s\n FROM %s\n WHERE %s\n AND NOT pg_catalog.record_image_eq(ROW(%s), ROW(%s))\n RETURNING v.n",
					only(append), table_name(append), set.data, rows_table(append), key_match(append), list_columns(append, "t."), values.data);
}

char *
ts_append_look(const TsAppend *append)
{
	bool		values = append->policy != TS_DUPLICATES_FIRST;

	return psprintf("SELECT v.n%s%s\n FROM %s\n CROSS JOIN LATERAL (SELECT %s FROM %s%s AS t WHERE %s OFFSET 0) AS t",
					values ? ", " : "", values ? list_columns(append, "t.") : "", rows_table(append), values ? list_columns(append, "t.") : "",
					only(append), table_name(append), key_match(append));
}
