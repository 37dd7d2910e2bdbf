/*
 * order.h: in which order the data steps of a push are run.
 *
 * As the plan has them: deletes, updates, inserts. Where foreign keys are checked, or act, while the push is under way (on another server)
 * it may have to be parents first: table by table, updates and inserts, so that what a row refers to is there; then deletes, children first,
 * when nothing refers to the rows that go. Rows that nobody refers to who stays go first even so: what they have others may get.
 */
#ifndef TS_ORDER_H
#define TS_ORDER_H

#include "plan/merge.h"

/* Is it a data step? */
extern bool ts_order_is_data(const TsStep *step);
/* All steps' numbers, from 0, the data steps' in the order in which they are to be run. */
extern int *ts_order_steps(const TsMerged *merged, bool parents_first);
/* Must the rows that wait for others be updated before the step that is run at-th, if there are any? */
extern bool ts_order_settles(const TsMerged *merged, const int *order, int at, bool parents_first);

#endif
