/*
 * logtable.h: the layout of a change log, the tables tracksync_log.log_N and log_N_spare of one tracked table.
 *
 * These are its two halves. Writers append to one of them; when that has grown and the other is empty, a push exchanges their roles
 * (reclaim.h). All rows of both count; which half a row is in means nothing. The first half's OID names the log.
 *
 *   txid xid8, seq bigint, n int, origin int2, events bytea, came_from text
 *
 * A row holds n events of one transaction (event.h), whose seqs are seq, seq + 1, …
 * seq: rises, per key, in commit order, because it is taken after the row locks are held and before the commit.
 * txid is the top-level transaction's. origin is the replication origin, NULL for local changes. came_from is the table that a push
 * brought the changes from (capture/origin.h), NULL for changes made here. A row with n = 0 is an anchor (bound.h).
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

#define TS_LOG_HALVES 2

/*
 * Makes log and sequence for source; to be called as the extension's owner, inside ts_catalog_enter. Sets their OIDs.
 */
extern void ts_logtable_create(Relation source, Oid *halves, Oid *seqid);
/* Drops the log and the sequence it owns. */
extern void ts_logtable_drop(const Oid *halves);

#endif
