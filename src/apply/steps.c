/* steps.c: running the steps of one attempt. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "apply/acted.h"
#include "apply/alter.h"
#include "apply/images.h"
#include "apply/order.h"
#include "apply/quarantine.h"
#include "apply/reached.h"
#include "apply/run.h"
#include "apply/settle.h"
#include "link/remote.h"

/* Calls the user's function, at the i-th step. */
static void
run_user_step(TsRun *run, int i)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	const TsStep *step = ts_merged_step(run->pushed->merged, i);
	Datum		values[] = {CStringGetTextDatum(step->owner), Int64GetDatum(run->pushed->id)};
	TimestampTz started = GetCurrentTimestamp();

	run->at = &run->links[run->pushed->merged->steps[i].plan];
	run->at->writer->step = step->function;
	run->at->writer->first_key = NULL;
	run->at->writer->number = i + 1;
	if (SPI_execute_with_args(psprintf("SELECT %s($1, $2)", step->function), 2, (Oid *) types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run %s", step->function);
	run->at->writer->step = NULL;
	run->pushed->done[i].microseconds = Max(GetCurrentTimestamp() - started, 1);
}

/* Creates and alters the targets. */
static void
run_schema_steps(TsRun *run)
{
	TsMerged   *merged = run->pushed->merged;

	for (int i = 0; i < merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(merged, i);
		TimestampTz started = GetCurrentTimestamp();

		run->pushed->done[i].rows = step->rows;
		run->pushed->done[i].microseconds = 0;
		if (step->function != NULL && step->priority < TS_PRIORITY_DELETE)
			run_user_step(run, i);
		if (step->function != NULL || (step->before == NULL && step->priority != TS_PRIORITY_CREATE_TABLE))
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

/* Are rows to be written in the order in which they are given? */
static void
set_order(TsRun *run, bool on)
{
	const TsConnection *told = NULL;

	for (int i = 0; i < run->n; i++)
	{
		TsTarget   *target = run->links[i].target;
		const TsRemote *remote = run->links[i].plan->link->remote;

		target->in_order = on;
		if (remote == NULL || remote->connection == told)
			continue;
		target->ops->order(target, on);
		told = remote->connection;
	}
}

/* The updates that were put by until all others were done. */
static void
finish_updates(TsRun *run)
{
	TimestampTz started = GetCurrentTimestamp();
	TsWriter   *writer;
	int			number;
	bool		any = false;

	ts_tangle_sort(run->tangle);
	while ((writer = ts_tangle_next(run->tangle, &number)) != NULL)
	{
		if (!any)
			set_order(run, true);
		any = true;
		run->at = &run->links[run->pushed->merged->steps[number - 1].plan];
		run->at->writer->number = number;
		run->pushed->done[number - 1].rows += ts_tangle_write(run->tangle);
		run->pushed->done[number - 1].microseconds += GetCurrentTimestamp() - started;
		started = GetCurrentTimestamp();
		/* a knot may have rows of several links: what is known of them went with the memory that they were in */
		for (int i = 0; i < run->n; i++)
		{
			run->links[i].writer->step = NULL;
			run->links[i].writer->first_key = run->links[i].writer->last_key = NULL;
		}
	}
	if (any)
		set_order(run, false);
	ts_tangle_clear(run->tangle);
}

/* Deletes, updates and inserts of all links. */
static void
run_data_steps(TsRun *run)
{
	TsMerged   *merged = run->pushed->merged;
	int		   *order = ts_order_steps(merged, run->parents_first);

	for (int at = 0; at < merged->nsteps; at++)
	{
		int			i = order[at];
		const TsStep *step = ts_merged_step(merged, i);
		TimestampTz started = GetCurrentTimestamp();

		if (ts_order_settles(merged, order, at, run->parents_first))
			finish_updates(run);
		if (step->function != NULL && step->priority >= TS_PRIORITY_DELETE && step->priority < TS_PRIORITY_SEQUENCE)
			run_user_step(run, i);
		if (!ts_order_is_data(step))
			continue;
		run->at = &run->links[merged->steps[i].plan];
		run->at->writer->number = i + 1;
		run->pushed->done[i].rows = ts_writer_step(run->at->writer, step);
		run->pushed->done[i].microseconds = GetCurrentTimestamp() - started;
	}
	finish_updates(run);
}

/* What is left of the schema steps when the rows are there. */
static void
finish_schema_steps(TsRun *run)
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

static TsWriter **
writers_of(const TsRun *run)
{
	TsWriter  **writers = palloc(sizeof(TsWriter *) * (run->n + 1));

	for (int i = 0; i < run->n; i++)
		writers[i] = run->links[i].writer;
	return writers;
}

/* Rows with values that only one may have wait for a row that was left out, and has them still. */
static void
hold_back_soles(TsRun *run)
{
	bool		more = false;

	for (int i = 0; i < run->n; i++)
		if (run->links[i].writer->bad != NIL && run->links[i].plan->rules != NIL)
			more |= ts_quarantine_soles(run->links[i].writer, run->links[i].plan->rules);
	if (more)
		ereport(ERROR, (errcode(ERRCODE_ONCE_MORE), errmsg("rows wait with rows in quarantine")));
}

/* Rows that refer to one that was left out wait with it. */
static void
hold_back_references(TsRun *run)
{
	if (ts_quarantine_references(run->n, writers_of(run)))
		ereport(ERROR, (errcode(ERRCODE_ONCE_MORE), errmsg("rows wait with rows in quarantine")));
}

/* What foreign keys did on other servers. */
static void
add_reached_there(TsRun *run)
{
	char	  **names = palloc(sizeof(char *) * (run->n + 1));
	ListCell   *lc;

	foreach(lc, ts_acted_check(run->n, writers_of(run)))
	{
		TsReached  *reached = palloc0(sizeof(TsReached));

		reached->link = lfirst(lc);
		run->pushed->reached = lappend(run->pushed->reached, reached);
	}

	for (int i = 0; i < run->n; i++)
		names[i] = run->links[i].plan->link->name;
	for (int i = 0; i < run->n; i++)
		if (run->links[i].plan->link->server != NULL && run->links[i].writer->takes_away)
			run->pushed->reached = list_concat(run->pushed->reached, ts_reached_there(run->links[i].plan->link, run->n, names));
}

void
ts_run_steps(TsRun *run)
{
	Oid		   *targets = palloc(sizeof(Oid) * (run->n + 1));
	char	  **names = palloc(sizeof(char *) * (run->n + 1));
	TsTarget   *local = NULL;
	int			n = 0;
	List	   *reached;

	/* what a comparison of all rows finds is not disputed */
	for (int i = 0; i < run->n; i++)
		if (!run->links[i].plan->compared && run->links[i].plan->link->state == TS_STATE_ACTIVE)
			run->links[i].writer->disputed = ts_images_disputed(run->links[i].plan->link);
	run_schema_steps(run);
	/* those of this database are written together; on another server each for itself */
	for (int i = 0; i < run->n; i++)
		if (run->links[i].plan->link->server == NULL)
		{
			local = run->links[i].target;
			targets[n] = run->links[i].plan->link->target;
			names[n++] = run->links[i].plan->link->name;
		}
	if (local != NULL)
		local->ops->open(local, n, targets);
	for (int i = 0; i < run->n; i++)
	{
		run->at = &run->links[i];
		run->at->target->ops->begin(run->at->target);
	}
	run->at = NULL;
	for (int i = 0; i < run->pushed->merged->nsteps; i++)
		if (ts_order_is_data(ts_merged_step(run->pushed->merged, i)) && ts_merged_step(run->pushed->merged, i)->op != TS_CHANGE_INSERT)
			run->links[run->pushed->merged->steps[i].plan].writer->disturbs = true;
	ts_acted_begin(run->n, writers_of(run));
	run_data_steps(run);
	for (int i = 0; i < run->n; i++)
	{
		run->at = &run->links[i];
		ts_conflict_raise(&run->at->writer->conflicts, run->at->plan->link);
		/* there, foreign keys are checked now */
		if (run->links[i].plan->link->server != NULL)
			run->at = NULL;
		run->links[i].target->ops->finish(run->links[i].target);
	}
	run->at = NULL;
	hold_back_soles(run);
	if (run->references)
		hold_back_references(run);
	reached = ts_reached_links(n, targets, names);
	if (local != NULL)
		local->ops->close(local);
	run->pushed->reached = ts_reached_changed(reached, n, targets, names);
	add_reached_there(run);
	for (int i = 0; i < run->n; i++)
		run->links[i].target->ops->reset(run->links[i].target);
	finish_schema_steps(run);
	for (int i = 0; i < run->pushed->merged->nsteps; i++)
		if (ts_merged_step(run->pushed->merged, i)->function != NULL && ts_merged_step(run->pushed->merged, i)->priority >= TS_PRIORITY_SEQUENCE)
			run_user_step(run, i);
}
