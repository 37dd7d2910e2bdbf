/*
 * rules.c: rows that are about to be pushed, held against the link's rules.
 *
 * A rule may fail for a row: a division by zero, a value that cannot be cast. Then it is broken, and nothing else fails. So rows are taken in
 * batches, each checked in a subtransaction; only where one fails each of its rows has one of its own. Rules whose functions are leakproof
 * cannot fail: what makes an error of some values tells of these values. They need none of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/expression.h"
#include "base/srf.h"
#include "mb/pg_wchar.h"
#include "plan/rules.h"

#define BATCH_ROWS 200
#define BATCH_BYTES (1024 * 1024)
#define SHOWN_BYTES 200

typedef struct Check
{
	const TsRule *rule;
	Node	   *condition;		/* over the row as the changes have it */
	ExprState  *state;
	char	   *message;
} Check;

typedef struct RulesSource
{
	TsChangeSource base;
	TsChangeSource *changes;
	int			nchecks;		/* all but unique rules */
	Check	   *checks;
	TupleTableSlot *slot;
	MemoryContext running;		/* what the expressions are run with */
	ExprContext *econtext;
	bool		guarded;		/* a rule may fail */
	char	   *zone;			/* times are those of the link's owner */
	MemoryContext context;		/* of the batch, or the row */
	TsChange	fetched;
	TsChange   *rows;			/* the batch, */
	int		   *before;			/* and how many rules each row was found to break before */
	int			n;
	int			at;
	bool		ended;
	/* being checked */
	int			from;
	int			to;
} RulesSource;

Datum
ts_rules_key(const TsLink *link, const TsChange *change)
{
	char	  **names = palloc(sizeof(char *) * (link->ncolumns + 1));
	Oid		   *types = palloc(sizeof(Oid) * (link->ncolumns + 1));
	bool	   *include = palloc(sizeof(bool) * (link->ncolumns + 1));

	for (int i = 0; i < link->ncolumns; i++)
	{
		names[i] = link->columns[i].target_name;
		types[i] = link->columns[i].source_type;
		include[i] = link->columns[i].is_key;
	}
	return ts_to_jsonb(link->ncolumns, names, types, change->new_values, change->new_nulls, include);
}

TsViolation *
ts_violation_make(const TsLink *link, const TsRule *rule, const TsChange *change, char *message)
{
	TsViolation *v = palloc0(sizeof(TsViolation));

	v->rule = rule;
	v->message = message;
	if (rule->ncolumns == 1)
	{
		const TsColumn *col = &link->columns[rule->at[0]];
		Oid			output;
		bool		varlena;

		v->column = col->target_name;
		getTypeOutputInfo(col->source_type, &output, &varlena);
		if (!change->new_nulls[rule->at[0]])
			v->value = OidOutputFunctionCall(output, change->new_values[rule->at[0]]);
	}
	return v;
}

/* Is the rule true of the row in the slot, or NULL? */
static bool
holds(const RulesSource *source, const Check *check)
{
	bool		isnull;
	Datum		result = ExecEvalExprSwitchContext(check->state, source->econtext, &isnull);

	return isnull || DatumGetBool(result);
}

/* Readies the expressions; again after an error: a function of theirs may have been left in the middle of its work. */
static void
ready(RulesSource *source)
{
	MemoryContext old = CurrentMemoryContext;

	if (source->econtext != NULL)
	{
		FreeExprContext(source->econtext, false);
		MemoryContextReset(source->running);
	}
	MemoryContextSwitchTo(source->running);
	source->econtext = CreateStandaloneExprContext();
	for (int c = 0; c < source->nchecks; c++)
		source->checks[c].state = ts_expression_prepare(source->checks[c].condition);
	MemoryContextSwitchTo(old);
}

static void
show_row(RulesSource *source, const TsChange *change)
{
	int			n = source->base.link->ncolumns;

	ExecClearTuple(source->slot);
	memcpy(source->slot->tts_values, change->new_values, sizeof(Datum) * n);
	memcpy(source->slot->tts_isnull, change->new_nulls, sizeof(bool) * n);
	ExecStoreVirtualTuple(source->slot);
	ResetExprContext(source->econtext);
	source->econtext->ecxt_scantuple = source->slot;
}

