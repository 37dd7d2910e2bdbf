/*
 * store.c: the changes of one step.
 *
 * A delete or insert is stored as (mask bytea, ordinal bigint, the old or new value of each column); an update as (mask,
 * ordinal, payload bytea), where the payload is the server's own serialization of the datums that the mask calls for: few, of
 * both sides. Toast pointers stay pointers: the snapshot they are read under outlives the store.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/settings.h"
#include "plan/store.h"

#define BYTEA_LESS_OPERATOR 1957	/* bytealt */

#define FIXED 2					/* columns before the values */

#define ROW_IN_CIRCLE 0x01
#define ROW_MAYBE 0x02

struct TsStore
{
	const TsLink *link;
	TsChangeOp	op;
	TsValueType *types;			/* per column */
	TupleDesc	desc;
	TupleTableSlot *slot;
	Tuplestorestate *store;		/* deletes and inserts */
	Tuplesortstate *sort;		/* updates */
	bool		sorted;
	bool		whole_rows;
	int64		n;
	StringInfoData payload;
	Datum	   *values;			/* of a stored row */
	bool	   *nulls;
	MemoryContext home;			/* a tuple read back from disk belongs to the slot, which lives here */
};

TsStore *
ts_store_begin(const TsLink *link, TsChangeOp op, bool text_keys, bool compared, bool in_order)
{
	TsStore    *store = palloc0(sizeof(TsStore));

	store->home = CurrentMemoryContext;
	store->link = link;
	store->op = op;
	store->whole_rows = compared || link->on_conflict != TS_CONFLICT_ERROR || link->quarantine;
	store->types = palloc(sizeof(TsValueType) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
		store->types[i] = ts_value_type(link, i, op, text_keys);
	store->desc = CreateTemplateTupleDesc(FIXED + (op == TS_CHANGE_UPDATE ? 1 : link->ncolumns));
	TupleDescInitEntry(store->desc, 1, "mask", BYTEAOID, -1, 0);
	TupleDescInitEntry(store->desc, 2, "ordinal", INT8OID, -1, 0);
	if (op == TS_CHANGE_UPDATE)
		TupleDescInitEntry(store->desc, FIXED + 1, "payload", BYTEAOID, -1, 0);
	else
		for (int i = 0; i < link->ncolumns; i++)
			TupleDescInitEntry(store->desc, FIXED + 1 + i, "value", store->types[i].type, -1, 0);
	store->values = palloc(sizeof(Datum) * store->desc->natts);
	store->nulls = palloc0(sizeof(bool) * store->desc->natts);
	store->slot = MakeSingleTupleTableSlot(store->desc, &TTSOpsMinimalTuple);
	initStringInfo(&store->payload);
	if (op == TS_CHANGE_UPDATE && !in_order)
	{
		static AttrNumber attnums[] = {1, 2};
		static Oid	operators[] = {BYTEA_LESS_OPERATOR, Int8LessOperator};
		static Oid	collations[] = {InvalidOid, InvalidOid};
		static bool nullsfirst[] = {false, false};

		store->sort = tuplesort_begin_heap(store->desc, 2, attnums, operators, collations, nullsfirst, TS_STORE_KB, NULL,
										   true);	/* rewindable: TUPLESORT_RANDOMACCESS since 15 */
	}
	else
		store->store = tuplestore_begin_heap(false, false, TS_STORE_KB);
	return store;
}

/* Is the new value of an UPDATE kept? What is written, and the key; the whole row where a missing row would be inserted, or an image made. */
static bool
keeps_new(const TsStore *store, const TsChange *change, int column)
{
	return (change->mask[column] & TS_COLUMN_CHANGED) || change->maybe || store->link->columns[column].is_key || store->whole_rows;
}

static void
put_datum(TsStore *store, int column, Datum value, bool isnull)
{
	const TsValueType *type = &store->types[column];
	Size		size = datumEstimateSpace(value, isnull, type->byval, type->len);
	char	   *at;

	enlargeStringInfo(&store->payload, size);
	at = store->payload.data + store->payload.len;
	datumSerialize(value, isnull, type->byval, type->len, &at);
	store->payload.len += size;
}

static void
put_update(TsStore *store, const TsChange *change)
{
	resetStringInfo(&store->payload);
	appendStringInfoSpaces(&store->payload, VARHDRSZ);
	for (int i = 0; i < store->link->ncolumns; i++)
	{
		if (keeps_new(store, change, i))
			put_datum(store, i, change->new_values[i], change->new_nulls[i]);
		if (change->mask[i] & TS_COLUMN_KNOWN)
			put_datum(store, i, change->old_values[i], change->old_nulls[i]);
	}
	SET_VARSIZE(store->payload.data, store->payload.len);
	store->values[FIXED] = PointerGetDatum(store->payload.data);
	ExecForceStoreMinimalTuple(ts_form_minimal_tuple(store->desc, store->values, store->nulls), store->slot, true);
	if (store->sort)
		tuplesort_puttupleslot(store->sort, store->slot);
	else
		tuplestore_puttupleslot(store->store, store->slot);
	ExecClearTuple(store->slot);
}

static void
put_row(TsStore *store, const TsChange *change)
{
	bool		old = store->op == TS_CHANGE_DELETE;

	for (int i = 0; i < store->link->ncolumns; i++)
	{
		store->values[FIXED + i] = old ? change->old_values[i] : change->new_values[i];
		store->nulls[FIXED + i] = old ? (change->mask[i] & TS_COLUMN_KNOWN) == 0 || change->old_nulls[i] : change->new_nulls[i];
	}
	tuplestore_putvalues(store->store, store->desc, store->values, store->nulls);
}

void
ts_store_put(TsStore *store, const TsChange *change)
{
	int			n = store->link->ncolumns;
	bytea	   *mask = palloc(VARHDRSZ + n + 1);

	/* the byte after the mask says what else is said of the row */
	SET_VARSIZE(mask, VARHDRSZ + n + 1);
	memcpy(VARDATA(mask), change->mask, n);
	VARDATA(mask)[n] = (char) ((change->in_circle ? ROW_IN_CIRCLE : 0) | (change->maybe ? ROW_MAYBE : 0));
	store->values[0] = PointerGetDatum(mask);
	store->values[1] = Int64GetDatum(store->n++);
	if (store->op == TS_CHANGE_UPDATE)
		put_update(store, change);
	else
		put_row(store, change);
	pfree(mask);
}

void
ts_store_rewind(TsStore *store)
{
	if (store->store)
		tuplestore_rescan(store->store);
	else if (store->sorted)
		tuplesort_rescan(store->sort);
	else
	{
		ExecClearTuple(store->slot);
		tuplesort_performsort(store->sort);
		store->sorted = true;
	}
}

/* A toasted value is as large as it will be when it is sent. */
static Size
sent_size(const TsValueType *type, Datum value, bool isnull)
{
	if (isnull || type->len != -1 || !VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		return 0;
	return toast_raw_datum_size(value);
}

static void
read_update(TsStore *store, TsChange *change, Datum stored, Size *bytes)
{
	bytea	   *payload = DatumGetByteaPP(stored);
	char	   *at = VARDATA_ANY(payload);

	*bytes = VARSIZE_ANY_EXHDR(payload);
	for (int i = 0; i < store->link->ncolumns; i++)
	{
		change->new_nulls[i] = true;
		if (keeps_new(store, change, i))
			change->new_values[i] = datumRestore(&at, &change->new_nulls[i]);
		if (change->mask[i] & TS_COLUMN_KNOWN)
			change->old_values[i] = datumRestore(&at, &change->old_nulls[i]);
		*bytes += sent_size(&store->types[i], change->new_values[i], change->new_nulls[i]);
	}
}

/* The values point into a copy of the tuple. */
static void
read_row(TsStore *store, TsChange *change, Size *bytes)
{
	bool		old = store->op == TS_CHANGE_DELETE;
	MinimalTuple copy = ExecCopySlotMinimalTuple(store->slot);
	HeapTupleData tuple;

	tuple.t_len = copy->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) copy - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, store->desc, store->values, store->nulls);
	*bytes = copy->t_len;
	memcpy(old ? change->old_values : change->new_values, store->values + FIXED, sizeof(Datum) * store->link->ncolumns);
	memcpy(old ? change->old_nulls : change->new_nulls, store->nulls + FIXED, sizeof(bool) * store->link->ncolumns);
	for (int i = 0; i < store->link->ncolumns; i++)
		*bytes += sent_size(&store->types[i], store->values[FIXED + i], store->nulls[FIXED + i]);
}

