/*
 * watch.h: how the catalog tells whether a table's changes are captured: pieces of SQL, without locks.
 */
#ifndef TS_WATCH_H
#define TS_WATCH_H

/* Names of our triggers; first among a table's triggers, unless somebody has a name for one that sorts before. */
#define TS_ROW_TRIGGER "00_tracksync_row"
#define TS_TRUNCATE_TRIGGER "00_tracksync_truncate"

/* Table $1 and all partitions below it: (oid). pg_partition_tree would lock them. */
#define TS_FAMILY \
	"(WITH RECURSIVE f AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM f JOIN pg_inherits i ON i.inhparent = f.oid " \
	"JOIN pg_class k ON k.oid = i.inhrelid AND k.relispartition) SELECT oid FROM f)"

/* Is the row g of pg_trigger what we make, and not just called so? */
#define TS_IS_ROW_TRIGGER \
	"(g.tgname = '" TS_ROW_TRIGGER "' AND g.tgtype = 29 AND g.tgqual IS NULL AND g.tgattr::text = '' " \
	"AND g.tgfoid = 'tracksync.capture_row()'::regprocedure)"
#define TS_IS_TRUNCATE_TRIGGER \
	"(g.tgname = '" TS_TRUNCATE_TRIGGER "' AND g.tgtype = 32 AND g.tgqual IS NULL " \
	"AND g.tgfoid = 'tracksync.capture_truncate()'::regprocedure)"

#endif
