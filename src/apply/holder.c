/* holder.c: who has the values that rows are to get. */
#include "postgres.h"

#include "utils/memutils.h"

#include "apply/holder.h"
#include "link/unique.h"
#include "plan/holders.h"

/* The target's constraints, as they are now. */
static List *
uniques(TsWriter *writer)
{
	if (!writer->uniques_known)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);

		writer->link->uniques = ts_unique_constraints(writer->link);
		writer->uniques_known = true;
		MemoryContextSwitchTo(old);
	}
	return writer->link->uniques;
}

bool
ts_holder_matters(TsWriter *writer, TsChangeOp op, const unsigned char *mask)
{
	ListCell   *lc;

	foreach(lc, uniques(writer))
		if (ts_holders_matter(writer->link, lfirst(lc), op, mask))
			return true;
	return false;
}

static void
note_taken(void *arg, int ncolumns, char *const *values)
{
	((bool *) arg)[strtol(values[0], NULL, 10)] = true;
}

bool *
ts_holder_taken(TsWriter *writer, const TsBatch *batch)
{
	bool	   *taken = palloc0(sizeof(bool) * batch->n);

	ts_batch_execute(writer, ts_batch_statement(writer, TS_STATEMENT_HOLDERS, batch->op, batch->mask), batch, batch->n, ts_batch_all(batch->n),
					 note_taken, taken);
	return taken;
}

typedef struct Holder
{
	const TsWriter *writer;
	const char *constraint;
	char	   *key;
	bool		sure;
} Holder;

static void
note_holder(void *arg, int ncolumns, char *const *values)
{
	Holder	   *holder = arg;
	const TsUnique *unique = list_nth(holder->writer->link->uniques, strtol(values[2], NULL, 10));

	if (holder->sure)
		return;
	/* that of a partition has another name */
	holder->sure = holder->constraint != NULL && strcmp(holder->constraint, unique->name) == 0;
	holder->key = pstrdup(values[3]);
}

char *
ts_holder_find(TsWriter *writer, const ErrorData *error)
{
	TsBatch		batch = {.op = writer->op, .mask = writer->row.mask, .n = 1, .rows = &writer->row};
	Holder		holder = {.writer = writer, .constraint = error->constraint_name};

	if (writer->op == TS_CHANGE_DELETE || writer->batch_size != 1 || !ts_holder_matters(writer, batch.op, batch.mask))
		return NULL;
	ts_batch_execute(writer, ts_batch_statement(writer, TS_STATEMENT_HOLDERS, batch.op, batch.mask), &batch, 1, ts_batch_all(1), note_holder, &holder);
	return holder.key;
}
