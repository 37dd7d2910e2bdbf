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
#include "log/bound.h"
#include "log/event.h"
#include "log/half.h"
#include "log/logtable.h"
#include "log/position.h"
#include "log/prune.h"
#include "log/reclaim.h"
#include "log/tracked.h"

/* A log that is being pruned, and how far. */
typedef struct Pruning
{
	Oid			halves[TS_LOG_HALVES];
	int			written;
	int			n;				/* positions; less than none: everything goes */
	TsPosition **positions;
	uint64		least;			/* what is left is of this transaction or later ones */
	uint64		frontier;		/* and what goes of earlier ones than this */
} Pruning;

/* The log and the positions of the source's links, or false if it is busy. Locks the row of tracked_table. */
static bool
lock_and_load(Oid source, MemoryContext context, Pruning *p)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	bool		isnull;

	if (ts_sql("SELECT log::oid, spare::oid, in_spare FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED",
			   SPI_OK_SELECT, 1, types, values, NULL) == 0)
		return false;
	for (int i = 0; i < TS_LOG_HALVES; i++)
		p->halves[i] = DatumGetObjectId(ts_sql_value(0, i + 1, &isnull));
	p->written = DatumGetBool(ts_sql_value(0, 3, &isnull)) ? 1 : 0;
	/* a new snapshot: links made before the lock was free are seen */
	p->n = ts_sql("SELECT position::text, own_txid::text, own_seq FROM tracksync.link WHERE source OPERATOR(pg_catalog.=) $1 AND detect = 'log'",
				  SPI_OK_SELECT, 1, types, values, NULL);
	p->positions = MemoryContextAlloc(context, sizeof(TsPosition *) * (p->n + 1));
	for (int i = 0; i < p->n; i++)
	{
		char	   *own = ts_sql_text(i, 2);
		MemoryContext old = MemoryContextSwitchTo(context);

		p->positions[i] = ts_position_parse(ts_sql_text(i, 1), own ? strtoull(own, NULL, 10) : 0,
											DatumGetInt64(ts_sql_value(i, 3, &isnull)));
		MemoryContextSwitchTo(old);
		p->least = i == 0 ? p->positions[i]->xmin : Min(p->least, p->positions[i]->xmin);
		p->frontier = i == 0 ? p->positions[i]->xmax : Min(p->frontier, p->positions[i]->xmax);
	}
	return true;
}

/* May a row go, that is: may its last event? */
static bool
is_passed(const Pruning *p, TupleTableSlot *slot, uint64 own, int events)
{
	bool		isnull;
	uint64		txid = (uint64) DatumGetInt64(slot_getattr(slot, TS_LOG_TXID, &isnull));
	int64		seq = DatumGetInt64(slot_getattr(slot, TS_LOG_SEQ, &isnull));
	bool		passed = txid != own || p->n < 0;

	for (int i = 0; i < p->n && passed; i++)
		passed = ts_position_passed(p->positions[i], txid, seq + events - 1);
	return passed;
}

static int64
delete_passed(const Pruning *p, Relation half, BlockNumber start)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64		own = ts_own_txid();
	int64		deleted = 0;
	TsHalfScan	scan;

	ts_half_begin(&scan, half, snapshot, start);
	while (ts_half_next(&scan))
	{
		bool		isnull;
		int			events = DatumGetInt32(slot_getattr(scan.slot, TS_LOG_N, &isnull));

		/* anchors go with the half */
		if ((events == 0 && p->n >= 0) || !is_passed(p, scan.slot, own, events))
			continue;
		simple_table_tuple_delete(half, &scan.slot->tts_tid, snapshot);
		deleted += events;
	}
	ts_half_end(&scan);
	UnregisterSnapshot(snapshot);
	return deleted;
}

/*
 * A large half is read from where the last pruning left something, and not at all while the link that is farthest behind stands where it
 * stood: what the others read is not read once more by each of their pushes.
 */
static int64
prune_half(const Pruning *p, Oid id)
{
	Relation	half = table_open(id, RowExclusiveLock);
	TsBound		first;
	bool		bounded = p->n > 0 && ts_bound_first(half, &first);
	int64		deleted = 0;

	if (!bounded || first.frontier != p->frontier)
	{
		deleted = delete_passed(p, half, bounded ? first.block : 0);
		if (bounded)
			ts_bound_pruned(id, p->least, p->frontier);
	}
	table_close(half, NoLock);
	return deleted;
}

/* Is an event left that tells a key? */
static bool
has_keys(Oid id)
{
	Relation	half = table_open(id, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TsHalfScan	scan;
	bool		found = false;

	ts_half_begin(&scan, half, snapshot, 0);
	while (!found && ts_half_next(&scan))
	{
		TsEventReader reader;
		TsEvent		event;
		bool		isnull;

		ts_events_begin(&reader, PG_DETOAST_DATUM_PACKED(slot_getattr(scan.slot, TS_LOG_EVENTS, &isnull)));
		while (!found && ts_events_next(&reader, &event))
			found = event.key != NULL;
	}
	ts_half_end(&scan);
	UnregisterSnapshot(snapshot);
	table_close(half, NoLock);
	return found;
}

/*
 * A retyped key: since then events are told as gaps. When all links have passed those with the former type, the log takes to the new
 * one.
 */
static void
renew_keys(Oid source, const Oid *halves)
{
	TsTracked  *tracked = ts_tracked_load(source);
	Relation	rel = relation_open(source, AccessShareLock);

	if (tracked != NULL && !ts_tracked_keys_fit(tracked, RelationGetDescr(rel)) &&
		!has_keys(halves[0]) && !has_keys(halves[1]))
		ts_tracked_renew_keys(source);
	relation_close(rel, NoLock);
}

int64
ts_log_prune(Oid source, bool everything, const TsLogNote *note)
{
	MemoryContext context = CurrentMemoryContext;
	Pruning		p = {0};
	TsCatalog	cat;
	int64		deleted = 0;

	if (IsolationUsesXactSnapshot())
		return 0;
	ts_catalog_enter(&cat);
	if (note != NULL)
		ts_bound_add(note);
	if (lock_and_load(source, context, &p) && (p.n > 0 || everything))
	{
		for (int i = 0; i < TS_LOG_HALVES; i++)
			deleted += prune_half(&p, p.halves[i]);
		CommandCounterIncrement();
		renew_keys(source, p.halves);
		ts_log_exchange(source, p.halves, p.written);
	}
	ts_catalog_leave(&cat);
	return deleted;
}

void
ts_log_empty(const Oid *halves)
{
	Pruning		p = {.n = -1};

	for (int i = 0; i < TS_LOG_HALVES; i++)
		(void) prune_half(&p, halves[i]);
}
