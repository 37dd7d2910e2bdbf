/* quarantine.c: rows that the target does not take. */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "apply/quarantine.h"
#include "base/catalog.h"

/* Is it the row's fault? Not a cancel, a time-out, a lost lock, a full disk, a conflict with other sessions or a bug. */
static bool
is_about_rows(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('2', '2', '0', '0', '0'), MAKE_SQLSTATE('2', '3', '0', '0', '0'), MAKE_SQLSTATE('4', '4', '0', '0', '0'),
		MAKE_SQLSTATE('P', '0', '0', '0', '0'), MAKE_SQLSTATE('0', '9', '0', '0', '0'), MAKE_SQLSTATE('2', '7', '0', '0', '0'),
		MAKE_SQLSTATE('5', '4', '0', '0', '0'), MAKE_SQLSTATE('4', '2', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	return false;
}

/* Some rows of the batch, as a batch. */
static TsBatch
part_of(const TsBatch *batch, int n, const int *chosen)
{
	TsBatch		part = *batch;

	part.n = n;
	part.found = NULL;
	part.rows = palloc(sizeof(TsChange) * (n + 1));
	for (int i = 0; i < n; i++)
		part.rows[i] = batch->rows[chosen[i]];
	return part;
}

/* Does the target take these rows? NULL if it does. Nothing is left of the trial. */
static ErrorData *
try_rows(TsWriter *writer, const TsBatch *batch, int n, const int *chosen)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	TsConflicts conflicts = writer->conflicts;
	List	   *kept = writer->kept;
	TsBatch		part = part_of(batch, n, chosen);
	ErrorData  *volatile error = NULL;

	conflicts.listed = list_copy(conflicts.listed);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		writer->target->ops->probe(writer->target);
		ts_batch_write(writer, &part);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	writer->conflicts = conflicts;
	writer->kept = kept;
	if (error != NULL && !is_about_rows(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

static void
note_bad(TsWriter *writer, const TsBatch *batch, int i, const ErrorData *error)
{
	const TsChange *row = &batch->rows[i];
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	TsBad	   *bad = palloc0(sizeof(TsBad));

	bad->op = batch->op;
	bad->key = ts_batch_describe(writer, row, batch->op, DESCRIBE_KEY, INT_MAX);
	if (batch->op != TS_CHANGE_DELETE)
		bad->row = ts_batch_describe(writer, row, batch->op, DESCRIBE_ROW, INT_MAX);
	bad->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	bad->message = pstrdup(error->message ? error->message : "");
	bad->constraint = error->constraint_name ? pstrdup(error->constraint_name) : NULL;
	writer->bad = lappend(writer->bad, bad);
	if (row->moved)
	{
		/* the row that is there, under the key that it had */
		TsBad	   *was = palloc0(sizeof(TsBad));

		*was = *bad;
		was->key = ts_batch_describe(writer, row, TS_CHANGE_DELETE, DESCRIBE_KEY, INT_MAX);
		writer->bad = lappend(writer->bad, was);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Adds to the rows taken so far those of low … high - 1 that go together with them. All are tried at once; if they fail, a half at a time.
 */
static void
take(TsWriter *writer, const TsBatch *batch, int low, int high, int *ntaken, int *taken)
{
	ErrorData  *error;

	for (int i = low; i < high; i++)
		taken[*ntaken + i - low] = i;
	error = try_rows(writer, batch, *ntaken + high - low, taken);
	if (error == NULL)
		*ntaken += high - low;
	else if (high - low == 1)
		note_bad(writer, batch, low, error);
	else
	{
		take(writer, batch, low, (low + high) / 2, ntaken, taken);
		take(writer, batch, (low + high) / 2, high, ntaken, taken);
	}
}

static const TsBad *
find_excluded(const TsWriter *writer, const char *key)
{
	ListCell   *lc;

	foreach(lc, writer->excluded)
		if (strcmp(((TsBad *) lfirst(lc))->key, key) == 0)
			return lfirst(lc);
	return NULL;
}

/* Rows that are known not to go. */
static void
leave_out(TsWriter *writer, TsBatch *batch)
{
	int		   *left = palloc(sizeof(int) * (batch->n + 1));
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		const TsBad *why = find_excluded(writer, ts_batch_describe(writer, &batch->rows[i], batch->op, DESCRIBE_KEY, INT_MAX));
		ErrorData	error = {0};

		if (why == NULL)
		{
			left[n++] = i;
			continue;
		}
		error.sqlerrcode = ERRCODE_FOREIGN_KEY_VIOLATION;
		error.message = why->message;
		error.constraint_name = why->constraint;
		note_bad(writer, batch, i, &error);
	}
	*batch = part_of(batch, n, left);
}

void
ts_quarantine_filter(TsWriter *writer, TsBatch *batch)
{
	int		   *taken = palloc(sizeof(int) * (batch->n + 1));
	int			n = 0;

	if (writer->excluded != NIL)
		leave_out(writer, batch);
	if (batch->n == 0)
		return;
	take(writer, batch, 0, batch->n, &n, taken);
	if (n < batch->n)
		*batch = part_of(batch, n, taken);
}

void
ts_quarantine_record(const TsLink *link, List *bad)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	static const char *const ops[TS_CHANGE_OPS] = {"DELETE", "UPDATE", "INSERT"};
	Datum		values[7] = {CStringGetTextDatum(link->name)};
	ListCell   *lc;

	ts_sql("UPDATE tracksync.quarantine_record SET attempts = -attempts WHERE link = $1", SPI_OK_UPDATE, 1, types, values, NULL);
	foreach(lc, bad)
	{
		const TsBad *b = lfirst(lc);
		char		nulls[8] = "       ";

		values[1] = CStringGetTextDatum(b->key);
		values[2] = CStringGetTextDatum(ops[b->op]);
		values[3] = CStringGetTextDatum(b->sqlstate);
		values[4] = CStringGetTextDatum(b->message);
		nulls[5] = b->constraint ? ' ' : 'n';
		values[5] = b->constraint ? CStringGetTextDatum(b->constraint) : (Datum) 0;
		nulls[6] = b->row ? ' ' : 'n';
		values[6] = b->row ? CStringGetTextDatum(b->row) : (Datum) 0;
		ts_sql("INSERT INTO tracksync.quarantine_record AS q (link, key, op, sqlstate, message, constraint_name, row_values) "
			   "VALUES ($1, $2::jsonb, $3, $4, $5, $6, $7::jsonb) ON CONFLICT (link, key) DO UPDATE SET op = excluded.op, "
			   "sqlstate = excluded.sqlstate, message = excluded.message, constraint_name = excluded.constraint_name, "
			   "row_values = excluded.row_values, tried = excluded.tried, attempts = abs(q.attempts) + 1, released = false",
			   SPI_OK_INSERT, 7, types, values, nulls);
	}
	/* the others were taken */
	ts_sql("DELETE FROM tracksync.quarantine_record WHERE link = $1 AND attempts < 0", SPI_OK_DELETE, 1, types, values, NULL);
}
