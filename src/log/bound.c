/* bound.c: where in a log what cannot be. */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "log/bound.h"
#include "log/logtable.h"

/* How often this session has cut a half off. */
static uint64 cuts = 0;

void
ts_log_aim(Relation half, TsLogAim *aim)
{
	/* the id comes first: see bound.h */
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionId());
	BlockNumber target;

	if (aim->half == RelationGetRelid(half) && own < aim->txid + TS_LOG_AIMED)
		return;
	target = RelationGetTargetBlock(half);
	if (target != InvalidBlockNumber && target + TS_LOG_SLACK < RelationGetNumberOfBlocks(half))
		RelationSetTargetBlock(half, InvalidBlockNumber);
	aim->half = RelationGetRelid(half);
	aim->txid = own;
}

void
ts_log_note(TsLogNote *note, Oid half)
{
	Relation	rel = try_relation_open(half, AccessShareLock);

	note->half = InvalidOid;
	if (rel == NULL)
		return;
	note->half = half;
	note->pages = RelationGetNumberOfBlocks(rel);
	note->txid = U64FromFullTransactionId(ReadNextFullTransactionId()) + TS_LOG_AIMED;
	note->cuts = cuts;
	relation_close(rel, NoLock);
}

void
ts_log_was_cut(void)
{
	cuts++;
}

