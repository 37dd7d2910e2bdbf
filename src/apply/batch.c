/*
 * batch.c: writing a step's rows, a batch at a time.
 *
 * The fast statement compares what it finds with the old values itself, under the row's lock. Only when it wrote fewer rows
 * than the batch has are the rows looked at (and locked) one by one, and it is decided what each of them is.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "apply/arrays.h"
#include "apply/batch.h"
#include "base/settings.h"
#include "base/srf.h"

/* What looking at a row of a batch found. */
typedef struct Found
{
	bool		there;
	bool		done;			/* written at the first attempt */
	bool		holds_new;
	bool		holds_old;
	char	   *row;			/* jsonb text */
} Found;

typedef struct Batch
{
	TsChangeOp	op;
	const unsigned char *mask;	/* all rows have the same */
	int			n;
	TsChange   *rows;
	Found	   *found;
} Batch;

typedef struct Built
{
	TsStatement *stmt;
	unsigned char *mask;
} Built;

TsWriter *
ts_writer_begin(TsPlan *plan, TsTarget *target, bool careful, int64 single_from)
{
	TsWriter   *writer = palloc0(sizeof(TsWriter));

	writer->link = plan->link;
	writer->target = target;
	writer->text_keys = plan->text_keys;
	writer->compared = plan->compared;
	writer->careful = careful;
	writer->single_from = single_from;
	writer->context = CurrentMemoryContext;
	writer->batch_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync batch", ALLOCSET_DEFAULT_SIZES);
	return writer;
}

static TsStatement *
statement(TsWriter *writer, TsStatementKind kind, TsChangeOp op, const unsigned char *mask)
{
	MemoryContext old;
	Built	   *built;
	ListCell   *lc;

	foreach(lc, writer->statements)
	{
		built = lfirst(lc);
		if (built->stmt->kind == kind && built->stmt->op == op && memcmp(built->mask, mask, writer->link->ncolumns) == 0)
			return built->stmt;
	}
	old = MemoryContextSwitchTo(writer->context);
	built = palloc(sizeof(Built));
	built->stmt = ts_statement_build(writer->link, kind, op, mask, writer->text_keys);
	built->mask = palloc(writer->link->ncolumns + 1);
	memcpy(built->mask, mask, writer->link->ncolumns);
	/* the one just built is the likeliest to be wanted again */
	writer->statements = lcons(built, writer->statements);
	MemoryContextSwitchTo(old);
	return built->stmt;
}

static uint64
execute(TsWriter *writer, TsStatement *stmt, const Batch *batch, int n, const int *chosen, TsRowFunction row, void *arg)
{
	return writer->target->ops->execute(writer->target, stmt, ts_arrays_build(writer->link, stmt, batch->rows, n, chosen), row, arg);
}

typedef enum Described
{
	DESCRIBE_KEY,
	DESCRIBE_ROW,
	DESCRIBE_CAST				/* what is written to a column of another type, or a more narrow one */
} Described;

static bool
is_cast(const TsColumn *col)
{
	return col->target_type != col->source_declared || col->target_typmod != col->source_typmod;
}

/* A row of the batch as JSON. */
static char *
describe(TsWriter *writer, const TsChange *row, TsChangeOp op, Described what, int limit)
{
	TsLink	   *link = writer->link;
	int			n = link->ncolumns;
	char	  **names = palloc(sizeof(char *) * n);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);
	bool	   *include = palloc0(sizeof(bool) * n);
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		bool		old = op == TS_CHANGE_DELETE;

		names[i] = link->columns[i].target_name;
		types[i] = ts_value_type(link, i, op, writer->text_keys).type;
		values[i] = old ? row->old_values[i] : row->new_values[i];
		nulls[i] = old ? row->old_nulls[i] : row->new_nulls[i];
		/* of an UPDATE only what it writes may be there */
		include[i] = old ? (row->mask[i] & TS_COLUMN_KNOWN) != 0 : op == TS_CHANGE_INSERT || (row->mask[i] & TS_COLUMN_CHANGED) != 0;
		if (what == DESCRIBE_CAST)
			include[i] &= is_cast(&link->columns[i]);
		else
			include[i] = link->columns[i].is_key || (what == DESCRIBE_ROW && include[i]);
		any |= include[i];
	}
	if (!any)
		return NULL;
	return ts_to_json_text(n, names, types, values, nulls, include, limit);
}

static void
note_found(void *arg, int ncolumns, char *const *values)
{
	Batch	   *batch = arg;
	int64		i = strtoll(values[0], NULL, 10);
	Found	   *found = &batch->found[i];

	/* values: number, holds new, holds old, row */
	found->there = true;
	found->holds_new = values[1] && values[1][0] == 't';
	found->holds_old = values[2] && values[2][0] == 't';
	found->row = values[3];
}

static void
note_written(void *arg, int ncolumns, char *const *values)
{
	((Batch *) arg)->found[strtoll(values[0], NULL, 10)].done = true;
}

