/*
 * changes.c: SQL function changes: every event of a table, in order, with the row before and after it.
 *
 * The log holds old values only. The rows are rebuilt backwards, key by key: from the live row, undoing one event after the
 * other. A key's events are held in memory meanwhile; keys and the result are sorted by tuplesort.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "api/args.h"
#include "api/changes.h"
#include "api/history.h"
#include "api/rights.h"
#include "api/schema.h"
#include "base/compat.h"
#include "base/quote.h"
#include "base/srf.h"
#include "capture/buffer.h"
#include "capture/operation.h"
#include "log/image.h"
#include "netchange/probe.h"
#include "netchange/scan.h"

PG_FUNCTION_INFO_V1(tracksync_changes);

typedef struct Who
{
	uint64		txid;			/* hash key */
	TsOperation op;
} Who;

typedef struct Reader
{
	Relation	source;
	TupleDesc	desc;
	TsTracked  *tracked;
	bool	   *readable;		/* per attribute */
	bool		hidden;			/* row-level security: only live rows that the reader sees */
	SPIPlanPtr	sees;			/* SELECT FROM source WHERE key = $1 …, as the reader */
	TsProbe    *probe;
	TsWanted	wanted;			/* NULL: events of all keys */
	void	   *arg;
	HTAB	   *who;
	Tuplesortstate *out;
	TsResult	result;
	TupleTableSlot *outslot;
	MemoryContext key_context;	/* of one key's events */
} Reader;

/* The known and readable columns as jsonb, under today's names; false if there are none. */
static bool
state_to_jsonb(Reader *r, const TsRowState *state, bool key_only, Datum *result)
{
	int			natts = r->desc->natts;
	char	  **names = palloc0(sizeof(char *) * (natts + 1));
	bool	   *include = palloc0(sizeof(bool) * (natts + 1));
	bool		any = false;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(r->desc, i);
		bool		is_key = false;

		names[i] = NameStr(att->attname);
		for (int k = 0; k < r->tracked->nkeys; k++)
			is_key |= r->tracked->keys[k] == i + 1;
		include[i] = !att->attisdropped && state->known[i] && r->readable[i] && (is_key || !key_only);
		any |= include[i];
	}
	if (any)
		*result = ts_to_jsonb(natts, names, state->types, state->values, state->nulls, include);
	return any;
}

