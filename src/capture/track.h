/* track.h: starting and ending the tracking of a table. */
#ifndef TS_TRACK_H
#define TS_TRACK_H

#include "nodes/pg_list.h"

#include "log/event.h"

/* Options of ts_track; what is not set stays as it is when the table is tracked already. */
typedef struct TsTrackOptions
{
	bool		has_key;
	List	   *key;			/* names */
	const char *images;			/* NULL = keep, or 'changed' */
	bool		has_ignore;
	List	   *ignore;			/* names */
	bool		explicitly;		/* track() itself, not a link that needs it */
} TsTrackOptions;

/*
 * Tracks a table or alters its options. Needs ownership. Errors: 42809 wrong kind of relation, 42501, 42P10 no key, 42703,
 * 22023, 55000 (another key while links exist).
 */
extern void ts_track(Oid source, const TsTrackOptions *options);
/*
 * Gives a relation of a tracked family, and the partitions below it, what PostgreSQL does not clone, where they lack it; inside
 * ts_catalog_enter.
 */
extern void ts_track_partitions(Oid top);
/* Sets our triggers on a relation and the partitions below it to ENABLE ALWAYS, where they are not; inside ts_catalog_enter. */
extern void ts_track_enable(Oid top);
/* Takes from a partition that was detached what the tracking of its root gave it; inside ts_catalog_enter. */
extern void ts_track_leave(Oid partition);
/* Are the triggers of the table and its partitions there, ENABLE ALWAYS? Inside ts_catalog_enter. */
extern bool ts_track_is_watched(Oid root);
/* Adds an event that is not about a row to a tracked table's log. */
extern void ts_track_add_event(Oid source, TsEvent event);
/* Is the DDL that runs now one of these functions'? */
extern bool ts_track_is_altering(void);
/* 42809 if the relation is of a kind that cannot be tracked. */
extern void ts_check_trackable(Oid source);
/* Removes triggers, log and the row of tracked_table. */
extern void ts_untrack(Oid source);

#endif
