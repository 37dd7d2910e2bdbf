/*
 * netchange.h: what happened to each key since a position: INSERT, UPDATE, DELETE or nothing (design 5).
 *
 * The log's rows are sorted by key and seq (tuplesort: bounded memory), each key's events are folded into one state of
 * fixed size, and the live row is looked up. Keys come out in the key index's order.
 */
#ifndef TS_NETCHANGE_H
#define TS_NETCHANGE_H

#include "executor/tuptable.h"
#include "log/position.h"
#include "log/tracked.h"
#include "netchange/scan.h"
#include "utils/snapshot.h"

typedef enum TsNetOp
{
	TS_NET_NOTHING,
	TS_NET_INSERT,
	TS_NET_UPDATE,
	TS_NET_DELETE,
	TS_NET_BROKEN				/* the events and the live row contradict each other: the log cannot be trusted */
} TsNetOp;

/* Arrays are per attribute number of the source, minus one; valid until the next call. */
typedef struct TsNetChange
{
	TsNetOp		op;
	const Datum *keys;			/* in the key's order */
	bool		moved;			/* UPDATE: the key changed; such changes come last, each when its new key is free, but for circles */
	const Datum *old_keys;		/* of a moved row */
	bool		in_circle;		/* of rows that get each other's keys */
	TupleTableSlot *live;		/* the row as it is; NULL for DELETE */
	const bool *old_known;		/* the old value is known; if so, */
	const Datum *old_values;
	const bool *old_nulls;
	const bool *changed;		/* UPDATE: the value differs, or may differ */
	const bool *touched;		/* UPDATE: it was changed at some time, or may have been */
} TsNetChange;

typedef struct TsNetStream TsNetStream;

/*
 * source is open and locked, snapshot is registered; needs an SPI connection. The rows of the log that the position has not
 * passed are read here. Sets *wholesale if a TRUNCATE or gap is among them: then the log alone does not tell the changes.
 * follow_keys: a changed key is an UPDATE; else a DELETE and an INSERT, and everything comes in key order. tell: of attributes with these
 * numbers changes are an UPDATE even if they come to nothing.
 */
extern TsNetStream *ts_net_begin(Relation source, const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos,
								 bool follow_keys, const Bitmapset *tell, TsPending *pending);
/* The next net change that is not "nothing"; false at the end. */
extern bool ts_net_next(TsNetStream *stream, TsNetChange *change);
extern void ts_net_end(TsNetStream *stream);

#endif
