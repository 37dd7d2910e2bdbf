/*
 * write.c: rows into the target, batch by batch.
 *
 * Each batch is looked up first: which keys are there, and with which values? Rows that are new are inserted plainly, several batches at a
 * time: that costs half of what INSERT … ON CONFLICT does. If another session was faster (23505), the subtransaction is undone, the rows
 * are looked up anew; and if that does not help they go one by one, with ON CONFLICT. Under 'error' it is an error.
 *
 * Rows to be updated wait until all others are inserted: so all inserts come in key order, and then all updates, and two that append
 * never wait for each other. A row that is gone by then is inserted after all.
 *
 * A deferrable key tells nothing at once: the target is locked against other writers then.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "append/classify.h"
#include "append/lot.h"
#include "append/rows.h"
#include "append/write.h"
#include "base/attempt.h"
#include "base/compat.h"
#include "base/settings.h"

/* So many batches' new rows are inserted at once. */
#define INSERT_BATCHES 10

struct TsAppender
{
	TsAppend   *append;
	bool		contested;		/* others may insert the same keys, and that is to be settled */
	bool		at_once;		/* a row may refer to another one that comes later */
	bool		before_insert;	/* triggers that may leave rows out */
	bool		before_update;
	TsLot		lot;			/* the batch */
	Tuplestorestate *inserts;
	int64		ninserts;
	Size		insert_bytes;
	Tuplesortstate *updates;
	TupleTableSlot *reader;		/* of a store */
	int64		duplicates;
	List	   *first;			/* of them, as text */
};

/* Does ON CONFLICT work with the key? Not if it, or another index on its columns, is deferrable. */
static bool
can_arbitrate(const TsAppend *append)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(append->target))
	{
		TsKeyIndex *other = ts_key_index_describe(lfirst_oid(lc));
		int			same = 0;

		if (other == NULL || other->immediate || other->nkeys != append->key->nkeys)
			continue;
		for (int i = 0; i < other->nkeys; i++)
			for (int k = 0; k < other->nkeys; k++)
				same += other->columns[i].attnum == append->key->columns[k].attnum;
		if (same == other->nkeys)
			return false;
	}
	return true;
}

static bool
refers_to_itself(Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
		if (((ForeignKeyCacheInfo *) lfirst(lc))->confrelid == RelationGetRelid(rel))
			return true;
	return false;
}

static void
find_triggers(TsAppender *writer, Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);

	if (rel->trigdesc != NULL)
	{
		writer->before_insert |= rel->trigdesc->trig_insert_before_row;
		writer->before_update |= rel->trigdesc->trig_update_before_row;
	}
	RelationClose(rel);
}

TsAppender *
ts_append_begin(TsAppend *append)
{
	TsAppender *writer = palloc0(sizeof(TsAppender));
	Oid			relid = RelationGetRelid(append->target);
	bool		deferrable = append->key != NULL && !can_arbitrate(append);
	ListCell   *lc;

	LockRelationOid(relid, deferrable ? ShareRowExclusiveLock : RowExclusiveLock);
	writer->append = append;
	writer->contested = !deferrable && (append->policy == TS_DUPLICATES_FIRST || append->policy == TS_DUPLICATES_LAST);
	writer->at_once = refers_to_itself(append->target);
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		find_triggers(writer, lfirst_oid(lc));
	writer->reader = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
	if (append->policy == TS_DUPLICATES_LAST)
		writer->updates = ts_rows_sort(append, TS_STORE_KB);
	ts_lot_init(&writer->lot, append);
	return writer;
}

static void
to_insert(TsAppender *writer, TupleTableSlot *row)
{
	if (writer->inserts == NULL)
		writer->inserts = ts_lot_begin_store(writer->lot.home);
	tuplestore_puttupleslot(writer->inserts, row);
	writer->ninserts++;
	writer->insert_bytes += ((MinimalTupleTableSlot *) row)->mintuple->t_len;
}

static void
note_duplicate(TsAppender *writer, TupleTableSlot *row)
{
	MemoryContext old = MemoryContextSwitchTo(writer->lot.home);

	if (++writer->duplicates <= TS_DUPLICATES_NAMED)
		writer->first = lappend(writer->first, ts_classify_key(writer->append, row));
	MemoryContextSwitchTo(old);
}

/* A row whose key is there, with other values. */
static void
put_existing(TsAppender *writer, TupleTableSlot *row)
{
	if (writer->append->policy == TS_DUPLICATES_ERROR)
		note_duplicate(writer, row);
	else if (writer->append->policy == TS_DUPLICATES_LAST)
		tuplesort_puttupleslot(writer->updates, row);
}

