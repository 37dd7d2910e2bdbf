/* scan.c: reading a change log. */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "utils/rel.h"

#include "log/logtable.h"
#include "netchange/scan.h"

struct TsLogScan
{
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
	const TsPosition *pos;
};

TsLogScan *
ts_log_scan_begin(Oid logid, Snapshot snapshot, const TsPosition *pos)
{
	TsLogScan  *scan = palloc(sizeof(TsLogScan));

	scan->rel = table_open(logid, AccessShareLock);
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->scan = table_beginscan(scan->rel, snapshot, 0, NULL);
	scan->pos = pos;
	return scan;
}

TupleTableSlot *
ts_log_scan_next(TsLogScan *scan, bool operations)
{
	while (table_scan_getnextslot(scan->scan, ForwardScanDirection, scan->slot))
	{
		if (scan->pos != NULL && ts_position_passed(scan->pos, ts_slot_txid(scan->slot), ts_slot_seq(scan->slot)))
			continue;
		if (!operations && ts_slot_op(scan->slot) == TS_OP_OPERATION)
			continue;
		return scan->slot;
	}
	return NULL;
}

TupleDesc
ts_log_scan_desc(TsLogScan *scan)
{
	return RelationGetDescr(scan->rel);
}

void
ts_log_scan_end(TsLogScan *scan)
{
	table_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	table_close(scan->rel, NoLock);
	pfree(scan);
}

void
ts_pending_add(TsPending *pending, TupleTableSlot *slot)
{
	char		op = ts_slot_op(slot);
	uint64		txid = ts_slot_txid(slot);

	pending->rows++;
	pending->wholesale |= op == TS_OP_TRUNCATE || op == TS_OP_GAP;
	if (txid == ts_own_txid())
		pending->last_seq = Max(pending->last_seq, ts_slot_seq(slot));
	if (pending->oldest_txid == 0 || txid < pending->oldest_txid)
		pending->oldest_txid = txid;
}

TsPending
ts_log_pending(Oid logid, Snapshot snapshot, const TsPosition *pos, bool any_will_do)
{
	TsPending	result = {0};
	TsLogScan  *scan = ts_log_scan_begin(logid, snapshot, pos);
	TupleTableSlot *slot;

	while ((slot = ts_log_scan_next(scan, false)) != NULL)
	{
		ts_pending_add(&result, slot);
		if (any_will_do)
			break;
	}
	ts_log_scan_end(scan);
	return result;
}
