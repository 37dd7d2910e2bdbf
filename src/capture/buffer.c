/* buffer.c: events on their way to the change log. */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/settings.h"
#include "capture/buffer.h"
#include "capture/operation.h"
#include "log/logtable.h"
#include "log/position.h"

/* One log's events of one level. */
typedef struct LogBuffer
{
	TsLog	   *log;
	HeapTuple  *tuples;
	int			n;
	int			size;
	int			numbered;		/* the first so many have their seq */
	TsOperationCount count;		/* of all events of the level, written ones included */
} LogBuffer;

typedef struct Level
{
	int			nest;			/* the subtransaction's nesting level */
	int			written_by;		/* nesting level under whose id the tuples are written; 0 = they are not */
	int			nlogs;
	int			size;
	LogBuffer  *logs;
	struct Level *parent;
} Level;

static Level *top = NULL;		/* innermost level that has events */
static int	total = 0;			/* tuples in all levels */
static MemoryContext buffer_context = NULL;		/* tuples and images */
static MemoryContext level_context = NULL;		/* the arrays */
static LogBuffer *last = NULL;	/* the last one used, of the level "top" */

static void
forget_all(void)
{
	top = NULL;
	last = NULL;
	total = 0;
	buffer_context = NULL;
	level_context = NULL;
}

MemoryContext
ts_buffer_context(void)
{
	if (buffer_context == NULL)
	{
		buffer_context = AllocSetContextCreate(TopTransactionContext, "tracksync events", ALLOCSET_DEFAULT_SIZES);
		level_context = AllocSetContextCreate(TopTransactionContext, "tracksync levels", ALLOCSET_SMALL_SIZES);
	}
	return buffer_context;
}

static Level *
level_for(int nest)
{
	Level	   *level;

	if (top != NULL && top->nest == nest)
		return top;
	Assert(top == NULL || top->nest < nest);
	(void) ts_buffer_context();
	level = MemoryContextAllocZero(level_context, sizeof(Level));
	level->nest = nest;
	level->parent = top;
	top = level;
	last = NULL;
	return level;
}

static LogBuffer *
buffer_for(Level *level, TsLog *log)
{
	LogBuffer  *buf;

	for (int i = 0; i < level->nlogs; i++)
		if (level->logs[i].log == log)
			return &level->logs[i];
	if (level->nlogs == level->size)
	{
		int			size = level->size == 0 ? 4 : level->size * 2;
		LogBuffer  *logs = MemoryContextAllocZero(level_context, sizeof(LogBuffer) * size);

		if (level->nlogs > 0)
		{
			memcpy(logs, level->logs, sizeof(LogBuffer) * level->nlogs);
			pfree(level->logs);
		}
		level->logs = logs;
		level->size = size;
	}
	buf = &level->logs[level->nlogs++];
	buf->log = log;
	return buf;
}

static void
append(LogBuffer *buf, HeapTuple tuple)
{
	if (buf->n == buf->size)
	{
		int			size = buf->size == 0 ? 8 : buf->size * 2;

		if (buf->tuples == NULL)
			buf->tuples = MemoryContextAlloc(level_context, sizeof(HeapTuple) * size);
		else
			buf->tuples = repalloc(buf->tuples, sizeof(HeapTuple) * size);
		buf->size = size;
	}
	buf->tuples[buf->n++] = tuple;
}

/* Frees the tuples of a level: they are written for good, or aborted. */
static void
clear_tuples(Level *level)
{
	int			mine = 0;

	for (int i = 0; i < level->nlogs; i++)
		mine += level->logs[i].n;
	if (mine == total)
		MemoryContextReset(buffer_context);
	else
		for (int i = 0; i < level->nlogs; i++)
			for (int j = 0; j < level->logs[i].n; j++)
				heap_freetuple(level->logs[i].tuples[j]);
	for (int i = 0; i < level->nlogs; i++)
		level->logs[i].n = level->logs[i].numbered = 0;
	total -= mine;
	level->written_by = 0;
}

/* txid and seq are the first two columns, always there, at the start of the tuple's data. */
static inline void
set_seq(HeapTuple tuple, int64 seq)
{
	memcpy((char *) tuple->t_data + tuple->t_data->t_hoff + sizeof(uint64), &seq, sizeof(seq));
}

