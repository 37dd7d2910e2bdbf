/* half.h: reading one half of a log, from some page to its end. */
#ifndef TS_HALF_H
#define TS_HALF_H

#include "access/relscan.h"
#include "executor/tuptable.h"
#include "storage/block.h"
#include "utils/snapshot.h"

typedef struct TsHalfScan
{
	TableScanDesc scan;			/* NULL: the half is empty from there on */
	TupleTableSlot *slot;
} TsHalfScan;

/* The half stays open as long as the scan. */
extern void ts_half_begin(TsHalfScan *scan, Relation half, Snapshot snapshot, BlockNumber start);
/* The next row in scan->slot, anchors among them; false: there is none. */
extern bool ts_half_next(TsHalfScan *scan);
extern void ts_half_end(TsHalfScan *scan);

#endif
