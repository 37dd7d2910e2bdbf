/* rows.h: the incoming rows, each key once. */
#ifndef TS_ROWS_H
#define TS_ROWS_H

#include "append/append.h"
#include "base/compat.h"

typedef struct TsRows TsRows;

/*
 * Runs the query to its end. Its rows are kept, in the order of the key, in memory of bounded size and then on disk: what is written after
 * that is nothing that the query could see. Sets append->incoming.
 */
extern TsRows *ts_rows_begin(TsAppend *append);
/*
 * The next row to be written, good until the next call; NULL: no more. *differing: another row came with this key and other values
 * (TS_DUPLICATES_ERROR only).
 */
extern TupleTableSlot *ts_rows_next(TsRows *rows, bool *differing);
extern void ts_rows_end(TsRows *rows);

/* A sort of such rows by their keys. */
extern Tuplesortstate *ts_rows_sort(const TsAppend *append, int kilobytes);

#endif
