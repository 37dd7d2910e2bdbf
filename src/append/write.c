/*
 * write.c: rows into the target, batch by batch.
 *
 * 'first' and 'last' are left to INSERT … ON CONFLICT, which decides under the lock of the index: no other session can come between.
 * 'error' looks first which keys are there, and inserts the others plainly: what comes between is a 23505 of the server's. So does a key
 * that is deferrable, which cannot arbitrate; the target is then locked against other writers.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"

#include "append/classify.h"
#include "append/statement.h"
#include "append/write.h"
#include "base/compat.h"
#include "base/settings.h"

typedef struct Statement
{
	char	   *sql;
	SPIPlanPtr	plan;
} Statement;

struct TsAppender
{
	TsAppend   *append;
	bool		arbitrated;		/* ON CONFLICT decides */
	bool		held;			/* AFTER triggers wait for the end: a row may refer to one of a later batch */
	bool		before_insert;	/* triggers that may leave a row out */
	bool		before_update;
	int			batch_rows;
	QueryEnvironment *environment;
	EphemeralNamedRelation rows;	/* as which statements find the batch */
	MemoryContext home;
	MemoryContext context;		/* of the batch */
	Statement	insert;
	Statement	update;
	Statement	look;
	int			n;
	Size		bytes;
	TsClassified *batch;
	TupleTableSlot *slot;
	int64		duplicates;
	List	   *first;			/* of them, as text */
};

/* Does a deferrable index on the same columns keep ON CONFLICT from using them? */
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

static void
register_rows(TsAppender *writer)
{
	EphemeralNamedRelation rows = writer->rows = palloc0(sizeof(EphemeralNamedRelationData));

	rows->md.name = pstrdup(TS_APPEND_ROWS);
	rows->md.reliddesc = InvalidOid;
	rows->md.tupdesc = writer->append->desc;
	rows->md.enrtype = ENR_NAMED_TUPLESTORE;
	rows->md.enrtuples = writer->batch_rows;
	if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows to be appended");
	writer->environment = create_queryEnv();
	register_ENR(writer->environment, rows);
}

TsAppender *
ts_append_begin(TsAppend *append)
{
	TsAppender   *writer = palloc0(sizeof(TsAppender));
	Oid			relid = RelationGetRelid(append->target);
	bool		deferrable = append->key != NULL && !can_arbitrate(append);
	ListCell   *lc;

	LockRelationOid(relid, deferrable ? ShareRowExclusiveLock : RowExclusiveLock);
	writer->append = append;
	writer->arbitrated = append->policy == TS_DUPLICATES_ALL || (append->policy != TS_DUPLICATES_ERROR && !deferrable);
	writer->held = refers_to_itself(append->target);
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		find_triggers(writer, lfirst_oid(lc));
	/* when both leave rows out, only a batch of one tells which did */
	writer->batch_rows = append->policy == TS_DUPLICATES_LAST && writer->before_insert && writer->before_update ? 1 : ts_batch_rows;
	writer->home = CurrentMemoryContext;
	writer->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync append batch", ALLOCSET_DEFAULT_SIZES);
	writer->batch = palloc0(sizeof(TsClassified) * writer->batch_rows);
	writer->slot = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
	register_rows(writer);
	if (writer->held)
		AfterTriggerBeginQuery();
	return writer;
}

