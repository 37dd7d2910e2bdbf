/* prune.c: removing what nobody needs any more from a change log. */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "log/event.h"
#include "log/logtable.h"
#include "log/position.h"
#include "log/prune.h"
#include "log/tracked.h"

/* The positions of the source's links, or NULL if it is busy. Locks the row of tracked_table. */
static bool
lock_and_load(Oid source, MemoryContext context, Oid *logid, int *n, TsPosition ***positions)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	bool		isnull;

	if (ts_sql("SELECT log::oid FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED",
			   SPI_OK_SELECT, 1, types, values, NULL) == 0)
		return false;
	*logid = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
	/* a new snapshot: links made before the lock was free are seen */
	*n = ts_sql("SELECT position::text, own_txid::text, own_seq FROM tracksync.link WHERE source OPERATOR(pg_catalog.=) $1 AND detect = 'log'",
				SPI_OK_SELECT, 1, types, values, NULL);
	*positions = MemoryContextAlloc(context, sizeof(TsPosition *) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		char	   *own = ts_sql_text(i, 2);
		MemoryContext old = MemoryContextSwitchTo(context);

		(*positions)[i] = ts_position_parse(ts_sql_text(i, 1), own ? strtoull(own, NULL, 10) : 0,
											DatumGetInt64(ts_sql_value(i, 3, &isnull)));
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* n: how many positions; less than none: everything goes. */
static int64
delete_passed(Oid logid, int n, TsPosition *const *positions)
{
	Relation	rel = table_open(logid, RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	uint64		own = ts_own_txid();
	int64		deleted = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		uint64		txid = (uint64) DatumGetInt64(slot_getattr(slot, TS_LOG_TXID, &isnull));
		int64		seq = DatumGetInt64(slot_getattr(slot, TS_LOG_SEQ, &isnull));
		int			events = DatumGetInt32(slot_getattr(slot, TS_LOG_N, &isnull));
		bool		passed = txid != own || n < 0;

		/* a row goes when its last event may */
		for (int i = 0; i < n && passed; i++)
			passed = ts_position_passed(positions[i], txid, seq + events - 1);
		if (!passed)
			continue;
		simple_table_tuple_delete(rel, &slot->tts_tid, snapshot);
		deleted += events;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return deleted;
}

/* Is an event left that tells a key? */
static bool
has_keys(Oid logid)
{
	Relation	rel = table_open(logid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool		found = false;

	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		TsEventReader reader;
		TsEvent		event;
		bool		isnull;

		ts_events_begin(&reader, PG_DETOAST_DATUM_PACKED(slot_getattr(slot, TS_LOG_EVENTS, &isnull)));
		while (!found && ts_events_next(&reader, &event))
			found = event.key != NULL;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return found;
}

/*
 * A retyped key: since then events are told as gaps. When all links have passed those with the former type, the log takes to the new
 * one.
 */
static void
renew_keys(Oid source, Oid logid)
{
	TsTracked  *tracked = ts_tracked_load(source);
	Relation	rel = relation_open(source, AccessShareLock);

	if (tracked != NULL && !ts_tracked_keys_fit(tracked, RelationGetDescr(rel)) && !has_keys(logid))
		ts_tracked_renew_keys(source);
	relation_close(rel, NoLock);
}

int64
ts_log_prune(Oid source, bool everything)
{
	MemoryContext context = CurrentMemoryContext;
	TsPosition **positions;
	int			n;
	Oid			logid;
	TsCatalog	cat;
	int64		deleted = 0;

	if (IsolationUsesXactSnapshot())
		return 0;
	ts_catalog_enter(&cat);
	if (lock_and_load(source, context, &logid, &n, &positions) && (n > 0 || everything))
	{
		deleted = delete_passed(logid, n, positions);
		CommandCounterIncrement();
		renew_keys(source, logid);
	}
	ts_catalog_leave(&cat);
	return deleted;
}

void
ts_log_empty(Oid logid)
{
	(void) delete_passed(logid, -1, NULL);
}
