/*
 * tracked.h: the rows of tracksync.tracked_table.
 */
#ifndef TS_TRACKED_H
#define TS_TRACKED_H

#include "log/keyindex.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct TsTracked
{
	Oid			source;
	Oid			log;
	Oid			seq;
	int			nkeys;
	AttrNumber *keys;			/* the source's attribute numbers, in the key index's column order */
	Oid		   *key_types;		/* the base types that the log has the keys in */
	bool		images;			/* 'changed'; false: 'none' */
	int			nignored;
	AttrNumber *ignored;
	bool		explicitly;		/* track() was called for itself: the log is kept without links */
	int32		shape;			/* the table's shape when it came to be tracked */
	bool		from_elsewhere; /* its books are another database's */
} TsTracked;

/* This database, on this server: another one after a dump is restored or a database copied. */
extern char *ts_system_identity(void);

/* The table's row, in the current context; NULL if it is not tracked. */
extern TsTracked *ts_tracked_load(Oid source);
/*
 * The same as of now, whatever the transaction's snapshot: for a trigger, which must not miss that a table came to be tracked. A
 * restored table whose key is not found counts as not tracked: the user's writes go on, and the next plan complains.
 */
extern TsTracked *ts_tracked_load_newest(Oid source);
/* The same; 55000 if it is not tracked. */
extern TsTracked *ts_tracked_need(Oid source);
/* The topmost partitioned table above a relation, or itself: writing to the one is writing to the other. */
extern Oid	ts_topmost(Oid relid);
/* Which table this is, of all tables of all servers: ts_system_identity() and the OID of the topmost. */
extern char *ts_table_identity(Oid relid);

/* The tracked table among a relation and its partitioned ancestors, as of now: its OID, or InvalidOid. */
extern Oid	ts_tracked_root(Oid relid);

/* Are the key columns of the types that the log has them in? Not after ALTER TABLE … TYPE of one. */
extern bool ts_tracked_keys_fit(const TsTracked *tracked, TupleDesc source);

/* The log holds no key: from here on it has them in the types of now. Inside ts_catalog_enter. */
extern void ts_tracked_renew_keys(Oid source);

/* The same for the links of a source that come from another database: columns are found by their names. Inside ts_catalog_enter. */
extern void ts_tracked_adopt_links(Oid source);

#endif
