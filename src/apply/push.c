/*
 * push.c: running a plan.
 *
 * The data steps run in one subtransaction. The first attempt takes it that the keys to be inserted are not there; if one is,
 * all is rolled back and run once more, with a look at each. If another batch fails they are rolled back and run once more, row
 * by row from the failing batch on: either the failing row names itself in the error, or the push succeeds after all.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "apply/batch.h"
#include "apply/push.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "base/sequence.h"
#include "link/mapping.h"
#include "log/shape.h"
#include "log/survivor.h"

/* Where the push was when an error came: link, step, table and key. */
static char *
describe_place(const TsWriter *writer)
{
	char	   *where = psprintf("push of link \"%s\" to table %s", writer->link->name, ts_link_target(writer->link));

	if (writer->step == NULL && !writer->at_end)
		return where;
	if (writer->step == NULL)
		return psprintf("%s, at the end, when constraints are checked and triggers fire", where);
	where = psprintf("%s, step %d (%s)", where, writer->number, writer->step);
	if (writer->first_key == NULL)
		return where;
	if (writer->batch_size == 1)
		return psprintf("%s, key %s%s%s", where, writer->first_key, writer->cast ? ", values to be cast " : "",
						writer->cast ? writer->cast : "");
	return psprintf("%s, one of %d rows with keys from %s to %s", where, writer->batch_size, writer->first_key, writer->last_key);
}

/* The statement that lets deferrable constraints on the target be checked when the data steps end; NULL if there are none. */
static char *
constraints_statement(const TsLink *link, bool immediate)
{
	static const Oid types[] = {OIDOID, BOOLOID};
	Datum		values[] = {ObjectIdGetDatum(link->target), BoolGetDatum(!immediate)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *names;

	ts_catalog_enter(&cat);
	ts_sql("SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ') FROM pg_constraint c "
		   "JOIN pg_namespace n ON n.oid = c.connamespace "
		   "WHERE c.condeferrable AND (c.conrelid IN (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1::regclass)) "
		   "OR c.confrelid = $1) AND (NOT $2 OR (c.condeferred "
		   "AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.connamespace = c.connamespace AND o.conname = c.conname "
		   "AND NOT o.condeferrable)))", SPI_OK_SELECT, 2, types, values, NULL);
	names = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return names == NULL ? NULL : psprintf("SET CONSTRAINTS %s %s", names, immediate ? "IMMEDIATE" : "DEFERRED");
}

static void
create_target(TsPlan *plan, TsTarget *target, Relation source)
{
	TsLink	   *link = plan->link;
	Relation	rel;

	for (int i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].priority == TS_PRIORITY_CREATE_TABLE)
		{
			target->ops->run(target, plan->steps[i].sql);
			link->target = get_relname_relid(link->target_name, get_namespace_oid(link->target_schema, false));
			rel = table_open(link->target, RowExclusiveLock);
			ts_link_resolve(link, source, rel);
			table_close(rel, NoLock);
		}
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

/*
 * DROP COLUMN takes with it what hangs on this column alone, and refuses where a view or a foreign key of another table does. But
 * an index or a constraint on other columns besides would go without a word.
 */
static void
check_dependants(const TsLink *link, const char *column)
{
	static const Oid types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(link->target), Int16GetDatum(get_attnum(link->target, column))};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *names;

	ts_catalog_enter(&cat);
	ts_sql("SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') FROM pg_depend d "
		   "WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2 AND d.deptype IN ('a', 'i') AND EXISTS "
		   "(SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid AND o.refclassid = d.refclassid "
		   "AND o.refobjid = $1 AND o.refobjsubid NOT IN (0, $2))", SPI_OK_SELECT, 2, types, values, NULL);
	names = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	if (names != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of table %s because other objects depend on it", column, ts_link_target(link)),
				 errdetail("With other columns, these depend on it: %s.", names),
				 errhint("Drop them first, or keep the column: schema_policy => 'additive'.")));
}

