/* lot.c: incoming rows that are dealt with together, and the statements that do it. */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"

#include "append/lot.h"
#include "append/statement.h"
#include "base/compat.h"
#include "base/nestloop.h"
#include "base/settings.h"

static void
register_rows(TsLot *lot)
{
	/* the list that SPI puts it in, too */
	MemoryContext old = MemoryContextSwitchTo(lot->home);
	EphemeralNamedRelation rows = lot->relation = palloc0(sizeof(EphemeralNamedRelationData));

	rows->md.name = pstrdup(TS_APPEND_ROWS);
	rows->md.reliddesc = InvalidOid;
	rows->md.tupdesc = lot->append->desc;
	rows->md.enrtype = ENR_NAMED_TUPLESTORE;
	rows->md.enrtuples = lot->limit;
	if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows to be appended");
	MemoryContextSwitchTo(old);
}

void
ts_lot_init(TsLot *lot, TsAppend *append)
{
	lot->append = append;
	lot->home = CurrentMemoryContext;
	lot->limit = ts_batch_rows;
	lot->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync append batch", ALLOCSET_DEFAULT_SIZES);
	lot->rows = palloc0(sizeof(TsClassified) * lot->limit);
	lot->slot = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
}

void
ts_lot_end(TsLot *lot)
{
	ExecDropSingleTupleTableSlot(lot->slot);
	MemoryContextDelete(lot->context);
}

static char *
statement_text(const TsAppend *append, TsAppendStatement statement)
{
	switch (statement)
	{
		case TS_APPEND_INSERT:
			return ts_append_insert(append, false);
		case TS_APPEND_INSERT_FREE:
			return ts_append_insert(append, true);
		case TS_APPEND_UPDATE:
			return ts_append_update(append);
		case TS_APPEND_LOOK:
			return ts_append_look(append);
	}
	return NULL;
}

void
ts_lot_prepare(TsLot *lot, TsAppendStatement statement)
{
	if (lot->plans[statement] == NULL)
	{
		char	   *sql = statement_text(lot->append, statement);

		/* not before the query was run: its names are the user's */
		if (lot->relation == NULL)
			register_rows(lot);
		lot->plans[statement] = SPI_prepare(sql, 0, NULL);
		if (lot->plans[statement] == NULL)
			elog(ERROR, "could not prepare: %s", sql);
	}
	/* anew when ANALYZE came between, say */
	ts_plan_nested_loop(lot->plans[statement], false);
}

uint64
ts_lot_run(TsLot *lot, TsAppendStatement statement, Tuplestorestate *store)
{
	int			rc;

	ts_lot_prepare(lot, statement);
	lot->relation->reldata = store;
	rc = SPI_execute_plan(lot->plans[statement], NULL, NULL, false, 0);
	if (rc < 0)
		elog(ERROR, "unexpected result of an append: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Tuplestorestate *
ts_lot_begin_store(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Tuplestorestate *store = tuplestore_begin_heap(false, false, TS_STORE_KB);

	MemoryContextSwitchTo(old);
	return store;
}

TupleTableSlot *
ts_lot_row(TsLot *lot, int i)
{
	ExecStoreMinimalTuple(lot->rows[i].row, lot->slot, false);
	return lot->slot;
}

Tuplestorestate *
ts_lot_store(TsLot *lot)
{
	Tuplestorestate *store = ts_lot_begin_store(lot->context);

	for (int i = 0; i < lot->n; i++)
		tuplestore_puttupleslot(store, ts_lot_row(lot, i));
	return store;
}

bool
ts_lot_add(TsLot *lot, TupleTableSlot *row, TsClass class)
{
	MemoryContext old = MemoryContextSwitchTo(lot->context);
	TsClassified *classified = &lot->rows[lot->n++];

	classified->row = ExecCopySlotMinimalTuple(row);
	classified->class = class;
	lot->bytes += classified->row->t_len;
	MemoryContextSwitchTo(old);
	return lot->n == lot->limit || lot->bytes > TS_BATCH_BYTES;
}

void
ts_lot_empty(TsLot *lot)
{
	ExecClearTuple(lot->slot);
	MemoryContextReset(lot->context);
	lot->n = 0;
	lot->bytes = 0;
}

void
ts_lot_look(TsLot *lot)
{
	Tuplestorestate *store = ts_lot_store(lot);
	uint64		n;

	n = ts_lot_run(lot, TS_APPEND_LOOK, store);
	ts_classify(lot->append, lot->rows, lot->n, SPI_tuptable, n);
	SPI_freetuptable(SPI_tuptable);
	tuplestore_end(store);
}