/* Rules of rows from … to - 1; what is noted belongs to the batch. */
static void
check_rows(void *arg)
{
	RulesSource *source = arg;
	int			level = NewGUCNestLevel();

	(void) set_config_option("TimeZone", source->zone, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	for (int i = source->from; i < source->to; i++)
	{
		TsChange   *row = &source->rows[i];

		if (row->op == TS_CHANGE_DELETE)
			continue;
		show_row(source, row);
		for (int c = 0; c < source->nchecks; c++)
			if (!holds(source, &source->checks[c]))
				row->violations = lappend(row->violations, ts_violation_make(source->base.link, source->checks[c].rule, row, source->checks[c].message));
	}
	AtEOXact_GUC(true, level);
}

/* One rule of one row that fails somewhere. */
static ErrorData *
check_alone(RulesSource *source, int row, int check)
{
	Check	   *checks = source->checks;
	int			nchecks = source->nchecks;
	ErrorData  *error;

	source->from = row;
	source->to = row + 1;
	source->checks = &checks[check];
	source->nchecks = 1;
	error = ts_attempt(check_rows, source, false);
	source->checks = checks;
	source->nchecks = nchecks;
	if (error != NULL)
		ready(source);
	return error;
}

/* A batch of which some row fails: which one, and by which rule? */
static void
check_apart(RulesSource *source)
{
	ready(source);
	for (int i = 0; i < source->n; i++)
	{
		source->rows[i].violations = list_truncate(source->rows[i].violations, source->before[i]);
		for (int c = 0; c < source->nchecks && source->rows[i].op != TS_CHANGE_DELETE; c++)
		{
			ErrorData  *error = check_alone(source, i, c);

			if (error == NULL)
				continue;
			if (!ts_error_is_about_values(error->sqlerrcode))
				ReThrowError(error);
			source->rows[i].violations = lappend(source->rows[i].violations,
												 ts_violation_make(source->base.link, source->checks[c].rule, &source->rows[i],
																   psprintf("%s (%s)", source->checks[c].message, error->message)));
		}
	}
}

/* Keeps a copy of the change; its size. */
static Size
keep_change(RulesSource *source, const TsChange *from, TsChange *to)
{
	const TsLink *link = source->base.link;
	Size		size = 0;
	ListCell   *lc;

	ts_change_init(to, link->ncolumns);
	to->op = from->op;
	to->backfill = from->backfill;
	to->moved = from->moved;
	to->in_circle = from->in_circle;
	to->maybe = from->maybe;
	memcpy(to->mask, from->mask, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsValueType type = ts_value_type(link, i, from->op, source->base.text_keys);

		to->new_nulls[i] = from->op == TS_CHANGE_DELETE || from->new_nulls[i];
		to->old_nulls[i] = (from->mask[i] & TS_COLUMN_KNOWN) == 0 || from->old_nulls[i];
		if (!to->new_nulls[i])
		{
			to->new_values[i] = datumCopy(from->new_values[i], type.byval, type.len);
			size += type.byval ? 0 : datumGetSize(to->new_values[i], type.byval, type.len);
		}
		if (!to->old_nulls[i])
		{
			to->old_values[i] = datumCopy(from->old_values[i], type.byval, type.len);
			size += type.byval ? 0 : datumGetSize(to->old_values[i], type.byval, type.len);
		}
	}
	foreach(lc, from->violations)
	{
		const TsViolation *v = lfirst(lc);

		to->violations = lappend(to->violations, ts_violation_make(link, v->rule, to, pstrdup(v->message)));
	}
	return size;
}

static bool
fill(RulesSource *source)
{
	MemoryContext old = CurrentMemoryContext;
	Size		size = 0;
	ErrorData  *error;

	MemoryContextReset(source->context);
	source->n = source->at = 0;
	source->rows = MemoryContextAlloc(source->context, sizeof(TsChange) * BATCH_ROWS);
	source->before = MemoryContextAlloc(source->context, sizeof(int) * BATCH_ROWS);
	while (!source->ended && source->n < BATCH_ROWS && size < BATCH_BYTES)
	{
		source->fetched.violations = NIL;
		if (!source->changes->next(source->changes, &source->fetched))
		{
			source->ended = true;
			source->base.broken = source->changes->broken;
			break;
		}
		MemoryContextSwitchTo(source->context);
		size += keep_change(source, &source->fetched, &source->rows[source->n]);
		source->before[source->n] = list_length(source->rows[source->n].violations);
		source->n++;
		MemoryContextSwitchTo(old);
	}
	if (source->n == 0)
		return false;
	MemoryContextSwitchTo(source->context);
	source->from = 0;
	source->to = source->n;
	error = ts_attempt(check_rows, source, false);
	if (error != NULL)
		check_apart(source);
	MemoryContextSwitchTo(old);
	return true;
}

static bool
rules_next(TsChangeSource *base, TsChange *change)
{
	RulesSource *source = (RulesSource *) base;
	MemoryContext old;

	if (source->guarded)
	{
		if (source->at == source->n && !fill(source))
			return false;
		*change = source->rows[source->at++];
		return true;
	}
	MemoryContextReset(source->context);
	change->violations = NIL;
	if (!source->changes->next(source->changes, change))
	{
		base->broken = source->changes->broken;
		return false;
	}
	if (change->op == TS_CHANGE_DELETE)
		return true;
	old = MemoryContextSwitchTo(source->context);
	show_row(source, change);
	for (int c = 0; c < source->nchecks; c++)
		if (!holds(source, &source->checks[c]))
			change->violations = lappend(change->violations, ts_violation_make(base->link, source->checks[c].rule, change, source->checks[c].message));
	MemoryContextSwitchTo(old);
	return true;
}

static void
rules_end(TsChangeSource *base)
{
	RulesSource *source = (RulesSource *) base;

	source->changes->end(source->changes);
	ExecDropSingleTupleTableSlot(source->slot);
	FreeExprContext(source->econtext, true);
	MemoryContextDelete(source->running);
	MemoryContextDelete(source->context);
}

/* The row as the changes have it, in the source's types, and what is read of it in the target's. */
static Node **
describe_row(RulesSource *source)
{
	const TsLink *link = source->base.link;
	TupleDesc	desc = CreateTemplateTupleDesc(link->ncolumns);
	Node	  **values = palloc(sizeof(Node *) * (link->ncolumns + 1));

	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		Oid			collation = get_typcollation(col->source_type);

		TupleDescInitEntry(desc, i + 1, col->target_name, col->source_type, -1, 0);
		/* what does not fit is an error, unless it is rounded: then rules are about what the target will have */
		values[i] = ts_expression_cast((Node *) makeVar(1, i + 1, col->source_type, -1, collation, 0), col->target_base,
									   link->lossy && !col->is_key ? col->target_typmod : -1);
	}
	source->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	return values;
}

