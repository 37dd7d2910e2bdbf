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

/* Is it the row's fault? Not a cancel, a time-out, a lost lock, a full disk, a conflict with other sessions, a bug or a function that is gone. */
static bool
is_about_rows(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('2', '2', '0', '0', '0'), MAKE_SQLSTATE('2', '3', '0', '0', '0'), MAKE_SQLSTATE('4', '4', '0', '0', '0'),
		MAKE_SQLSTATE('P', '0', '0', '0', '0'), MAKE_SQLSTATE('0', '9', '0', '0', '0'), MAKE_SQLSTATE('2', '7', '0', '0', '0'),
		MAKE_SQLSTATE('5', '4', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	return sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE;	/* a policy of row security */
}

/* What a trial must put back. */
typedef struct Before
{
	MemoryContext context;
	ResourceOwner owner;
	TsConflicts conflicts;
	List	   *kept;
} Before;

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

static Before
begin_trial(const TsWriter *writer)
{
	Before		before = {CurrentMemoryContext, CurrentResourceOwner, writer->conflicts, writer->kept};

	before.conflicts.listed = list_copy(before.conflicts.listed);
	before.kept = list_copy(before.kept);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(before.context);
	return before;
}

static void
undo_trial(TsWriter *writer, const Before *before)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(before->context);
	CurrentResourceOwner = before->owner;
	writer->conflicts = before->conflicts;
	writer->kept = before->kept;
}

/* Does the target take these rows? NULL if it does: then they are written. */
static ErrorData *
try_rows(TsWriter *writer, const TsBatch *batch, int low, int high)
{
	TsBatch		part = part_of(batch, low, high);
	ErrorData  *volatile error = NULL;
	Before		before = begin_trial(writer);

	PG_TRY();
	{
		ts_batch_write(writer, &part);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(before.context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error == NULL)
	{
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(before.context);
		CurrentResourceOwner = before.owner;
		return NULL;
	}
	undo_trial(writer, &before);
	if (writer->deciding || !is_about_rows(error->sqlerrcode))
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
	MemoryContextSwitchTo(old);
}

/* Finds the pieces of the rows low … high - 1 that the target takes: all of them, or what it takes of each half. */
static List *
find_pieces(TsWriter *writer, const TsBatch *batch, int low, int high, List *pieces)
{
	ErrorData  *error = try_rows(writer, batch, low, high);

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
		note_bad(writer, batch, low, error);
		return pieces;
	}
	pieces = find_pieces(writer, batch, low, (low + high) / 2, pieces);
	return find_pieces(writer, batch, (low + high) / 2, high, pieces);
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
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		const TsBad *why = find_excluded(writer, ts_batch_describe(writer, &batch->rows[i], batch->op, DESCRIBE_KEY, INT_MAX));
		ErrorData	error = {0};

		if (why == NULL)
		{
			batch->rows[n++] = batch->rows[i];
			continue;
		}
		if (batch->rows[i].moved)
			ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION), errmsg("%s", why->message)));
		error.sqlerrcode = ERRCODE_FOREIGN_KEY_VIOLATION;
		error.message = why->message;
		error.constraint_name = why->constraint;
		note_bad(writer, batch, i, &error);
	}
	batch->n = n;
}

/* The pieces of the batch that the target takes; nothing is written. */
static List *
try_batch(TsWriter *writer, const TsBatch *batch)
{
	Before		before = begin_trial(writer);
	List	   *volatile pieces = NIL;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		/* no events of triggers stay behind: they have a level of their own, which goes with the subtransaction */
		writer->target->ops->probe(writer->target);
		pieces = find_pieces(writer, batch, 0, batch->n, NIL);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(before.context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	undo_trial(writer, &before);
	if (error != NULL)
		ReThrowError(error);
	return pieces;
}

int
ts_quarantine_write(TsWriter *writer, TsBatch *batch)
{
	List	   *pieces;
	ListCell   *lc;
	int			written = 0;

	if (writer->excluded != NIL)
		leave_out(writer, batch);
	if (batch->n == 0)
		return 0;
	pieces = try_batch(writer, batch);
	/* the same once more, in the same order, and to stay */
	foreach(lc, pieces)
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