/* A batch is found by its keys: a nested loop into the key's index, whatever the planner thinks of the table. */
static void
prepare(TsAppender *writer, Statement *statement, char *sql, bool by_key)
{
	static const char *const off[] = {"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan"};
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	statement->sql = MemoryContextStrdup(writer->home, sql);
	statement->plan = SPI_prepare(sql, 0, NULL);
	if (statement->plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	for (int i = 0; by_key && i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	cached = SPI_plan_get_cached_plan(statement->plan);
	if (cached != NULL)
		ts_release_own_plan(cached);
	PopActiveSnapshot();
	AtEOXact_GUC(true, level);
}

/* What a statement did. */
typedef struct Done
{
	int64		written;
	int64		conflicts;		/* rows that ON CONFLICT was about */
	int64		unchanged;		/* of them: not written, for its WHERE clause */
} Done;

/* Runs a statement over the rows in store. The executor counts what SPI does not tell. */
static Done
run(TsAppender *writer, Statement *statement, Tuplestorestate *store)
{
	CachedPlan *cached;
	QueryDesc  *query;
	Done		done;

	writer->rows->reldata = store;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	cached = SPI_plan_get_cached_plan(statement->plan);
	if (cached == NULL || list_length(cached->stmt_list) != 1)
		elog(ERROR, "no single plan for: %s", statement->sql);
	query = CreateQueryDesc(linitial_node(PlannedStmt, cached->stmt_list), statement->sql, GetActiveSnapshot(), InvalidSnapshot,
							None_Receiver, NULL, writer->environment, INSTRUMENT_ROWS);
	ExecutorStart(query, writer->held ? EXEC_FLAG_SKIP_TRIGGERS : 0);
	ts_executor_run(query);
	ExecutorFinish(query);
	done.written = (int64) query->estate->es_processed;
	done.conflicts = (int64) query->planstate->instrument->ntuples2;
	done.unchanged = (int64) query->planstate->instrument->nfiltered1;
	ExecutorEnd(query);
	FreeQueryDesc(query);
	ts_release_own_plan(cached);
	PopActiveSnapshot();
	return done;
}

static Tuplestorestate *
begin_store(void)
{
	return tuplestore_begin_heap(false, false, 2 * TS_BATCH_BYTES / 1024);
}

/* The rows of the batch that are of a kind, or all. */
static Tuplestorestate *
pick_rows(TsAppender *writer, bool all, TsClass class)
{
	Tuplestorestate *store = begin_store();
	int			n = 0;

	for (int i = 0; i < writer->n; i++)
		if (all || writer->batch[i].class == class)
		{
			ExecStoreMinimalTuple(writer->batch[i].row, writer->slot, false);
			tuplestore_puttupleslot(store, writer->slot);
			n++;
		}
	ExecClearTuple(writer->slot);
	if (n > 0)
		return store;
	tuplestore_end(store);
	return NULL;
}

static Done
insert_rows(TsAppender *writer, Tuplestorestate *store, bool arbitrate)
{
	Done		done;

	if (writer->insert.plan == NULL)
		prepare(writer, &writer->insert, ts_append_insert(writer->append, arbitrate), false);
	done = run(writer, &writer->insert, store);
	tuplestore_end(store);
	return done;
}

/* INSERT … ON CONFLICT of the whole batch. */
static void
write_arbitrated(TsAppender *writer)
{
	TsAppend   *append = writer->append;
	Done		done = insert_rows(writer, pick_rows(writer, true, TS_CLASS_NEW), append->policy != TS_DUPLICATES_ALL);
	int64		inserted = done.written;

	if (append->policy == TS_DUPLICATES_LAST)
	{
		/* triggers that run before may leave out rows of one kind */
		if (!writer->before_update)
			inserted = done.written - (done.conflicts - done.unchanged);
		else if (!writer->before_insert)
			inserted = writer->n - done.conflicts;
		else if (done.conflicts > 0)
			inserted = 0;
	}
	append->inserted += inserted;
	append->updated += done.written - inserted;
}

static void
note_duplicates(TsAppender *writer)
{
	for (int i = 0; i < writer->n; i++)
	{
		MemoryContext old;

		if (writer->batch[i].class != TS_CLASS_DIFFERS || ++writer->duplicates > TS_DUPLICATES_NAMED)
			continue;
		ExecStoreMinimalTuple(writer->batch[i].row, writer->slot, false);
		old = MemoryContextSwitchTo(writer->home);
		writer->first = lappend(writer->first, ts_classify_key(writer->append, writer->slot));
		MemoryContextSwitchTo(old);
	}
	ExecClearTuple(writer->slot);
}

static void
look(TsAppender *writer)
{
	Tuplestorestate *store = pick_rows(writer, true, TS_CLASS_NEW);

	if (writer->look.plan == NULL)
		prepare(writer, &writer->look, ts_append_look(writer->append), true);
	writer->rows->reldata = store;
	if (SPI_execute_plan(writer->look.plan, NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of: %s", writer->look.sql);
	ts_classify(writer->append, writer->batch, writer->n, SPI_tuptable, SPI_processed);
	SPI_freetuptable(SPI_tuptable);
	tuplestore_end(store);
}

/* Looks which keys are there, then writes. */
static void
write_looked_up(TsAppender *writer)
{
	TsAppend   *append = writer->append;
	Tuplestorestate *store;

	look(writer);
	if (append->policy == TS_DUPLICATES_ERROR)
		note_duplicates(writer);
	/* nothing of it will stay */
	if (writer->duplicates > 0)
		return;
	store = pick_rows(writer, false, TS_CLASS_NEW);
	if (store != NULL)
		append->inserted += insert_rows(writer, store, false).written;
	if (append->policy != TS_DUPLICATES_LAST || (store = pick_rows(writer, false, TS_CLASS_DIFFERS)) == NULL)
		return;
	if (writer->update.plan == NULL)
		prepare(writer, &writer->update, ts_append_update(append), true);
	append->updated += run(writer, &writer->update, store).written;
	tuplestore_end(store);
}

static void
flush(TsAppender *writer)
{
	MemoryContext old;

	if (writer->n == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(writer->context);
	if (writer->arbitrated)
		write_arbitrated(writer);
	else
		write_looked_up(writer);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->context);
	writer->n = 0;
	writer->bytes = 0;
}

void
ts_append_put(TsAppender *writer, TupleTableSlot *row, bool differing)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	TsClassified *classified = &writer->batch[writer->n++];

	classified->row = ExecCopySlotMinimalTuple(row);
	classified->class = differing ? TS_CLASS_DIFFERS : TS_CLASS_NEW;
	writer->bytes += classified->row->t_len;
	MemoryContextSwitchTo(old);
	if (writer->n == writer->batch_rows || writer->bytes > TS_BATCH_BYTES)
		flush(writer);
}

/* AFTER triggers, for all batches at once. */
static void
fire_triggers(void)
{
	EState	   *estate = CreateExecutorState();

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	AfterTriggerEndQuery(estate);
	PopActiveSnapshot();
	ts_close_result_relations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
}

void
ts_append_end(TsAppender *writer)
{
	flush(writer);
	if (writer->duplicates > 0)
		ts_classify_refuse(writer->append, writer->duplicates, writer->first);
	if (writer->held)
		fire_triggers();
	ExecDropSingleTupleTableSlot(writer->slot);
	MemoryContextDelete(writer->context);
}
