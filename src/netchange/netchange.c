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

/* Images of so many bytes are kept in memory for keys whose rows are looked for at once. */
#define TURN_BYTES (256 * 1024)

/* A key whose events are folded, and whose row is looked for. */
typedef struct Turn
{
	TsFold	   *fold;
	Datum	   *keys;			/* in context */
	MemoryContext context;
} Turn;

struct TsNetStream
{
	int			nkeys;
	TsProbe    *probe;
	Turn		turns[TS_PROBE_AHEAD];
	int			room;			/* so many are used, */
	int			nturns;			/* so many are filled, */
	int			turn;			/* and this one is next */
	Tuplesortstate *sort;
	TupleDesc	eventdesc;
	TupleTableSlot *event;		/* the first event of the next key, if have_event */
	bool		have_event;
	FmgrInfo   *key_eq;
	Oid		   *key_collation;
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
				*pairs = ts_moves_create(tracked, ts_probe_index(stream->probe), stream->eventdesc, stream->turns[0].fold);
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

static void
begin_turn(TsNetStream *stream, Turn *turn, TupleDesc desc, const Bitmapset *tell)
{
	turn->fold = ts_fold_create(desc, stream->ignored, stream->is_key);
	turn->fold->tell = tell;
	turn->keys = palloc0(sizeof(Datum) * stream->nkeys);
	turn->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync key", ALLOCSET_SMALL_SIZES);
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
	stream->room = ts_probe_can_ahead(stream->probe);
	for (int i = 0; i < stream->room; i++)
		begin_turn(stream, &stream->turns[i], desc, tell);
	stream->changed = palloc0(sizeof(bool) * (desc->natts + 1));
	stream->event = MakeSingleTupleTableSlot(stream->eventdesc, &TTSOpsMinimalTuple);
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
take_key(TsNetStream *stream, Turn *turn)
{
	MemoryContext old;

	MemoryContextReset(turn->context);
	old = MemoryContextSwitchTo(turn->context);
	for (int i = 0; i < stream->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(stream->eventdesc, TS_EVENT_FIRST_KEY - 1 + i);
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_FIRST_KEY + i, &isnull);

		Assert(!isnull);
		turn->keys[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
}

static bool
same_key(TsNetStream *stream, const Turn *turn)
{
	for (int i = 0; i < stream->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_FIRST_KEY + i, &isnull);

		if (!DatumGetBool(FunctionCall2Coll(&stream->key_eq[i], stream->key_collation[i], value, turn->keys[i])))
			return false;
	}
	return true;
}

/* Folds the events of one key; returns how many bytes of images it keeps. */
static Size
fold_key(TsNetStream *stream, Turn *turn)
{
	TsFold	   *fold = turn->fold;
	Size		bytes = 0;

	ts_fold_reset(fold);
	take_key(stream, turn);
	do
	{
		bool		isnull;
		Datum		value = slot_getattr(stream->event, TS_EVENT_IMAGE(stream->nkeys), &isnull);
		TsImage		image = {0};
		bool		keep = fold->events < TS_FOLD_KEEP;
		char		op = ts_slot_op(stream->event);
		MemoryContext old;

		MemoryContextReset(stream->event_context);
		old = MemoryContextSwitchTo(keep ? fold->context : stream->event_context);
		if (!isnull)
		{
			ts_image_read(keep ? datumCopy(value, false, -1) : value, &image);
			bytes += VARSIZE_ANY(DatumGetPointer(value));
		}
		MemoryContextSwitchTo(old);
		if (ts_op_is_echo(op))
			ts_fold_echo(fold, ts_op_plain(op), ts_slot_txid(stream->event), ts_slot_cid(stream->event), &image);
		else
			ts_fold_event(fold, op, ts_slot_txid(stream->event), ts_slot_cid(stream->event), &image, keep);
		stream->have_event = tuplesort_gettupleslot(stream->sort, true, false, stream->event, NULL);
	} while (stream->have_event && same_key(stream, turn));
	return bytes;
}

/* Folds the events of the next keys and has their rows looked for; false at the end. */
static bool
fold_keys(TsNetStream *stream)
{
	const Datum *keys[TS_PROBE_AHEAD];
	Size		bytes = 0;

	stream->turn = stream->nturns = 0;
	while (stream->have_event && stream->nturns < stream->room && bytes < TURN_BYTES)
	{
		Turn	   *turn = &stream->turns[stream->nturns];

		CHECK_FOR_INTERRUPTS();
		bytes += fold_key(stream, turn);
		if (!ts_fold_is_settled(turn->fold))
			keys[stream->nturns++] = turn->keys;
	}
	ts_probe_ahead(stream->probe, stream->nturns, keys);
	return stream->nturns > 0;
}

bool
ts_net_next(TsNetStream *stream, TsNetChange *change)
{
	memset(change, 0, sizeof(*change));
	while (stream->turn < stream->nturns || fold_keys(stream))
	{
		const Turn *turn = &stream->turns[stream->turn];
		TsFold	   *fold = turn->fold;

		/*
		 * Also where the last event is a DELETE: keys that one statement moves round under a deferrable constraint are inserted
		 * before they are deleted, so the order of the events does not tell what exists.
		 */
		change->live = ts_probe_nth(stream->probe, stream->turn++);
		change->op = ts_fold_result(fold, change->live, stream->changed);
		if (change->op == TS_NET_NOTHING)
			continue;
		change->keys = turn->keys;
		change->old_known = fold->known;
		change->old_values = fold->values;
		change->old_nulls = fold->nulls;
		change->changed = stream->changed;
		change->touched = fold->touched;
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
	for (int i = 0; i < stream->room; i++)
	{
		MemoryContextDelete(stream->turns[i].fold->context);
		MemoryContextDelete(stream->turns[i].context);
	}
	MemoryContextDelete(stream->event_context);
	pfree(stream);
}
