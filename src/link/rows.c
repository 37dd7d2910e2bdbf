/* rows.c: the source's rows as a link maps them, for queries. */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "base/expression.h"
#include "base/quote.h"
#include "link/rows.h"
#include "link/trust.h"

char *
ts_source_value(const TsLink *link, const TsColumn *col, const char *alias)
{
	if (col->value != NULL)
		return psprintf("(%s)", ts_expression_sql(col->value, link->source, alias));
	return psprintf("%s.%s", alias, quote_identifier(col->source_name));
}

/* (SELECT s.a AS x, (s.b * s.c) AS y FROM ONLY schema.source AS s WHERE filter) */
static char *
source_rows(const TsLink *link, const char *where, bool all)
{
	char	   *condition = link->condition ? ts_expression_sql(link->condition, link->source, "s") : "true";
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		char	   *value = ts_source_value(link, col, "s");

		/* a row that does not pass need not have a value */
		if (all && col->value != NULL && !col->is_key)
			value = psprintf("CASE WHEN %s THEN %s END", condition, value);
		appendStringInfo(&sql, "%s%s AS %s", i ? ", " : "(SELECT ", value, quote_identifier(col->target_name));
	}
	for (int i = 0; link->order_apart && i < link->tracked->nkeys; i++)
		appendStringInfo(&sql, ", s.%s AS \"" TS_SOURCE_KEY "\"", quote_identifier(get_attname(link->source, link->tracked->keys[i], false)), i + 1);
	if (all)
		appendStringInfo(&sql, ", (%s) IS TRUE AS \"" TS_SOURCE_PASSES "\"", condition);
	appendStringInfo(&sql, " FROM %s%s AS s", link->source_partitioned ? "" : "ONLY ", ts_quote_relation(link->source));
	appendStringInfo(&sql, " WHERE %s", where);
	if (link->condition != NULL && !all)
		appendStringInfo(&sql, " AND (%s)", condition);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

char *
ts_source_rows(const TsLink *link)
{
	return link->rows != NULL ? link->rows : ts_source_rows_where(link, "true");
}

char *
ts_source_rows_where(const TsLink *link, const char *condition)
{
	return source_rows(link, condition, false);
}

char *
ts_source_all_rows(const TsLink *link)
{
	return source_rows(link, "true", true);
}

List *
ts_links_beside(const TsLink *link)
{
	static const Oid types[] = {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name), ObjectIdGetDatum(link->target), CStringGetTextDatum(link->server ? link->server : ""),
	CStringGetTextDatum(link->target_schema), CStringGetTextDatum(link->target_name)};
	MemoryContext context = CurrentMemoryContext;
	List	   *names;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT name FROM tracksync.link WHERE name <> $1 AND (target::oid = $2 OR (server = $3 AND target_schema = $4 AND target_name = $5)) "
					   "ORDER BY name", 5, types, values, NULL);
	names = ts_sql_texts(n, context);
	ts_catalog_leave(&cat);
	return names;
}

TsLink *
ts_source_of(const char *name, const TsLink *mine)
{
	TsLink	   *link = ts_link_load_any(name);
	Relation	source = link != NULL && get_rel_name(link->source) != NULL ? try_relation_open(link->source, AccessShareLock) : NULL;
	bool		whole;

	if (source == NULL)
		return NULL;
	whole = ts_link_resolve_source(link, source);
	if (whole)
	{
		Relation	target = relation_open(mine->target, NoLock);
		Node	   *condition = ts_link_derive_condition(link, source, target);

		ts_trust_condition(mine, link, condition);
		link->target_condition = condition ? ts_expression_sql(condition, mine->target, "t") : NULL;
		link->target_reads = ts_expression_reads(condition, NULL);
		relation_close(target, NoLock);
	}
	relation_close(source, NoLock);
	return whole ? link : NULL;
}

const char *
ts_target_rows_condition(const TsLink *link)
{
	if (link->target_condition == NULL)
		return "";
	return psprintf(" AND (%s) IS TRUE", link->target_condition);
}