static Datum
changed_columns(Reader *r, const TsImage *image)
{
	Datum	   *names = palloc(sizeof(Datum) * (r->desc->natts + 1));
	int			n = 0;

	for (int i = 0; i < r->desc->natts && i < image->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(r->desc, i);

		if (image->changed[i] && !att->attisdropped && r->readable[i])
			names[n++] = CStringGetTextDatum(NameStr(att->attname));
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static const char *
op_name(char op)
{
	switch (op)
	{
		case TS_OP_INSERT:
			return "INSERT";
		case TS_OP_UPDATE:
			return "UPDATE";
		case TS_OP_DELETE:
			return "DELETE";
		case TS_OP_TRUNCATE:
			return "TRUNCATE";
		default:
			return "GAP";
	}
}

/* Who made the change, and when: of a transaction that still runs, what its record would say now. */
static void
put_who(Reader *r, uint64 txid, Datum *values, bool *nulls)
{
	TsOperation now;
	const TsOperation *op = &now;
	bool		found;
	Who		   *who = hash_search(r->who, &txid, HASH_FIND, &found);

	if (found)
		op = &who->op;
	else
		ts_operation_current(&now);
	values[7] = Int64GetDatum(op->logged);
	values[8] = DirectFunctionCall1(namein, CStringGetDatum(op->user));
	nulls[9] = op->context == NULL || op->context[0] == '\0';
	if (!nulls[9])
		values[9] = CStringGetTextDatum(op->context);
}

static void
put_row(Reader *r, Datum *values, bool *nulls)
{
	ExecStoreMinimalTuple(ts_form_minimal_tuple(r->result.desc, values, nulls), r->outslot, true);
	tuplesort_puttupleslot(r->out, r->outslot);
	ExecClearTuple(r->outslot);
}

/* The columns changed. */
static void
put_schema_event(Reader *r, const TsLogged *logged)
{
	Datum		values[10];
	bool		nulls[10] = {false};
	TsSchemaEvent schema;

	memcpy(&schema, logged->event.image, sizeof(schema));
	values[0] = Int64GetDatum(logged->seq);
	values[1] = UInt64GetDatum(logged->txid);
	values[2] = CStringGetTextDatum("ALTER");
	nulls[3] = true;
	values[4] = ts_schema_columns(schema.before);
	values[5] = ts_schema_columns(schema.after);
	values[6] = ts_schema_actions(schema.before, schema.after);
	put_who(r, logged->txid, values, nulls);
	put_row(r, values, nulls);
}

/* One row of the result, to be sorted by seq. key, before, after: NULL = none. */
static void
put_event(Reader *r, uint64 txid, int64 seq, char op, const TsRowState *key, const TsRowState *before, const TsRowState *after,
		  const TsImage *image)
{
	Datum		values[10];
	bool		nulls[10] = {false};

	values[0] = Int64GetDatum(seq);
	values[1] = UInt64GetDatum(txid);
	values[2] = CStringGetTextDatum(op_name(op));
	nulls[3] = key == NULL || !state_to_jsonb(r, key, true, &values[3]);
	nulls[4] = before == NULL || !state_to_jsonb(r, before, false, &values[4]);
	nulls[5] = after == NULL || !state_to_jsonb(r, after, false, &values[5]);
	nulls[6] = op != TS_OP_UPDATE || image == NULL || image->shape == NULL;
	if (!nulls[6])
		values[6] = changed_columns(r, image);
	put_who(r, txid, values, nulls);
	put_row(r, values, nulls);
}

static bool
reader_sees(Reader *r, const Datum *keys)
{
	bool		sees;

	if (!r->hidden)
		return true;
	if (SPI_execute_snapshot(r->sees, (Datum *) keys, NULL, GetActiveSnapshot(), InvalidSnapshot, true, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a row");
	sees = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	return sees;
}

/* All events of one key. The state after the last event is the live row. */
static void
put_key(Reader *r, const Datum *keys, TsPast *events, int n)
{
	int			natts = r->desc->natts;
	TsRowState	state = ts_history_new_state(natts);
	TsRowState	key = ts_history_new_state(natts);
	TupleTableSlot *live = ts_probe_row(r->probe, keys);

	if (!reader_sees(r, keys))
		return;
	for (int k = 0; k < r->tracked->nkeys; k++)
	{
		int			i = r->tracked->keys[k] - 1;

		ts_history_set_value(&key, i, getBaseType(TupleDescAttr(r->desc, i)->atttypid), keys[k], false);
	}
	if (live != NULL)
	{
		state.exists = true;
		slot_getallattrs(live);
		for (int i = 0; i < natts; i++)
			if (!TupleDescAttr(r->desc, i)->attisdropped)
				ts_history_set_value(&state, i, TupleDescAttr(r->desc, i)->atttypid, live->tts_values[i], live->tts_isnull[i]);
	}
	ts_history_order_events(events, n);
	for (int i = n - 1; i >= 0; i--)
	{
		TsRowState	after = ts_history_copy_state(&state, natts);
		bool		last = i == n - 1;

		ts_history_undo(&events[i], &state, natts);
		/* what a row was before may have been hidden from this reader */
		put_event(r, events[i].txid, events[i].seq, events[i].op, &key, state.exists && !r->hidden ? &state : NULL,
				  after.exists && (!r->hidden || last) ? &after : NULL, &events[i].image);
	}
}

static void
note_operation(Reader *r, const TsLogged *logged)
{
	bool		found;
	Who		   *who = hash_search(r->who, &logged->txid, HASH_ENTER, &found);

	ts_operation_read(&logged->event, &who->op);
}

static Tuplesortstate *
begin_key_sort(Reader *r, TupleDesc eventdesc)
{
	int			n = r->tracked->nkeys + 1;
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * n);
	Oid		   *operators = palloc(sizeof(Oid) * n);
	Oid		   *collations = palloc0(sizeof(Oid) * n);
	bool	   *nullsfirst = palloc0(sizeof(bool) * n);
	const TsKeyIndex *index = ts_probe_index(r->probe);

	for (int i = 0; i < n - 1; i++)
	{
		attnums[i] = TS_EVENT_FIRST_KEY + i;
		operators[i] = index->columns[i].lt_op;
		collations[i] = index->columns[i].collation;
	}
	attnums[n - 1] = TS_EVENT_SEQ;
	operators[n - 1] = Int8LessOperator;
	return tuplesort_begin_heap(eventdesc, n, attnums, operators, collations, nullsfirst, work_mem, NULL, 0);
}

static TsPast
read_event(Reader *r, TupleTableSlot *slot)
{
	TsPast		e = {.txid = ts_slot_txid(slot), .seq = ts_slot_seq(slot), .op = ts_slot_op(slot), .cid = ts_slot_cid(slot)};
	bool		isnull;
	Datum		image = slot_getattr(slot, TS_EVENT_IMAGE(r->tracked->nkeys), &isnull);

	if (!isnull)
		ts_image_read(datumCopy(image, false, -1), &e.image);
	return e;
}

/* Walks the sorted events, a key at a time. */
static void
put_keys(Reader *r, Tuplesortstate *sort, TupleTableSlot *slot)
{
	int			nkeys = r->tracked->nkeys;
	FmgrInfo   *eq = palloc0(sizeof(FmgrInfo) * nkeys);
	const TsKeyIndex *index = ts_probe_index(r->probe);
	bool		more = tuplesort_gettupleslot(sort, true, false, slot, NULL);

	for (int k = 0; k < nkeys; k++)
		fmgr_info(get_opcode(index->columns[k].eq_op), &eq[k]);
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(r->key_context);
		Datum	   *keys = palloc(sizeof(Datum) * nkeys);
		TsPast	   *events = palloc(sizeof(TsPast) * 8);
		int			n = 0,
					size = 8;
		bool		same = true;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < nkeys; k++)
		{
			Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, TS_EVENT_FIRST_KEY - 1 + k);
			bool		isnull;

			keys[k] = datumCopy(slot_getattr(slot, TS_EVENT_FIRST_KEY + k, &isnull), att->attbyval, att->attlen);
		}
		while (more && same)
		{
			if (n == size)
				events = repalloc_huge(events, sizeof(TsPast) * (size *= 2));
			events[n++] = read_event(r, slot);
			more = tuplesort_gettupleslot(sort, true, false, slot, NULL);
			for (int k = 0; more && same && k < nkeys; k++)
			{
				bool		isnull;

				same = DatumGetBool(FunctionCall2Coll(&eq[k], index->columns[k].collation,
													  slot_getattr(slot, TS_EVENT_FIRST_KEY + k, &isnull), keys[k]));
			}
		}
		put_key(r, keys, events, n);
		MemoryContextSwitchTo(old);
		MemoryContextReset(r->key_context);
	}
}

