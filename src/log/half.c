/* half.c: reading one half of a log. */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "storage/bufmgr.h"

#include "log/half.h"

void
ts_half_begin(TsHalfScan *scan, Relation half, Snapshot snapshot, BlockNumber start)
{
	BlockNumber pages = RelationGetNumberOfBlocks(half);

	memset(scan, 0, sizeof(*scan));
	if (start >= pages)
		return;
	scan->slot = table_slot_create(half, NULL);
	scan->scan = table_beginscan_strat(half, snapshot, 0, NULL, true, start == 0);
	/* without its end it would begin anew from the first page */
	if (start > 0)
		heap_setscanlimits(scan->scan, start, ((HeapScanDesc) scan->scan)->rs_nblocks - start);
}

bool
ts_half_next(TsHalfScan *scan)
{
	return scan->scan != NULL && table_scan_getnextslot(scan->scan, ForwardScanDirection, scan->slot);
}

void
ts_half_end(TsHalfScan *scan)
{
	if (scan->scan == NULL)
		return;
	table_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	scan->scan = NULL;
}
