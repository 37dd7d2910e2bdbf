/* write.c: the insertion of log rows, many at a time. */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/write.h"
#include "log/bound.h"
#include "log/logtable.h"

/* Forms the log row of a block, in the current context. */
static HeapTuple
form_row(const TsLog *log, TsBlock *block)
{
	Datum		values[TS_LOG_NATTS];
	bool		nulls[TS_LOG_NATTS] = {false};

	values[TS_LOG_TXID - 1] = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	values[TS_LOG_SEQ - 1] = Int64GetDatum(block->seq);
	values[TS_LOG_N - 1] = Int32GetDatum(block->n);
	values[TS_LOG_ORIGIN - 1] = Int16GetDatum((int16) replorigin_session_origin);
	nulls[TS_LOG_ORIGIN - 1] = replorigin_session_origin == InvalidRepOriginId;
	values[TS_LOG_EVENTS - 1] = PointerGetDatum(ts_block_bytea(block));
	nulls[TS_LOG_CAME_FROM - 1] = block->origin == NULL;
	if (block->origin != NULL)
		values[TS_LOG_CAME_FROM - 1] = CStringGetTextDatum(block->origin);
	return heap_form_tuple(log->desc, values, nulls);
}

static void
write_one(Relation rel, TsLog *log, TsBlock *block)
{
	TupleTableSlot *slot = ts_log_slot(log, 0);
	HeapTuple	row = form_row(log, block);

	/* not the slot's own: it outlives an error, the row's memory does not */
	ExecStoreHeapTuple(row, slot, false);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), TS_LOG_INSERT, NULL);
	ExecClearTuple(slot);
	heap_freetuple(row);
}

static void
write_many(Relation rel, TsLog *log, TsBlock *blocks, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync write", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int done = 0; done < n;)
	{
		int			some = Min(n - done, TS_LOG_SLOTS);

		for (int i = 0; i < some; i++)
			ExecStoreHeapTuple(form_row(log, &blocks[done + i]), ts_log_slot(log, i), false);
		table_multi_insert(rel, log->slots, some, GetCurrentCommandId(true), TS_LOG_INSERT, NULL);
		for (int i = 0; i < some; i++)
			ExecClearTuple(log->slots[i]);
		done += some;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
ts_write_blocks(Relation rel, TsLog *log, TsBlock *blocks, int n)
{
	ts_log_aim(rel, &log->aim);
	if (n == 1)
		write_one(rel, log, blocks);
	else
		write_many(rel, log, blocks, n);
}