/*
 * Gives sequence numbers to all events of a log that have none, outermost level first, which is the order they were made in.
 * One nextval() stands for TS_SEQ_BLOCK numbers. All these rows' locks are held now.
 */
static void
number_events(TsLog *log)
{
	Level	   *levels[64];
	Level	   *level;
	int			depth = 0;
	int64		next = 0;
	int			left = 0;

	for (level = top; level != NULL; level = level->parent)
		depth++;
	while (depth > 0)
	{
		/* a window of the deepest-out levels not done yet */
		int			n = 0;
		int			skip = depth > (int) lengthof(levels) ? depth - (int) lengthof(levels) : 0;
		int			at = 0;

		for (level = top; level != NULL && at < depth; level = level->parent, at++)
			if (at >= skip)
				levels[n++] = level;
		while (n > 0)
		{
			level = levels[--n];
			for (int i = 0; i < level->nlogs; i++)
			{
				LogBuffer  *buf = &level->logs[i];

				if (buf->log != log)
					continue;
				for (; buf->numbered < buf->n; buf->numbered++)
				{
					if (left == 0)
					{
						next = nextval_internal(log->seqid, false);
						left = TS_SEQ_BLOCK;
					}
					set_seq(buf->tuples[buf->numbered], next++);
					left--;
				}
			}
		}
		depth = skip;
	}
}

static void
ensure_slots(TsLog *log, int n)
{
	MemoryContext old;

	if (log->nslots >= n)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	n = Min(Max(n, log->nslots * 2), TS_SEQ_BLOCK);
	if (log->slots == NULL)
		log->slots = palloc(sizeof(TupleTableSlot *) * TS_SEQ_BLOCK);
	while (log->nslots < n)
	{
		log->slots[log->nslots] = MakeSingleTupleTableSlot(log->desc, &TTSOpsHeapTuple);
		log->nslots++;
	}
	MemoryContextSwitchTo(old);
}

