/*
 * scan.h: reading a change log: the events that a snapshot sees and a position has not passed.
 */
#ifndef TS_SCAN_H
#define TS_SCAN_H

#include "executor/tuptable.h"
#include "log/event.h"
#include "log/position.h"
#include "log/tracked.h"
#include "utils/snapshot.h"

typedef struct TsLogScan TsLogScan;

typedef struct TsLogged
{
	uint64		txid;
	int64		seq;
	bool		echo;			/* it came from the table that the position leaves out */
	TsEvent		event;			/* points into the scan's memory */
} TsLogged;

/* pos may be NULL: all events. The log stays locked (AccessShare) until the transaction ends. */
extern TsLogScan *ts_log_scan_begin(const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos);
/* The next event, valid until the next call, or NULL; operation records are among them. */
extern const TsLogged *ts_log_scan_next(TsLogScan *scan);
extern void ts_log_scan_end(TsLogScan *scan);

/* An event as a row that can be sorted: k1 … kN are the key columns in their own base types, NULL where it has no key. */
#define TS_EVENT_TXID 1
#define TS_EVENT_SEQ 2
#define TS_EVENT_OP 3			/* "char"; a small letter: an echo */
#define TS_EVENT_CID 4			/* int4, all bits set: none */
#define TS_EVENT_FIRST_KEY 5
#define TS_EVENT_IMAGE(nkeys) (TS_EVENT_FIRST_KEY + (nkeys))
#define TS_EVENT_NATTS(nkeys) TS_EVENT_IMAGE(nkeys)

/* That row's descriptor. A key column whose type is gone stays NULL. */
extern TupleDesc ts_event_desc(const TsTracked *tracked);
/* The event last returned, in a virtual slot of that descriptor; valid until the next call of ts_log_scan_next. */
extern TupleTableSlot *ts_log_scan_slot(TsLogScan *scan);

typedef struct TsPending
{
	int64		rows;			/* events not shipped, but echoes and those of columns */
	int64		schema_changes;
	bool		wholesale;		/* a TRUNCATE or a gap is among them */
	bool		rows_came;		/* a gap of the kind that hides no row that went */
	int64		last_seq;		/* the highest seq of the running transaction's own rows, 0 if there is none */
	uint64		oldest_txid;	/* of the pending events, 0 = none */
} TsPending;

/* Counts what is pending; stops at the first event if any_will_do. */
extern TsPending ts_log_pending(const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos, bool any_will_do);

/* Counts one event. */
extern void ts_pending_add(TsPending *pending, const TsLogged *logged);

static inline uint64
ts_slot_txid(TupleTableSlot *slot)
{
	bool		isnull;

	return (uint64) DatumGetInt64(slot_getattr(slot, TS_EVENT_TXID, &isnull));
}

static inline int64
ts_slot_seq(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, TS_EVENT_SEQ, &isnull));
}

static inline char
ts_slot_op(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetChar(slot_getattr(slot, TS_EVENT_OP, &isnull));
}

/* An op of a slot, taken apart. */
static inline bool
ts_op_is_echo(char op)
{
	return op >= 'a' && op <= 'z';
}

static inline char
ts_op_plain(char op)
{
	return ts_op_is_echo(op) ? op - 'a' + 'A' : op;
}

static inline CommandId
ts_slot_cid(TupleTableSlot *slot)
{
	bool		isnull;

	return (CommandId) DatumGetInt32(slot_getattr(slot, TS_EVENT_CID, &isnull));
}

#endif
