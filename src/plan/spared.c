/* spared.c: rows that a comparison leaves alone because another link has them, in a star of links in both directions. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "link/ask.h"
#include "link/back.h"
#include "link/fetch.h"
#include "link/remote.h"
#include "link/rows.h"
#include "plan/diff.h"
#include "plan/spared.h"

/* Are all of the target's rows to be in the source, and only changes of them will be told? */
static bool
must_have_all(const TsLink *link)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2];
	List	   *rows;

	if (link->server == NULL)
		return ts_back_is_whole(link->target, ts_link_origin(link));
	values[0] = CStringGetTextDatum(link->remote->oid);
	values[1] = CStringGetTextDatum(ts_link_origin(link));
	rows = ts_target_ask(link, "SELECT tracksync.link_back_is_whole($1::pg_catalog.oid::pg_catalog.regclass, $2)", 2, types, values, NULL, false);
	return strcmp(((char **) linitial(rows))[0], "t") == 0;
}

/* Links of the same source bring nobody else's rows. */
static char *
rows_of_others(void *arg, TsLink *other)
{
	return other->source == ((const TsLink *) arg)->source ? NULL : ts_source_rows(other);
}

/* The first key of the target that only it and other links' sources have, as JSON; NULL: none. */
static char *
find_spared(const TsLink *link, const char *fetched, const char *others)
{
	StringInfoData sql;
	char	   *key = NULL;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.jsonb_build_object(");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "%s%s, %s", i ? ", " : "", quote_literal_cstr(link->columns[link->keys[i]].target_name),
						 ts_diff_target_value(&link->columns[link->keys[i]]));
	appendStringInfo(&sql, ")::pg_catalog.text FROM %s AS t WHERE NOT EXISTS (SELECT FROM %s AS s WHERE ", ts_diff_target_rows(link, fetched),
					 ts_source_rows(link));
	ts_diff_append_key_match(&sql, link, "s");
	appendStringInfo(&sql, ")%s AND NOT (true%s) LIMIT 1", ts_target_rows_condition(link), others);
	if (SPI_execute(sql.data, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql.data);
	if (SPI_processed > 0)
		key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return key;
}

void
ts_spared_refuse(const TsLink *link)
{
	StringInfoData others;
	struct Tuplestorestate *store = NULL;
	char	   *fetched = NULL;
	char	   *key;

	if (ts_link_back(link) == TS_BACK_NONE || ts_links_beside(link) == NIL)
		return;
	initStringInfo(&others);
	ts_diff_append_other_rows(&others, link, rows_of_others, (void *) link);
	if (others.len == 0 || !must_have_all(link))
		return;
	if (link->server != NULL)
		fetched = ts_fetch_target(link, NULL, &store);
	key = find_spared(link, fetched, others.data);
	if (fetched != NULL)
		ts_fetch_end(fetched, store);
	if (key != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("link \"%s\" has to compare, and table %s has rows that are not in %s, but in the source of another link", link->name,
						ts_link_target(link), ts_quote_relation(link->source)),
				 errdetail("Whether they are to be deleted everywhere or to come back nothing tells. The first one: %s", key),
				 errhint("Push the link in the other direction first, if it has changes. Then, to have the rows deleted, delete them from %s; to have them back, tracksync.pull(%s, discard => true).",
						 ts_link_target(link), quote_literal_cstr(link->name))));
}
