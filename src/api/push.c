/* push.c: SQL functions plan, plan_fingerprint, net_changes and push. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/done.h"
#include "api/netchange.h"
#include "api/pair.h"
#include "api/rule.h"
#include "apply/push.h"
#include "base/attempt.h"
#include "base/settings.h"
#include "base/srf.h"
#include "link/compared.h"
#include "link/group.h"
#include "log/prune.h"
#include "plan/merge.h"
#include "remote/connection.h"
#include "verify/repair.h"

PG_FUNCTION_INFO_V1(tracksync_plan);
PG_FUNCTION_INFO_V1(tracksync_plan_fingerprint);
PG_FUNCTION_INFO_V1(tracksync_net_changes);
PG_FUNCTION_INFO_V1(tracksync_push);
PG_FUNCTION_INFO_V1(tracksync_repair);

static void
add_context(void *arg)
{
	errcontext("plan of link \"%s\"", (const char *) arg);
}

/* The plans of all links, under one snapshot. */
static TsMerged *
build(TsOpening *opening, int flags)
{
	TsPlan	  **plans = palloc(sizeof(TsPlan *) * (opening->n + 1));

	for (int i = 0; i < opening->n; i++)
	{
		TsOpened   *opened = &opening->links[i];
		ErrorContextCallback callback = {.callback = add_context, .arg = opened->link->name, .previous = error_context_stack};

		error_context_stack = &callback;
		plans[i] = ts_plan_build(opened->link, opened->source, opened->target, opening->snapshot, flags);
		ts_plan_add_user_steps(plans[i], opened->link->name);
		error_context_stack = callback.previous;
	}
	if (opening->group && opening->n > 0)
		ts_plan_add_user_steps(plans[0], opening->name);
	return ts_merge_plans(opening->n, plans);
}

Datum
tracksync_plan(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;
	TsMerged   *merged;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_READ);
	merged = build(&opening, 0);
	for (int i = 0; i < merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(merged, i);
		const TsLink *link = merged->plans[merged->steps[i].plan]->link;
		Datum		values[9];
		bool		nulls[9] = {false};

		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(step->priority);
		values[2] = CStringGetTextDatum(step->kind);
		ts_put_place(step, link, values, nulls);
		values[5] = Int64GetDatum(step->rows);
		values[6] = BoolGetDatum(step->destructive);
		values[7] = CStringGetTextDatum(ts_describe_step(&opening, step, link));
		values[8] = CStringGetTextDatum(step->sql);
		ts_result_put(&result, values, nulls);
	}
	ts_close(&opening);
	PG_RETURN_NULL();
}

Datum
tracksync_plan_fingerprint(PG_FUNCTION_ARGS)
{
	TsOpening	opening;
	text	   *result;
	char	   *fingerprint;
	MemoryContext old;

	ts_need_arg(fcinfo, 0, "name");
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_READ);
	fingerprint = ts_merged_fingerprint(build(&opening, TS_PLAN_FINGERPRINT));
	old = MemoryContextSwitchTo(opening.context);
	result = cstring_to_text(fingerprint);
	MemoryContextSwitchTo(old);
	ts_close(&opening);
	PG_RETURN_TEXT_P(result);
}

static void
put_changes(TsResult *result, const TsOpening *opening, TsOpened *opened, MemoryContext context)
{
	TsResult	own = *result;
	TsChange	change;
	Datum		values[TS_NET_CHANGE_COLUMNS];
	bool		nulls[TS_NET_CHANGE_COLUMNS];

	ts_change_init(&change, opened->link->ncolumns);
	/* what turns out not to be true after all is thrown away */
	own.store = tuplestore_begin_heap(false, false, work_mem);
	for (int distrust = 0; distrust < 2; distrust++)
	{
		bool		compared;
		TsPending	pending;
		TsChangeSource *changes = ts_plan_source(opened->link, opened->source, opened->target, opening->snapshot, distrust, &compared,
												 &pending);

		while (changes->next(changes, &change))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			ts_net_change_row(opened->link, &change, changes->text_keys, values, nulls);
			ts_result_put(&own, values, nulls);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
		changes->end(changes);
		if (!changes->broken)
			break;
		tuplestore_clear(own.store);
	}
	ts_result_append(result, own.store);
	tuplestore_end(own.store);
}

Datum
tracksync_net_changes(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;
	MemoryContext context;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_READ);
	context = AllocSetContextCreate(CurrentMemoryContext, "tracksync row", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < opening.n; i++)
		put_changes(&result, &opening, &opening.links[i], context);
	ts_close(&opening);
	PG_RETURN_NULL();
}

