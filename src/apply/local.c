/*
 * local.c: a target in this database.
 *
 * All data statements run inside one AFTER-trigger query level, as the server's own foreign key triggers run theirs: foreign
 * keys and AFTER triggers come once, when the level ends, whatever the order of the steps (design 7).
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "apply/direct.h"
#include "apply/references.h"
#include "apply/target.h"
#include "base/compat.h"
#include "base/nestloop.h"
#include "base/settings.h"
#include "capture/origin.h"
#include "link/back.h"

typedef struct LocalTarget
{
	TsTarget	base;
	const TsLink *link;
	TsDirect   *direct;			/* if the table can be written without statements */
	List	   *prepared;		/* SPIPlanPtr */
	int			ntargets;		/* of the push, if it was opened with this one */
	const Oid  *targets;
	char	   *origin;			/* of the rows */
} LocalTarget;

static void
local_open(TsTarget *target, int n, const Oid *targets)
{
	LocalTarget *local = (LocalTarget *) target;

	local->ntargets = n;
	local->targets = targets;
	AfterTriggerBeginQuery();
}

static void
local_begin(TsTarget *target)
{
	LocalTarget *local = (LocalTarget *) target;

	local->direct = ts_direct_writes ? ts_direct_begin(local->link) : NULL;
}

static SPIPlanPtr
prepare(LocalTarget *target, TsStatement *stmt)
{
	Oid		   *types = palloc(sizeof(Oid) * (stmt->nparams + 1));
	SPIPlanPtr	plan;

	for (int i = 0; i < stmt->nparams; i++)
		types[i] = get_array_type(stmt->params[i].element);
	plan = SPI_prepare_cursor(stmt->sql, stmt->nparams, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", stmt->sql);
	SPI_keepplan(plan);
	target->prepared = lappend(target->prepared, plan);
	stmt->prepared = plan;
	/* keys come as arrays whose length the planner does not see, in key order */
	ts_plan_nested_loop(plan, true);
	return plan;
}

static void
return_rows(TsRowFunction row, void *arg)
{
	int			n = SPI_tuptable->tupdesc->natts;
	char	  **values = palloc(sizeof(char *) * n);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		for (int j = 0; j < n; j++)
			values[j] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, j + 1);
		row(arg, n, values);
	}
}

static uint64
local_execute(TsTarget *base, TsStatement *stmt, Datum *arrays, TsRowFunction row, void *arg)
{
	SPIPlanPtr	plan = stmt->prepared ? stmt->prepared : prepare((LocalTarget *) base, stmt);
	int			rc;
	uint64		n;

	if (!stmt->own)
		ts_origin_begin(((LocalTarget *) base)->origin);
	rc = SPI_execute_snapshot(plan, arrays, NULL, InvalidSnapshot, InvalidSnapshot, false, false, 0);
	n = SPI_processed;
	if (!stmt->own)
		ts_origin_end();
	if (rc < 0)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), stmt->sql);
	if (SPI_tuptable != NULL)
	{
		if (row)
			return_rows(row, arg);
		SPI_freetuptable(SPI_tuptable);
	}
	return n;
}

static bool
local_write(TsTarget *target, const TsWrite *write)
{
	LocalTarget *local = (LocalTarget *) target;

	if (local->direct == NULL)
		return false;
	ts_direct_write(local->direct, write);
	return true;
}

static void
local_run(TsTarget *base, const char *sql)
{
	int			rc = SPI_execute(sql, false, 0);

	if (rc < 0)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), sql);
}

static void
local_finish(TsTarget *base)
{
	LocalTarget *local = (LocalTarget *) base;

	if (local->direct != NULL)
		ts_direct_end(local->direct);
	local->direct = NULL;
}

static void
local_close(TsTarget *base)
{
	LocalTarget *local = (LocalTarget *) base;
	EState	   *estate = CreateExecutorState();

	ts_only_check(estate, local->ntargets, local->targets);
	/* the triggers need the statements' work to be visible, and a snapshot of their own */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	AfterTriggerEndQuery(estate);
	PopActiveSnapshot();
	ts_close_result_relations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
}

static void
local_probe(TsTarget *base)
{
	/* the events go with the subtransaction, if they have a level of their own */
	AfterTriggerBeginQuery();
}

static void
local_reset(TsTarget *base)
{
	LocalTarget *target = (LocalTarget *) base;
	ListCell   *lc;

	foreach(lc, target->prepared)
		SPI_freeplan(lfirst(lc));
	target->prepared = NIL;
	/* after an error the subtransaction's end has let go of what it held */
	target->direct = NULL;
}

TsTarget *
ts_local_target(const TsLink *link)
{
	static const TsTargetOps ops = {
		.open = local_open,
		.begin = local_begin,
		.execute = local_execute,
		.write = local_write,
		.run = local_run,
		.finish = local_finish,
		.close = local_close,
		.probe = local_probe,
		.reset = local_reset,
	};
	LocalTarget *target = palloc0(sizeof(LocalTarget));

	target->base.ops = &ops;
	target->link = link;
	target->origin = ts_link_origin(link);
	return &target->base;
}