/* The position that "since" names; NULL: the oldest event retained. */
static TsPosition *
since_position(Oid source, const char *since)
{
	TsLink	   *link = since ? ts_link_load_any(since) : NULL;

	if (since == NULL)
		return NULL;
	if (link == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" does not exist", since),
				 errhint("Name a link of the table, or leave \"since\" out.")));
	if (link->source != source)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" is not the source of link \"%s\"", get_rel_name(source), since),
				 errhint("Name a link of the table, or leave \"since\" out.")));
	return ts_position_with_echoes(link->position);
}

static void
prepare_sees(Reader *r)
{
	StringInfoData sql;
	Oid		   *types = palloc(sizeof(Oid) * r->tracked->nkeys);
	const TsKeyIndex *index = ts_probe_index(r->probe);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s s WHERE ", ts_quote_relation(RelationGetRelid(r->source)));
	for (int k = 0; k < r->tracked->nkeys; k++)
	{
		Form_pg_attribute att = TupleDescAttr(r->desc, r->tracked->keys[k] - 1);

		types[k] = getBaseType(att->atttypid);
		appendStringInfoString(&sql, k ? " AND " : "");
		ts_append_column(&sql, "s", NameStr(att->attname));
		appendStringInfo(&sql, " %s $%d", ts_quote_operator(index->columns[k].eq_op), k + 1);
	}
	r->sees = SPI_prepare(sql.data, r->tracked->nkeys, types);
	if (r->sees == NULL)
		elog(ERROR, "could not prepare: %s", sql.data);
}

