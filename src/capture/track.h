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
/* Their names; first among a table's triggers, unless somebody has a name for it that sorts before. */
#define TS_ROW_TRIGGER "00_tracksync_row"
#define TS_TRUNCATE_TRIGGER "00_tracksync_truncate"

/* Gives partitions of a tracked table that came later what PostgreSQL does not clone; inside ts_catalog_enter. */
extern void ts_track_partitions(Oid root);
/* Sets the triggers of a tracked table and its partitions to ENABLE ALWAYS; inside ts_catalog_enter. */
extern void ts_track_enable(Oid root);
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