/*
 * A comparison just made has no expectations that could be disappointed: its source always wins. Deletes that come from the log
 * do have them.
 */
static bool
source_overrides(const TsWriter *writer, TsChangeOp op)
{
	return writer->text_keys || (writer->compared && op != TS_CHANGE_DELETE);
}

static void
conflict(TsWriter *writer, const Batch *batch, int i, TsConflictKind kind)
{
	const TsChange *row = &batch->rows[i];
	char	   *source;

	if (source_overrides(writer, batch->op))
		return;
	source = batch->op == TS_CHANGE_DELETE ? NULL : describe(writer, row, batch->op, DESCRIBE_ROW, INT_MAX);
	ts_conflict_add(&writer->conflicts, writer->link, kind, describe(writer, row, batch->op, DESCRIBE_KEY, INT_MAX), source,
					batch->found[i].row, writer->context);
}

/* Writes rows whatever they hold. Each of them was seen and locked, or seen to be missing. */
static void
write_anyway(TsWriter *writer, const Batch *batch, TsStatementKind kind, TsChangeOp op, int n, const int *chosen)
{
	uint64		done;

	if (n == 0)
		return;
	done = execute(writer, statement(writer, kind, op, batch->mask), batch, n, chosen, NULL, NULL);
	if (done == (uint64) n)
		return;
	if (kind == TS_STATEMENT_INSERT)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table %s did not take %d of %d rows of link \"%s\"", ts_link_target(writer->link), n - (int) done, n,
						writer->link->name),
				 errdetail("Another session wrote the same keys meanwhile, or a trigger of the table suppressed the rows."),
				 errhint("Push again; if that does not help, see the table's BEFORE INSERT triggers.")));
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("table %s did not take %d of %d rows of link \"%s\"", ts_link_target(writer->link), n - (int) done, n,
					writer->link->name),
			 errdetail("A trigger or rule of the table suppressed the change."),
			 errhint("Let the trigger return the row, or disable it for the role that pushes.")));
}

/* The batch's rows that a policy lets be written anyway. */
typedef struct Decision
{
	int			nwrite;
	int			ninsert;
	int		   *write;			/* update, delete or overwrite the row that is there */
	int		   *insert;			/* the row is missing */
} Decision;

static void
decide(TsWriter *writer, Batch *batch, int i, Decision *d)
{
	const Found *found = &batch->found[i];
	bool		wins = writer->link->on_conflict == TS_CONFLICT_SOURCE_WINS || source_overrides(writer, batch->op);

	switch (batch->op)
	{
		case TS_CHANGE_INSERT:
			if (!found->there)
				d->insert[d->ninsert++] = i;
			else if (!found->holds_new)
			{
				conflict(writer, batch, i, TS_INSERT_EXISTS);
				if (wins)
					d->write[d->nwrite++] = i;
			}
			break;
		case TS_CHANGE_UPDATE:
			if (!found->there)
			{
				conflict(writer, batch, i, TS_UPDATE_MISSING);
				if (wins)
					d->insert[d->ninsert++] = i;
			}
			else if (!found->holds_new)
			{
				if (!found->holds_old)
					conflict(writer, batch, i, TS_UPDATE_DIFFERS);
				if (found->holds_old || wins)
					d->write[d->nwrite++] = i;
			}
			break;
		case TS_CHANGE_DELETE:
			if (!found->there)
			{
				/* gone already: what was wanted, but for those who want to know */
				if (writer->link->on_conflict == TS_CONFLICT_ERROR)
					conflict(writer, batch, i, TS_DELETE_MISSING);
			}
			else
			{
				if (!found->holds_old)
					conflict(writer, batch, i, TS_DELETE_DIFFERS);
				if (found->holds_old || wins)
					d->write[d->nwrite++] = i;
			}
			break;
	}
}

static const TsStatementKind anyway[TS_CHANGE_OPS] = {
	[TS_CHANGE_DELETE] = TS_STATEMENT_DELETE_ANYWAY,
	[TS_CHANGE_UPDATE] = TS_STATEMENT_UPDATE_ANYWAY,
	[TS_CHANGE_INSERT] = TS_STATEMENT_OVERWRITE,
};

/* Not all rows of the batch were as expected: look at each. */
static void
settle(TsWriter *writer, Batch *batch, const int *all)
{
	Decision	d = {
		.write = palloc(sizeof(int) * batch->n),
		.insert = palloc(sizeof(int) * batch->n),
	};
	Batch		plain = *batch;

	execute(writer, statement(writer, TS_STATEMENT_LOOK, batch->op, batch->mask), batch, batch->n, all, note_found, batch);
	for (int i = 0; i < batch->n; i++)
		if (!batch->found[i].done)
			decide(writer, batch, i, &d);
	write_anyway(writer, batch, anyway[batch->op], batch->op, d.nwrite, d.write);
	plain.mask = palloc0(writer->link->ncolumns + 1);
	write_anyway(writer, &plain, TS_STATEMENT_INSERT, TS_CHANGE_INSERT, d.ninsert, d.insert);
}