/* The schema steps, as far as they come before the rows. */
static void
alter_target(TsPushed *pushed, TsWriter *writer, Relation source)
{
	TsPlan	   *plan = pushed->plan;
	Relation	rel;
	bool		altered = false;
	char	   *immediate;

	for (int i = 0; i < plan->nsteps; i++)
	{
		TsStep	   *step = &plan->steps[i];
		TimestampTz started = GetCurrentTimestamp();

		if (step->before == NULL)
			continue;
		writer->step = step->kind;
		writer->number = i + 1;
		if (step->dropped != NULL)
			check_dependants(plan->link, step->dropped);
		if (step->before[0] != '\0')
			writer->target->ops->run(writer->target, step->before);
		pushed->done[i].microseconds = Max(GetCurrentTimestamp() - started, 1);
		altered = true;
	}
	if (!altered && !plan->link->foreseen)
		return;
	rel = table_open(plan->link->target, RowExclusiveLock);
	ts_link_arrived(plan->link);
	ts_link_resolve(plan->link, source, rel);
	table_close(rel, NoLock);
	/* a constraint that was made anew with its column is deferred again */
	immediate = altered ? constraints_statement(plan->link, true) : NULL;
	if (immediate)
		writer->target->ops->run(writer->target, immediate);
}

/* What can be said of the columns only when their values are there. */
static void
finish_schema(TsPushed *pushed, TsWriter *writer)
{
	for (int i = 0; i < pushed->plan->nsteps; i++)
	{
		TsStep	   *step = &pushed->plan->steps[i];

		if (step->after == NULL)
			continue;
		writer->step = step->kind;
		writer->number = i + 1;
		writer->target->ops->run(writer->target, step->after);
	}
	writer->step = NULL;
}

/* All data steps, and the checks at their end. */
static void
run_steps(TsPushed *pushed, TsWriter *writer, Relation source)
{
	TsPlan	   *plan = pushed->plan;
	TsTarget   *target = writer->target;
	TimestampTz started = GetCurrentTimestamp();

	for (int i = 0; i < plan->nsteps; i++)
	{
		pushed->done[i].step = &plan->steps[i];
		pushed->done[i].rows = plan->steps[i].rows;
		pushed->done[i].microseconds = 0;
	}
	writer->step = "create_table";
	writer->number = 1;
	create_target(plan, target, source);
	alter_target(pushed, writer, source);
	writer->step = NULL;
	started = GetCurrentTimestamp();
	target->ops->begin(target);
	for (int i = 0; i < plan->nsteps; i++)
	{
		TsDone	   *done = &pushed->done[i];

		if (done->step->before != NULL)
			continue;
		writer->number = i + 1;
		if (is_data_step(&plan->steps[i]))
			done->rows = ts_writer_step(writer, &plan->steps[i]);
		done->microseconds = GetCurrentTimestamp() - started;
		started = GetCurrentTimestamp();
	}
	ts_conflict_raise(&writer->conflicts, plan->link);
	writer->at_end = true;
	target->ops->finish(target);
	target->ops->reset(target);
	writer->at_end = false;
	finish_schema(pushed, writer);
}

/* Is it worth finding out which row it was? Not after a cancel, a time-out, a lost lock or a full disk. */
static bool
worth_locating(const TsWriter *writer, int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('5', '7', '0', '0', '0'), MAKE_SQLSTATE('5', '3', '0', '0', '0'),
		MAKE_SQLSTATE('5', '5', '0', '0', '0'), MAKE_SQLSTATE('4', '0', '0', '0', '0'),
		MAKE_SQLSTATE('5', '8', '0', '0', '0'), MAKE_SQLSTATE('X', 'X', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return false;
	return writer->first_key != NULL && writer->batch_size > 1 && writer->single_from < 0;
}

typedef enum Attempt
{
	ATTEMPT_DONE,
	ATTEMPT_CAREFULLY,			/* again, looking for keys that are there already */
	ATTEMPT_ROW_BY_ROW			/* again, taking the failing batch apart */
} Attempt;

/* One attempt, in a subtransaction. */
static Attempt
attempt(TsPushed *pushed, TsWriter *writer, Relation source, bool dry_run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Attempt result = ATTEMPT_DONE;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run_steps(pushed, writer, source);
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
		writer->target->ops->reset(writer->target);
		if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && !writer->careful && writer->step != NULL)
			result = ATTEMPT_CAREFULLY;
		else if (worth_locating(writer, error->sqlerrcode))
			result = ATTEMPT_ROW_BY_ROW;
		else
		{
			/* what matters to the user first, then the server's own lines */
			error->context = error->context ? psprintf("%s\n%s", describe_place(writer), error->context) : describe_place(writer);
			ReThrowError(error);
		}
	}
	PG_END_TRY();
	return result;
}

