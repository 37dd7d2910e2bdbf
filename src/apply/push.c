/*
 * push.c: running the plans of one or several links.
 *
 * The data steps run in one subtransaction. The first attempt takes it that the keys to be inserted are not there; if one is,
 * all is rolled back and run once more, with a look at each. If another batch fails they are rolled back and run once more, row
 * by row from the failing batch on: either the failing row names itself in the error, or the push succeeds after all.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "apply/alter.h"
#include "apply/batch.h"
#include "apply/push.h"
#include "apply/quarantine.h"
#include "base/catalog.h"
#include "base/sequence.h"
#include "link/mapping.h"
#include "log/shape.h"
#include "log/survivor.h"

/* One attempt at a link. */
typedef struct LinkRun
{
	TsPlan	   *plan;
	Relation	source;
	TsTarget   *target;
	TsWriter   *writer;
	Oid			existing;		/* the target before the push */
	char	   *deferred;		/* sets its constraints back */
	bool		careful;
	bool		probing;
	int64		single_from;
	bool		altered;
} LinkRun;

typedef struct Run
{
	TsPushed   *pushed;
	int			n;
	LinkRun    *links;
	LinkRun    *at;				/* the one being worked on; NULL: all */
	bool		references;		/* look for rows that wait with rows in quarantine */
} Run;

/* Raised when all has to be done once more without rows that were found just now. */
#define ERRCODE_ONCE_MORE MAKE_SQLSTATE('T', 'S', '0', '0', '1')

/* Where the push was when an error came: link, step, table and key. */
static char *
describe_place(const Run *run)
{
	const TsWriter *writer = run->at ? run->at->writer : NULL;
	char	   *where;

	if (writer == NULL && run->n == 1)
		writer = run->links[0].writer;
	where = writer == NULL ? psprintf("push of group \"%s\"", run->pushed->group) :
		psprintf("push of link \"%s\" to table %s", writer->link->name, ts_link_target(writer->link));
	if (run->at == NULL)
		return psprintf("%s, at the end, when constraints are checked and triggers fire", where);
	if (writer->step == NULL)
		return where;
	where = psprintf("%s, step %d (%s)", where, writer->number, writer->step);
	if (writer->first_key == NULL)
		return where;
	if (writer->batch_size == 1)
		return psprintf("%s, key %s%s%s", where, writer->first_key, writer->cast ? ", values to be cast " : "",
						writer->cast ? writer->cast : "");
	return psprintf("%s, one of %d rows with keys from %s to %s", where, writer->batch_size, writer->first_key, writer->last_key);
}

static bool
is_data_step(const TsStep *step)
{
	switch (step->priority)
	{
		case TS_PRIORITY_DELETE:
		case TS_PRIORITY_UPDATE:
		case TS_PRIORITY_INSERT:
			return true;
		case TS_PRIORITY_CREATE_TABLE:
		case TS_PRIORITY_RENAME_COLUMN:
		case TS_PRIORITY_DROP_COLUMN:
		case TS_PRIORITY_ADD_COLUMN:
		case TS_PRIORITY_ALTER_COLUMN:
		case TS_PRIORITY_SEQUENCE:
			return false;
	}
	return false;
}

/* Creates and alters the targets. */
static void
run_schema_steps(Run *run)
{
	TsMerged   *merged = run->pushed->merged;

	for (int i = 0; i < merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(merged, i);
		TimestampTz started = GetCurrentTimestamp();

		run->pushed->done[i].rows = step->rows;
		run->pushed->done[i].microseconds = 0;
		if (step->before == NULL && step->priority != TS_PRIORITY_CREATE_TABLE)
			continue;
		run->at = &run->links[merged->steps[i].plan];
		run->at->writer->step = step->kind;
		run->at->writer->number = i + 1;
		ts_alter_before(run->at->writer, step);
		run->at->writer->step = NULL;
		run->at->altered = true;
		run->pushed->done[i].microseconds = Max(GetCurrentTimestamp() - started, 1);
	}
	for (int i = 0; i < run->n; i++)
	{
		run->at = &run->links[i];
		ts_alter_done(run->at->writer, run->at->source, run->at->altered);
	}
}

