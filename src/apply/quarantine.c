/* quarantine.c: rows that the target does not take. */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "apply/holder.h"
#include "apply/quarantine.h"
#include "apply/tangle.h"
#include "base/attempt.h"
#include "base/catalog.h"

/* Is it the row's fault? */
static bool
is_about_rows(int sqlstate)
{
	if (ts_error_is_about_values(sqlstate))
		return true;
	/* a policy of row security; rows that cannot exchange their values */
	return sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE || sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED;
}

/* A run of rows of the batch that the target takes in one go. */
typedef struct Piece
{
	int			low;
	int			high;
} Piece;

/* The rows low … high - 1 of the batch, as a batch. */
static TsBatch
part_of(const TsBatch *batch, int low, int high)
{
	TsBatch		part = *batch;

	part.n = high - low;
	part.found = NULL;
	part.rows = batch->rows + low;
	return part;
}

/* As ts_attempt; what the writer noted goes with what is undone, and errors that are not about rows are thrown. */
static ErrorData *
attempt(TsWriter *writer, void (*work) (void *), void *arg, bool undo)
{
	/* what is put back outlives the batch */
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	TsConflicts conflicts = writer->conflicts;
	List	   *listed = list_copy(conflicts.listed);
	List	   *kept = list_copy(writer->kept);
	List	   *kept_new = list_copy(writer->kept_new);
	ErrorData  *error;

	MemoryContextSwitchTo(old);
	error = ts_attempt(work, arg, undo);

	if (error != NULL || undo)
	{
		writer->conflicts = conflicts;
		writer->conflicts.listed = listed;
		writer->kept = kept;
		writer->kept_new = kept_new;
	}
	if (error != NULL && (writer->deciding || !is_about_rows(error->sqlerrcode)))
		ReThrowError(error);
	return error;
}

void
ts_quarantine_note(TsWriter *writer, TsChangeOp op, const TsChange *row, const ErrorData *error)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	TsBad	   *bad = palloc0(sizeof(TsBad));

	bad->op = op;
	bad->key = ts_batch_describe(writer, row, op, DESCRIBE_KEY, INT_MAX);
	if (op != TS_CHANGE_DELETE)
		bad->row = ts_batch_describe(writer, row, op, DESCRIBE_ROW, INT_MAX);
	if (op != TS_CHANGE_INSERT && !writer->compared && !writer->text_keys)
		bad->before = ts_batch_describe(writer, row, op, DESCRIBE_BEFORE, INT_MAX);
	bad->sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	bad->message = pstrdup(error->message ? error->message : "");
	bad->constraint = error->constraint_name ? pstrdup(error->constraint_name) : NULL;
	writer->bad = lappend(writer->bad, bad);
	MemoryContextSwitchTo(old);
}

bool
ts_quarantine_exclude(TsWriter *writer, const char *key, int sqlstate, const char *constraint, const char *why)
{
	MemoryContext old;
	TsBad	   *bad;
	ListCell   *lc;

	foreach(lc, writer->excluded)
		if (strcmp(((TsBad *) lfirst(lc))->key, key) == 0)
			return false;
	/* for a reason of its own */
	foreach(lc, writer->bad)
		if (strcmp(((TsBad *) lfirst(lc))->key, key) == 0)
			return false;
	old = MemoryContextSwitchTo(writer->context);
	bad = palloc0(sizeof(TsBad));
	bad->key = pstrdup(key);
	bad->sqlstate = pstrdup(unpack_sql_state(sqlstate));
	bad->message = pstrdup(why);
	bad->constraint = pstrdup(constraint);
	writer->excluded = lappend(writer->excluded, bad);
	MemoryContextSwitchTo(old);
	return true;
}

ErrorData *
ts_quarantine_excluded(TsWriter *writer, TsChangeOp op, const TsChange *row)
{
	char	   *key = ts_batch_describe(writer, row, op, DESCRIBE_KEY, INT_MAX);
	ListCell   *lc;

	foreach(lc, writer->excluded)
	{
		const TsBad *bad = lfirst(lc);
		ErrorData  *error;

		if (strcmp(bad->key, key) != 0)
			continue;
		error = palloc0(sizeof(ErrorData));
		error->sqlerrcode = MAKE_SQLSTATE(bad->sqlstate[0], bad->sqlstate[1], bad->sqlstate[2], bad->sqlstate[3], bad->sqlstate[4]);
		error->message = bad->message;
		error->constraint_name = bad->constraint;
		return error;
	}
	return NULL;
}

