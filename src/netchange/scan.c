/* scan.c: reading a change log. */
#include "postgres.h"

#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "log/bound.h"
#include "log/half.h"
#include "log/logtable.h"
#include "netchange/scan.h"

struct TsLogScan
{
	const TsTracked *tracked;
	const TsPosition *pos;
	Snapshot	snapshot;
	uint64		least;			/* what is wanted is of this transaction or later ones */
	int			n;				/* halves of the log begun */
	Relation	half;			/* at hand, or NULL */
	TsHalfScan	rows;
	MemoryContext row_context;	/* its events, if they were toasted */
	TsEventReader reader;
	int64		next_seq;
	TsLogged	logged;			/* the event at hand */
	TupleTableSlot *slot;		/* the same as a row; made at the first use */
	MemoryContext event_context;	/* its values */
};

TupleDesc
ts_event_desc(const TsTracked *tracked)
{
	TupleDesc	desc = CreateTemplateTupleDesc(TS_EVENT_NATTS(tracked->nkeys));

	TupleDescInitEntry(desc, TS_EVENT_TXID, "txid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, TS_EVENT_SEQ, "seq", INT8OID, -1, 0);
	TupleDescInitEntry(desc, TS_EVENT_OP, "op", CHAROID, -1, 0);
	TupleDescInitEntry(desc, TS_EVENT_CID, "cid", INT4OID, -1, 0);
	for (int i = 0; i < tracked->nkeys; i++)
	{
		bool		exists = get_typisdefined(tracked->key_types[i]);

		TupleDescInitEntry(desc, TS_EVENT_FIRST_KEY + i, "k", exists ? tracked->key_types[i] : INT4OID, -1, 0);
	}
	TupleDescInitEntry(desc, TS_EVENT_IMAGE(tracked->nkeys), "image", BYTEAOID, -1, 0);
	return desc;
}

TsLogScan *
ts_log_scan_begin(const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos)
{
	TsLogScan  *scan = palloc0(sizeof(TsLogScan));

	scan->tracked = tracked;
	scan->pos = pos;
	scan->snapshot = snapshot;
	scan->least = pos ? ts_position_least(pos, snapshot) : 0;
	scan->row_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync log row", ALLOCSET_SMALL_SIZES);
	scan->event_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync log event", ALLOCSET_SMALL_SIZES);
	return scan;
}

/* Did the row's events come from where they would be shipped to? */
static bool
is_echo(TsLogScan *scan)
{
	bool		isnull = true;
	Datum		origin;
	struct varlena *text;

	if (scan->pos == NULL || scan->pos->echo == NULL)
		return false;
	origin = slot_getattr(scan->rows.slot, TS_LOG_CAME_FROM, &isnull);
	if (isnull)
		return false;
	text = PG_DETOAST_DATUM_PACKED(origin);
	return VARSIZE_ANY_EXHDR(text) == strlen(scan->pos->echo) && memcmp(VARDATA_ANY(text), scan->pos->echo, VARSIZE_ANY_EXHDR(text)) == 0;
}

static void
close_half(TsLogScan *scan)
{
	if (scan->half == NULL)
		return;
	ts_half_end(&scan->rows);
	table_close(scan->half, NoLock);
	scan->half = NULL;
}

/* Goes to the next row of the log, of one half and then of the other. */
static bool
next_stored(TsLogScan *scan)
{
	while (scan->half == NULL || !ts_half_next(&scan->rows))
	{
		close_half(scan);
		if (scan->n == TS_LOG_HALVES)
			return false;
		scan->half = table_open(scan->tracked->halves[scan->n++], AccessShareLock);
		ts_half_begin(&scan->rows, scan->half, scan->snapshot, ts_bound_find(scan->half, scan->least));
	}
	return true;
}

/* Goes to the next row of the log that has an event which is not passed. */
static bool
next_row(TsLogScan *scan)
{
	while (next_stored(scan))
	{
		MemoryContext old;
		bool		isnull;
		uint64		txid = (uint64) DatumGetInt64(slot_getattr(scan->rows.slot, TS_LOG_TXID, &isnull));

		if (scan->pos != NULL && ts_position_sees(scan->pos, txid))
			continue;
		scan->logged.txid = txid;
		scan->logged.echo = is_echo(scan);
		scan->next_seq = DatumGetInt64(slot_getattr(scan->rows.slot, TS_LOG_SEQ, &isnull));
		MemoryContextReset(scan->row_context);
		old = MemoryContextSwitchTo(scan->row_context);
		ts_events_begin(&scan->reader, PG_DETOAST_DATUM_PACKED(slot_getattr(scan->rows.slot, TS_LOG_EVENTS, &isnull)));
		MemoryContextSwitchTo(old);
		return true;
	}
	return false;
}

const TsLogged *
ts_log_scan_next(TsLogScan *scan)
{
	TsLogged   *logged = &scan->logged;

	for (;;)
	{
		while (!ts_events_next(&scan->reader, &logged->event))
			if (!next_row(scan))
				return NULL;
		logged->seq = scan->next_seq++;
		if (scan->pos != NULL && ts_position_passed(scan->pos, logged->txid, logged->seq))
			continue;
		/* nobody else's business */
		if (logged->event.op == TS_OP_GONE && !logged->echo)
			continue;
		return logged;
	}
}

static void
unpack_key(TsLogScan *scan, TupleTableSlot *slot)
{
	const TsEvent *event = &scan->logged.event;
	const char *at = event->key;
	const char *end = at + event->key_size;

	for (int i = 0; i < scan->tracked->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, TS_EVENT_FIRST_KEY - 1 + i);

		/* what follows a key of a type that is gone cannot be found */
		if (att->atttypid != scan->tracked->key_types[i])
			return;
		at = ts_unpack_value(at, end, att->attbyval, att->attlen, &slot->tts_values[TS_EVENT_FIRST_KEY - 1 + i]);
		slot->tts_isnull[TS_EVENT_FIRST_KEY - 1 + i] = false;
	}
}

