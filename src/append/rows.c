/* rows.c: the incoming rows, each key once. */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/portal.h"
#include "utils/sortsupport.h"

#include "append/classify.h"
#include "append/convert.h"
#include "append/rows.h"
#include "base/compat.h"
#include "base/settings.h"

struct TsRows
{
	TsAppend   *append;
	TsConvert  *convert;
	Portal		portal;			/* open to the end: its snapshot keeps what rows refer to */
	Tuplesortstate *sort;
	Tuplestorestate *store;		/* instead, if keys do not matter */
	int			nkeys;
	SortSupport keys;			/* of the slots' columns */
	TupleTableSlot *current;
	TupleTableSlot *ahead;		/* the row after it, if there is one */
	bool		has_ahead;
};

typedef struct Receiver
{
	DestReceiver base;
	TsRows	   *rows;
} Receiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	TsRows	   *rows = ((Receiver *) self)->rows;
	TupleTableSlot *row = ts_convert_row(rows->convert, slot, ++rows->append->incoming);

	if (rows->sort)
		tuplesort_puttupleslot(rows->sort, row);
	else
		tuplestore_puttupleslot(rows->store, row);
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receive_nothing(DestReceiver *self)
{
}

Tuplesortstate *
ts_rows_sort(const TsAppend *append, int kilobytes)
{
	int			n = append->key->nkeys;
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (n + 1));
	Oid		   *operators = palloc(sizeof(Oid) * (n + 1));
	Oid		   *collations = palloc0(sizeof(Oid) * (n + 1));
	bool	   *nulls_first = palloc0(sizeof(bool) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		attnums[i] = append->positions[i] + 1;
		operators[i] = append->key->columns[i].lt_op;
		collations[i] = append->key->columns[i].collation;
	}
	/* the number within the query */
	attnums[n] = append->ncolumns + 1;
	operators[n] = Int8LessOperator;
	return tuplesort_begin_heap(append->desc, n + 1, attnums, operators, collations, nulls_first, kilobytes, NULL, 0);
}

static void
begin_sort(TsRows *rows)
{
	const TsAppend *append = rows->append;

	rows->nkeys = append->key->nkeys;
	rows->keys = palloc0(sizeof(SortSupportData) * rows->nkeys);
	for (int i = 0; i < rows->nkeys; i++)
	{
		const TsKeyColumn *column = &append->key->columns[i];
		SortSupport key = &rows->keys[i];

		key->ssup_cxt = CurrentMemoryContext;
		key->ssup_collation = column->collation;
		key->ssup_attno = append->positions[i] + 1;
		PrepareSortSupportFromOrderingOp(column->lt_op, key);
	}
	rows->sort = ts_rows_sort(append, TS_SORT_KB);
}

/* The next row, into a slot of its own. */
static bool
fetch(TsRows *rows, TupleTableSlot *slot)
{
	if (rows->sort)
		return tuplesort_gettupleslot(rows->sort, true, true, slot, NULL);
	return tuplestore_gettupleslot(rows->store, true, true, slot);
}

TsRows *
ts_rows_begin(TsAppend *append)
{
	TsRows	   *rows = palloc0(sizeof(TsRows));
	Receiver	receiver = {{receive_row, receive_startup, receive_nothing, receive_nothing, DestTuplestore}, rows};

	rows->append = append;
	rows->convert = ts_convert_begin(append);
	rows->current = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
	rows->ahead = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
	rows->portal = SPI_cursor_open(NULL, append->query, NULL, NULL, false);
	if (append->key)
		begin_sort(rows);
	else
		rows->store = tuplestore_begin_heap(false, false, TS_STORE_KB);
	PortalRunFetch(rows->portal, FETCH_FORWARD, FETCH_ALL, &receiver.base);
	if (rows->sort)
		tuplesort_performsort(rows->sort);
	rows->has_ahead = fetch(rows, rows->ahead);
	return rows;
}

static bool
same_key(const TsRows *rows, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < rows->nkeys; i++)
	{
		SortSupport key = &rows->keys[i];
		bool		anull,
					bnull;
		Datum		x = slot_getattr(a, key->ssup_attno, &anull);
		Datum		y = slot_getattr(b, key->ssup_attno, &bnull);

		/* what a unique index says of NULL */
		if ((anull || bnull) && !rows->append->nulls_equal)
			return false;
		if (ApplySortComparator(x, anull, y, bnull, key) != 0)
			return false;
	}
	return true;
}

static bool
same_row(const TsAppend *append, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < append->ncolumns; i++)
		if (!ts_classify_same(append, i, a, b, i + 1))
			return false;
	return true;
}

static void
swap(TsRows *rows)
{
	TupleTableSlot *slot = rows->current;

	rows->current = rows->ahead;
	rows->ahead = slot;
}

TupleTableSlot *
ts_rows_next(TsRows *rows, bool *differing)
{
	const TsAppend *append = rows->append;

	*differing = false;
	if (!rows->has_ahead)
		return NULL;
	swap(rows);
	rows->has_ahead = fetch(rows, rows->ahead);
	while (rows->sort && rows->has_ahead && same_key(rows, rows->current, rows->ahead))
	{
		if (append->policy == TS_DUPLICATES_ERROR)
			*differing |= !same_row(append, rows->current, rows->ahead);
		if (append->policy == TS_DUPLICATES_LAST)
			swap(rows);
		rows->has_ahead = fetch(rows, rows->ahead);
	}
	return rows->current;
}

void
ts_rows_end(TsRows *rows)
{
	ExecDropSingleTupleTableSlot(rows->current);
	ExecDropSingleTupleTableSlot(rows->ahead);
	if (rows->sort)
		tuplesort_end(rows->sort);
	else
		tuplestore_end(rows->store);
	SPI_cursor_close(rows->portal);
	ts_convert_end(rows->convert);
}
