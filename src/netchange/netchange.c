/* netchange.c: the stream of net changes of one log. */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "base/compat.h"
#include "base/settings.h"
#include "log/image.h"
#include "netchange/fold.h"
#include "netchange/moves.h"
#include "netchange/netchange.h"
#include "netchange/probe.h"
#include "netchange/scan.h"

struct TsNetStream
{
	int			nkeys;
	TsProbe    *probe;
	TsFold	   *fold;
	Tuplesortstate *sort;
	TupleDesc	eventdesc;
	TupleTableSlot *event;		/* the first event of the next key, if have_event */
	bool		have_event;
	FmgrInfo   *key_eq;
	Oid		   *key_collation;
	Datum	   *keys;			/* of the key at hand, in key_context */
	MemoryContext key_context;
	MemoryContext event_context;
	bool	   *changed;
	bool	   *ignored;
	bool	   *is_key;
	TsMoves    *moves;			/* NULL: no key changed */
};

static void
begin_sort(TsNetStream *stream)
{
	int			n = stream->nkeys + 1;
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * n);
	Oid		   *operators = palloc(sizeof(Oid) * n);
	Oid		   *collations = palloc(sizeof(Oid) * n);
	bool	   *nullsfirst = palloc0(sizeof(bool) * n);
	const TsKeyIndex *index = ts_probe_index(stream->probe);

	stream->key_eq = palloc0(sizeof(FmgrInfo) * n);
	for (int i = 0; i < stream->nkeys; i++)
	{
		attnums[i] = TS_EVENT_FIRST_KEY + i;
		operators[i] = index->columns[i].lt_op;
		collations[i] = index->columns[i].collation;
		fmgr_info(get_opcode(index->columns[i].eq_op), &stream->key_eq[i]);
	}
	attnums[n - 1] = TS_EVENT_SEQ;
	operators[n - 1] = Int8LessOperator;
	collations[n - 1] = InvalidOid;
	stream->key_collation = collations;
	stream->sort = tuplesort_begin_heap(stream->eventdesc, n, attnums, operators, collations, nullsfirst, TS_SORT_KB, NULL, 0);
}

