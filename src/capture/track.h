/* track.h: starting and ending the tracking of a table. */
#ifndef TS_TRACK_H
#define TS_TRACK_H

#include "nodes/pg_list.h"

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
/* Gives partitions of a tracked table that came later what PostgreSQL does not clone; inside ts_catalog_enter. */
extern void ts_track_partitions(Oid root);
/* 42809 if the relation is of a kind that cannot be tracked. */
extern void ts_check_trackable(Oid source);
/* Removes triggers, log and the row of tracked_table. */
extern void ts_untrack(Oid source);

#endif