static void
check_expected(const TsOpening *opening, const TsMerged *merged, const char *expect)
{
	char	   *is = ts_merged_fingerprint(merged);

	if (strcmp(is, expect) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the plan of %s \"%s\" is not the one expected", opening->group ? "group" : "link", opening->name),
				 errdetail("Its fingerprint is %s, expected was %s.", is, expect),
				 errhint("Review the plan again, then push with its new fingerprint.")));
}

/* Did this transaction alter the table? */
static bool
is_altered_here(Relation source)
{
	for (int i = 1; i <= RelationGetNumberOfAttributes(source); i++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(RelationGetRelid(source)), Int16GetDatum(i));
		bool		own = HeapTupleIsValid(tuple) && TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));

		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
		if (own)
			return true;
	}
	return false;
}

/* Did this transaction begin to track the table? What it did to it before that is not known. */
static bool
is_tracked_since_now(const TsLink *link)
{
	Relation	log = RelationIdGetRelation(link->tracked->log);
	bool		since_now = log != NULL && log->rd_createSubid != InvalidSubTransactionId;

	if (log != NULL)
		RelationClose(log);
	return since_now;
}

/* What is committed on another server while this transaction may still roll back must not depend on it. */
static void
refuse_own_changes(const TsMerged *merged, const TsOpening *opening)
{
	for (int i = 0; i < opening->n; i++)
	{
		const TsLink *link = opening->links[i].link;

		if (link->server != NULL && !link->by_diff && is_tracked_since_now(link))
			ereport(ERROR,
					(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
					 errmsg("link \"%s\" cannot push to server \"%s\" in the transaction that began to track its source", link->name, link->server),
					 errdetail("What the transaction changed before that would stay there if the transaction failed here."),
					 errhint("Commit, then push.")));
		if (link->server != NULL && (merged->plans[i]->own_seq != 0 || is_altered_here(opening->links[i].source)))
			ts_pair_refuse_own(link);
	}
}

/*
 * The same for a link that compares, before the push itself writes anything: what its source reads, and whether this transaction changed
 * that, nobody knows.
 */
static void
refuse_own_writes(List *servers)
{
	ListCell   *lc;

	foreach(lc, servers)
	{
		const TsLink *link = lfirst(lc);

		/* writing to a foreign table takes no transaction id here */
		if (link->by_diff && (TransactionIdIsValid(GetTopTransactionIdIfAny()) || (IsTransactionBlock() && ts_source_is_foreign(link->source))))
			ereport(ERROR,
					(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
					 errmsg("link \"%s\" cannot push to server \"%s\" in a transaction that may have changed its source", link->name, link->server),
					 errdetail("Changes that it made itself would stay there if it failed here."),
					 errhint("Commit, then push.")));
	}
}

/* Links being pushed by this session: a trigger of the target must not push the link that fired it. */
static List *pushing = NIL;

/* A call, and what it returns. */
typedef struct Call
{
	const char *name;
	char	   *expect;			/* NULL: any plan */
	bool		dry_run;
	TsRepair	repair;
	TsResult	result;
} Call;

static void push(Call *call);

static void
push_attempt(void *call)
{
	push(call);
}

/* Waits longer each time, and not as long as others do. */
static void
wait_before_retry(int tries)
{
	long		ms = 100L << Min(tries, 6);

	ms = ms / 2 + random() % ms;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* The servers where the links' targets are, of those links by their names. */
static List *
servers_of(List *links)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, links)
	{
		TsLink	   *link = ts_link_load_newest(lfirst(lc));

		if (link->server != NULL)
			found = lappend(found, link);
	}
	return found;
}

/*
 * To targets on other servers: what failed there and may pass is tried again, with a new connection, as long as nothing that this
 * transaction did there before is lost with it.
 */
static void
push_with_retries(Call *call, List *servers)
{
	bool		writes = false;
	ListCell   *lc;

	foreach(lc, servers)
		writes |= ts_connection_is_writing(((TsLink *) lfirst(lc))->server, ((TsLink *) lfirst(lc))->owner);
	for (int tries = 0;; tries++)
	{
		uint64		passing = ts_connection_passing_errors();
		ErrorData  *error = ts_attempt(push_attempt, call, false);

		if (error == NULL)
			return;
		if (passing == ts_connection_passing_errors() || writes || tries >= ts_retries || IsolationUsesXactSnapshot())
			ReThrowError(error);
		ereport(DEBUG1, (errmsg_internal("tracksync: push of \"%s\" is tried again: %s", call->name, error->message)));
		foreach(lc, servers)
			ts_connection_drop(((TsLink *) lfirst(lc))->server, ((TsLink *) lfirst(lc))->owner);
		wait_before_retry(tries);
	}
}

