/*
 * quarantine.h: rows that the target does not take.
 *
 * When a push fails and a link has on_error => 'quarantine', all is rolled back and repeated, trying each batch first, in a subtransaction
 * that is rolled back. One that fails is bisected until just the rows that fail are known; they are left out, and recorded when the push
 * has succeeded without them.
 */
#ifndef TS_QUARANTINE_H
#define TS_QUARANTINE_H

#include "apply/settle.h"

/* Takes the rows out of the batch that the target does not take. */
extern void ts_quarantine_filter(TsWriter *writer, TsBatch *batch);
/* The link's rows in quarantine are from now on those left out by this push. Inside ts_catalog_enter. */
extern void ts_quarantine_record(const TsLink *link, List *bad);

#endif
