/* buffer.c: events on their way to the change log. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/settings.h"
#include "capture/buffer.h"
#include "capture/operation.h"
#include "capture/write.h"

/* Bytes enough for most operation records. */
#define OPERATION_SIZE 512

/* What is held in memory. */
typedef struct Held
{
	int64		events;
	Size		bytes;
} Held;

/* One log's events of one level. */
typedef struct LogBuffer
{
	TsLog	   *log;
	TsBlock    *blocks;
	int			n;
	int			size;
	CommandId	cid;			/* of the last event counted */
	TsOperationCount count;		/* of all events of the level, written ones included; */
	bool		made_here;		/* one of them was not brought from elsewhere; */
	const char *origin;			/* where one that was came from */
} LogBuffer;

typedef struct Level
{
	int			nest;			/* the subtransaction's nesting level */
	int			written_by;		/* nesting level under whose id the blocks are written; 0 = they are not */
	Held		held;
	int			nlogs;
	int			size;
	LogBuffer  *logs;
	struct Level *parent;
} Level;

static Level *top = NULL;		/* innermost level that has events */
static Held total;				/* in all levels */
static MemoryContext buffer_context = NULL;		/* the events */
static MemoryContext level_context = NULL;		/* the arrays */
static LogBuffer *last = NULL;	/* the last one used, of the level "top" */

static void
forget_all(void)
{
	top = NULL;
	last = NULL;
	memset(&total, 0, sizeof(total));
	buffer_context = NULL;
	level_context = NULL;
}

static void
make_contexts(void)
{
	if (buffer_context != NULL)
		return;
	buffer_context = AllocSetContextCreate(TopTransactionContext, "tracksync events", ALLOCSET_DEFAULT_SIZES);
	level_context = AllocSetContextCreate(TopTransactionContext, "tracksync levels", ALLOCSET_SMALL_SIZES);
}

static Level *
level_for(int nest)
{
	Level	   *level;

	if (top != NULL && top->nest == nest)
		return top;
	Assert(top == NULL || top->nest < nest);
	make_contexts();
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

static TsBlock *
new_block(LogBuffer *buf)
{
	if (buf->n == buf->size)
	{
		int			size = buf->size == 0 ? 2 : buf->size * 2;

		if (buf->blocks == NULL)
			buf->blocks = MemoryContextAlloc(level_context, sizeof(TsBlock) * size);
		else
			buf->blocks = repalloc(buf->blocks, sizeof(TsBlock) * size);
		buf->size = size;
	}
	memset(&buf->blocks[buf->n], 0, sizeof(TsBlock));
	return &buf->blocks[buf->n++];
}

static inline void
hold(Level *level, int64 events, Size bytes)
{
	level->held.events += events;
	level->held.bytes += bytes;
	total.events += events;
	total.bytes += bytes;
}

/* Adds an event to the last block, or to a new one. */
static void
append(Level *level, LogBuffer *buf, const TsEvent *event)
{
	TsBlock    *block = buf->n > 0 ? &buf->blocks[buf->n - 1] : NULL;
	MemoryContext old = MemoryContextSwitchTo(buffer_context);
	Size		before;

	if (block == NULL || block->seq != 0)
		block = new_block(buf);
	before = block->bytes.size;
	if (!ts_block_add(block, event))
	{
		block = new_block(buf);
		before = 0;
		(void) ts_block_add(block, event);
	}
	hold(level, 1, block->bytes.size - before);
	MemoryContextSwitchTo(old);
}

/* Frees the events of a level: they are written for good, or aborted. */
static void
clear_level(Level *level)
{
	if (level->held.events == total.events)
		MemoryContextReset(buffer_context);
	else
		for (int i = 0; i < level->nlogs; i++)
			for (int j = 0; j < level->logs[i].n; j++)
				pfree(level->logs[i].blocks[j].bytes.data);
	for (int i = 0; i < level->nlogs; i++)
		level->logs[i].n = 0;
	total.events -= level->held.events;
	total.bytes -= level->held.bytes;
	memset(&level->held, 0, sizeof(level->held));
	level->written_by = 0;
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
				for (int j = 0; j < buf->n; j++)
				{
					TsBlock    *block = &buf->blocks[j];

					if (block->seq != 0)
						continue;
					if (left < block->n)
					{
						next = nextval_internal(log->seqid, false);
						left = TS_SEQ_BLOCK;
					}
					block->seq = next;
					next += block->n;
					left -= block->n;
				}
			}
		}
		depth = skip;
	}
}

