/*
 * logtable.h: the layout of a change log, the table tracksync_log.log_N of one tracked table.
 *
 *   txid xid8, seq bigint, k1 … kN (the key columns, in their own base types), op "char", origin int2, image bytea
 *
 * op: I, U, D as they say; T = TRUNCATE, G = gap (rows may have changed without an event); both with NULL keys;
 *     O = the operation record of a transaction (who, why, how much), the last row a transaction writes; NULL keys.
 * seq: rises, per key, in commit order, because it is taken after the row locks are held and before the commit.
 * txid is the top-level transaction's. origin is the replication origin, NULL for local changes.
 * The order keeps rows short: no padding before the key, the rest behind it.
 */
#ifndef TS_LOGTABLE_H
#define TS_LOGTABLE_H

#include "utils/relcache.h"

#define TS_LOG_TXID 1
#define TS_LOG_SEQ 2
#define TS_LOG_FIRST_KEY 3
#define TS_LOG_OP(nkeys) (TS_LOG_FIRST_KEY + (nkeys))
#define TS_LOG_ORIGIN(nkeys) (TS_LOG_OP(nkeys) + 1)
#define TS_LOG_IMAGE(nkeys) (TS_LOG_OP(nkeys) + 2)
#define TS_LOG_NATTS(nkeys) TS_LOG_IMAGE(nkeys)
#define TS_LOG_NKEYS(natts) ((natts) - TS_LOG_NATTS(0))

#define TS_OP_INSERT 'I'
#define TS_OP_UPDATE 'U'
#define TS_OP_DELETE 'D'
#define TS_OP_TRUNCATE 'T'
#define TS_OP_GAP 'G'
#define TS_OP_OPERATION 'O'

/* The schema of the logs. */
#define TS_LOG_SCHEMA "tracksync_log"

/*
 * Makes log and sequence for source; to be called as the extension's owner, inside ts_catalog_enter. Sets their OIDs.
 */
extern void ts_logtable_create(Relation source, int nkeys, const AttrNumber *keys, Oid *logid, Oid *seqid);
/* Drops the log and the sequence it owns. */
extern void ts_logtable_drop(Oid logid);

#endif