/* A copy: the event's own bytes are not aligned. */
static Datum
image_datum(const TsEvent *event)
{
	struct varlena *image = palloc(VARHDRSZ + event->image_size);

	SET_VARSIZE(image, VARHDRSZ + event->image_size);
	memcpy(VARDATA(image), event->image, event->image_size);
	return PointerGetDatum(image);
}

TupleTableSlot *
ts_log_scan_slot(TsLogScan *scan)
{
	const TsEvent *event = &scan->logged.event;
	int			image = TS_EVENT_IMAGE(scan->tracked->nkeys) - 1;
	TupleTableSlot *slot = scan->slot;
	MemoryContext old;

	if (slot == NULL)
		slot = scan->slot = MakeSingleTupleTableSlot(ts_event_desc(scan->tracked), &TTSOpsVirtual);
	ExecClearTuple(slot);
	MemoryContextReset(scan->event_context);
	old = MemoryContextSwitchTo(scan->event_context);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	slot->tts_values[TS_EVENT_TXID - 1] = Int64GetDatum((int64) scan->logged.txid);
	slot->tts_values[TS_EVENT_SEQ - 1] = Int64GetDatum(scan->logged.seq);
	slot->tts_values[TS_EVENT_OP - 1] = CharGetDatum(scan->logged.echo ? event->op - 'A' + 'a' : event->op);
	slot->tts_values[TS_EVENT_CID - 1] = Int32GetDatum((int32) event->cid);
	memset(slot->tts_isnull, false, sizeof(bool) * (TS_EVENT_FIRST_KEY - 1));
	if (event->key != NULL)
		unpack_key(scan, slot);
	if (event->image != NULL)
	{
		slot->tts_values[image] = image_datum(event);
		slot->tts_isnull[image] = false;
	}
	MemoryContextSwitchTo(old);
	return ExecStoreVirtualTuple(slot);
}

void
ts_log_scan_end(TsLogScan *scan)
{
	close_half(scan);
	if (scan->slot != NULL)
		ExecDropSingleTupleTableSlot(scan->slot);
	MemoryContextDelete(scan->row_context);
	MemoryContextDelete(scan->event_context);
	pfree(scan);
}

void
ts_pending_add(TsPending *pending, const TsLogged *logged)
{
	const TsEvent *event = &logged->event;

	if (event->op == TS_OP_OPERATION)
		return;
	/* an echo counts in the transaction's own position only */
	if (logged->txid == ts_own_txid())
		pending->last_seq = Max(pending->last_seq, logged->seq);
	if (logged->echo)
		return;
	if (event->op == TS_OP_SCHEMA)
		pending->schema_changes++;
	else
		pending->rows++;
	if (event->op == TS_OP_GAP && event->image != NULL)
		pending->rows_came = true;
	else
		pending->wholesale |= event->op == TS_OP_TRUNCATE || event->op == TS_OP_GAP;
	if (pending->oldest_txid == 0 || logged->txid < pending->oldest_txid)
		pending->oldest_txid = logged->txid;
}

TsPending
ts_log_pending(const TsTracked *tracked, Snapshot snapshot, const TsPosition *pos, bool any_will_do)
{
	TsPending	result = {0};
	TsLogScan  *scan = ts_log_scan_begin(tracked, snapshot, pos);
	const TsLogged *logged;

	while ((logged = ts_log_scan_next(scan)) != NULL)
	{
		ts_pending_add(&result, logged);
		if (any_will_do && (result.rows > 0 || result.schema_changes > 0))
			break;
	}
	ts_log_scan_end(scan);
	return result;
}