/* Reads the log; the events of keys that changed go to "moves" if there is one, else the halves of pairs are noted in "pairs". */
static void
read_log(TsNetStream *stream, const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos, TsMoves *moves, TsMoves **pairs,
		 TsPending *pending)
{
	TsLogScan  *scan = ts_log_scan_begin(tracked, snapshot, pos);
	const TsLogged *logged;
	bool		fits = !pending->wholesale;

	memset(pending, 0, sizeof(*pending));
	pending->wholesale = !fits;
	while ((logged = ts_log_scan_next(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		ts_pending_add(pending, logged);
		/* wholesale: then nothing but the counts is wanted */
		if (pending->wholesale || logged->event.key == NULL)
			continue;
		if (pairs != NULL && logged->event.pair && !logged->echo)
		{
			if (*pairs == NULL)
				*pairs = ts_moves_create(tracked, ts_probe_index(stream->probe), stream->eventdesc, stream->fold);
			ts_moves_note(*pairs, ts_log_scan_slot(scan));
		}
		if (moves == NULL || ts_moves_overflow(moves) || !ts_moves_take(moves, ts_log_scan_slot(scan), logged->event.pair))
			tuplesort_puttupleslot(stream->sort, ts_log_scan_slot(scan));
	}
	ts_log_scan_end(scan);
}

/* Reads it again, setting aside the events of keys that changed. */
static void
read_moves(TsNetStream *stream, const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos, TsMoves *moves, TsPending *pending)
{
	if (ts_moves_overflow(moves))
		return;
	tuplesort_end(stream->sort);
	begin_sort(stream);
	read_log(stream, tracked, snapshot, pos, moves, NULL, pending);
	if (!ts_moves_overflow(moves))
	{
		stream->moves = moves;
		ts_moves_replay(moves, stream->probe);
		return;
	}
	tuplesort_end(stream->sort);
	begin_sort(stream);
	read_log(stream, tracked, snapshot, pos, NULL, NULL, pending);
}

TsNetStream *
ts_net_begin(Relation source, const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos, bool follow_keys,
			 const Bitmapset *tell, TsPending *pending)
{
	TsNetStream *stream = palloc0(sizeof(TsNetStream));
	TupleDesc	desc = RelationGetDescr(source);
	TsMoves    *pairs = NULL;

	memset(pending, 0, sizeof(*pending));
	/* keys of another type than today's cannot be looked up */
	pending->wholesale = !ts_tracked_keys_fit(tracked, desc);
	stream->nkeys = tracked->nkeys;
	stream->eventdesc = ts_event_desc(tracked);
	stream->probe = ts_probe_begin(source, tracked, snapshot);
	stream->ignored = palloc0(sizeof(bool) * (desc->natts + 1));
	for (int i = 0; i < tracked->nignored; i++)
		if (tracked->ignored[i] <= desc->natts)
			stream->ignored[tracked->ignored[i] - 1] = true;
	stream->is_key = palloc0(sizeof(bool) * (desc->natts + 1));
	for (int i = 0; i < tracked->nkeys; i++)
		if (tracked->keys[i] <= desc->natts)
			stream->is_key[tracked->keys[i] - 1] = true;
	stream->fold = ts_fold_create(desc, stream->ignored, stream->is_key);
	stream->fold->tell = tell;
	stream->changed = palloc0(sizeof(bool) * (desc->natts + 1));
	stream->keys = palloc0(sizeof(Datum) * stream->nkeys);
	stream->event = MakeSingleTupleTableSlot(stream->eventdesc, &TTSOpsMinimalTuple);
	stream->key_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync key", ALLOCSET_SMALL_SIZES);
	stream->event_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync event", ALLOCSET_DEFAULT_SIZES);
	begin_sort(stream);
	read_log(stream, tracked, snapshot, pos, NULL, follow_keys ? &pairs : NULL, pending);
	if (pairs != NULL && !pending->wholesale && !pending->rows_came)
		read_moves(stream, tracked, snapshot, pos, pairs, pending);
	tuplesort_performsort(stream->sort);
	/* nothing but echoes comes to nothing */
	stream->have_event = !pending->wholesale && pending->rows > 0 && tuplesort_gettupleslot(stream->sort, true, false, stream->event, NULL);
	return stream;
}

/* Keeps the key of the event at hand. */
static void
take_key(TsNetStream *stream)
{
	MemoryContext old;

	MemoryContextReset(stream->key_context);
	old = MemoryContextSwitchTo(stream->key_context);
	for (int i = 0; i < stream->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(stream->eventdesc, TS_EVENT_FIRST_KEY - 1 + i);
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_FIRST_KEY + i, &isnull);

		Assert(!isnull);
		stream->keys[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
}

static bool
same_key(TsNetStream *stream)
{
	for (int i = 0; i < stream->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_FIRST_KEY + i, &isnull);

		if (!DatumGetBool(FunctionCall2Coll(&stream->key_eq[i], stream->key_collation[i], value, stream->keys[i])))
			return false;
	}
	return true;
}

/* Folds the events of one key. */
static void
fold_key(TsNetStream *stream)
{
	ts_fold_reset(stream->fold);
	take_key(stream);
	do
	{
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_IMAGE(stream->nkeys), &isnull);
		TsImage		image = {0};
		bool		keep = stream->fold->events < TS_FOLD_KEEP;
		char		op = ts_slot_op(stream->event);
		MemoryContext old;

		MemoryContextReset(stream->event_context);
		old = MemoryContextSwitchTo(keep ? stream->fold->context : stream->event_context);
		if (!isnull)
			ts_image_read(keep ? datumCopy(value, false, -1) : value, &image);
		MemoryContextSwitchTo(old);
		if (ts_op_is_echo(op))
			ts_fold_echo(stream->fold, ts_op_plain(op), ts_slot_txid(stream->event), ts_slot_cid(stream->event), &image);
		else
			ts_fold_event(stream->fold, op, ts_slot_txid(stream->event), ts_slot_cid(stream->event), &image, keep);
		stream->have_event = tuplesort_gettupleslot(stream->sort, true, false, stream->event, NULL);
	} while (stream->have_event && same_key(stream));
}

bool
ts_net_next(TsNetStream *stream, TsNetChange *change)
{
	memset(change, 0, sizeof(*change));
	while (stream->have_event)
	{
		CHECK_FOR_INTERRUPTS();
		fold_key(stream);
		if (ts_fold_is_settled(stream->fold))
			continue;
		/*
		 * Also where the last event is a DELETE: keys that one statement moves round under a deferrable constraint are inserted
		 * before they are deleted, so the order of the events does not tell what exists.
		 */
		change->live = ts_probe_row(stream->probe, stream->keys);
		change->op = ts_fold_result(stream->fold, change->live, stream->changed);
		if (change->op == TS_NET_NOTHING)
			continue;
		change->keys = stream->keys;
		change->old_known = stream->fold->known;
		change->old_values = stream->fold->values;
		change->old_nulls = stream->fold->nulls;
		change->changed = stream->changed;
		change->touched = stream->fold->touched;
		return true;
	}
	return stream->moves != NULL && ts_moves_next(stream->moves, stream->probe, stream->changed, change);
}

void
ts_net_end(TsNetStream *stream)
{
	ts_probe_end(stream->probe);
	tuplesort_end(stream->sort);
	ExecDropSingleTupleTableSlot(stream->event);
	MemoryContextDelete(stream->fold->context);
	MemoryContextDelete(stream->key_context);
	MemoryContextDelete(stream->event_context);
	pfree(stream);
}
