/*
 * logtable.h: the layout of a change log, the table tracksync_log.log_N of one tracked table.
 *
 *   txid xid8, seq bigint, n int, origin int2, events bytea, came_from text
 *
 * A row holds n events of one transaction (event.h), whose seqs are seq, seq + 1, …
 * seq: rises, per key, in commit order, because it is taken after the row locks are held and before the commit.
 * txid is the top-level transaction's. origin is the replication origin, NULL for local changes. came_from is the table that a push
 * brought the changes from (capture/origin.h), NULL for changes made here.
 */
#ifndef TS_LOGTABLE_H
#define TS_LOGTABLE_H

#include "utils/relcache.h"

#define TS_LOG_TXID 1
#define TS_LOG_SEQ 2
#define TS_LOG_N 3
#define TS_LOG_ORIGIN 4
#define TS_LOG_EVENTS 5
#define TS_LOG_CAME_FROM 6
#define TS_LOG_NATTS 6

/* The schema of the logs. */
#define TS_LOG_SCHEMA "tracksync_log"

/*
 * Makes log and sequence for source; to be called as the extension's owner, inside ts_catalog_enter. Sets their OIDs.
 */
extern void ts_logtable_create(Relation source, Oid *logid, Oid *seqid);
/* Drops the log and the sequence it owns. */
extern void ts_logtable_drop(Oid logid);

#endif