/* Writes a buffer's events; a log dropped meanwhile takes them with it. */
static void
write_buffer(const LogBuffer *buf)
{
	Relation	rel = try_relation_open(buf->log->written, RowExclusiveLock);
	bool		read_only = XactReadOnly;

	if (rel == NULL)
		return;
	/* a transaction that wrote before it was set READ ONLY */
	XactReadOnly = false;
	PG_TRY();
	{
		number_events(buf->log);
		ts_write_blocks(rel, buf->log, buf->blocks, buf->n);
	}
	PG_FINALLY();
	{
		XactReadOnly = read_only;
	}
	PG_END_TRY();
	relation_close(rel, NoLock);
}

static void
write_level(Level *level)
{
	for (int i = 0; i < level->nlogs; i++)
		if (level->logs[i].n > 0)
			write_buffer(&level->logs[i]);
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
		clear_level(level);
	else
		level->written_by = nest;
}

void
ts_buffer_flush(void)
{
	if (top == NULL || total.events == 0)
		return;
	flush_levels(top, GetCurrentTransactionNestLevel());
	CommandCounterIncrement();
}

/* Does the level hold enough to be written? Levels around it cannot be written now, but they count in the end. */
static bool
is_full(const Level *level)
{
	return level->held.events >= ts_buffer_rows || level->held.bytes >= TS_BUFFER_BYTES ||
		total.events >= (int64) ts_buffer_rows * TS_BUFFER_LEVELS || total.bytes >= (Size) TS_BUFFER_BYTES * TS_BUFFER_LEVELS;
}

void
ts_buffer_add(TsLog *log, const TsEvent *event)
{
	Level	   *level = level_for(GetCurrentTransactionNestLevel());

	if (last == NULL || last->log != log)
		last = buffer_for(level, log);
	append(level, last, event);
	if (event->op != TS_OP_GONE)
		ts_operation_count(&last->count, event,
					   event->cid == TS_NO_COMMAND || event->cid != last->cid || ts_operation_is_empty(&last->count));
	last->cid = event->cid;
	if (event->op == TS_OP_GONE)
		;						/* no change */
	else if (event->origin != NULL)
		last->origin = event->origin;
	else
		last->made_here = true;
	if (is_full(level))
	{
		write_level(level);
		clear_level(level);
	}
}

/* Adds each table's operation record: the transaction is about to commit or to be prepared. */
static void
add_operations(void)
{
	TsBytes		image = {.data = palloc(OPERATION_SIZE), .size = OPERATION_SIZE};

	for (int i = 0; i < top->nlogs; i++)
	{
		LogBuffer  *buf = &top->logs[i];
		TsEvent		event = {.op = TS_OP_OPERATION, .cid = buf->cid, .origin = buf->made_here ? NULL : buf->origin};

		if (ts_operation_is_empty(&buf->count))
			continue;
		image.used = 0;
		ts_operation_pack(&image, &buf->count);
		event.image = image.data;
		event.image_size = image.used;
		append(top, buf, &event);
	}
	pfree(image.data);
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
			ts_source_settle_new_shapes(true);
			forget_all();
			break;
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			ts_source_settle_new_shapes(false);
			forget_all();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
merge_buffer(LogBuffer *to, LogBuffer *from)
{
	for (int j = 0; j < from->n; j++)
	{
		TsBlock    *block = &from->blocks[j];
		TsBlock    *before = to->n > 0 ? &to->blocks[to->n - 1] : NULL;

		if (before != NULL && before->seq == 0 && block->seq == 0 && ts_block_append(before, block))
			pfree(block->bytes.data);
		else
			*new_block(to) = *block;
	}
	to->cid = from->cid;
	to->made_here |= from->made_here;
	if (from->origin != NULL)
		to->origin = from->origin;
	ts_operation_add(&to->count, &from->count);
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

		merge_buffer(buffer_for(parent, from->log), from);
		if (from->blocks)
			pfree(from->blocks);
	}
	parent->held.events += level->held.events;
	parent->held.bytes += level->held.bytes;
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
				clear_level(level);
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

		clear_level(dead);
		for (int i = 0; i < dead->nlogs; i++)
			if (dead->logs[i].blocks)
				pfree(dead->logs[i].blocks);
		if (dead->logs)
			pfree(dead->logs);
		top = dead->parent;
		pfree(dead);
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
			ts_source_settle_new_shapes(false);
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
