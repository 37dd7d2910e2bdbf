/* push.c: SQL functions plan, plan_fingerprint, net_changes and push. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "apply/push.h"
#include "base/srf.h"
#include "log/prune.h"
#include "plan/plan.h"

PG_FUNCTION_INFO_V1(tracksync_plan);
PG_FUNCTION_INFO_V1(tracksync_plan_fingerprint);
PG_FUNCTION_INFO_V1(tracksync_net_changes);
PG_FUNCTION_INFO_V1(tracksync_push);

static void
add_context(void *arg)
{
	errcontext("plan of link \"%s\"", (const char *) arg);
}

static TsPlan *
build(TsOpened *opened, int flags)
{
	ErrorContextCallback callback = {.callback = add_context, .arg = opened->link->name, .previous = error_context_stack};
	TsPlan	   *plan;

	error_context_stack = &callback;
	plan = ts_plan_build(opened->link, opened->source, opened->target, opened->snapshot, flags);
	error_context_stack = callback.previous;
	return plan;
}

Datum
tracksync_plan(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpened	opened;
	TsPlan	   *plan;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	ts_open_link(&opened, ts_text_arg(fcinfo, 0), false);
	plan = build(&opened, 0);
	for (int i = 0; i < plan->nsteps; i++)
	{
		const TsStep *step = &plan->steps[i];
		Datum		values[9];
		bool		nulls[9] = {false};

		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(step->priority);
		values[2] = CStringGetTextDatum(step->kind);
		values[3] = CStringGetTextDatum(opened.link->name);
		values[4] = CStringGetTextDatum(ts_link_target(opened.link));
		values[5] = Int64GetDatum(step->rows);
		values[6] = BoolGetDatum(step->destructive);
		values[7] = CStringGetTextDatum(step->description);
		values[8] = CStringGetTextDatum(step->sql);
		ts_result_put(&result, values, nulls);
	}
	ts_close_link(&opened);
	PG_RETURN_NULL();
}

Datum
tracksync_plan_fingerprint(PG_FUNCTION_ARGS)
{
	TsOpened	opened;
	text	   *result;
	MemoryContext old;

	ts_need_arg(fcinfo, 0, "name");
	ts_open_link(&opened, ts_text_arg(fcinfo, 0), false);
	{
		char	   *fingerprint = ts_plan_fingerprint(build(&opened, TS_PLAN_FINGERPRINT));

		old = MemoryContextSwitchTo(opened.context);
		result = cstring_to_text(fingerprint);
		MemoryContextSwitchTo(old);
	}
	ts_close_link(&opened);
	PG_RETURN_TEXT_P(result);
}

/* The columns of one side of a change as jsonb, under the source's names. */
static Datum
side(const TsLink *link, const TsChange *change, bool text_keys, bool old, const bool *include)
{
	int			n = link->ncolumns;
	char	  **names = palloc(sizeof(char *) * n);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		/* a column that an UPDATE leaves alone has its old value still */
		bool		use_old = old && (change->mask[i] & TS_COLUMN_KNOWN);

		names[i] = link->columns[i].source_name;
		types[i] = ts_value_type(link, i, change->op, text_keys).type;
		values[i] = use_old ? change->old_values[i] : change->new_values[i];
		nulls[i] = use_old ? change->old_nulls[i] : change->new_nulls[i];
		if (use_old && text_keys && change->op == TS_CHANGE_DELETE && !nulls[i])
		{
			Oid			input,
						param;

			types[i] = link->columns[i].target_base;
			getTypeInputInfo(types[i], &input, &param);
			values[i] = OidInputFunctionCall(input, TextDatumGetCString(values[i]), param, -1);
		}
	}
	return ts_to_jsonb(n, names, types, values, nulls, include);
}