/* Deletes, updates and inserts of all links. */
static void
run_data_steps(Run *run)
{
	TsMerged   *merged = run->pushed->merged;

	for (int i = 0; i < merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(merged, i);
		TimestampTz started = GetCurrentTimestamp();

		if (!is_data_step(step))
			continue;
		run->at = &run->links[merged->steps[i].plan];
		run->at->writer->number = i + 1;
		run->pushed->done[i].rows = ts_writer_step(run->at->writer, step);
		run->pushed->done[i].microseconds = GetCurrentTimestamp() - started;
	}
}

/* What is left of the schema steps when the rows are there. */
static void
finish_schema_steps(Run *run)
{
	TsMerged   *merged = run->pushed->merged;

	for (int i = 0; i < merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(merged, i);
		TimestampTz started = GetCurrentTimestamp();

		if (step->after == NULL)
			continue;
		run->at = &run->links[merged->steps[i].plan];
		run->at->writer->step = step->kind;
		run->at->writer->number = i + 1;
		ts_alter_after(run->at->writer, step);
		run->at->writer->step = NULL;
		run->pushed->done[i].microseconds += GetCurrentTimestamp() - started;
	}
}

/* Rows that refer to one that was left out wait with it. */
static void
hold_back_references(Run *run)
{
	TsWriter  **writers = palloc(sizeof(TsWriter *) * run->n);

	for (int i = 0; i < run->n; i++)
		writers[i] = run->links[i].writer;
	if (ts_quarantine_references(run->n, writers))
		ereport(ERROR, (errcode(ERRCODE_ONCE_MORE), errmsg("rows wait with rows in quarantine")));
}

/* All steps, and the checks at their end. */
static void
run_steps(Run *run)
{
	Oid		   *targets = palloc(sizeof(Oid) * (run->n + 1));

	run_schema_steps(run);
	for (int i = 0; i < run->n; i++)
		targets[i] = run->links[i].plan->link->target;
	if (run->n > 0)
		run->links[0].target->ops->open(run->links[0].target, run->n, targets);
	for (int i = 0; i < run->n; i++)
	{
		run->at = &run->links[i];
		run->at->target->ops->begin(run->at->target);
	}
	run_data_steps(run);
	for (int i = 0; i < run->n; i++)
	{
		run->at = &run->links[i];
		ts_conflict_raise(&run->at->writer->conflicts, run->at->plan->link);
		run->at->target->ops->finish(run->at->target);
	}
	run->at = NULL;
	if (run->references)
		hold_back_references(run);
	if (run->n > 0)
		run->links[0].target->ops->close(run->links[0].target);
	for (int i = 0; i < run->n; i++)
		run->links[i].target->ops->reset(run->links[i].target);
	finish_schema_steps(run);
}

/* Can it be a row's fault? Not a cancel, a time-out, a lost lock or a full disk. */
static bool
is_worth_it(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('5', '7', '0', '0', '0'), MAKE_SQLSTATE('5', '3', '0', '0', '0'),
		MAKE_SQLSTATE('5', '5', '0', '0', '0'), MAKE_SQLSTATE('4', '0', '0', '0', '0'),
		MAKE_SQLSTATE('5', '8', '0', '0', '0'), MAKE_SQLSTATE('X', 'X', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return false;
	return true;
}

/* Is it worth finding out which row it was? */
static bool
worth_locating(const TsWriter *writer, int sqlstate)
{
	return is_worth_it(sqlstate) && writer->first_key != NULL && writer->batch_size > 1 && writer->single_from < 0;
}

typedef enum Attempt
{
	ATTEMPT_DONE,
	ATTEMPT_CAREFULLY,			/* again, looking for keys that are there already */
	ATTEMPT_PROBING,			/* again, leaving out what the target does not take */
	ATTEMPT_ROW_BY_ROW			/* again, taking the failing batch apart */
} Attempt;

static bool
has_quarantine(const Run *run)
{
	for (int i = 0; i < run->n; i++)
		if (run->links[i].plan->link->quarantine)
			return true;
	return false;
}

/* What to do about an error: another attempt, or nothing (ATTEMPT_DONE). */
static Attempt
next_attempt(const Run *run, const ErrorData *error)
{
	const TsWriter *writer = run->at ? run->at->writer : NULL;

	if (error->sqlerrcode == ERRCODE_ONCE_MORE)
		return ATTEMPT_PROBING;
	if (writer == NULL)
		return error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && !run->references && has_quarantine(run) ? ATTEMPT_PROBING : ATTEMPT_DONE;
	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && !writer->careful && writer->step != NULL)
		return ATTEMPT_CAREFULLY;
	if (writer->link->quarantine && !writer->probing && writer->step != NULL && writer->first_key != NULL && is_worth_it(error->sqlerrcode))
		return ATTEMPT_PROBING;
	return worth_locating(writer, error->sqlerrcode) ? ATTEMPT_ROW_BY_ROW : ATTEMPT_DONE;
}

