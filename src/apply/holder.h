/* holder.h: who has the values that rows are to get. */
#ifndef TS_HOLDER_H
#define TS_HOLDER_H

#include "apply/settle.h"

/* Has a change with this mask to do with the target's unique and exclusion constraints? */
extern bool ts_holder_matters(TsWriter *writer, TsChangeOp op, const unsigned char *mask);
/* Per row of a batch that does: has another row of the target one of its new values? */
extern bool *ts_holder_taken(TsWriter *writer, const TsBatch *batch);
/*
 * The key of the row of the target that has what the row at which the writer stopped was to get, JSON: such a row as there is now, by
 * the constraint that the error names, if it does. NULL: there is none.
 */
extern char *ts_holder_find(TsWriter *writer, const ErrorData *error);

#endif