/* Looks the batch up, and puts its rows where they belong. */
static void
distribute(TsAppender *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->lot.context);

	CHECK_FOR_INTERRUPTS();
	if (writer->lot.n > 0)
		ts_lot_look(&writer->lot);
	for (int i = 0; i < writer->lot.n; i++)
		switch (writer->lot.rows[i].class)
		{
			case TS_CLASS_NEW:
				to_insert(writer, ts_lot_row(&writer->lot, i));
				break;
			case TS_CLASS_SAME:
				break;
			case TS_CLASS_DIFFERS:
				put_existing(writer, ts_lot_row(&writer->lot, i));
				break;
		}
	MemoryContextSwitchTo(old);
	ts_lot_empty(&writer->lot);
}

static bool
update_one(TsAppender *writer, Tuplestorestate *store)
{
	uint64		n = ts_lot_run(&writer->lot, TS_APPEND_UPDATE, store);

	SPI_freetuptable(SPI_tuptable);
	writer->append->updated += n;
	return n > 0;
}

/*
 * Where a trigger may leave the row out, or give it another key: if that one is there, 'last' is an error, and 'first' keeps it. Not before
 * the second attempt: at the first one it may have been another session.
 */
static bool
insert_one(TsAppender *writer, Tuplestorestate *store, int attempt)
{
	uint64		n = ts_lot_run(&writer->lot, TS_APPEND_INSERT_FREE, store);

	writer->append->inserted += n;
	if (n > 0 || !writer->before_insert || attempt < 2)
		return n > 0;
	if (writer->append->policy == TS_DUPLICATES_LAST)
		writer->append->inserted += ts_lot_run(&writer->lot, TS_APPEND_INSERT, store);
	return true;
}

/* The one row in the batch, as often as others come between. */
static void
settle_row(TsAppender *writer, bool update)
{
	Tuplestorestate *store = ts_lot_store(&writer->lot);
	bool		done = false;

	for (int attempt = 1; !done; attempt++)
	{
		CHECK_FOR_INTERRUPTS();
		writer->lot.rows[0].class = TS_CLASS_NEW;
		ts_lot_look(&writer->lot);
		switch (writer->lot.rows[0].class)
		{
			case TS_CLASS_NEW:
				done = insert_one(writer, store, attempt);
				break;
			case TS_CLASS_SAME:
				done = true;
				break;
			case TS_CLASS_DIFFERS:
				if (update)
					/* if not: somebody changed it meanwhile, or a trigger leaves it out */
					done = update_one(writer, store) || (writer->before_update && attempt >= 2);
				else
				{
					put_existing(writer, ts_lot_row(&writer->lot, 0));
					done = true;
				}
				break;
		}
	}
	tuplestore_end(store);
}

static void
rewind_store(Tuplestorestate *rows)
{
	/* statements have pointers of their own */
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
}

/* Rows whose keys somebody else has to do with, one by one; to be updated at once, or with the others. */
static void
settle(TsAppender *writer, Tuplestorestate *rows, bool update)
{
	MemoryContext old = MemoryContextSwitchTo(writer->lot.context);

	rewind_store(rows);
	while (tuplestore_gettupleslot(rows, true, false, writer->reader))
	{
		(void) ts_lot_add(&writer->lot, writer->reader, TS_CLASS_NEW);
		settle_row(writer, update);
		ts_lot_empty(&writer->lot);
	}
	ExecClearTuple(writer->reader);
	MemoryContextSwitchTo(old);
}

typedef struct Insertion
{
	TsAppender *writer;
	Tuplestorestate *store;
	uint64		written;
} Insertion;

static void
insert_store(void *arg)
{
	Insertion  *insertion = arg;

	insertion->written = ts_lot_run(&insertion->writer->lot, TS_APPEND_INSERT, insertion->store);
}

/* Looks the rows up anew that could not be inserted; those that are still new are put aside again. */
static void
look_again(TsAppender *writer, Tuplestorestate *rows)
{
	rewind_store(rows);
	while (tuplestore_gettupleslot(rows, true, false, writer->reader))
		if (ts_lot_add(&writer->lot, writer->reader, TS_CLASS_NEW))
			distribute(writer);
	distribute(writer);
	ExecClearTuple(writer->reader);
}