/* One attempt, in a subtransaction. */
static Attempt
attempt(Run *run, bool dry_run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Attempt result = ATTEMPT_DONE;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run_steps(run);
		if (dry_run)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		for (int i = 0; i < run->n; i++)
			run->links[i].target->ops->reset(run->links[i].target);
		result = next_attempt(run, error);
		if (result == ATTEMPT_DONE)
		{
			/* what matters to the user first, then the server's own lines */
			error->context = error->context ? psprintf("%s\n%s", describe_place(run), error->context) : describe_place(run);
			ReThrowError(error);
		}
	}
	PG_END_TRY();
	return result;
}

static void
prepare(Run *run, Relation *sources)
{
	for (int i = 0; i < run->n; i++)
	{
		LinkRun    *link = &run->links[i];
		char	   *immediate;

		link->plan = run->pushed->merged->plans[i];
		link->source = sources[i];
		link->target = ts_local_target(link->plan->link);
		link->existing = link->plan->link->target;
		/* a deferrable key is checked at the end, too late to try again */
		link->careful = !link->plan->link->arbiter;
		link->single_from = -1;
		if (!OidIsValid(link->existing))
			continue;
		link->deferred = ts_alter_constraints(link->plan->link, false);
		immediate = ts_alter_constraints(link->plan->link, true);
		if (immediate)
			link->target->ops->run(link->target, immediate);
	}
}

TsPushed *
ts_push_run(TsMerged *merged, const char *group, Relation *sources, bool dry_run)
{
	TsPushed   *pushed = palloc0(sizeof(TsPushed));
	TimestampTz started = GetCurrentTimestamp();
	Run			run = {.pushed = pushed, .n = merged->nplans};
	Attempt		result;

	pushed->merged = merged;
	pushed->group = group;
	pushed->done = palloc0(sizeof(TsDone) * (merged->nsteps + 1));
	run.links = palloc0(sizeof(LinkRun) * (run.n + 1));
	prepare(&run, sources);
	do
	{
		for (int i = 0; i < run.n; i++)
		{
			LinkRun    *link = &run.links[i];
			List	   *excluded;

			excluded = link->writer ? link->writer->excluded : NIL;
			link->writer = ts_writer_begin(link->plan, link->target, link->careful, link->probing, link->single_from);
			link->writer->excluded = excluded;
			link->plan->link->target = link->existing;
			link->altered = false;
		}
		result = attempt(&run, dry_run);
		if (result == ATTEMPT_CAREFULLY)
			run.at->careful = true;
		/* at the end, when foreign keys are checked */
		run.references |= result == ATTEMPT_PROBING && run.at == NULL;
		/* rows of the other links may have to wait with those of this one */
		for (int i = 0; result == ATTEMPT_PROBING && i < run.n; i++)
			run.links[i].probing = run.links[i].plan->link->quarantine;
		if (result == ATTEMPT_ROW_BY_ROW)
			run.at->single_from = run.at->writer->batch - 1;
	} while (result != ATTEMPT_DONE);
	for (int i = 0; i < run.n; i++)
	{
		if (run.links[i].deferred)
			run.links[i].target->ops->run(run.links[i].target, run.links[i].deferred);
		if (dry_run)
			run.links[i].plan->link->target = run.links[i].existing;
	}
	pushed->bad = palloc0(sizeof(List *) * (run.n + 1));
	for (int i = 0; i < run.n; i++)
		pushed->bad[i] = run.links[i].writer->bad;
	pushed->microseconds = GetCurrentTimestamp() - started;
	return pushed;
}

