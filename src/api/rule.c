/* rule.c: SQL functions add_rule, drop_rule and validate. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "api/rule.h"
#include "base/srf.h"
#include "plan/plan.h"

PG_FUNCTION_INFO_V1(tracksync_add_rule);
PG_FUNCTION_INFO_V1(tracksync_drop_rule);
PG_FUNCTION_INFO_V1(tracksync_validate);

#define VALIDATE_COLUMNS 6

/* add_rule(link, rule, expression, message) */
Datum
tracksync_add_rule(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"link", "rule", "expression"};
	TsOpening	opening;
	const TsLink *link;
	char	   *name;

	for (int i = 0; i < lengthof(names); i++)
		ts_need_arg(fcinfo, i, names[i]);
	name = ts_text_arg(fcinfo, 0);
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a rule's name must not be empty"),
				 errhint("Give the rule a name, or that of a ready-made one: required, range, length, pattern, one_of, unique.")));
	/* not a group's; and rules come one after the other */
	(void) ts_link_load(name, true);
	/* the link may have been made by the same statement */
	PushActiveSnapshot(GetTransactionSnapshot());
	ts_open(&opening, name, TS_OPEN_READ);
	link = opening.links[0].link;
	ts_close(&opening);
	PopActiveSnapshot();
	/* names in the expression are looked up as the caller means them */
	ts_rule_add(link, ts_rule_parse(link, ts_text_arg(fcinfo, 1), ts_text_arg(fcinfo, 2), ts_text_arg(fcinfo, 3)));
	PG_RETURN_VOID();
}

/* drop_rule(link, rule) */
Datum
tracksync_drop_rule(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "link");
	ts_need_arg(fcinfo, 1, "rule");
	(void) ts_link_load(ts_text_arg(fcinfo, 0), true);
	ts_rule_drop(ts_text_arg(fcinfo, 0), ts_text_arg(fcinfo, 1));
	PG_RETURN_VOID();
}

static void
put_violations(TsResult *result, const TsLink *link, const TsChange *change)
{
	Datum		key = change->violations != NIL ? ts_rules_key(link, change) : (Datum) 0;
	ListCell   *lc;

	foreach(lc, change->violations)
	{
		const TsViolation *v = lfirst(lc);
		Datum		values[VALIDATE_COLUMNS] = {0};
		bool		nulls[VALIDATE_COLUMNS] = {false};

		values[0] = CStringGetTextDatum(link->name);
		values[1] = key;
		values[2] = CStringGetTextDatum(v->rule->name);
		nulls[3] = v->column == NULL;
		values[3] = v->column ? CStringGetTextDatum(v->column) : (Datum) 0;
		nulls[4] = v->value == NULL;
		values[4] = v->value ? CStringGetTextDatum(v->value) : (Datum) 0;
		values[5] = CStringGetTextDatum(v->message);
		ts_result_put(result, values, nulls);
	}
}

/* False if the source of the changes broke. */
static bool
validate(TsResult *result, const TsOpening *opening, TsOpened *opened, List *rules, bool distrust)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync row", ALLOCSET_DEFAULT_SIZES);
	bool		compared;
	TsPending	pending;
	TsChangeSource *changes = ts_rules_source(opened->link, rules, opened->target != NULL,
											  ts_plan_source(opened->link, opened->source, opened->target, opening->snapshot, distrust,
															 &compared, &pending));
	TsChange	change;

	ts_change_init(&change, opened->link->ncolumns);
	while (changes->next(changes, &change))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		put_violations(result, opened->link, &change);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	changes->end(changes);
	MemoryContextDelete(context);
	return !changes->broken;
}

static void
validate_link(TsResult *result, const TsOpening *opening, TsOpened *opened)
{
	List	   *rules = ts_plan_rules(opened->link);
	TsResult	own = *result;

	if (rules == NIL)
		return;
	/* what turns out not to be true after all is thrown away */
	own.store = tuplestore_begin_heap(false, false, work_mem);
	if (!validate(&own, opening, opened, rules, false))
	{
		tuplestore_clear(own.store);
		if (!validate(&own, opening, opened, rules, true))
			elog(ERROR, "could not compare the source and the target of link \"%s\"", opened->link->name);
	}
	ts_result_append(result, own.store);
	tuplestore_end(own.store);
}

/* validate(name) */
Datum
tracksync_validate(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_READ);
	for (int i = 0; i < opening.n; i++)
		validate_link(&result, &opening, &opening.links[i]);
	ts_close(&opening);
	PG_RETURN_NULL();
}

void
ts_rules_stop(const TsMerged *merged, const char *name)
{
	StringInfoData shown;
	int64		rows = 0,
				violations = 0;
	const TsLink *first = NULL;
	int			listed = 0;

	initStringInfo(&shown);
	for (int i = 0; i < merged->nplans; i++)
	{
		const TsPlan *plan = merged->plans[i];
		ListCell   *lc;

		rows += plan->refused.rows;
		violations += plan->refused.violations;
		if (plan->refused.rows > 0 && first == NULL)
			first = plan->link;
		foreach(lc, plan->refused.shown)
			if (listed++ < TS_RULES_SHOWN)
				appendStringInfo(&shown, "\n%s%s", merged->nplans > 1 ? psprintf("link \"%s\", ", plan->link->name) : "", (char *) lfirst(lc));
	}
	if (first == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("push of \"%s\" would write " INT64_FORMAT " row%s that break%s rules of %s (" INT64_FORMAT " violation%s)", name, rows,
					rows == 1 ? "" : "s", rows == 1 ? "s" : "", merged->nplans == 1 ? "the link" : "its links", violations, violations == 1 ? "" : "s"),
			 errdetail("%s:%s", violations > TS_RULES_SHOWN ? psprintf("The first %d", TS_RULES_SHOWN) : "They are", shown.data),
			 first->quarantine ? errhint("A row that gets another key cannot be left out: mend it at the source, or drop the rule.") :
			 errhint("See all of them with tracksync.validate(%s). Mend the rows at the source, drop the rule, or leave such rows out: tracksync.alter_link(%s, on_error => 'quarantine').",
					 quote_literal_cstr(name), quote_literal_cstr(first->name))));
}
