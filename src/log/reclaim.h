/*
 * reclaim.h: giving the space of a log back, by exchanging its halves.
 *
 * What is pruned is deleted, as any rows are. When the half that is written has grown to TS_LOG_TURN pages and the other is empty,
 * writers are sent there. When all rows of the half they left are deleted, and no snapshot sees them any more, a push cuts its file off,
 * as VACUUM does. The lock this takes is not waited for and given back at once; writers do not want it, but for a few who began before
 * the exchange, and for these it is given up.
 */
#ifndef TS_RECLAIM_H
#define TS_RECLAIM_H

#include "log/tracked.h"

/* Cuts off what is dead at the end of the half that is not written. Never waits. */
extern void ts_log_reclaim(const TsTracked *tracked);
/* Exchanges the halves, if it is time. Inside ts_catalog_enter, with the row of tracked_table locked. */
extern void ts_log_exchange(Oid source, const Oid *halves, int written);

#endif
