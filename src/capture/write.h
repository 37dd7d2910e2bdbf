/* write.h: blocks of events become rows of a change log. */
#ifndef TS_WRITE_H
#define TS_WRITE_H

#include "capture/source.h"
#include "log/event.h"

/* Inserts n numbered blocks into the open log, under the current subtransaction's id. */
extern void ts_write_blocks(Relation rel, TsLog *log, TsBlock *blocks, int n);

#endif
