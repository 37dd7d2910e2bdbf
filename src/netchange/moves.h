/*
 * moves.h: rows whose key changed.
 *
 * An UPDATE of the key is a D and an I in the log, marked as a pair. All events of the keys that such pairs name are taken out of
 * the stream and replayed in the order in which they happened, to know which row of now was which row at the position. What comes
 * out are the net changes of these keys: moves are UPDATEs from one key to another, in an order in which each new key is free when
 * its turn comes. Rows that change places in a circle say so.
 */
#ifndef TS_MOVES_H
#define TS_MOVES_H

#include "netchange/fold.h"
#include "netchange/probe.h"

typedef struct TsMoves TsMoves;

/* In the current context. */
extern TsMoves *ts_moves_create(const TsTracked *tracked, const TsKeyIndex *index, TupleDesc eventdesc, TsFold *fold);
/* First reading: the key of half a pair. */
extern void ts_moves_note(TsMoves *moves, TupleTableSlot *event);
/* Second reading: keeps the event if its key is one of these; false if it is not. */
extern bool ts_moves_take(TsMoves *moves, TupleTableSlot *event, bool pair);
/* There is more than should be held in memory, or echoes are among the events of these keys: keys are not followed then. */
extern bool ts_moves_overflow(const TsMoves *moves);
/* All events were read. */
extern void ts_moves_replay(TsMoves *moves, TsProbe *probe);
/* The next net change that is not "nothing", valid until the next call; false at the end. */
extern bool ts_moves_next(TsMoves *moves, TsProbe *probe, bool *changed, TsNetChange *change);

#endif
