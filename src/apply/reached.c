/* reached.c: other links' targets that a push changes. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "apply/reached.h"
#include "apply/references.h"
#include "base/catalog.h"
#include "link/ask.h"
#include "link/remote.h"

static Datum
oid_array(int n, const Oid *oids)
{
	Datum	   *values = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		values[i] = ObjectIdGetDatum(oids[i]);
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

static Datum
text_array(int n, char *const *texts)
{
	Datum	   *values = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

List *
ts_reached_links(int n, const Oid *targets, char *const *links)
{
	static const Oid types[] = {OIDARRAYOID, TEXTARRAYOID};
	Datum		values[2];
	MemoryContext context = CurrentMemoryContext;
	List	   *reached = NIL;
	TsCatalog	cat;
	uint64		rows;

	if (!ts_acts_outside(n, targets))
		return NIL;
	values[0] = oid_array(n, targets);
	values[1] = text_array(n, links);
	ts_catalog_enter(&cat);
	rows = ts_sql("WITH RECURSIVE r(t) AS (SELECT unnest($1) UNION SELECT c.conrelid FROM r, pg_constraint c WHERE c.contype = 'f' "
				  "AND c.confrelid = r.t AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))) "
				  "SELECT l.name, (SELECT sum(pg_stat_get_xact_tuples_updated(p.relid) + pg_stat_get_xact_tuples_deleted(p.relid)) "
				  "FROM (SELECT relid FROM pg_partition_tree(l.target) UNION SELECT l.target) p)::bigint FROM tracksync.link l JOIN r ON r.t = l.target "
				  "WHERE l.state = 'active' AND l.name <> ALL ($2) ORDER BY 1", SPI_OK_SELECT, 2, types, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		TsReached  *r = palloc0(sizeof(TsReached));
		bool		isnull;

		r->link = pstrdup(ts_sql_text(i, 1));
		r->writes = DatumGetInt64(ts_sql_value(i, 2, &isnull));
		reached = lappend(reached, r);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return reached;
}

List *
ts_reached_changed(List *before, int n, const Oid *targets, char *const *links)
{
	List	   *now = before != NIL ? ts_reached_links(n, targets, links) : NIL;
	List	   *changed = NIL;
	ListCell   *was;
	ListCell   *is;

	foreach(is, now)
	{
		TsReached  *r = lfirst(is);
		int64		writes = 0;

		foreach(was, before)
			if (strcmp(((TsReached *) lfirst(was))->link, r->link) == 0)
				writes = ((TsReached *) lfirst(was))->writes;
		/* who counts nothing knows nothing */
		if (r->writes != writes || !pgstat_track_counts)
			changed = lappend(changed, r);
	}
	return changed;
}

static bool
acts_there(const TsLink *link)
{
	ListCell   *lc;

	foreach(lc, link->remote->references)
		if (((TsRemoteReference *) lfirst(lc))->to_here && ((TsRemoteReference *) lfirst(lc))->acts)
			return true;
	return false;
}

List *
ts_reached_there(const TsLink *link, int n, char *const *links)
{
	static const Oid asked[] = {TEXTOID};
	static const Oid types[] = {TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID};
	Datum		target[] = {CStringGetTextDatum(ts_link_target(link))};
	MemoryContext context = CurrentMemoryContext;
	List	   *reached = NIL;
	List	   *tables;
	ListCell   *lc;
	Datum		values[4];
	TsCatalog	cat;

	if (!acts_there(link))
		return NIL;
	tables = ts_target_ask(link, "WITH RECURSIVE r(t) AS (SELECT $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid UNION SELECT k.conrelid FROM r "
						   "JOIN pg_catalog.pg_constraint k ON k.confrelid = r.t AND k.contype = 'f' "
						   "AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))) "
						   "SELECT s.nspname, c.relname FROM r JOIN pg_catalog.pg_class c ON c.oid = r.t JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace",
						   1, asked, target, NULL, true);
	values[0] = CStringGetTextDatum(link->server);
	values[1] = text_array(n, links);
	ts_catalog_enter(&cat);
	foreach(lc, tables)
	{
		char	  **table = lfirst(lc);
		uint64		rows;

		values[2] = CStringGetTextDatum(table[0]);
		values[3] = CStringGetTextDatum(table[1]);
		rows = ts_sql("SELECT name FROM tracksync.link WHERE server = $1 AND name <> ALL ($2) AND target_schema = $3 AND target_name = $4 "
					  "AND state = 'active' ORDER BY 1", SPI_OK_SELECT, 4, types, values, NULL);
		for (uint64 i = 0; i < rows; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(context);
			TsReached  *r = palloc0(sizeof(TsReached));

			r->link = ts_sql_text(i, 1);
			reached = lappend(reached, r);
			MemoryContextSwitchTo(old);
		}
	}
	ts_catalog_leave(&cat);
	return reached;
}

void
ts_reached_record(List *reached)
{
	static const Oid types[] = {TEXTOID};
	ListCell   *lc;

	foreach(lc, reached)
	{
		const TsReached *r = lfirst(lc);
		Datum		values[] = {CStringGetTextDatum(r->link)};

		ts_sql("UPDATE tracksync.link SET doubted = true WHERE name = $1", SPI_OK_UPDATE, 1, types, values, NULL);
		ereport(WARNING,
				(errmsg("rows of the target of link \"%s\" were changed by foreign keys with CASCADE, SET NULL or SET DEFAULT", r->link),
				 errdetail("The next push of that link compares both tables."),
				 errhint("Push the links as a group: tracksync.create_group.")));
	}
}