/* Inserts tuples [0, n) of a buffer into its log; a log dropped meanwhile takes its events with it. */
static void
write_tuples(LogBuffer *buf)
{
	TsLog	   *log = buf->log;
	Relation	rel = try_relation_open(log->logid, RowExclusiveLock);
	MemoryContext context,
				old;

	if (rel == NULL)
		return;
	number_events(log);
	context = AllocSetContextCreate(CurrentMemoryContext, "tracksync write", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int done = 0; done < buf->n;)
	{
		int			n = Min(buf->n - done, TS_SEQ_BLOCK);

		ensure_slots(log, n);
		for (int i = 0; i < n; i++)
			ExecStoreHeapTuple(buf->tuples[done + i], log->slots[i], false);
		if (n == 1)
			table_tuple_insert(rel, log->slots[0], GetCurrentCommandId(true), 0, NULL);
		else
			table_multi_insert(rel, log->slots, n, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < n; i++)
			ExecClearTuple(log->slots[i]);
		done += n;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	relation_close(rel, NoLock);
}

static void
write_level(Level *level)
{
	for (int i = 0; i < level->nlogs; i++)
		if (level->logs[i].n > 0)
			write_tuples(&level->logs[i]);
}

static void
flush_levels(Level *level, int nest)
{
	/* the recursion is as deep as there are levels with events */
	check_stack_depth();
	if (level->parent != NULL)
		flush_levels(level->parent, nest);
	if (level->written_by != 0)
		return;
	write_level(level);
	if (level->nest == nest)
		clear_tuples(level);
	else
		level->written_by = nest;
}

void
ts_buffer_flush(void)
{
	if (top == NULL || total == 0)
		return;
	flush_levels(top, GetCurrentTransactionNestLevel());
	CommandCounterIncrement();
}

static HeapTuple
form_row(TsLog *log, char op, const Datum *keys, const bool *keynulls, struct varlena *image)
{
	int			natts = TS_LOG_NATTS(log->nkeys);
	Datum		values[TS_LOG_NATTS(INDEX_MAX_KEYS)];
	bool		nulls[TS_LOG_NATTS(INDEX_MAX_KEYS)];

	values[TS_LOG_TXID - 1] = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	values[TS_LOG_SEQ - 1] = Int64GetDatum(0);
	memset(nulls, 0, sizeof(bool) * natts);
	values[TS_LOG_OP(log->nkeys) - 1] = CharGetDatum(op);
	values[TS_LOG_ORIGIN(log->nkeys) - 1] = Int16GetDatum((int16) replorigin_session_origin);
	nulls[TS_LOG_ORIGIN(log->nkeys) - 1] = replorigin_session_origin == InvalidRepOriginId;
	for (int i = 0; i < log->nkeys; i++)
	{
		nulls[TS_LOG_FIRST_KEY - 1 + i] = keys == NULL || keynulls[i];
		values[TS_LOG_FIRST_KEY - 1 + i] = keys == NULL ? (Datum) 0 : keys[i];
	}
	nulls[natts - 1] = image == NULL;
	values[natts - 1] = PointerGetDatum(image);
	return heap_form_tuple(log->desc, values, nulls);
}

void
ts_buffer_add(TsLog *log, char op, const Datum *keys, const bool *keynulls, struct varlena *image)
{
	int			nest = GetCurrentTransactionNestLevel();
	Level	   *level = level_for(nest);
	MemoryContext old = MemoryContextSwitchTo(ts_buffer_context());
	HeapTuple	tuple = form_row(log, op, keys, keynulls, image);

	if (image != NULL)
		pfree(image);
	MemoryContextSwitchTo(old);
	if (last == NULL || last->log != log)
		last = buffer_for(level, log);
	append(last, tuple);
	ts_operation_count(&last->count, op);
	total++;
	if (total >= ts_buffer_rows)
	{
		write_level(level);
		clear_tuples(level);
	}
}

/* Adds each table's operation record: the transaction is about to commit or to be prepared. */
static void
add_operations(void)
{
	for (int i = 0; i < top->nlogs; i++)
	{
		LogBuffer  *buf = &top->logs[i];
		MemoryContext old;

		if (ts_operation_is_empty(&buf->count))
			continue;
		old = MemoryContextSwitchTo(ts_buffer_context());
		append(buf, form_row(buf->log, TS_OP_OPERATION, NULL, NULL, ts_operation_build(&buf->count)));
		MemoryContextSwitchTo(old);
		total++;
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (top != NULL)
			{
				Assert(top->parent == NULL && top->nest == 1);
				add_operations();
				write_level(top);
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			ts_source_keep_new_shapes();
			forget_all();
			break;
		case XACT_EVENT_ABORT:
			ts_source_forget_new_shapes();
			forget_all();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

/* Hands the innermost level, nest, to its parent. */
static void
merge_level(Level *level)
{
	Level	   *parent = level->parent;

	if (parent == NULL || parent->nest < level->nest - 1)
	{
		level->nest--;
		return;
	}
	for (int i = 0; i < level->nlogs; i++)
	{
		LogBuffer  *from = &level->logs[i];
		LogBuffer  *to = buffer_for(parent, from->log);
		bool		numbered = to->numbered == to->n;

		for (int j = 0; j < from->n; j++)
			append(to, from->tuples[j]);
		if (numbered)
			to->numbered += from->numbered;
		ts_operation_add(&to->count, &from->count);
		if (from->tuples)
			pfree(from->tuples);
	}
	top = parent;
	if (level->logs)
		pfree(level->logs);
	pfree(level);
}

static void
subxact_commit(int nest)
{
	Level	   *level;

	for (level = top; level != NULL; level = level->parent)
		if (level->written_by == nest && level->nest < nest)
		{
			level->written_by = nest - 1;
			if (level->nest == nest - 1)
				clear_tuples(level);
		}
	if (top->nest == nest)
		merge_level(top);
	last = NULL;
}

static void
subxact_abort(int nest)
{
	Level	   *level;

	while (top != NULL && top->nest >= nest)
	{
		Level	   *dead = top;

		clear_tuples(dead);
		top = dead->parent;
	}
	for (level = top; level != NULL; level = level->parent)
		if (level->written_by >= nest)
			level->written_by = 0;
	last = NULL;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			if (top != NULL)
				subxact_commit(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			ts_source_forget_new_shapes();
			if (top != NULL)
				subxact_abort(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_START_SUB:
			/* "last" belongs to the outer level */
			last = NULL;
			break;
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

void
ts_buffer_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
