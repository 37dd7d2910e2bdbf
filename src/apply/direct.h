/*
 * direct.h: writing rows of a plain table through the table access method, without SQL statements.
 *
 * For targets on which nothing else hangs: no trigger (foreign keys are triggers), rule, row security, generated column, or
 * default of a column that the link does not write; and with the source's types. Constraints and indexes are seen to by the
 * executor's own functions. What a statement would do to a row, this does, no more.
 */
#ifndef TS_DIRECT_H
#define TS_DIRECT_H

#include "apply/target.h"

typedef struct TsDirect TsDirect;

/* NULL if the table needs statements. The table is locked; lives in the current context until its end. */
extern TsDirect *ts_direct_begin(const TsLink *link);
/* Sees what was written before, and writes the batch: sets done for each row that is now as wanted, see TsTargetOps. */
extern void ts_direct_write(TsDirect *direct, const TsWrite *write);
extern void ts_direct_end(TsDirect *direct);

#endif
