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
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "apply/acted.h"
#include "apply/arrays.h"
#include "apply/fitting.h"
#include "apply/flight.h"
#include "apply/images.h"
#include "apply/policy.h"
#include "apply/quarantine.h"
#include "apply/settle.h"
#include "apply/tangle.h"
#include "base/catalog.h"
#include "base/settings.h"
#include "link/back.h"
#include "plan/key.h"
#include "base/srf.h"

/* What a statement takes where rows should not be spread over several. */
#define TS_WHOLE_ROWS 1000000
#define TS_WHOLE_BYTES ((Size) 256 * 1024 * 1024)

typedef struct Built
{
	TsStatement *stmt;
	unsigned char *mask;
} Built;

TsWriter *
ts_writer_begin(TsPlan *plan, TsTarget *target, bool careful, bool probing, int64 single_from)
{
	TsWriter   *writer = palloc0(sizeof(TsWriter));

	writer->link = plan->link;
	writer->target = target;
	writer->text_keys = plan->text_keys;
	writer->compared = plan->compared;
	writer->careful = careful;
	writer->probing = probing;
	writer->single_from = single_from;
	writer->back = ts_link_back(plan->link) != TS_BACK_NONE;
	writer->tracked = ts_link_target_is_tracked(plan->link);
	writer->context = CurrentMemoryContext;
	writer->batch_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync batch", ALLOCSET_DEFAULT_SIZES);
	return writer;
}

TsStatement *
ts_batch_statement(TsWriter *writer, TsStatementKind kind, TsChangeOp op, const unsigned char *mask)
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

uint64
ts_batch_execute(TsWriter *writer, TsStatement *stmt, const TsBatch *batch, int n, const int *chosen, TsRowFunction row, void *arg)
{
	ts_flight_land_all(writer);
	return writer->target->ops->execute(writer->target, stmt, ts_arrays_build(writer->link, stmt, batch->rows, n, chosen), row, arg);
}

static bool
is_cast(const TsColumn *col)
{
	return col->target_type != col->source_declared || col->target_typmod != col->source_typmod;
}

/* Can JSON show what the target held before? As the target's own value, where the source has another. */
static bool
describe_before(const TsLink *link, int column, bool known, Oid *type, Datum *value, bool *isnull)
{
	const TsColumn *col = &link->columns[column];

	if (!known || col->bridge == TS_BRIDGE_NONE || *isnull)
		return known && (col->bridge != TS_BRIDGE_NONE || ts_policy_same_in_json(col));
	*type = col->target_base;
	*value = ts_fitting_value(link, column, *value, isnull);
	return !*isnull;
}

/* A row of the batch as JSON. */
char *
ts_batch_describe(TsWriter *writer, const TsChange *row, TsChangeOp op, TsDescribed what, int limit)
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
		bool		old = op == TS_CHANGE_DELETE || what == DESCRIBE_OLD || what == DESCRIBE_OLD_KEY || (what == DESCRIBE_BEFORE && (row->mask[i] & TS_COLUMN_KNOWN) != 0);

		names[i] = link->columns[i].target_name;
		types[i] = ts_value_type(link, i, op, writer->text_keys).type;
		values[i] = old ? row->old_values[i] : row->new_values[i];
		nulls[i] = old ? row->old_nulls[i] : row->new_nulls[i];
		/* what a comparison found is text of the target's type */
		if (writer->text_keys && op == TS_CHANGE_DELETE && link->columns[i].is_key && !nulls[i])
		{
			types[i] = link->columns[i].target_base;
			values[i] = ts_key_target_datum(&link->columns[i], TextDatumGetCString(values[i]));
		}
		/* of an UPDATE only what it writes may be there */
		include[i] = old ? (row->mask[i] & TS_COLUMN_KNOWN) != 0 : op == TS_CHANGE_INSERT || (row->mask[i] & TS_COLUMN_CHANGED) != 0;
		if (what == DESCRIBE_CAST)
			include[i] &= is_cast(&link->columns[i]);
		else if (what == DESCRIBE_WHOLE)
			include[i] = true;
		else if (what == DESCRIBE_BEFORE)
			include[i] = describe_before(link, i, old ? (row->mask[i] & TS_COLUMN_KNOWN) != 0 : (row->mask[i] & TS_COLUMN_CHANGED) == 0,
										 &types[i], &values[i], &nulls[i]);
		else if (what != DESCRIBE_OLD)
			include[i] = link->columns[i].is_key || (what == DESCRIBE_ROW && include[i]);
		any |= include[i];
	}
	if (!any)
		return NULL;
	return ts_to_json_text(n, names, types, values, nulls, include, limit);
}

static void
note_written(void *arg, int ncolumns, char *const *values)
{
	((TsBatch *) arg)->found[strtoll(values[0], NULL, 10)].done = true;
}

static const TsStatementKind fast[TS_CHANGE_OPS] = {
	[TS_CHANGE_DELETE] = TS_STATEMENT_DELETE,
	[TS_CHANGE_UPDATE] = TS_STATEMENT_UPDATE,
	[TS_CHANGE_INSERT] = TS_STATEMENT_INSERT_ALL,
};

TsStatement *
ts_batch_fast(TsWriter *writer, const TsBatch *batch)
{
	return ts_batch_statement(writer, fast[batch->op], batch->op, batch->mask);
}

