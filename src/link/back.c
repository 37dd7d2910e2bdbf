/* back.c: both directions. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "capture/origin.h"
#include "link/back.h"
#include "link/remote.h"
#include "netchange/scan.h"

char *
ts_link_origin(const TsLink *link)
{
	return link->origin != NULL ? link->origin : ts_table_identity(link->source);
}

/* The names of all links whose source is this table, or has the same topmost one. */
static List *
links_from(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(ts_topmost(source))};
	MemoryContext context = CurrentMemoryContext;
	List	   *names;
	TsCatalog	cat;
	uint64		n;
	bool		alone = !get_rel_relispartition(source) && get_rel_relkind(source) != RELKIND_PARTITIONED_TABLE;

	ts_catalog_enter(&cat);
	n = ts_sql(alone ? "SELECT name FROM tracksync.link WHERE source OPERATOR(pg_catalog.=) $1 AND detect = 'log' ORDER BY name" :
			   "SELECT name FROM tracksync.link WHERE coalesce(pg_partition_root(source)::oid, source::oid) = $1 AND detect = 'log' ORDER BY name",
			   SPI_OK_SELECT, 1, types, values, NULL);
	names = ts_sql_texts(n, context);
	ts_catalog_leave(&cat);
	return names;
}

List *
ts_back_links(Oid source, const char *identity)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, links_from(source))
	{
		TsLink	   *link = ts_link_load_any(lfirst(lc));

		if (link != NULL && link->position->echo != NULL && strcmp(link->position->echo, identity) == 0)
			found = lappend(found, lfirst(lc));
	}
	if (found != NIL && !ts_origin_is_exact())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("link \"%s\" and one in the other direction need a newer server", (char *) linitial(found)),
				 errdetail("This server may tell triggers of columns that were not written."),
				 errhint("Update PostgreSQL to 13.19, 14.16, 15.11, 16.7, 17.3 or later.")));
	return found;
}

static bool
has_quarantine(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;
	bool		any;

	ts_catalog_enter(&cat);
	any = ts_sql("SELECT FROM tracksync.quarantine_record WHERE link = $1 LIMIT 1", SPI_OK_SELECT, 1, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	return any;
}

/*
 * Has the link something of its own to ship? One that compares anyway (TS_STATE_INITIAL, detect => 'diff') has whatever it finds, and may as
 * well find it later; not so one that compares because its log does not tell all, or was made to.
 */
static TsBack
has_pending(const char *name)
{
	TsLink	   *link;
	TsTracked  *tracked;
	TsBack		back = TS_BACK_IDLE;

	PushActiveSnapshot(GetLatestSnapshot());
	link = ts_link_load_any(name);
	tracked = link != NULL && get_rel_name(link->source) != NULL ? ts_tracked_load(link->source) : NULL;
	if (tracked != NULL && link->state != TS_STATE_INITIAL)
	{
		TsPending	pending = ts_log_pending(tracked, GetActiveSnapshot(), link->position, false);

		if (pending.rows > 0)
			back = pending.wholesale || pending.rows_came || link->state != TS_STATE_ACTIVE ? TS_BACK_COMPARES : TS_BACK_PENDING;
		else if (link->state == TS_STATE_ACTIVE && has_quarantine(name))
			back = TS_BACK_PENDING;
	}
	PopActiveSnapshot();
	return back;
}

TsBack
ts_back_of(Oid source, const char *identity)
{
	List	   *names = ts_back_links(source, identity);
	TsBack		all = names == NIL ? TS_BACK_NONE : TS_BACK_IDLE;
	ListCell   *lc;

	foreach(lc, names)
	{
		TsBack		back = has_pending(lfirst(lc));

		if (back == TS_BACK_PENDING)
			return back;
		all = Max(all, back);
	}
	return all;
}

bool
ts_back_is_whole(Oid source, const char *identity)
{
	List	   *names = ts_back_links(source, identity);
	ListCell   *lc;

	foreach(lc, names)
	{
		const TsLink *link = ts_link_load_any(lfirst(lc));

		if (link != NULL && link->filter == NULL && link->state == TS_STATE_ACTIVE)
			return true;
	}
	return false;
}

TsBack
ts_link_back(const TsLink *link)
{
	if (link->server != NULL)
		return link->remote != NULL ? link->remote->back : TS_BACK_NONE;
	return OidIsValid(link->target) && ts_back_links(link->target, ts_link_origin(link)) != NIL ? TS_BACK_IDLE : TS_BACK_NONE;
}

bool
ts_link_target_is_tracked(const TsLink *link)
{
	if (link->server != NULL)
		return link->remote != NULL && link->remote->tracked;
	return OidIsValid(link->target) && OidIsValid(ts_tracked_root(link->target));
}

const char *
ts_back_name(TsBack back)
{
	switch (back)
	{
		case TS_BACK_NONE:
			break;
		case TS_BACK_IDLE:
			return "idle";
		case TS_BACK_PENDING:
			return "pending";
		case TS_BACK_COMPARES:
			return "compares";
	}
	return NULL;
}

TsBack
ts_back_read(const char *name)
{
	if (name == NULL)
		return TS_BACK_NONE;
	return strcmp(name, "pending") == 0 ? TS_BACK_PENDING : strcmp(name, "compares") == 0 ? TS_BACK_COMPARES : TS_BACK_IDLE;
}
