/*
 * store.h: the changes of one step, kept until they are applied; past work_mem they go to disk.
 *
 * Deletes and inserts come back in the order they were put, which is key order; updates by the set of columns they write,
 * in key order within each set.
 */
#ifndef TS_STORE_H
#define TS_STORE_H

#include "plan/change.h"

typedef struct TsStore TsStore;

/*
 * compared: the changes come from a comparison, so that a row to be updated may be missing by the time it is written. in_order:
 * updates come back as they were put.
 */
extern TsStore *ts_store_begin(const TsLink *link, TsChangeOp op, bool text_keys, bool compared, bool in_order);
extern void ts_store_put(TsStore *store, const TsChange *change);
/* No more puts; (again) from the first row. */
extern void ts_store_rewind(TsStore *store);
/* The next change, its arrays freshly made in the current context; false at the end. */
extern bool ts_store_next(TsStore *store, TsChange *change, Size *bytes);
extern void ts_store_end(TsStore *store);

#endif