/* Rows that are known not to go. */
static void
leave_out(TsWriter *writer, TsBatch *batch)
{
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		ErrorData  *why = ts_quarantine_excluded(writer, batch->op, &batch->rows[i]);

		if (why == NULL)
			batch->rows[n++] = batch->rows[i];
		else if (batch->rows[i].moved)
			ereport(ERROR, (errcode(why->sqlerrcode), errmsg("%s", why->message)));
		else
			ts_quarantine_note(writer, batch->op, &batch->rows[i], why);
	}
	batch->n = n;
}

/* Some of a batch. */
typedef struct Some
{
	TsWriter   *writer;
	TsBatch		batch;
} Some;

static void
take_some(void *arg)
{
	Some	   *some = arg;

	ts_tangle_take(some->writer, &some->batch);
}

void
ts_quarantine_take(TsWriter *writer, TsBatch *batch)
{
	Some		all = {.writer = writer};
	int			n = 0;

	if (writer->excluded != NIL)
		leave_out(writer, batch);
	if (batch->n == 0)
		return;
	all.batch = *batch;
	if (attempt(writer, take_some, &all, false) == NULL)
	{
		batch->n = all.batch.n;
		return;
	}
	for (int i = 0; i < batch->n; i++)
	{
		Some		one = {writer, part_of(batch, i, i + 1)};

		if (attempt(writer, take_some, &one, false) != NULL || one.batch.n == 1)
			batch->rows[n++] = batch->rows[i];
	}
	batch->n = n;
}

static void
write_some(void *arg)
{
	Some	   *some = arg;

	ts_batch_write(some->writer, &some->batch);
}

List *
ts_quarantine_refused(TsWriter *writer, const TsPlan *plan)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync refused", ALLOCSET_DEFAULT_SIZES);

	writer->bad = NIL;
	for (int op = 0; op < TS_CHANGE_OPS; op++)
	{
		ListCell   *lc;

		if (plan->refused.stores[op] != NULL)
			ts_store_rewind(plan->refused.stores[op]);
		foreach(lc, plan->refused.why[op])
		{
			const TsRefusal *why = lfirst(lc);
			ErrorData	error = {.sqlerrcode = ERRCODE_CHECK_VIOLATION, .message = why->message, .constraint_name = why->rule};
			MemoryContext old = MemoryContextSwitchTo(context);
			TsChange	row;
			Size		bytes;

			if (!ts_store_next(plan->refused.stores[op], &row, &bytes))
				elog(ERROR, "a row that breaks a rule is gone");
			ts_quarantine_note(writer, (TsChangeOp) op, &row, &error);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
	}
	MemoryContextDelete(context);
	return writer->bad;
}

/* Of a value that is taken: who has it. */
static void
name_holder(TsWriter *writer, ErrorData *error)
{
	char	   *holder = NULL;

	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION)
		holder = ts_holder_find(writer, error);
	if (holder != NULL)
		error->message = psprintf("%s: row %s has it", error->message, holder);
}

/* Finds the pieces of the rows low … high - 1 that the target takes: all of them, or what it takes of each half. */
static List *
find_pieces(TsWriter *writer, const TsBatch *batch, int low, int high, List *pieces)
{
	Some		some = {writer, part_of(batch, low, high)};
	ErrorData  *error = attempt(writer, write_some, &some, false);

	if (error == NULL)
	{
		Piece	   *piece = palloc(sizeof(Piece));

		*piece = (Piece) {low, high};
		return lappend(pieces, piece);
	}
	if (high - low == 1)
	{
		/* it would come back as a DELETE and an INSERT, of which only the one fails */
		if (batch->rows[low].moved)
			ReThrowError(error);
		name_holder(writer, error);
		ts_quarantine_note(writer, batch->op, &batch->rows[low], error);
		return pieces;
	}
	pieces = find_pieces(writer, batch, low, (low + high) / 2, pieces);
	return find_pieces(writer, batch, (low + high) / 2, high, pieces);
}