TsPushed *
ts_push_run(TsPlan *plan, Relation source, bool dry_run)
{
	TsPushed   *pushed = palloc0(sizeof(TsPushed));
	TimestampTz started = GetCurrentTimestamp();
	TsLink	   *link = plan->link;
	Oid			created = link->target;
	char	   *immediate = OidIsValid(link->target) ? constraints_statement(link, true) : NULL;
	char	   *deferred = OidIsValid(link->target) ? constraints_statement(link, false) : NULL;
	TsTarget   *target = ts_local_target(link);
	/* a deferrable key is checked at the end, too late to try again */
	bool		careful = !link->arbiter;
	int64		single_from = -1;
	Attempt		result;

	pushed->plan = plan;
	pushed->n = plan->nsteps;
	pushed->done = palloc0(sizeof(TsDone) * (plan->nsteps + 1));
	if (immediate)
		target->ops->run(target, immediate);
	do
	{
		TsWriter   *writer = ts_writer_begin(plan, target, careful, single_from);

		link->target = created;
		result = attempt(pushed, writer, source, dry_run);
		careful |= result == ATTEMPT_CAREFULLY;
		if (result == ATTEMPT_ROW_BY_ROW)
			single_from = writer->batch - 1;
	} while (result != ATTEMPT_DONE);
	if (deferred)
		target->ops->run(target, deferred);
	if (dry_run)
		link->target = created;
	pushed->microseconds = GetCurrentTimestamp() - started;
	return pushed;
}

static int64
rows_of(const TsPushed *pushed, TsPriority priority)
{
	int64		rows = 0;

	for (int i = 0; i < pushed->n; i++)
		if (pushed->done[i].step->priority == priority)
			rows += pushed->done[i].rows;
	return rows;
}

static void
write_position(const TsPushed *pushed, int64 rows)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, OIDOID, INT8OID, INT8OID, INT4OID, INT2ARRAYOID,
	TEXTARRAYOID, INT2ARRAYOID, BOOLOID};
	const TsPlan *plan = pushed->plan;
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

void
ts_push_record(const TsPushed *pushed, bool dry_run)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID};
	const TsLink *link = pushed->plan->link;
	Datum		values[6];
	int64		deletes = rows_of(pushed, TS_PRIORITY_DELETE),
				updates = rows_of(pushed, TS_PRIORITY_UPDATE),
				inserts = rows_of(pushed, TS_PRIORITY_INSERT);
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	values[0] = CStringGetTextDatum(link->name);
	values[1] = Int64GetDatum(pushed->microseconds);
	values[2] = Int64GetDatum(deletes);
	values[3] = Int64GetDatum(updates);
	values[4] = Int64GetDatum(inserts);
	values[5] = CStringGetTextDatum(dry_run ? "dry run" : "done");
	ts_sql("INSERT INTO tracksync.push_record (link, started, elapsed, deletes, updates, inserts, outcome) "
		   "SELECT $1, clock_timestamp() - $2 * interval '1 microsecond', $2 * interval '1 microsecond', $3, $4, $5, $6",
		   SPI_OK_INSERT, 6, types, values, NULL);
	if (!dry_run)
	{
		write_position(pushed, deletes + updates + inserts);
		/* the crash that emptied an unlogged source is mended */
		ts_survivors_note(link->source);
	}
	ts_catalog_leave(&cat);
}

void
ts_push_sequences(const TsPushed *pushed)
{
	for (int i = 0; i < pushed->n; i++)
	{
		const TsStep *step = pushed->done[i].step;

		if (step->priority != TS_PRIORITY_SEQUENCE)
			continue;
		/* checks once more: a sequence never goes back */
		ts_sequence_advance(step->sequence, step->value);
	}
}
