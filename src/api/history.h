/* history.h: one row taken back in time over its events. Pure. */
#ifndef TS_HISTORY_H
#define TS_HISTORY_H

#include "log/image.h"

/* What a row was at a moment, per attribute of the source: values may be of a type the column no longer has. */
typedef struct TsRowState
{
	bool		exists;
	bool	   *known;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
} TsRowState;

typedef struct TsPast
{
	uint64		txid;
	int64		seq;
	char		op;
	CommandId	cid;
	TsImage		image;
	CommandId	order;			/* within the transaction */
} TsPast;

/* A state of which nothing is known, in the current context. */
extern TsRowState ts_history_new_state(int natts);
extern TsRowState ts_history_copy_state(const TsRowState *from, int natts);
/* A value; of a type that exists no more it stays unknown. */
extern void ts_history_set_value(TsRowState *state, int i, Oid type, Datum value, bool isnull);
/* Takes the row back over one event: from the state after it to the state before it. */
extern void ts_history_undo(const TsPast *e, TsRowState *state, int natts);
/* Puts events that carry a command id where they belong in their transaction. */
extern void ts_history_order_events(TsPast *events, int n);

#endif