static const TsStatementKind fast[TS_CHANGE_OPS] = {
	[TS_CHANGE_DELETE] = TS_STATEMENT_DELETE,
	[TS_CHANGE_UPDATE] = TS_STATEMENT_UPDATE,
	[TS_CHANGE_INSERT] = TS_STATEMENT_INSERT_ALL,
};

/* Without a statement, where the target can and knows what is meant. */
static bool
write_directly(TsWriter *writer, Batch *batch, uint64 *done)
{
	TsWrite		write = {.op = batch->op, .mask = batch->mask, .n = batch->n, .rows = batch->rows};

	if (writer->target->ops->write == NULL || (batch->op == TS_CHANGE_DELETE && writer->text_keys) ||
		(batch->op == TS_CHANGE_INSERT && writer->careful))
		return false;
	write.done = palloc0(sizeof(bool) * batch->n);
	if (!writer->target->ops->write(writer->target, &write))
		return false;
	*done = 0;
	for (int i = 0; i < batch->n; i++)
	{
		batch->found[i].done = write.done[i];
		*done += write.done[i];
	}
	return true;
}

static void
write_batch(TsWriter *writer, Batch *batch)
{
	int		   *all = palloc(sizeof(int) * batch->n);
	uint64		done;

	for (int i = 0; i < batch->n; i++)
		all[i] = i;
	batch->found = palloc0(sizeof(Found) * batch->n);
	writer->batch_size = batch->n;
	writer->first_key = describe(writer, &batch->rows[0], batch->op, DESCRIBE_KEY, 200);
	writer->last_key = describe(writer, &batch->rows[batch->n - 1], batch->op, DESCRIBE_KEY, 200);
	writer->cast = batch->n == 1 && batch->op != TS_CHANGE_DELETE ? describe(writer, &batch->rows[0], batch->op, DESCRIBE_CAST, 500) : NULL;
	writer->batch++;
	if (batch->op == TS_CHANGE_INSERT && writer->careful)
		done = 0;				/* whichever are there: they are looked at first */
	else if (!write_directly(writer, batch, &done))
		done = execute(writer, statement(writer, fast[batch->op], batch->op, batch->mask), batch, batch->n, all,
					   batch->op != TS_CHANGE_INSERT ? note_written : NULL, batch);
	if (done != (uint64) batch->n)
		settle(writer, batch, all);
}

/* A change in the current context. */
static TsChange
copy_change(const TsLink *link, TsChangeOp op, bool text_keys, const TsChange *from)
{
	TsChange	to;

	ts_change_init(&to, link->ncolumns);
	to.op = op;
	memcpy(to.mask, from->mask, link->ncolumns);
	memcpy(to.new_nulls, from->new_nulls, link->ncolumns);
	memcpy(to.old_nulls, from->old_nulls, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsValueType type = ts_value_type(link, i, op, text_keys);

		if (op != TS_CHANGE_DELETE && !from->new_nulls[i])
			to.new_values[i] = datumCopy(from->new_values[i], type.byval, type.len);
		if ((from->mask[i] & TS_COLUMN_KNOWN) && !from->old_nulls[i])
			to.old_values[i] = datumCopy(from->old_values[i], type.byval, type.len);
	}
	return to;
}

int64
ts_writer_step(TsWriter *writer, const TsStep *step)
{
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);
	TsChange	row;
	Size		bytes;
	int64		total = 0;
	bool		more;

	writer->step = step->kind;
	ts_store_rewind(step->store);
	more = ts_store_next(step->store, &row, &bytes);
	while (more)
	{
		Batch		batch = {.op = step->op, .mask = row.mask};
		int			limit = writer->single_from >= 0 && writer->batch >= writer->single_from ? 1 : ts_batch_rows;
		Size		size = 0;
		MemoryContext next;

		CHECK_FOR_INTERRUPTS();
		batch.rows = palloc(sizeof(TsChange) * limit);
		do
		{
			batch.rows[batch.n++] = row;
			size += bytes;
			more = ts_store_next(step->store, &row, &bytes);
		} while (more && batch.n < limit && size < TS_BATCH_BYTES &&
				 memcmp(row.mask, batch.mask, writer->link->ncolumns) == 0);
		write_batch(writer, &batch);
		total += batch.n;
		if (!more)
			break;
		/* the first row of the next batch outlives this one's memory */
		next = AllocSetContextCreate(writer->context, "tracksync batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(next);
		row = copy_change(writer->link, step->op, writer->text_keys, &row);
		MemoryContextDelete(writer->batch_context);
		writer->batch_context = next;
	}
	writer->step = NULL;
	writer->first_key = writer->last_key = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->batch_context);
	return total;
}
