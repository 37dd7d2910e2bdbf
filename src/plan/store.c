/*
 * store.c: the changes of one step.
 *
 * A stored row is (mask bytea, ordinal bigint, payload bytea); the payload is the server's own serialization of the datums
 * that the operation and the mask call for. Toast pointers stay pointers: the snapshot they are read under outlives the store.
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
	MemoryContext home;			/* a tuple read back from disk belongs to the slot, which lives here */
};

TsStore *
ts_store_begin(const TsLink *link, TsChangeOp op, bool text_keys)
{
	TsStore    *store = palloc0(sizeof(TsStore));

	store->home = CurrentMemoryContext;
	store->link = link;
	store->op = op;
	store->whole_rows = text_keys || link->on_conflict == TS_CONFLICT_SOURCE_WINS;
	store->types = palloc(sizeof(TsValueType) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
		store->types[i] = ts_value_type(link, i, op, text_keys);
	store->desc = CreateTemplateTupleDesc(3);
	TupleDescInitEntry(store->desc, 1, "mask", BYTEAOID, -1, 0);
	TupleDescInitEntry(store->desc, 2, "ordinal", INT8OID, -1, 0);
	TupleDescInitEntry(store->desc, 3, "payload", BYTEAOID, -1, 0);
	store->slot = MakeSingleTupleTableSlot(store->desc, &TTSOpsMinimalTuple);
	initStringInfo(&store->payload);
	if (op == TS_CHANGE_UPDATE)
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

/*
 * Is the new value kept? Of an UPDATE what is written, and the key; the whole row only where a missing row would be inserted.
 */
static bool
has_new(const TsStore *store, int column, unsigned char mask)
{
	switch (store->op)
	{
		case TS_CHANGE_DELETE:
			return false;
		case TS_CHANGE_UPDATE:
			return (mask & TS_COLUMN_CHANGED) || store->link->columns[column].is_key || store->whole_rows;
		case TS_CHANGE_INSERT:
			return true;
	}
	return true;
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

void
ts_store_put(TsStore *store, const TsChange *change)
{
	int			n = store->link->ncolumns;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	bytea	   *mask = palloc(VARHDRSZ + n);

	resetStringInfo(&store->payload);
	appendStringInfoSpaces(&store->payload, VARHDRSZ);
	for (int i = 0; i < n; i++)
	{
		if (has_new(store, i, change->mask[i]))
			put_datum(store, i, change->new_values[i], change->new_nulls[i]);
		if (change->mask[i] & TS_COLUMN_KNOWN)
			put_datum(store, i, change->old_values[i], change->old_nulls[i]);
	}
	SET_VARSIZE(mask, VARHDRSZ + n);
	memcpy(VARDATA(mask), change->mask, n);
	SET_VARSIZE(store->payload.data, store->payload.len);
	values[0] = PointerGetDatum(mask);
	values[1] = Int64GetDatum(store->n++);
	values[2] = PointerGetDatum(store->payload.data);
	if (store->sort)
	{
		ExecForceStoreMinimalTuple(ts_form_minimal_tuple(store->desc, values, nulls), store->slot, true);
		tuplesort_puttupleslot(store->sort, store->slot);
		ExecClearTuple(store->slot);
	}
	else
		tuplestore_putvalues(store->store, store->desc, values, nulls);
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

bool
ts_store_next(TsStore *store, TsChange *change, Size *bytes)
{
	bool		isnull;
	bytea	   *mask,
			   *payload;
	char	   *at;
	MemoryContext old = MemoryContextSwitchTo(store->home);
	bool		more = store->store ? tuplestore_gettupleslot(store->store, true, false, store->slot) :
		tuplesort_gettupleslot(store->sort, true, false, store->slot, NULL);

	MemoryContextSwitchTo(old);
	if (!more)
		return false;
	mask = DatumGetByteaPP(slot_getattr(store->slot, 1, &isnull));
	payload = DatumGetByteaPP(slot_getattr(store->slot, 3, &isnull));
	ts_change_init(change, store->link->ncolumns);
	change->op = store->op;
	memcpy(change->mask, VARDATA_ANY(mask), store->link->ncolumns);
	at = VARDATA_ANY(payload);
	*bytes = VARSIZE_ANY_EXHDR(payload);
	for (int i = 0; i < store->link->ncolumns; i++)
	{
		if (has_new(store, i, change->mask[i]))
		{
			change->new_values[i] = datumRestore(&at, &change->new_nulls[i]);
			/* a toasted value is as large as it will be when it is sent */
			if (store->types[i].len == -1 && !change->new_nulls[i] && VARATT_IS_EXTENDED(DatumGetPointer(change->new_values[i])))
				*bytes += toast_raw_datum_size(change->new_values[i]);
		}
		else
			change->new_nulls[i] = true;
		if (change->mask[i] & TS_COLUMN_KNOWN)
			change->old_values[i] = datumRestore(&at, &change->old_nulls[i]);
	}
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
