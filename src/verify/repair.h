/* repair.h: a push that makes good what verify names. */
#ifndef TS_VERIFY_REPAIR_H
#define TS_VERIFY_REPAIR_H

#include "link/link.h"

/*
 * Has the plan of the link compare both sides, the source being right; of a target on another server only those rows that may differ. The
 * link is opened for a push. target NULL: does not exist.
 */
extern void ts_repair_prepare(TsLink *link, Relation source, Relation target, TsRepair repair);

#endif