static void
begin_reader(Reader *r, Oid source, Snapshot snapshot)
{
	static AttrNumber attnums[] = {1};
	static Oid	operators[] = {Int8LessOperator};
	static Oid	collations[] = {InvalidOid};
	static bool nullsfirst[] = {false};
	HASHCTL		ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(Who)};

	r->source = relation_open(source, AccessShareLock);
	if (r->source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		(void) find_all_inheritors(source, AccessShareLock, NULL);
	r->desc = RelationGetDescr(r->source);
	r->probe = ts_probe_begin(r->source, r->tracked, snapshot);
	ctl.hcxt = CurrentMemoryContext;
	r->who = hash_create("tracksync operations", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	r->out = tuplesort_begin_heap(r->result.desc, 1, attnums, operators, collations, nullsfirst, work_mem, NULL, 0);
	r->outslot = MakeSingleTupleTableSlot(r->result.desc, &TTSOpsMinimalTuple);
	r->key_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync key", ALLOCSET_DEFAULT_SIZES);
	if (r->hidden)
		prepare_sees(r);
}

static void
read_log(Reader *r, Snapshot snapshot, const TsPosition *position)
{
	TsLogScan  *scan = ts_log_scan_begin(r->tracked, snapshot, position);
	TupleDesc	eventdesc = ts_event_desc(r->tracked);
	Tuplesortstate *sort = begin_key_sort(r, eventdesc);
	Tuplesortstate *whole = begin_key_sort(r, eventdesc);
	TupleTableSlot *sorted = MakeSingleTupleTableSlot(eventdesc, &TTSOpsMinimalTuple);
	const TsLogged *logged;
	int64		schema_changes = 0;

	if (!ts_tracked_keys_fit(r->tracked, r->desc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the type of a key column of table \"%s\" was changed", RelationGetRelationName(r->source)),
				 errdetail("Its log has the keys in their former type. Pushes compare meanwhile."),
				 errhint("Untrack the table and track it again.")));
	while ((logged = ts_log_scan_next(scan)) != NULL)
	{
		char		op = logged->event.op;

		if (op == TS_OP_OPERATION)
			note_operation(r, logged);
		else if (op == TS_OP_SCHEMA)
			schema_changes++;
		else if (op == TS_OP_TRUNCATE || op == TS_OP_GAP)
			tuplesort_puttupleslot(whole, ts_log_scan_slot(scan));
		else if (r->wanted == NULL || r->wanted(r->arg, ts_log_scan_slot(scan)))
			tuplesort_puttupleslot(sort, ts_log_scan_slot(scan));
	}
	ts_log_scan_end(scan);
	/* when all operation records are known */
	scan = ts_log_scan_begin(r->tracked, snapshot, position);
	while (schema_changes > 0 && (logged = ts_log_scan_next(scan)) != NULL)
		if (logged->event.op == TS_OP_SCHEMA)
		{
			put_schema_event(r, logged);
			schema_changes--;
		}
	ts_log_scan_end(scan);
	tuplesort_performsort(sort);
	tuplesort_performsort(whole);
	put_keys(r, sort, sorted);
	while (tuplesort_gettupleslot(whole, true, false, sorted, NULL))
		put_event(r, ts_slot_txid(sorted), ts_slot_seq(sorted), ts_slot_op(sorted), NULL, NULL, NULL, NULL);
	tuplesort_end(sort);
	tuplesort_end(whole);
}

void
ts_changes_read(const TsResult *result, Oid source, Snapshot snapshot, const TsPosition *position, TsWanted wanted, void *arg)
{
	Reader		r = {.result = *result, .wanted = wanted, .arg = arg};
	TsIdentity	identity;

	r.readable = ts_readable_columns(source);
	r.tracked = ts_tracked_need(source);
	r.hidden = ts_rows_hidden(source);
	ts_become(&identity, GetUserId(), false, NULL);
	/* the reader's own view of the rows is wanted, not an error */
	if (r.hidden)
		(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	begin_reader(&r, source, snapshot);
	read_log(&r, snapshot, position);
	tuplesort_performsort(r.out);
	while (tuplesort_gettupleslot(r.out, true, false, r.outslot, NULL))
		tuplestore_puttupleslot(r.result.store, r.outslot);
	tuplesort_end(r.out);
	ts_probe_end(r.probe);
	SPI_finish();
	ts_unbecome(&identity);
	relation_close(r.source, NoLock);
}

/* changes(source, since) */
Datum
tracksync_changes(PG_FUNCTION_ARGS)
{
	TsResult	result;
	Oid			source;
	Snapshot	snapshot;

	ts_need_arg(fcinfo, 0, "source");
	source = PG_GETARG_OID(0);
	if (get_rel_name(source) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", source)));
	(void) ts_readable_columns(source);
	result = ts_result_begin(fcinfo);
	ts_buffer_flush();
	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = RegisterSnapshot(GetActiveSnapshot());
	ts_changes_read(&result, source, snapshot, since_position(source, ts_text_arg(fcinfo, 1)), NULL, NULL);
	UnregisterSnapshot(snapshot);
	PopActiveSnapshot();
	PG_RETURN_NULL();
}
