/* side.c: one row at the source, on its way, and at the target. */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"

#include "api/fact.h"
#include "base/catalog.h"
#include "base/expression.h"
#include "base/quote.h"
#include "link/rows.h"
#include "plan/statement.h"

/* SELECT to_jsonb(r.*) FROM (SELECT … FROM source AS s WHERE it has the key) AS r */
static char *
source_query(const TsExplained *e, bool mapped)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < e->link->ncolumns; i++)
	{
		const TsColumn *col = &e->link->columns[i];
		char	   *value = psprintf("s.%s", quote_identifier(col->target_name));

		if (mapped)
			appendStringInfo(&sql, "%spg_catalog.jsonb_build_object('from', %s::pg_catalog.text, 'value', %s) AS %s", i ? ", " : "",
							 quote_literal_cstr(col->value ? ts_expression_sql(col->value, e->link->source, NULL) : col->source_name), ts_as_target(col, value),
							 quote_identifier(col->target_name));
		else
			appendStringInfo(&sql, "%s%s AS %s", i ? ", " : "", value, quote_identifier(col->source_name));
	}
	return psprintf("SELECT pg_catalog.to_jsonb(r.*)::pg_catalog.text FROM (SELECT %s FROM %s AS s WHERE %s) AS r", sql.data,
					ts_source_rows(e->link), ts_fact_is_source(e, "s"));
}

void
ts_side_source(TsExplained *e)
{
	for (int i = 0; i < e->keys->n; i++)
	{
		bool		there = ts_fact_query(e, source_query(e, false), NULL, i) > 0;

		if (i == 0)
			e->in_source = there;
		ts_fact_add(e, TS_ASPECT_SOURCE, 0, pstrdup(there ? "row" : "no row"), ts_detail_of(there ? ts_sql_text(0, 1) : ts_fact_key(e, i)));
	}
}

void
ts_side_mapping(TsExplained *e)
{
	for (int i = 0; i < e->keys->n; i++)
		if (ts_fact_query(e, source_query(e, true), NULL, i) > 0)
			ts_fact_add(e, TS_ASPECT_MAPPING, 0, pstrdup("columns"), ts_detail_of(ts_sql_text(0, 1)));
}

/* Compares the i-th key's rows: the columns that differ, NULL: none. */
static char *
find_difference(TsExplained *e, int i)
{
	TsChangeSource *diff;
	TsChange	change;
	char	   *columns = NULL;
	List	   *before = e->link->only;

	e->link->only = list_make1(ts_fact_key(e, i));
	diff = ts_diff_source(e->link, e->opened->target, false);
	e->link->only = before;
	ts_change_init(&change, e->link->ncolumns);
	if (diff->next(diff, &change) && change.op == TS_CHANGE_UPDATE)
		columns = ts_fact_columns(e->link, change.mask, TS_COLUMN_CHANGED);
	diff->end(diff);
	return columns;
}

void
ts_side_target(TsExplained *e)
{
	char	   *sql;

	if (e->opened->target == NULL)
	{
		ts_fact_add(e, TS_ASPECT_TARGET, 0, pstrdup("the table does not exist yet"), (Datum) 0);
		return;
	}
	sql = psprintf("SELECT pg_catalog.to_jsonb(t.*)::pg_catalog.text FROM %s%s AS t WHERE %s", e->link->target_partitioned ? "" : "ONLY ",
				   ts_link_target(e->link), ts_fact_is_target(e));
	for (int i = 0; i < e->keys->n; i++)
	{
		List	   *rows = ts_fact_ask(e, sql, NULL, i);
		bool		there = rows != NIL;
		char	   *row = there ? ((char **) linitial(rows))[0] : ts_fact_key(e, i);
		bool		both = there && ts_fact_query(e, source_query(e, false), NULL, i) > 0;
		TsFact	   *fact = ts_fact_add(e, TS_ASPECT_TARGET, 0, pstrdup(!there ? "no row" : both ? "row" : "row, the source has none"), ts_detail_of(row));
		char	   *difference;

		if (i == 0)
			e->in_target = there;
		/* which may fail: the fact remains */
		difference = both ? find_difference(e, i) : NULL;
		if (i == 0)
			e->differs = difference != NULL;
		if (both)
			fact->what = difference ? psprintf("row, differs from the source's in %s", difference) : pstrdup("row, as the source's");
	}
}