/* The links now being pushed, and those that the name stands for, in memory that lasts. */
static List *
with_links(const char *name)
{
	MemoryContext old;
	List	   *all = list_copy(pushing);
	List	   *links;
	ListCell   *lc;
	bool		group;

	links = ts_group_links(name, &group);
	foreach(lc, links)
	{
		ListCell   *other;

		foreach(other, pushing)
			if (strcmp(lfirst(other), lfirst(lc)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_IN_USE),
						 errmsg("link \"%s\" is being pushed already", (char *) lfirst(lc)),
						 errdetail("A trigger of its target called tracksync.push for it."),
						 errhint("Push from outside of the target's triggers.")));
		all = lappend(all, lfirst(lc));
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	links = NIL;
	foreach(lc, all)
		links = lappend(links, pstrdup(lfirst(lc)));
	MemoryContextSwitchTo(old);
	return links;
}

static void
run_call(FunctionCallInfo fcinfo, Call *call)
{
	List	   *before = pushing;
	List	   *servers;
	bool		group;

	call->name = ts_text_arg(fcinfo, 0);
	pushing = with_links(call->name);
	PG_TRY();
	{
		call->result = ts_result_begin(fcinfo);
		servers = servers_of(ts_group_links(call->name, &group));
		if (!call->dry_run)
			refuse_own_writes(servers);
		if (servers == NIL)
			push(call);
		else
			push_with_retries(call, servers);
	}
	PG_FINALLY();
	{
		pushing = before;
	}
	PG_END_TRY();
}

Datum
tracksync_push(PG_FUNCTION_ARGS)
{
	Call		call = {0};

	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 2, "dry_run");
	call.expect = ts_text_arg(fcinfo, 1);
	call.dry_run = PG_GETARG_BOOL(2);
	run_call(fcinfo, &call);
	PG_RETURN_NULL();
}

Datum
tracksync_repair(PG_FUNCTION_ARGS)
{
	Call		call = {0};

	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "delete_extra");
	call.repair = PG_GETARG_BOOL(1) ? TS_REPAIR_MIRROR : TS_REPAIR_KEEP;
	run_call(fcinfo, &call);
	PG_RETURN_NULL();
}

static void
push(Call *call)
{
	TsOpening	opening;
	TsMerged   *merged;
	TsPushed   *pushed;
	Relation   *sources;
	char	   *expect = call->expect;
	bool		dry_run = call->dry_run;

	ts_open(&opening, call->name, dry_run ? TS_OPEN_TRY : TS_OPEN_PUSH);
	for (int i = 0; i < opening.n && call->repair != TS_REPAIR_NONE; i++)
		ts_repair_prepare(opening.links[i].link, opening.links[i].source, opening.links[i].target, call->repair);
	sources = palloc(sizeof(Relation) * (opening.n + 1));
	merged = build(&opening, TS_PLAN_KEEP | TS_PLAN_RULES | (expect ? TS_PLAN_FINGERPRINT : 0));
	if (expect)
		check_expected(&opening, merged, expect);
	ts_rules_stop(merged, opening.name);
	if (!dry_run)
		refuse_own_changes(merged, &opening);
	ts_pair_check_compared(&opening, merged);
	for (int i = 0; i < opening.n; i++)
	{
		TsOpened   *opened = &opening.links[i];

		sources[i] = opened->source;
		/* the targets' relations are opened anew by what writes to them: one may be created or altered first */
		if (opened->target != NULL)
			relation_close(opened->target, NoLock);
		opened->target = NULL;
	}
	pushed = ts_push_run(merged, opening.group ? opening.name : NULL, sources, dry_run);
	ts_push_record(pushed, dry_run);
	for (int i = 0; i < opening.n && !dry_run; i++)
		if (!opening.links[i].link->by_diff)
			(void) ts_log_prune(opening.links[i].link->source, false, &opening.links[i].link->tracked->note);
	if (!dry_run)
		ts_push_sequences(pushed);
	/* last, for what was put cannot be taken back if all is tried again */
	ts_put_done(&call->result, &opening, pushed);
	for (int i = 0; i < opening.n; i++)
		ts_plan_end(merged->plans[i]);
	ts_close(&opening);
}