/* Work, and whose. */
typedef struct Trial
{
	TsWriter   *writer;
	void		(*work) (void *);
	void	   *arg;
} Trial;

static void
try_work(void *arg)
{
	Trial	   *trial = arg;

	/* no events of triggers stay behind: they have a level of their own, which goes with the subtransaction */
	trial->writer->target->ops->probe(trial->writer->target);
	trial->work(trial->arg);
}

ErrorData *
ts_quarantine_trial(TsWriter *writer, void (*work) (void *), void *arg)
{
	Trial		trial = {writer, work, arg};

	return attempt(writer, try_work, &trial, true);
}

/* A batch, and the pieces of it that the target takes. */
typedef struct Probed
{
	TsWriter   *writer;
	const TsBatch *batch;
	List	   *pieces;
} Probed;

static void
probe(void *arg)
{
	Probed	   *probed = arg;

	probed->pieces = find_pieces(probed->writer, probed->batch, 0, probed->batch->n, NIL);
}

int
ts_quarantine_write(TsWriter *writer, TsBatch *batch)
{
	Probed		probed = {writer, batch, NIL};
	ErrorData  *error;
	ListCell   *lc;
	int			written = 0;

	if (writer->excluded != NIL)
		leave_out(writer, batch);
	if (batch->n == 0)
		return 0;
	error = ts_quarantine_trial(writer, probe, &probed);
	if (error != NULL)
		ReThrowError(error);
	/* the same once more, in the same order, and to stay */
	foreach(lc, probed.pieces)
	{
		const Piece *piece = lfirst(lc);
		TsBatch		part = part_of(batch, piece->low, piece->high);

		ts_batch_write(writer, &part);
		written += part.n;
	}
	return written;
}

void
ts_quarantine_record(const TsLink *link, List *bad)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	static const char *const ops[TS_CHANGE_OPS] = {"DELETE", "UPDATE", "INSERT"};
	Datum		values[8] = {CStringGetTextDatum(link->name)};
	ListCell   *lc;

	ts_sql("UPDATE tracksync.quarantine_record SET attempts = -attempts WHERE link = $1", SPI_OK_UPDATE, 1, types, values, NULL);
	foreach(lc, bad)
	{
		const TsBad *b = lfirst(lc);
		char		nulls[9] = "        ";

		values[1] = CStringGetTextDatum(b->key);
		values[2] = CStringGetTextDatum(ops[b->op]);
		values[3] = CStringGetTextDatum(b->sqlstate);
		values[4] = CStringGetTextDatum(b->message);
		nulls[5] = b->constraint ? ' ' : 'n';
		values[5] = b->constraint ? CStringGetTextDatum(b->constraint) : (Datum) 0;
		nulls[6] = b->row ? ' ' : 'n';
		values[6] = b->row ? CStringGetTextDatum(b->row) : (Datum) 0;
		nulls[7] = b->image ? ' ' : 'n';
		values[7] = b->image ? CStringGetTextDatum(b->image) : (Datum) 0;
		ts_sql("INSERT INTO tracksync.quarantine_record AS q (link, key, op, sqlstate, message, constraint_name, row_values, image) "
			   "VALUES ($1, $2::jsonb, $3, $4, $5, $6, $7::jsonb, $8::jsonb) ON CONFLICT (link, key) DO UPDATE SET op = excluded.op, "
			   "sqlstate = excluded.sqlstate, message = excluded.message, constraint_name = excluded.constraint_name, "
			   "row_values = excluded.row_values, tried = excluded.tried, attempts = abs(q.attempts) + 1, released = false",
			   SPI_OK_INSERT, 8, types, values, nulls);
	}
	/* the others were taken */
	ts_sql("DELETE FROM tracksync.quarantine_record WHERE link = $1 AND attempts < 0", SPI_OK_DELETE, 1, types, values, NULL);
}
