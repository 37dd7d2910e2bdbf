/* keep.c: statements that write rows which are JSON. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "link/remote.h"
#include "plan/keep.h"

#define ROWS "pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS v(j, n)"

#define ROWS_OVER "ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) WITH ORDINALITY AS v(j, r, n)"

static TsStatement *
statement(char *sql, int nparams)
{
	TsStatement *stmt = palloc0(sizeof(TsStatement));

	stmt->sql = sql;
	stmt->own = true;
	stmt->nparams = nparams;
	stmt->params = palloc0(sizeof(TsParam) * nparams);
	for (int i = 0; i < nparams; i++)
		stmt->params[i].element = TEXTOID;
	return stmt;
}

TsStatement *
ts_keep_update(const TsLink *link)
{
	StringInfoData sql,
				names,
				values;

	initStringInfo(&sql);
	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		/* the key is the row's already; a table of nothing else is written, to be counted */
		if (col->is_key && (col->identity_always || link->ncolumns > link->nkeys))
			continue;
		appendStringInfo(&names, "%s%s", names.len ? ", " : "", quote_identifier(col->target_name));
		appendStringInfo(&values, "%sr.%s", values.len ? ", " : "", quote_identifier(col->target_name));
	}
	appendStringInfo(&sql, "UPDATE %s%s AS t SET (%s) = (SELECT %s FROM pg_catalog.jsonb_populate_record("
					 "CASE WHEN v.r OPERATOR(pg_catalog.=) '' THEN t.* ELSE v.r::%s END, v.j::pg_catalog.jsonb) AS r) "
					 "FROM " ROWS_OVER ", LATERAL %s WHERE ",
					 link->target_partitioned ? "" : "ONLY ", ts_link_target(link), names.data, values.data, ts_link_target(link),
					 ts_statement_key(link, "v.j", false));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		const char *name = quote_identifier(col->target_name);

		appendStringInfo(&sql, "%st.%s::%s %s q.%s", i ? " AND " : "", name, ts_target_type(link, col, false),
						 ts_target_operator(link, col->key_eq_op), name);
	}
	appendStringInfoString(&sql, " RETURNING v.n");
	return statement(sql.data, 2);
}

TsStatement *
ts_keep_insert(const TsLink *link)
{
	StringInfoData sql,
				names,
				values;
	bool		overriding = false;

	initStringInfo(&sql);
	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		appendStringInfo(&names, "%s%s", i ? ", " : "", quote_identifier(col->target_name));
		appendStringInfo(&values, "%sr.%s", i ? ", " : "", quote_identifier(col->target_name));
		overriding |= col->identity_always;
	}
	appendStringInfo(&sql, "INSERT INTO %s AS t (%s)%s SELECT %s FROM " ROWS ", LATERAL pg_catalog.jsonb_populate_record(NULL::%s, v.j::pg_catalog.jsonb) AS r",
					 ts_link_target(link), names.data, overriding ? " OVERRIDING SYSTEM VALUE" : "", values.data, ts_link_target(link));
	return statement(sql.data, 1);
}

TsStatement *
ts_keep_gone(const TsLink *link, const char *origin)
{
	return statement(psprintf("SELECT tracksync.note_gone(%s::pg_catalog.regclass, $1::pg_catalog.text[], %s)", quote_literal_cstr(ts_link_target(link)),
							  quote_literal_cstr(origin)), 1);
}

char *
ts_statement_key(const TsLink *link, const char *json, bool here)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "pg_catalog.jsonb_to_record(%s::pg_catalog.jsonb) AS q(", json);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		/* without a domain, which may refuse what is not there */
		appendStringInfo(&sql, "%s%s %s", i ? ", " : "", quote_identifier(col->target_name),
						 here ? ts_quote_type(col->target_base, -1) : ts_target_type(link, col, false));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

char *
ts_statement_key_text(const TsLink *link, const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "pg_catalog.jsonb_build_object(");
	for (int i = 0; i < link->nkeys; i++)
	{
		const char *name = link->columns[link->keys[i]].target_name;

		appendStringInfo(&sql, "%s%s, %s.%s", i ? ", " : "", quote_literal_cstr(name), alias, quote_identifier(name));
	}
	appendStringInfoString(&sql, ")::pg_catalog.text");
	return sql.data;
}