/* Without a statement, where the target can and knows what is meant. */
static bool
write_directly(TsWriter *writer, TsBatch *batch, uint64 *done)
{
	TsWrite		write = {.op = batch->op, .mask = batch->mask, .n = batch->n, .rows = batch->rows};

	if (writer->target->ops->write == NULL || writer->probing || batch->rows[0].moved ||
		(batch->op == TS_CHANGE_DELETE && (writer->text_keys || writer->link->shared != TS_SHARED_NOT)) ||
		(batch->op == TS_CHANGE_UPDATE && writer->link->shared == TS_SHARED) ||
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

int *
ts_batch_all(int n)
{
	int		   *all = palloc(sizeof(int) * n);

	for (int i = 0; i < n; i++)
		all[i] = i;
	return all;
}

char *
ts_batch_describe_key(TsWriter *writer, const TsChange *change)
{
	return ts_batch_describe(writer, change, change->op, DESCRIBE_KEY, INT_MAX);
}

void
ts_batch_announce(TsWriter *writer, const TsBatch *batch)
{
	writer->batch_size = batch->n;
	writer->row = batch->rows[0];
	writer->first_key = ts_batch_describe(writer, &batch->rows[0], batch->op, DESCRIBE_KEY, 200);
	writer->last_key = ts_batch_describe(writer, &batch->rows[batch->n - 1], batch->op, DESCRIBE_KEY, 200);
	writer->cast = batch->n == 1 && batch->op != TS_CHANGE_DELETE ? ts_batch_describe(writer, &batch->rows[0], batch->op, DESCRIBE_CAST, 500) : NULL;
}

void
ts_batch_write(TsWriter *writer, TsBatch *batch)
{
	int		   *all = ts_batch_all(batch->n);
	uint64		done;

	batch->found = palloc0(sizeof(TsFound) * batch->n);
	ts_batch_announce(writer, batch);
	writer->batch++;
	if (batch->op == TS_CHANGE_INSERT && writer->careful)
		done = 0;				/* whichever are there: they are looked at first */
	else if (!write_directly(writer, batch, &done))
		done = ts_batch_execute(writer, ts_batch_fast(writer, batch), batch, batch->n, all, batch->op != TS_CHANGE_INSERT ? note_written : NULL, batch);
	if (done != (uint64) batch->n)
		ts_settle(writer, batch, all);
}

TsChange
ts_batch_copy(const TsWriter *writer, TsChangeOp op, const TsChange *from)
{
	const TsLink *link = writer->link;
	TsChange	to;

	ts_change_init(&to, link->ncolumns);
	to.op = op;
	to.moved = from->moved;
	to.in_circle = from->in_circle;
	to.maybe = from->maybe;
	memcpy(to.mask, from->mask, link->ncolumns);
	memcpy(to.new_nulls, from->new_nulls, link->ncolumns);
	memcpy(to.old_nulls, from->old_nulls, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsValueType type = ts_value_type(link, i, op, writer->text_keys);

		if (op != TS_CHANGE_DELETE && !from->new_nulls[i])
			to.new_values[i] = datumCopy(from->new_values[i], type.byval, type.len);
		if ((from->mask[i] & TS_COLUMN_KNOWN) && !from->old_nulls[i])
			to.old_values[i] = datumCopy(from->old_values[i], type.byval, type.len);
	}
	return to;
}

/* How many rows a statement of the step takes at most. */
static int
batch_limit(const TsWriter *writer, const TsStep *step)
{
	if (writer->single_from >= 0 && writer->batch >= writer->single_from)
		return 1;
	return writer->whole ? (int) Min(step->rows + 1, TS_WHOLE_ROWS) : ts_batch_rows;
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
	writer->op = step->op;
	ts_store_rewind(step->store);
	more = ts_store_next(step->store, &row, &bytes);
	while (more)
	{
		TsBatch		batch = {.op = step->op, .mask = row.mask};
		int			limit = batch_limit(writer, step);
		Size		bytes_limit = writer->whole ? TS_WHOLE_BYTES : TS_BATCH_BYTES;
		Size		size = 0;
		bool		flown = false;
		MemoryContext next;

		CHECK_FOR_INTERRUPTS();
		batch.rows = palloc(sizeof(TsChange) * limit);
		do
		{
			batch.rows[batch.n++] = row;
			size += bytes;
			more = ts_store_next(step->store, &row, &bytes);
		} while (more && batch.n < limit && size < bytes_limit && row.in_circle == batch.rows[0].in_circle &&
				 memcmp(row.mask, batch.mask, writer->link->ncolumns) == 0);
		if (writer->acted != NULL)
			ts_acted_forget(writer, &batch);
		writer->takes_away |= step->op == TS_CHANGE_DELETE || batch.rows[0].moved;
		if (writer->disputed != NIL)
			total += ts_images_settle(writer, &batch);
		if (batch.n > 0 && step->op == TS_CHANGE_UPDATE)
		{
			ts_batch_announce(writer, &batch);
			(writer->probing ? ts_quarantine_take : ts_tangle_take) (writer, &batch);
		}
		if (batch.n == 0)
			;					/* all settled, or put by */
		else if (writer->probing)
			total += ts_quarantine_write(writer, &batch);
		else if (ts_flight_stream(writer, &batch))
			total += batch.n;
		else if (ts_flight_can(writer, &batch))
		{
			total += batch.n;
			ts_flight_send(writer, &batch, writer->batch_context);
			flown = true;
		}
		else
		{
			ts_batch_write(writer, &batch);
			total += batch.n;
		}
		if (!more && !flown)
			break;
		/* the first row of the next batch outlives this one's memory */
		next = AllocSetContextCreate(writer->context, "tracksync batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(next);
		if (more)
			row = ts_batch_copy(writer, step->op, &row);
		if (!flown)
			MemoryContextDelete(writer->batch_context);
		writer->batch_context = next;
		writer->first_key = writer->last_key = NULL;
	}
	ts_flight_land_all(writer);
	if (writer->kept != NIL || writer->kept_new != NIL)
		elog(ERROR, "rows that a policy decided were not written");
	writer->step = NULL;
	writer->first_key = writer->last_key = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->batch_context);
	return total;
}
