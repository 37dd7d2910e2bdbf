/* replay.c: the events of keys that changed, in the order in which they happened, and the changes that they come to. */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "netchange/replay.h"

static int
by_key(const void *a, const void *b)
{
	const Event *x = a,
			   *y = b;

	if (x->entry != y->entry)
		return x->entry < y->entry ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int
by_transaction(const void *a, const void *b)
{
	const Event *x = a,
			   *y = b;

	if (x->txid != y->txid)
		return x->txid < y->txid ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int
by_time(const void *a, const void *b)
{
	const Event *x = a,
			   *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->cid != y->cid)
		return x->cid < y->cid ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void *
keep(const void *data, Size size)
{
	return memcpy(palloc(size + 1), data, size);
}

/* Keeps what the fold made of the key's events. */
static void
keep_fold(Entry *entry, const TsFold *fold)
{
	int			natts = fold->desc->natts;

	entry->fold = *fold;
	entry->fold.touched = keep(fold->touched, sizeof(bool) * natts);
	entry->fold.known = keep(fold->known, sizeof(bool) * natts);
	entry->fold.values = keep(fold->values, sizeof(Datum) * natts);
	entry->fold.nulls = keep(fold->nulls, sizeof(bool) * natts);
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(fold->desc, i);

		if (fold->known[i] && !fold->nulls[i])
			entry->fold.values[i] = datumCopy(fold->values[i], att->attbyval, att->attlen);
	}
}

static void
fold_keys(TsMoves *moves, TsProbe *probe)
{
	int64		e = 0;

	qsort(moves->events, moves->nevents, sizeof(Event), by_key);
	for (int k = 0; k < moves->n; k++)
	{
		Entry	   *entry = &moves->entries[k];
		int64		existed;

		CHECK_FOR_INTERRUPTS();
		ts_fold_reset(moves->fold);
		for (; e < moves->nevents && moves->events[e].entry == k; e++)
		{
			const Event *event = &moves->events[e];
			TsImage		image = {0};
			MemoryContext old = MemoryContextSwitchTo(moves->fold->context);

			if (event->image != (Datum) 0)
				ts_image_read(event->image, &image);
			MemoryContextSwitchTo(old);
			ts_fold_event(moves->fold, event->op, event->txid, event->cid, &image, true);
		}
		keep_fold(entry, moves->fold);
		entry->live = ts_probe_row(probe, entry->keys) != NULL;
		existed = entry->live - moves->fold->inserts + moves->fold->deletes;
		entry->broken = existed != 0 && existed != 1;
		entry->existed = existed == 1;
	}
}

/*
 * Transactions that touch the same rows end one after the other, and so do their last events; within one the commands tell the
 * order.
 */
static void
order_events(TsMoves *moves)
{
	int64		first = 0;

	qsort(moves->events, moves->nevents, sizeof(Event), by_transaction);
	for (int64 i = 0; i < moves->nevents; i++)
	{
		if (moves->events[i].cid == TS_NO_COMMAND)
			moves->events[i].cid = 0;
		if (i + 1 < moves->nevents && moves->events[i + 1].txid == moves->events[i].txid)
			continue;
		for (; first <= i; first++)
			moves->events[first].order = moves->events[i].seq;
	}
	qsort(moves->events, moves->nevents, sizeof(Event), by_time);
}

/* Replays the events of one command: all rows leave, then all arrive. */
static bool
replay_command(TsMoves *moves, Event *events, int64 n)
{
	int			row = NO_ROW;

	for (int64 i = 0; i < n; i++)
	{
		Event	   *e = &events[i];

		if (e->op != TS_OP_DELETE)
			continue;
		e->row = moves->entries[e->entry].from;
		if (e->row == NO_ROW)
			return false;
	}
	for (int64 i = 0; i < n; i++)
		if (events[i].op == TS_OP_DELETE)
			moves->entries[events[i].entry].from = NO_ROW;
	for (int64 i = 0; i < n; i++)
	{
		Event	   *e = &events[i];

		/* the I of a pair follows its D */
		if (e->op == TS_OP_DELETE)
			row = e->pair ? e->row : NO_ROW;
		if (e->op != TS_OP_INSERT)
			continue;
		if (moves->entries[e->entry].from != NO_ROW || (e->pair && row == NO_ROW))
			return false;
		moves->entries[e->entry].from = e->pair ? row : NEW_ROW;
		row = NO_ROW;
	}
	return true;
}

/* Finds out which row went where; false if the events do not make sense that way. */
static bool
follow_rows(TsMoves *moves)
{
	for (int k = 0; k < moves->n; k++)
	{
		moves->entries[k].from = moves->entries[k].existed ? k : NO_ROW;
		moves->entries[k].to = NO_ROW;
	}
	for (int64 i = 0, n; i < moves->nevents; i += n)
	{
		for (n = 1; i + n < moves->nevents && moves->events[i + n].txid == moves->events[i].txid &&
			 moves->events[i + n].cid == moves->events[i].cid; n++)
			;
		if (!replay_command(moves, &moves->events[i], n))
			return false;
	}
	for (int k = 0; k < moves->n; k++)
	{
		if ((moves->entries[k].from != NO_ROW) != moves->entries[k].live)
			return false;
		if (moves->entries[k].from >= 0)
			moves->entries[moves->entries[k].from].to = k;
	}
	return true;
}

static void
put(TsMoves *moves, int entry, int what, bool in_circle)
{
	Output	   *output = &moves->outputs[moves->noutputs++];

	output->entry = entry;
	output->what = what;
	output->in_circle = in_circle;
}

static bool
ends_move(const TsMoves *moves, int k)
{
	return moves->entries[k].from >= 0 && moves->entries[k].from != k;
}

/* The move that ends at k, then the one that ends where it came from, which is free then, and so on. */
static void
put_chain(TsMoves *moves, int k, bool in_circle)
{
	while (ends_move(moves, k) && !moves->entries[k].done)
	{
		moves->entries[k].done = true;
		put(moves, k, OUT_MOVE, in_circle);
		k = moves->entries[k].from;
	}
}

/* All moves, each when its new key is free, but for circles. */
static void
put_moves(TsMoves *moves)
{
	for (int k = 0; k < moves->n; k++)
		if (ends_move(moves, k) && (moves->entries[k].to == NO_ROW))
			put_chain(moves, k, false);
	/* what is left goes round in circles */
	for (int k = 0; k < moves->n; k++)
		put_chain(moves, k, true);
}

void
ts_moves_replay(TsMoves *moves, TsProbe *probe)
{
	bool		follow;
	MemoryContext old;

	if (!moves->sorted)
		ts_moves_settle(moves);
	old = MemoryContextSwitchTo(moves->context);
	fold_keys(moves, probe);
	order_events(moves);
	follow = follow_rows(moves);
	moves->outputs = MemoryContextAllocHuge(moves->context, sizeof(Output) * ((Size) moves->n * 2 + 1));
	for (int k = 0; k < moves->n; k++)
	{
		const Entry *entry = &moves->entries[k];

		if (!follow || entry->broken || entry->from == k || (entry->from < 0 && entry->to == NO_ROW))
			put(moves, k, OUT_HERE, false);
		else if (entry->existed && entry->to == NO_ROW)
			put(moves, k, OUT_DELETE, false);
		if (follow && !entry->broken && entry->from == NEW_ROW && entry->to != NO_ROW)
			put(moves, k, OUT_INSERT, false);
	}
	if (follow)
		put_moves(moves);
	MemoryContextSwitchTo(old);
}