bool
ts_store_next(TsStore *store, TsChange *change, Size *bytes)
{
	bool		isnull;
	bytea	   *mask;
	MemoryContext old = MemoryContextSwitchTo(store->home);
	bool		more = store->store ? tuplestore_gettupleslot(store->store, true, false, store->slot) :
		tuplesort_gettupleslot(store->sort, true, false, store->slot, NULL);

	MemoryContextSwitchTo(old);
	if (!more)
		return false;
	mask = DatumGetByteaPP(slot_getattr(store->slot, 1, &isnull));
	ts_change_init(change, store->link->ncolumns);
	change->op = store->op;
	memcpy(change->mask, VARDATA_ANY(mask), store->link->ncolumns);
	change->in_circle = (VARDATA_ANY(mask)[store->link->ncolumns] & ROW_IN_CIRCLE) != 0;
	change->maybe = (VARDATA_ANY(mask)[store->link->ncolumns] & ROW_MAYBE) != 0;
	change->moved = ts_change_moves(store->link, change->mask);
	if (store->op == TS_CHANGE_UPDATE)
		read_update(store, change, slot_getattr(store->slot, FIXED + 1, &isnull), bytes);
	else
		read_row(store, change, bytes);
	return true;
}

void
ts_store_end(TsStore *store)
{
	ExecDropSingleTupleTableSlot(store->slot);
	if (store->store)
		tuplestore_end(store->store);
	else
		tuplesort_end(store->sort);
}