/* False if others had been faster. */
static bool
try_insert(TsAppender *writer, Tuplestorestate *rows)
{
	Insertion	insertion = {writer, rows, 0};

	if (!writer->contested)
		insert_store(&insertion);
	else
	{
		ErrorData  *error = ts_attempt(insert_store, &insertion, false);

		if (error != NULL && error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
		if (error != NULL)
			return false;
	}
	writer->append->inserted += insertion.written;
	return true;
}

/* Takes what was put aside to be inserted. */
static Tuplestorestate *
take_inserts(TsAppender *writer)
{
	Tuplestorestate *rows = writer->inserts;

	writer->inserts = NULL;
	writer->ninserts = 0;
	writer->insert_bytes = 0;
	return rows;
}

/* Inserts what was put aside. */
static void
flush_inserts(TsAppender *writer)
{
	/* not within a subtransaction */
	if (writer->ninserts > 0)
		ts_lot_prepare(&writer->lot, TS_APPEND_INSERT);
	while (writer->ninserts > 0)
	{
		int64		n = writer->ninserts;
		Tuplestorestate *rows = take_inserts(writer);
		bool		done = try_insert(writer, rows);

		if (!done && !IsolationUsesXactSnapshot())
		{
			look_again(writer, rows);
			done = writer->ninserts < n;
		}
		if (!done)
		{
			/* it is another constraint, or those who were faster cannot be seen */
			if (writer->inserts)
				tuplestore_end(take_inserts(writer));
			settle(writer, rows, false);
		}
		tuplestore_end(rows);
	}
}

static void
put_batch(TsAppender *writer)
{
	distribute(writer);
	/* nothing of it would stay */
	if (writer->duplicates > 0 && writer->inserts != NULL)
		tuplestore_end(take_inserts(writer));
}

static bool
enough_to_insert(const TsAppender *writer)
{
	return !writer->at_once && (writer->ninserts >= (int64) INSERT_BATCHES * writer->lot.limit || writer->insert_bytes > TS_BATCH_BYTES);
}

void
ts_append_put(TsAppender *writer, TupleTableSlot *row, bool differing)
{
	if (writer->append->policy == TS_DUPLICATES_ALL)
		to_insert(writer, row);
	else if (ts_lot_add(&writer->lot, row, differing ? TS_CLASS_DIFFERS : TS_CLASS_NEW))
		put_batch(writer);
	if (enough_to_insert(writer))
		flush_inserts(writer);
}

/* The rows of the batch that were not updated, into a store. */
static Tuplestorestate *
leave_out(TsAppender *writer, SPITupleTable *updated, uint64 n)
{
	Tuplestorestate *store = ts_lot_begin_store(writer->lot.home);

	ts_classify_done(writer->append, writer->lot.rows, writer->lot.n, updated, n);
	for (int i = 0; i < writer->lot.n; i++)
		if (writer->lot.rows[i].class != TS_CLASS_SAME)
			tuplestore_puttupleslot(store, ts_lot_row(&writer->lot, i));
	return store;
}

static void
update_batch(TsAppender *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->lot.context);
	Tuplestorestate *store = ts_lot_store(&writer->lot);
	uint64		n = ts_lot_run(&writer->lot, TS_APPEND_UPDATE, store);
	Tuplestorestate *missed = NULL;

	writer->append->updated += n;
	/* under the lock it can but have been a trigger */
	if (n < writer->lot.n && writer->contested)
		missed = leave_out(writer, SPI_tuptable, n);
	SPI_freetuptable(SPI_tuptable);
	tuplestore_end(store);
	MemoryContextSwitchTo(old);
	ts_lot_empty(&writer->lot);
	if (missed)
	{
		settle(writer, missed, true);
		tuplestore_end(missed);
	}
}

static void
flush_updates(TsAppender *writer)
{
	tuplesort_performsort(writer->updates);
	while (tuplesort_gettupleslot(writer->updates, true, false, writer->reader, NULL))
		if (ts_lot_add(&writer->lot, writer->reader, TS_CLASS_DIFFERS))
			update_batch(writer);
	if (writer->lot.n > 0)
		update_batch(writer);
	ExecClearTuple(writer->reader);
	tuplesort_end(writer->updates);
}

void
ts_append_end(TsAppender *writer)
{
	if (writer->lot.n > 0)
		put_batch(writer);
	if (writer->duplicates > 0)
		ts_classify_refuse(writer->append, writer->duplicates, writer->first);
	flush_inserts(writer);
	if (writer->updates)
		flush_updates(writer);
	ExecDropSingleTupleTableSlot(writer->reader);
	ts_lot_end(&writer->lot);
}
