/* detect.c: a link that reads its source's log comes to compare, and the other way round. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "capture/buffer.h"
#include "capture/track.h"
#include "link/compared.h"
#include "link/detect.h"
#include "link/mapping.h"

void
ts_link_let_go(Oid source)
{
	TsTracked  *tracked = ts_tracked_load(source);

	if (tracked != NULL && !tracked->explicitly && ts_links_of(source) == NIL)
		ts_untrack(source);
}

static void
write_detection(const TsLink *link)
{
	static const Oid types[] = {TEXTOID, INT2ARRAYOID, TEXTOID};
	TsStoredColumns columns = ts_link_stored_columns(link);
	Datum		values[3] = {CStringGetTextDatum(link->name), columns.keys};
	TsCatalog	cat;

	PushActiveSnapshot(GetTransactionSnapshot());
	values[2] = CStringGetTextDatum(ts_position_of_snapshot());
	PopActiveSnapshot();
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET keys = $2, position = $3::pg_snapshot, own_txid = NULL, own_seq = 0, state = CASE state "
		   "WHEN 'initial' THEN state ELSE 'resync' END WHERE name = $1", SPI_OK_UPDATE, 3, types, values, link->by_diff ? NULL : " n ");
	ts_catalog_leave(&cat);
}

/* The link compares from now on, by the key that its source is tracked by. */
static void
leave_log(TsLink *link)
{
	const TsTracked *tracked = ts_tracked_need(link->source);

	LockRelationOid(link->source, ShareUpdateExclusiveLock);
	ts_buffer_flush();
	link->by_diff = true;
	link->tracked = ts_compared_tracked(link->source, tracked->nkeys, tracked->keys);
	ts_compared_check_cycle(link);
	write_detection(link);
}

/* The link reads the log from now on: what happens is noted, what happened until now is found by comparing. */
static void
read_log(TsLink *link)
{
	TsLinkOptions options = {0};
	const TsTracked *tracked;

	ts_check_trackable(link->source);
	tracked = ts_tracked_load(link->source);
	options.has_key = tracked == NULL;
	for (int i = 0; i < link->tracked->nkeys; i++)
		options.key = lappend(options.key, get_attname(link->source, link->tracked->keys[i], false));
	LockRelationOid(link->source, ShareUpdateExclusiveLock);
	ts_buffer_flush();
	ts_link_track(link->source, &options);
	tracked = ts_tracked_need(link->source);
	for (int i = 0; i < Max(tracked->nkeys, link->tracked->nkeys); i++)
		if (tracked->nkeys != link->tracked->nkeys || tracked->keys[i] != link->tracked->keys[i])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" is tracked with another key than that of link \"%s\"", get_rel_name(link->source), link->name),
					 errhint("Drop the link, and make it anew.")));
	link->by_diff = false;
	link->tracked = ts_tracked_need(link->source);
	write_detection(link);
}

static const char *
policy_of(const TsLink *link)
{
	static const char *const names[] = {"error", "source_wins", "target_wins", "merge", "a function"};

	return names[link->on_conflict];
}

bool
ts_link_switch_detection(TsLink *link, const TsLinkOptions *options)
{
	TsLinkOptions none = {0};
	bool		compares = options->detect ? strcmp(options->detect, "diff") == 0 : link->by_diff;

	if (compares)
		ts_compared_check_policy(link->name, options->on_conflict ? options->on_conflict : policy_of(link));
	if (compares == link->by_diff)
		return false;
	if (compares)
		leave_log(link);
	else
		read_log(link);
	/* a filter that is no filter of events */
	if (link->filter != NULL && options->filter == NULL)
		ts_link_map_filters(link, &none);
	return true;
}