TsChangeSource *
ts_rules_source(const TsLink *link, List *rules, bool target_exists, TsChangeSource *changes)
{
	RulesSource *source = palloc0(sizeof(RulesSource));
	List	   *unique = NIL;
	Node	  **values;
	ListCell   *lc;

	foreach(lc, rules)
		if (((TsRule *) lfirst(lc))->kind == TS_RULE_UNIQUE)
			unique = lappend(unique, lfirst(lc));
	if (unique != NIL)
		changes = ts_sole_source(link, unique, target_exists, changes);
	if (list_length(unique) == list_length(rules))
		return changes;
	source->base.link = link;
	source->base.text_keys = changes->text_keys;
	source->base.next = rules_next;
	source->base.end = rules_end;
	source->changes = changes;
	source->zone = link->server != NULL ? "UTC" : ts_role_setting(link->owner, "TimeZone", "UTC");
	source->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync rules", ALLOCSET_DEFAULT_SIZES);
	source->checks = palloc0(sizeof(Check) * list_length(rules));
	source->running = AllocSetContextCreate(CurrentMemoryContext, "tracksync running rules", ALLOCSET_DEFAULT_SIZES);
	values = describe_row(source);
	ts_change_init(&source->fetched, link->ncolumns);
	foreach(lc, rules)
	{
		TsRule	   *rule = lfirst(lc);
		Check	   *check = &source->checks[source->nchecks];

		if (rule->kind == TS_RULE_UNIQUE)
			continue;
		check->rule = rule;
		check->condition = ts_expression_over(rule->condition, values);
		source->guarded |= contain_leaked_vars(check->condition);
		check->message = ts_rule_message(link, rule);
		source->nchecks++;
	}
	ready(source);
	return &source->base;
}

/* key {"id": 3}: rule "required", column "email", value NULL: email is required */
static char *
show(const TsLink *link, const TsChange *change, const TsViolation *v)
{
	Jsonb	   *key = DatumGetJsonbP(ts_rules_key(link, change));
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfo(&line, "key %s: rule \"%s\"", JsonbToCString(NULL, &key->root, 0), v->rule->name);
	if (v->column != NULL)
		appendStringInfo(&line, ", column \"%s\"", v->column);
	if (v->value != NULL)
		appendStringInfo(&line, ", value \"%.*s\"%s", pg_mbcliplen(v->value, (int) strlen(v->value), SHOWN_BYTES), v->value,
						 strlen(v->value) > SHOWN_BYTES ? "…" : "");
	else if (v->column != NULL)
		appendStringInfoString(&line, ", value NULL");
	appendStringInfo(&line, ": %s", v->message);
	return line.data;
}

/* A row with another key is not left out: what would be tried again by the key alone is a DELETE and an INSERT. */
void
ts_refused_note(TsRefused *refused, const TsLink *link, const TsChange *change, bool text_keys, bool compared)
{
	StringInfoData message;
	TsRefusal  *why;
	ListCell   *lc;

	if (!link->quarantine || change->moved)
	{
		refused->rows++;
		refused->violations += list_length(change->violations);
		foreach(lc, change->violations)
			if (list_length(refused->shown) < TS_RULES_SHOWN)
				refused->shown = lappend(refused->shown, show(link, change, lfirst(lc)));
		return;
	}
	initStringInfo(&message);
	foreach(lc, change->violations)
		appendStringInfo(&message, "%s%s", message.len ? "; " : "", ((TsViolation *) lfirst(lc))->message);
	why = palloc(sizeof(TsRefusal));
	why->rule = pstrdup(((TsViolation *) linitial(change->violations))->rule->name);
	why->message = message.data;
	refused->why[change->op] = lappend(refused->why[change->op], why);
	if (refused->stores[change->op] == NULL)
		refused->stores[change->op] = ts_store_begin(link, change->op, text_keys, compared, true);
	ts_store_put(refused->stores[change->op], change);
}

void
ts_refused_clear(TsRefused *refused)
{
	for (int op = 0; op < TS_CHANGE_OPS; op++)
		if (refused->stores[op] != NULL)
			ts_store_end(refused->stores[op]);
	memset(refused, 0, sizeof(TsRefused));
}
