/* write.h: rows into the target, batch by batch. */
#ifndef TS_APPEND_WRITE_H
#define TS_APPEND_WRITE_H

#include "append/append.h"

typedef struct TsAppender TsAppender;

/* Locks the target for writing. The rows then given have each key once, and come in key order. */
extern TsAppender *ts_append_begin(TsAppend *append);
/* differing: another row came with this key; under TS_DUPLICATES_ERROR, the only policy for which it matters, it is a duplicate. */
extern void ts_append_put(TsAppender *writer, TupleTableSlot *row, bool differing);
/* Writes what is left, fires triggers, adds to the counts; 23505 names the duplicates. */
extern void ts_append_end(TsAppender *writer);

#endif