/* Is the bound's anchor where it was put? */
static bool
anchor_is_there(Relation half, ItemPointer tid, uint64 txid)
{
	TupleTableSlot *slot;
	bool		found;

	if (ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(half))
		return false;
	slot = table_slot_create(half, NULL);
	found = table_tuple_fetch_row_version(half, tid, SnapshotAny, slot);
	if (found)
	{
		bool		isnull;

		found = DatumGetInt32(slot_getattr(slot, TS_LOG_N, &isnull)) == 0 &&
			(uint64) DatumGetInt64(slot_getattr(slot, TS_LOG_SEQ, &isnull)) == txid;
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Reads one bound; false if there is none, or it does not hold. */
static bool
read_bound(Relation half, const char *sql, uint64 txid, TsBound *bound)
{
	static const Oid types[] = {OIDOID, XID8OID};
	Datum		values[] = {ObjectIdGetDatum(RelationGetRelid(half)), UInt64GetDatum(txid)};
	bool		found,
				is_start = true,
				isnull;
	Oid			file = InvalidOid;
	ItemPointerData anchor;
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	found = ts_sql(sql, SPI_OK_SELECT, 2, types, values, NULL) == 1;
	if (found)
	{
		Datum		tid;

		bound->txid = DatumGetUInt64(ts_sql_value(0, 1, &isnull));
		bound->block = (BlockNumber) DatumGetInt64(ts_sql_value(0, 2, &isnull));
		tid = ts_sql_value(0, 3, &is_start);
		if (!is_start)
			ItemPointerCopy((ItemPointer) DatumGetPointer(tid), &anchor);
		bound->frontier = DatumGetUInt64(ts_sql_value(0, 4, &isnull));
		if (isnull)
			bound->frontier = 0;
		file = DatumGetObjectId(ts_sql_value(0, 5, &isnull));
	}
	ts_catalog_leave(&cat);
	return found && (is_start || (file == half->rd_rel->relfilenode && anchor_is_there(half, &anchor, bound->txid)));
}

#define LAST_BOUND \
	"SELECT txid, block, anchor, frontier, file FROM tracksync.log_bound WHERE half OPERATOR(pg_catalog.=) $1 AND txid OPERATOR(pg_catalog.<=) $2 " \
	"ORDER BY txid DESC LIMIT 1"
#define FIRST_BOUND \
	"SELECT txid, block, anchor, frontier, file FROM tracksync.log_bound WHERE half OPERATOR(pg_catalog.=) $1 AND txid OPERATOR(pg_catalog.>=) $2 " \
	"ORDER BY txid LIMIT 1"

BlockNumber
ts_bound_find(Relation half, uint64 txid)
{
	TsBound		bound;

	/* no bounds are made for so few */
	if (txid == 0 || RelationGetNumberOfBlocks(half) <= TS_LOG_STRETCH || !read_bound(half, LAST_BOUND, txid, &bound))
		return 0;
	return bound.block;
}

bool
ts_bound_first(Relation half, TsBound *bound)
{
	if (RelationGetNumberOfBlocks(half) <= TS_LOG_STRETCH)
		return false;
	if (read_bound(half, FIRST_BOUND, 0, bound))
		return true;
	/* somebody rewrote the half: new ones are made */
	ts_bound_forget(RelationGetRelid(half));
	return false;
}

static ItemPointerData
insert_anchor(Relation half, uint64 txid)
{
	Datum		values[TS_LOG_NATTS] = {0};
	bool		nulls[TS_LOG_NATTS] = {false};
	HeapTuple	tuple;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(half), &TTSOpsHeapTuple);
	ItemPointerData tid;
	bytea	   *nothing = palloc(VARHDRSZ);
	TsLogAim	aim = {0};

	SET_VARSIZE(nothing, VARHDRSZ);
	values[TS_LOG_TXID - 1] = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	values[TS_LOG_SEQ - 1] = Int64GetDatum((int64) txid);
	values[TS_LOG_N - 1] = Int32GetDatum(0);
	values[TS_LOG_EVENTS - 1] = PointerGetDatum(nothing);
	nulls[TS_LOG_ORIGIN - 1] = true;
	nulls[TS_LOG_CAME_FROM - 1] = true;
	tuple = heap_form_tuple(RelationGetDescr(half), values, nulls);
	ExecStoreHeapTuple(tuple, slot, false);
	ts_log_aim(half, &aim);
	table_tuple_insert(half, slot, GetCurrentCommandId(true), TS_LOG_INSERT, NULL);
	tid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	return tid;
}

static void
store_bound(Relation half, uint64 txid, BlockNumber block, ItemPointer anchor)
{
	static const Oid types[] = {OIDOID, XID8OID, INT8OID, OIDOID, TIDOID};
	Datum		values[] = {ObjectIdGetDatum(RelationGetRelid(half)), UInt64GetDatum(txid), Int64GetDatum((int64) block),
	ObjectIdGetDatum(half->rd_rel->relfilenode), PointerGetDatum(anchor)};

	ts_sql("INSERT INTO tracksync.log_bound (half, txid, block, file, anchor) VALUES ($1, $2, $3, $4, $5)", SPI_OK_INSERT, 5, types, values,
		   anchor ? NULL : "    n");
}

void
ts_bound_add(const TsLogNote *note)
{
	Relation	half;
	TsBound		last = {0};
	bool		any;

	if (!OidIsValid(note->half) || note->cuts != cuts || note->pages <= TS_LOG_STRETCH)
		return;
	half = table_open(note->half, RowExclusiveLock);
	any = read_bound(half, LAST_BOUND, PG_INT64_MAX, &last);
	if (!any || (uint64) last.block + TS_LOG_SLACK + TS_LOG_STRETCH <= note->pages)
	{
		ItemPointerData anchor = insert_anchor(half, note->txid);
		BlockNumber end = Min(note->pages, ItemPointerGetBlockNumber(&anchor));

		/* all begin somewhere, and pruning must have a place to write down how far it came */
		if (!any)
			store_bound(half, 0, 0, NULL);
		store_bound(half, note->txid, end > TS_LOG_SLACK ? end - TS_LOG_SLACK : 0, &anchor);
	}
	table_close(half, NoLock);
}

void
ts_bound_pruned(Oid half, uint64 txid, uint64 frontier)
{
	static const Oid types[] = {OIDOID, XID8OID, XID8OID};
	Datum		values[] = {ObjectIdGetDatum(half), UInt64GetDatum(txid), UInt64GetDatum(frontier)};

	/* the last one before what is left takes the place of the first */
	ts_sql("DELETE FROM tracksync.log_bound b WHERE half OPERATOR(pg_catalog.=) $1 AND txid OPERATOR(pg_catalog.<) "
		   "(SELECT txid FROM tracksync.log_bound WHERE half OPERATOR(pg_catalog.=) $1 AND txid OPERATOR(pg_catalog.<=) $2 "
		   "ORDER BY txid DESC LIMIT 1)", SPI_OK_DELETE, 2, types, values, NULL);
	ts_sql("UPDATE tracksync.log_bound SET frontier = $3 WHERE half OPERATOR(pg_catalog.=) $1 AND txid OPERATOR(pg_catalog.<=) $2",
		   SPI_OK_UPDATE, 3, types, values, NULL);
}

void
ts_bound_forget(Oid half)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(half)};

	ts_sql("DELETE FROM tracksync.log_bound WHERE half OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE, 1, types, values, NULL);
}
