/*
 * buffer.h: the events of the running transaction that are not in a change log yet.
 *
 * Events belong to the subtransaction that made them, as a stack of levels. A subtransaction that commits hands its events
 * to its parent, one that aborts takes its own with it and no others. A level's rows are written under that level's
 * transaction id when its buffer is full, and before commit or prepare.
 *
 * A reader must see all of them (ts_buffer_flush). Rows of outer levels written on that occasion go out under the inner
 * level's id, so they are kept: if that level aborts, they count as unwritten again. Sequence numbers are given to all
 * levels, outermost first, at the first flush after the event, hence after the row locks are held; they stay.
 */
#ifndef TS_BUFFER_H
#define TS_BUFFER_H

#include "capture/source.h"
#include "log/event.h"

/* Adds an event; everything is copied. */
extern void ts_buffer_add(TsLog *log, const TsEvent *event);
/* Writes everything that this transaction holds, and makes it visible to the next snapshot. */
extern void ts_buffer_flush(void);
/* Callbacks of transaction ends; registered when the library is loaded. */
extern void ts_buffer_init(void);

#endif