static int64
rows_of(const TsPushed *pushed, int plan, TsPriority priority)
{
	int64		rows = 0;

	for (int i = 0; i < pushed->merged->nsteps; i++)
		if (pushed->merged->steps[i].plan == plan && ts_merged_step(pushed->merged, i)->priority == priority)
			rows += pushed->done[i].rows;
	return rows;
}

static void
write_position(const TsPushed *pushed, const TsPlan *plan, int64 rows)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, OIDOID, INT8OID, INT8OID, INT4OID, INT2ARRAYOID,
	TEXTARRAYOID, INT2ARRAYOID, BOOLOID};
	Datum		values[14];

	values[0] = CStringGetTextDatum(plan->link->name);
	values[1] = CStringGetTextDatum(plan->position);
	values[2] = CStringGetTextDatum(psprintf(UINT64_FORMAT, plan->own_seq ? ts_own_txid() : 0));
	values[3] = Int64GetDatum(plan->own_seq);
	values[4] = CStringGetTextDatum(plan->storage);
	values[5] = CStringGetTextDatum(ts_system_identity());
	values[6] = ObjectIdGetDatum(plan->link->target);
	values[7] = Int64GetDatum(rows);
	values[8] = Int64GetDatum(pushed->microseconds);
	values[9] = Int32GetDatum(ts_shape_of(plan->link->source));
	values[10] = ts_link_column_arrays(plan->link, &values[11], &values[12]);
	values[13] = BoolGetDatum(plan->link->policy == TS_SCHEMA_APPLY);
	ts_sql("UPDATE tracksync.link SET state = 'active', position = $2::pg_snapshot, own_txid = nullif($3, '0')::xid8, own_seq = $4, "
		   "storage = $5, system_identity = $6, target = $7, create_target = false, last_push = clock_timestamp(), last_rows = $8, "
		   "last_elapsed = $9 * interval '1 microsecond', shape = $10, source_attnums = $11, target_columns = $12, target_attnums = $13, "
		   "followed = CASE WHEN $14 THEN $10 ELSE followed END WHERE name = $1", SPI_OK_UPDATE, 14, types, values, NULL);
}

static void
record_link(const TsPushed *pushed, int i, bool dry_run)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID};
	const TsPlan *plan = pushed->merged->plans[i];
	Datum		values[6];
	int64		deletes = rows_of(pushed, i, TS_PRIORITY_DELETE),
				updates = rows_of(pushed, i, TS_PRIORITY_UPDATE),
				inserts = rows_of(pushed, i, TS_PRIORITY_INSERT);

	values[0] = CStringGetTextDatum(plan->link->name);
	values[1] = Int64GetDatum(pushed->microseconds);
	values[2] = Int64GetDatum(deletes);
	values[3] = Int64GetDatum(updates);
	values[4] = Int64GetDatum(inserts);
	values[5] = CStringGetTextDatum(dry_run ? "dry run" : "done");
	ts_sql("INSERT INTO tracksync.push_record (link, started, elapsed, deletes, updates, inserts, outcome) "
		   "SELECT $1, clock_timestamp() - $2 * interval '1 microsecond', $2 * interval '1 microsecond', $3, $4, $5, $6",
		   SPI_OK_INSERT, 6, types, values, NULL);
	if (dry_run)
		return;
	write_position(pushed, plan, deletes + updates + inserts);
	ts_quarantine_record(plan->link, pushed->bad[i]);
	/* the crash that emptied an unlogged source is mended */
	ts_survivors_note(plan->link->source);
}

void
ts_push_record(const TsPushed *pushed, bool dry_run)
{
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	for (int i = 0; i < pushed->merged->nplans; i++)
		record_link(pushed, i, dry_run);
	ts_catalog_leave(&cat);
}

void
ts_push_sequences(const TsPushed *pushed)
{
	for (int i = 0; i < pushed->merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(pushed->merged, i);

		if (step->priority != TS_PRIORITY_SEQUENCE)
			continue;
		/* checks once more: a sequence never goes back */
		ts_sequence_advance(step->sequence, step->value);
	}
}
