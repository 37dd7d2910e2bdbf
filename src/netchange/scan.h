/*
 * scan.h: reading a change log: the rows that a snapshot sees and a position has not passed.
 */
#ifndef TS_SCAN_H
#define TS_SCAN_H

#include "access/relscan.h"
#include "executor/tuptable.h"
#include "log/logtable.h"
#include "log/position.h"
#include "log/tracked.h"
#include "utils/snapshot.h"

typedef struct TsLogScan TsLogScan;

/* pos may be NULL: all rows. The log stays locked (AccessShare) until the transaction ends. */
extern TsLogScan *ts_log_scan_begin(Oid logid, Snapshot snapshot, const TsPosition *pos);
/* The next row, or NULL; operation records are passed over unless asked for. The slot is valid until the next call. */
extern TupleTableSlot *ts_log_scan_next(TsLogScan *scan, bool operations);
extern TupleDesc ts_log_scan_desc(TsLogScan *scan);
extern void ts_log_scan_end(TsLogScan *scan);

typedef struct TsPending
{
	int64		rows;			/* events not shipped */
	bool		wholesale;		/* a TRUNCATE or a gap is among them */
	int64		last_seq;		/* the highest seq of the running transaction's own rows, 0 if there is none */
	uint64		oldest_txid;	/* of the pending events, 0 = none */
} TsPending;

/* Counts what is pending; stops at the first row if any_will_do. */
extern TsPending ts_log_pending(Oid logid, Snapshot snapshot, const TsPosition *pos, bool any_will_do);

/* Counts one event. */
extern void ts_pending_add(TsPending *pending, TupleTableSlot *slot);

static inline uint64
ts_slot_txid(TupleTableSlot *slot)
{
	bool		isnull;

	return (uint64) DatumGetInt64(slot_getattr(slot, TS_LOG_TXID, &isnull));
}

static inline int64
ts_slot_seq(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, TS_LOG_SEQ, &isnull));
}

static inline char
ts_slot_op(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetChar(slot_getattr(slot, TS_LOG_OP(TS_LOG_NKEYS(slot->tts_tupleDescriptor->natts)), &isnull));
}

#endif