static Datum
changed_names(const TsLink *link, const TsChange *change)
{
	Datum	   *names = palloc(sizeof(Datum) * (link->ncolumns + 1));
	int			n = 0;

	for (int i = 0; i < link->ncolumns; i++)
		if (change->mask[i] & TS_COLUMN_CHANGED)
			names[n++] = CStringGetTextDatum(link->columns[i].source_name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
put_change(TsResult *result, const TsLink *link, const TsChange *change, bool text_keys)
{
	static const char *const ops[TS_CHANGE_OPS] = {"DELETE", "UPDATE", "INSERT"};
	Datum		values[6];
	bool		nulls[6] = {false};
	bool	   *key = palloc0(sizeof(bool) * (link->ncolumns + 1));
	bool	   *known = palloc0(sizeof(bool) * (link->ncolumns + 1));
	bool		whole = true;

	for (int i = 0; i < link->ncolumns; i++)
	{
		key[i] = link->columns[i].is_key;
		/* of the old row is known what the log tells, and for an UPDATE what did not change */
		known[i] = (change->mask[i] & TS_COLUMN_KNOWN) ||
			(change->op == TS_CHANGE_UPDATE && !(change->mask[i] & TS_COLUMN_CHANGED));
		whole &= known[i] || link->columns[i].ignored;
	}
	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(ops[change->op]);
	values[2] = side(link, change, text_keys, change->op == TS_CHANGE_DELETE, key);
	nulls[3] = change->op == TS_CHANGE_INSERT || (change->op == TS_CHANGE_UPDATE && !whole);
	if (!nulls[3])
		values[3] = side(link, change, text_keys, true, known);
	nulls[4] = change->op == TS_CHANGE_DELETE;
	if (!nulls[4])
		values[4] = side(link, change, text_keys, false, NULL);
	nulls[5] = change->op != TS_CHANGE_UPDATE;
	if (!nulls[5])
		values[5] = changed_names(link, change);
	ts_result_put(result, values, nulls);
}

Datum
tracksync_net_changes(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpened	opened;
	TsChangeSource *changes;
	TsChange	change;
	MemoryContext context;
	bool		compared;
	TsPending	pending;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	ts_open_link(&opened, ts_text_arg(fcinfo, 0), false);
	context = AllocSetContextCreate(CurrentMemoryContext, "tracksync row", ALLOCSET_DEFAULT_SIZES);
	ts_change_init(&change, opened.link->ncolumns);
	for (int distrust = 0; distrust < 2; distrust++)
	{
		changes = ts_plan_source(opened.link, opened.source, opened.target, opened.snapshot, distrust, &compared, &pending);
		while (changes->next(changes, &change))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			put_change(&result, opened.link, &change, changes->text_keys);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
		changes->end(changes);
		if (!changes->broken)
			break;
		tuplestore_clear(result.store);
	}
	ts_close_link(&opened);
	PG_RETURN_NULL();
}

static void
put_done(TsResult *result, const TsPushed *pushed)
{
	for (int i = 0; i < pushed->n; i++)
	{
		const TsDone *done = &pushed->done[i];
		Datum		values[8];
		bool		nulls[8] = {false};
		Interval   *elapsed = palloc0(sizeof(Interval));

		elapsed->time = done->microseconds;
		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(done->step->priority);
		values[2] = CStringGetTextDatum(done->step->kind);
		values[3] = CStringGetTextDatum(pushed->plan->link->name);
		values[4] = CStringGetTextDatum(ts_link_target(pushed->plan->link));
		values[5] = Int64GetDatum(done->rows);
		values[6] = IntervalPGetDatum(elapsed);
		values[7] = CStringGetTextDatum(done->step->description);
		ts_result_put(result, values, nulls);
	}
}

static void
check_expected(const TsPlan *plan, const char *expect)
{
	char	   *is = ts_plan_fingerprint(plan);

	if (strcmp(is, expect) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the plan of link \"%s\" is not the one expected", plan->link->name),
				 errdetail("Its fingerprint is %s, expected was %s.", is, expect),
				 errhint("Review the plan again, then push with its new fingerprint.")));
}

/* Links being pushed by this session: a trigger of the target must not push the link that fired it. */
static List *pushing = NIL;

static Datum push(FunctionCallInfo fcinfo);

Datum
tracksync_push(PG_FUNCTION_ARGS)
{
	List	   *before = pushing;
	MemoryContext old;
	char	   *name;
	ListCell   *lc;

	ts_need_arg(fcinfo, 0, "name");
	name = ts_text_arg(fcinfo, 0);
	foreach(lc, pushing)
		if (strcmp(lfirst(lc), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("link \"%s\" is being pushed already", name),
					 errdetail("A trigger of its target called tracksync.push for it."),
					 errhint("Push from outside of the target's triggers.")));
	old = MemoryContextSwitchTo(TopTransactionContext);
	pushing = lcons(pstrdup(name), list_copy(before));
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		(void) push(fcinfo);
	}
	PG_FINALLY();
	{
		pushing = before;
	}
	PG_END_TRY();
	PG_RETURN_NULL();
}

static Datum
push(FunctionCallInfo fcinfo)
{
	TsResult	result;
	TsOpened	opened;
	TsPlan	   *plan;
	TsPushed   *pushed;
	char	   *expect = ts_text_arg(fcinfo, 1);
	bool		dry_run;
	Oid			source;

	ts_need_arg(fcinfo, 2, "dry_run");
	dry_run = PG_GETARG_BOOL(2);
	result = ts_result_begin(fcinfo);
	ts_open_link(&opened, ts_text_arg(fcinfo, 0), true);
	source = opened.link->source;
	plan = build(&opened, TS_PLAN_KEEP | (expect ? TS_PLAN_FINGERPRINT : 0));
	if (expect)
		check_expected(plan, expect);
	/* the target's relation is opened anew by what writes to it: it may be created or altered first */
	if (opened.target != NULL && opened.link->schema != NIL)
	{
		relation_close(opened.target, NoLock);
		opened.target = NULL;
	}
	pushed = ts_push_run(plan, opened.source, dry_run);
	ts_push_record(pushed, dry_run);
	put_done(&result, pushed);
	if (!dry_run)
	{
		(void) ts_log_prune(source, false);
		ts_push_sequences(pushed);
	}
	ts_plan_end(plan);
	ts_close_link(&opened);
	return (Datum) 0;
}
