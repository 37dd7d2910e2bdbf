/* moves.c: rows whose key changed. */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "netchange/replay.h"

/* What is held at most: halves of pairs and other events of their keys, and the bytes of their images. */
#define MAX_EVENTS 1000000
#define MAX_BYTES ((Size) 256 * 1024 * 1024)

TsMoves *
ts_moves_create(const TsTracked *tracked, const TsKeyIndex *index, TupleDesc eventdesc, TsFold *fold)
{
	TsMoves    *moves = palloc0(sizeof(TsMoves));

	moves->tracked = tracked;
	moves->eventdesc = eventdesc;
	moves->fold = fold;
	moves->nkeys = tracked->nkeys;
	moves->compare = palloc0(sizeof(FmgrInfo) * moves->nkeys);
	moves->collation = palloc0(sizeof(Oid) * moves->nkeys);
	for (int i = 0; i < moves->nkeys; i++)
	{
		const TsKeyColumn *col = &index->columns[i];

		fmgr_info(get_opfamily_proc(col->opfamily, col->opcintype, col->opcintype, BTORDER_PROC), &moves->compare[i]);
		moves->collation[i] = col->collation;
	}
	moves->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync moves", ALLOCSET_DEFAULT_SIZES);
	return moves;
}

static int
compare_keys(const TsMoves *moves, const Datum *a, const Datum *b)
{
	for (int i = 0; i < moves->nkeys; i++)
	{
		int			order = DatumGetInt32(FunctionCall2Coll(&moves->compare[i], moves->collation[i], a[i], b[i]));

		if (order != 0)
			return order;
	}
	return 0;
}

static int
compare_entries(const void *a, const void *b, void *arg)
{
	return compare_keys(arg, ((const Entry *) a)->keys, ((const Entry *) b)->keys);
}

static Datum
event_key(const TsMoves *moves, TupleTableSlot *event, int i)
{
	bool		isnull;

	return slot_getattr(event, TS_EVENT_FIRST_KEY + i, &isnull);
}

void
ts_moves_note(TsMoves *moves, TupleTableSlot *event)
{
	MemoryContext old;
	Entry	   *entry;

	if (ts_moves_overflow(moves))
		return;
	old = MemoryContextSwitchTo(moves->context);
	if (moves->n == moves->size)
	{
		moves->size = moves->size ? moves->size * 2 : 64;
		moves->entries = moves->entries ? repalloc_huge(moves->entries, sizeof(Entry) * moves->size) : palloc(sizeof(Entry) * moves->size);
	}
	entry = &moves->entries[moves->n++];
	memset(entry, 0, sizeof(Entry));
	entry->keys = palloc(sizeof(Datum) * moves->nkeys);
	for (int i = 0; i < moves->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(moves->eventdesc, TS_EVENT_FIRST_KEY - 1 + i);

		entry->keys[i] = datumCopy(event_key(moves, event, i), att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
}

bool
ts_moves_overflow(const TsMoves *moves)
{
	return moves->has_echo || moves->n >= MAX_EVENTS || moves->nevents >= MAX_EVENTS || moves->bytes >= MAX_BYTES;
}

void
ts_moves_settle(TsMoves *moves)
{
	int			n = 0;

	moves->sorted = true;
	qsort_arg(moves->entries, moves->n, sizeof(Entry), compare_entries, moves);
	for (int i = 0; i < moves->n; i++)
		if (n == 0 || compare_keys(moves, moves->entries[n - 1].keys, moves->entries[i].keys) != 0)
			moves->entries[n++] = moves->entries[i];
	moves->n = n;
}

/* The number of the key's entry, or -1. */
static int
find(const TsMoves *moves, const Datum *keys)
{
	int			low = 0,
				high = moves->n - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_keys(moves, keys, moves->entries[middle].keys);

		if (order == 0)
			return middle;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;
}

bool
ts_moves_take(TsMoves *moves, TupleTableSlot *event, bool pair)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		isnull;
	Datum		image;
	MemoryContext old;
	Event	   *e;
	int			entry;

	if (!moves->sorted)
		ts_moves_settle(moves);
	for (int i = 0; i < moves->nkeys; i++)
		keys[i] = event_key(moves, event, i);
	entry = find(moves, keys);
	if (entry < 0)
		return false;
	if (ts_op_is_echo(ts_slot_op(event)))
	{
		moves->has_echo = true;
		return false;
	}
	old = MemoryContextSwitchTo(moves->context);
	if (moves->nevents == moves->events_size)
	{
		moves->events_size = moves->events_size ? moves->events_size * 2 : 64;
		moves->events = moves->events ? repalloc_huge(moves->events, sizeof(Event) * moves->events_size) :
			palloc(sizeof(Event) * moves->events_size);
	}
	e = &moves->events[moves->nevents++];
	e->txid = ts_slot_txid(event);
	e->seq = ts_slot_seq(event);
	e->op = ts_slot_op(event);
	e->cid = ts_slot_cid(event);
	e->pair = pair;
	e->entry = entry;
	image = slot_getattr(event, TS_EVENT_IMAGE(moves->nkeys), &isnull);
	e->image = isnull ? (Datum) 0 : datumCopy(image, false, -1);
	moves->bytes += isnull ? 0 : VARSIZE_ANY(DatumGetPointer(image));
	MemoryContextSwitchTo(old);
	return true;
}

static bool
show(TsMoves *moves, const Output *output, TsProbe *probe, bool *changed, TsNetChange *change)
{
	Entry	   *entry = &moves->entries[output->entry];
	Entry	   *origin = output->what == OUT_MOVE ? &moves->entries[entry->from] : entry;

	memset(change, 0, sizeof(*change));
	change->keys = entry->keys;
	change->old_keys = origin->keys;
	change->moved = output->what == OUT_MOVE;
	change->in_circle = output->in_circle;
	change->live = output->what == OUT_DELETE ? NULL : ts_probe_row(probe, entry->keys);
	change->old_known = origin->fold.known;
	change->old_values = origin->fold.values;
	change->old_nulls = origin->fold.nulls;
	change->changed = changed;
	change->touched = origin->fold.touched;
	switch (output->what)
	{
		case OUT_DELETE:
			change->op = TS_NET_DELETE;
			break;
		case OUT_INSERT:
			change->op = TS_NET_INSERT;
			break;
		case OUT_MOVE:
			change->op = TS_NET_UPDATE;
			/* whatever became of the row on its way: what is written is the row as it is */
			memset(changed, true, entry->fold.desc->natts);
			break;
		case OUT_HERE:
			change->op = ts_fold_result(&entry->fold, change->live, changed);
			break;
	}
	return change->op != TS_NET_NOTHING;
}

bool
ts_moves_next(TsMoves *moves, TsProbe *probe, bool *changed, TsNetChange *change)
{
	while (moves->at < moves->noutputs)
	{
		CHECK_FOR_INTERRUPTS();
		if (show(moves, &moves->outputs[moves->at++], probe, changed, change))
			return true;
	}
	return false;
}
