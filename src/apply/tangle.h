/*
 * tangle.h: rows that are to get unique values which other rows of the push give up.
 *
 * Before a batch of updates of unique values is written the target is asked which of its rows' new values other rows have; these rows are
 * put by. When all other updates are done they are written, each after the rows whose values it takes over. Where that goes round in a
 * circle one of the rows is put aside first: it gives up its value for NULL, or for one that nobody has. The same goes for keys: rows whose
 * keys go round in a circle are put by, and then all that wait for them.
 */
#ifndef TS_TANGLE_H
#define TS_TANGLE_H

#include "apply/settle.h"

typedef struct TsTangle TsTangle;

/* For one attempt, in the current context. */
extern TsTangle *ts_tangle_begin(void);
/* All are written, and others may be put by. */
extern void ts_tangle_clear(TsTangle *tangle);
/* Puts by the rows of the batch whose new values are taken. */
extern void ts_tangle_take(TsWriter *writer, TsBatch *batch);
/* Nothing else is left to be updated: finds out in which order the rows can be written. */
extern void ts_tangle_sort(TsTangle *tangle);
/* Whose rows are next, and in which step of the plan (from 1) they were; NULL: all are written. */
extern TsWriter *ts_tangle_next(TsTangle *tangle, int *step);
/* Writes them; returns the rows that were brought about. */
extern int64 ts_tangle_write(TsTangle *tangle);

#endif
