/* plan.c: building a plan. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "base/sequence.h"
#include "link/back.h"
#include "link/cast.h"
#include "link/remote.h"
#include "link/step.h"
#include "netchange/scan.h"
#include "plan/fingerprint.h"
#include "plan/plan.h"
#include "plan/spared.h"
#include "plan/statement.h"

#define SHOWN_STATEMENTS 3

/* What is gathered of the changes of one operation. */
typedef struct Gathered
{
	int64		rows;
	TsStore    *store;
	int			nmasks;			/* distinct masks seen, counted up to one more than are shown */
	unsigned char *masks[SHOWN_STATEMENTS];
} Gathered;

typedef struct Planner
{
	TsPlan	   *plan;
	TsLink	   *link;
	int			flags;
	bool		target_exists;
	Gathered	ops[TS_CHANGE_OPS];
	Gathered	backfill;		/* updates that no event tells of */
	Gathered	moves;			/* updates of the key */
	int64	   *highest;		/* per column: the value its sequence must pass, in the sequence's direction */
	bool	   *has_highest;
} Planner;

static const struct
{
	TsPriority	priority;
	const char *kind;
	TsStatementKind statement;
	const char *verb;
}			data_steps[TS_CHANGE_OPS] =
{
	[TS_CHANGE_DELETE] = {TS_PRIORITY_DELETE, "delete", TS_STATEMENT_DELETE, "delete %lld row%s from %s"},
	[TS_CHANGE_UPDATE] = {TS_PRIORITY_UPDATE, "update", TS_STATEMENT_UPDATE, "update %lld row%s of %s"},
	[TS_CHANGE_INSERT] = {TS_PRIORITY_INSERT, "insert", TS_STATEMENT_INSERT_ALL, "insert %lld row%s into %s"},
};

/* What an active link's plan can rely on. */
static TsStorageChange
source_trust(TsLink *link, bool distrust)
{
	if (distrust)
		return TS_STORAGE_LOST;
	link->storage_now = ts_source_storage(link->source);
	return ts_storage_compare(link->storage, link->storage_now);
}

List *
ts_plan_quarantined(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name)};
	MemoryContext context = CurrentMemoryContext;
	List	   *keys;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT key::text FROM tracksync.quarantine_record WHERE link = $1 ORDER BY key", 1, types, values, NULL);
	keys = ts_sql_texts(n, context);
	ts_catalog_leave(&cat);
	return keys;
}

/*
 * An identity column that is GENERATED ALWAYS cannot be updated. And where rows change on both sides, what decides about conflicts decides
 * about rows under one key.
 */
static bool
keys_can_change(const TsLink *link)
{
	if ((link->on_conflict == TS_CONFLICT_MERGE || link->on_conflict == TS_CONFLICT_FUNCTION) && ts_link_back(link) != TS_BACK_NONE)
		return false;
	for (int i = 0; i < link->nkeys; i++)
		if (link->columns[link->keys[i]].identity_always)
			return false;
	/* nor, where rows are spread over nodes by it, the key */
	return OidIsValid(link->target) && (link->remote == NULL || (!link->remote->sharded && !ts_remote_keys_stay(link)));
}

TsChangeSource *
ts_plan_source(TsLink *link, Relation source, Relation target, Snapshot snapshot, bool distrust, bool *compared,
			   TsPending *pending)
{
	*compared = true;
	memset(pending, 0, sizeof(TsPending));
	if (link->by_diff)
		return ts_diff_source(link, target, link->repair != TS_REPAIR_NONE ? link->repair == TS_REPAIR_MIRROR :
							  link->state != TS_STATE_INITIAL || link->initial != TS_INITIAL_COPY);
	if (link->state == TS_STATE_ACTIVE && link->repair != TS_REPAIR_MIRROR)
	{
		TsStorageChange trust = source_trust(link, distrust);
		List	   *quarantined = ts_plan_quarantined(link);
		bool		unknown = link->values_unknown || link->doubted || link->repair != TS_REPAIR_NONE;
		bool		follow = trust == TS_STORAGE_SAME && !unknown && keys_can_change(link);
		TsChangeSource *changes = trust == TS_STORAGE_LOST ? NULL : ts_log_source(link, source, snapshot, follow, pending);

		*compared = changes == NULL || trust != TS_STORAGE_SAME || unknown || pending->rows_came;
		/* which rows went the log still tells; what the rows hold it does not */
		if (changes != NULL && *compared)
		{
			ts_log_source_distrust(changes);
			changes = ts_repair_source(link, source, target, changes);
		}
		if (changes != NULL && quarantined != NIL)
			return ts_quarantine_source(link, source, changes, quarantined);
		if (changes != NULL)
			return changes;
	}
	*pending = ts_log_pending(link->tracked, snapshot, link->position, false);
	if (link->state != TS_STATE_INITIAL && link->repair == TS_REPAIR_NONE && link->rows == NULL && target != NULL)
		ts_spared_refuse(link);
	return ts_diff_source(link, target, link->state != TS_STATE_INITIAL || link->initial == TS_INITIAL_MIRROR || link->repair == TS_REPAIR_MIRROR);
}

/* Remembers how far the sequences of the target's columns must go. */
static void
watch_sequences(Planner *p, const TsChange *change)
{
	if (change->op == TS_CHANGE_DELETE)
		return;
	for (int i = 0; i < p->link->ncolumns; i++)
	{
		const TsColumn *col = &p->link->columns[i];
		int64		value;

		if ((!OidIsValid(col->sequence) && col->remote_sequence == NULL) || change->new_nulls[i])
			continue;
		switch (col->source_type)
		{
			case INT2OID:
				value = DatumGetInt16(change->new_values[i]);
				break;
			case INT4OID:
				value = DatumGetInt32(change->new_values[i]);
				break;
			case INT8OID:
				value = DatumGetInt64(change->new_values[i]);
				break;
			default:
				continue;
		}
		if (!p->has_highest[i] || (p->highest[i] < value))
			p->highest[i] = value;
		p->has_highest[i] = true;
	}
}

static void
note_mask(Gathered *g, const unsigned char *mask, int n)
{
	if (g->nmasks > SHOWN_STATEMENTS)
		return;
	for (int i = 0; i < g->nmasks; i++)
		if (memcmp(g->masks[i], mask, n) == 0)
			return;
	if (g->nmasks < SHOWN_STATEMENTS)
	{
		g->masks[g->nmasks] = palloc(n + 1);
		memcpy(g->masks[g->nmasks], mask, n);
	}
	g->nmasks++;
}

static void
start(Planner *p, Gathered *g, TsChangeOp op, bool in_order)
{
	if (g->store)
		ts_store_end(g->store);
	memset(g, 0, sizeof(Gathered));
	if (p->flags & TS_PLAN_KEEP)
		g->store = ts_store_begin(p->link, op, p->plan->text_keys, p->plan->compared, in_order);
}

static void
start_gathering(Planner *p)
{
	for (int op = 0; op < TS_CHANGE_OPS; op++)
		start(p, &p->ops[op], op, false);
	start(p, &p->backfill, TS_CHANGE_UPDATE, false);
	start(p, &p->moves, TS_CHANGE_UPDATE, true);
	ts_refused_clear(&p->plan->refused);
	memset(p->has_highest, 0, sizeof(bool) * p->link->ncolumns);
	ts_fingerprint_begin(p->plan->fingerprint, p->link);
}

List *
ts_plan_rules(const TsLink *link)
{
	List	   *rules = ts_rules_of(link->name);

	if (rules != NIL)
		ts_rules_resolve(link, rules);
	return rules;
}

/* Reads all changes; false if their source broke. */
static bool
gather(Planner *p, TsChangeSource *changes)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync change", ALLOCSET_DEFAULT_SIZES);
	TsChange	change;

	if (p->plan->rules != NIL)
		changes = ts_rules_source(p->link, p->plan->rules, p->target_exists, changes);
	p->plan->text_keys = changes->text_keys;
	start_gathering(p);
	ts_change_init(&change, p->link->ncolumns);
	while (changes->next(changes, &change))
	{
		Gathered   *g = change.moved ? &p->moves : change.backfill ? &p->backfill : &p->ops[change.op];
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		g->rows++;
		note_mask(g, change.mask, p->link->ncolumns);
		if (change.violations == NIL)
			watch_sequences(p, &change);
		old = MemoryContextSwitchTo(context);
		if (p->flags & TS_PLAN_FINGERPRINT)
			ts_fingerprint_change(p->plan->fingerprint, p->link, &change, p->plan->text_keys);
		if (g->store && change.violations == NIL)
			ts_store_put(g->store, &change);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (change.violations != NIL)
			ts_refused_note(&p->plan->refused, p->link, &change, p->plan->text_keys, p->plan->compared);
	}
	changes->end(changes);
	MemoryContextDelete(context);
	return !changes->broken;
}

static TsStep *
add_step(TsPlan *plan, TsPriority priority, const char *kind)
{
	TsStep	   *step = &plan->steps[plan->nsteps++];

	step->priority = priority;
	step->kind = kind;
	return step;
}

static void
add_schema_steps(TsPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->link->schema)
	{
		const TsSchemaStep *what = lfirst(lc);
		TsStep	   *step = add_step(plan, what->priority, what->kind);

		step->destructive = what->destructive;
		step->description = what->description;
		step->sql = what->after ? psprintf("%s%s-- when the rows are written:\n%s", what->sql, what->sql[0] ? ";\n" : "",
										   what->after) : what->sql;
		step->dropped = what->dropped;
		step->before = what->sql;
		step->after = what->after;
		ts_fingerprint_text(plan->fingerprint, step->sql);
	}
}

static void
add_data_step(Planner *p, TsChangeOp op, Gathered *g, const char *kind)
{
	TsStep	   *step;
	StringInfoData sql;

	if (g->rows == 0)
	{
		if (g->store)
			ts_store_end(g->store);
		return;
	}
	step = add_step(p->plan, data_steps[op].priority, kind);
	step->op = op;
	step->rows = g->rows;
	step->store = g->store;
	step->destructive = op == TS_CHANGE_DELETE && p->plan->text_keys;
	step->description = psprintf(g == &p->backfill ? "fill in %lld row%s of %s" : g == &p->moves ? "change the key of %lld row%s of %s" :
								 data_steps[op].verb, (long long) g->rows, g->rows == 1 ? "" : "s", ts_link_target(p->link));
	if (p->plan->text_keys && op == TS_CHANGE_DELETE)
		step->description = psprintf("%s that the %s does not have", step->description, p->link->rows != NULL ? "target" : "source");
	initStringInfo(&sql);
	for (int i = 0; i < Min(g->nmasks, SHOWN_STATEMENTS); i++)
		appendStringInfo(&sql, "%s%s", i ? ";\n" : "",
						 ts_statement_build(p->link, data_steps[op].statement, op, g->masks[i], p->plan->text_keys)->sql);
	if (g->nmasks > SHOWN_STATEMENTS)
		appendStringInfoString(&sql, ";\n-- and the same for other sets of columns");
	step->sql = sql.data;
}

static void
add_sequence_steps(Planner *p)
{
	for (int i = 0; i < p->link->ncolumns; i++)
	{
		const TsColumn *col = &p->link->columns[i];
		const char *name;
		TsStep	   *step;

		if (!p->has_highest[i] || !(col->remote_sequence ? ts_remote_sequence_lags(p->link, col->remote_sequence, p->highest[i]) :
									ts_sequence_lags(col->sequence, p->highest[i])))
			continue;
		name = col->remote_sequence ? col->remote_sequence : ts_quote_relation(col->sequence);
		step = add_step(p->plan, TS_PRIORITY_SEQUENCE, "sequence");
		step->sequence = col->sequence;
		step->remote_sequence = col->remote_sequence;
		step->value = p->highest[i];
		step->rows = 1;
		step->description = psprintf("advance sequence %s of column %s to " INT64_FORMAT, name,
									 quote_identifier(col->target_name), step->value);
		step->sql = psprintf("SELECT pg_catalog.setval(%s, " INT64_FORMAT ")",
							 quote_literal_cstr(name), step->value);
		ts_fingerprint_text(p->plan->fingerprint, step->sql);
	}
}

static void
take_position(TsPlan *plan, const TsPending *pending)
{
	plan->pending = pending->rows;
	plan->own_seq = pending->last_seq;
	/* what this transaction pushed before and did not change since */
	if (plan->link->position->own_txid == ts_own_txid())
		plan->own_seq = Max(plan->own_seq, plan->link->position->own_seq);
	plan->position = ts_position_of_snapshot();
	/* of the same snapshot */
	plan->storage = plan->link->storage_now ? plan->link->storage_now : ts_source_storage(plan->link->source);
}

/*
 * Columns whose values are lost, or may be: rows of the target that the source does not have are deleted by this plan, or not ours. Keys
 * are no such columns: they are cast, or the push fails.
 */
static void
check_lossy(const Planner *p)
{
	TsLink	   *link = p->link;

	for (int i = 0; i < link->ncolumns; i++)
	{
		TsColumn   *col = &link->columns[i];

		if (col->lossy == NULL)
			continue;
		col->besides = ts_cast_rows_besides(link, col, false);
		if (col->besides > p->ops[TS_CHANGE_DELETE].rows && ts_cast_rows_besides(link, col, true) > 0)
			ts_cast_refuse(link, col->now_name, col->lossy);
	}
}

TsPlan *
ts_plan_build(TsLink *link, Relation source, Relation target, Snapshot snapshot, int flags)
{
	TsPlan	   *plan = palloc0(sizeof(TsPlan));
	Planner		p = {.plan = plan, .link = link, .flags = flags, .target_exists = target != NULL};
	TsPending	pending;

	plan->link = link;
	plan->steps = palloc0(sizeof(TsStep) * (3 + TS_CHANGE_OPS + link->ncolumns + list_length(link->schema)));
	p.highest = palloc0(sizeof(int64) * (link->ncolumns + 1));
	p.has_highest = palloc0(sizeof(bool) * (link->ncolumns + 1));
	plan->rules = flags & TS_PLAN_RULES ? ts_plan_rules(link) : NIL;
	if (!gather(&p, ts_plan_source(link, source, target, snapshot, false, &plan->compared, &pending)) &&
		!gather(&p, ts_plan_source(link, source, target, snapshot, true, &plan->compared, &pending)))
		elog(ERROR, "could not compare the source and the target of link \"%s\"", link->name);

	check_lossy(&p);
	if (target == NULL)
	{
		TsStep	   *step = add_step(plan, TS_PRIORITY_CREATE_TABLE, "create_table");

		step->description = psprintf("create table %s", ts_link_target(link));
		step->sql = ts_statement_create_table(link, source);
		ts_fingerprint_text(plan->fingerprint, step->sql);
	}
	add_schema_steps(plan);
	for (int op = 0; op < TS_CHANGE_OPS; op++)
	{
		/* rows that get another key get out of the way of those that are written to it */
		if (op == TS_CHANGE_UPDATE)
			add_data_step(&p, op, &p.moves, data_steps[op].kind);
		add_data_step(&p, op, &p.ops[op], data_steps[op].kind);
		if (op == TS_CHANGE_UPDATE)
			add_data_step(&p, op, &p.backfill, "backfill");
	}
	take_position(plan, &pending);
	add_sequence_steps(&p);
	return plan;
}

void
ts_plan_add_user_steps(TsPlan *plan, const char *name)
{
	List	   *steps = ts_steps_of(name);
	ListCell   *lc;

	plan->steps = repalloc(plan->steps, sizeof(TsStep) * (plan->nsteps + list_length(steps) + 1));
	foreach(lc, steps)
	{
		const TsUserStep *user = lfirst(lc);
		TsStep	   *step;

		memset(&plan->steps[plan->nsteps], 0, sizeof(TsStep));
		step = add_step(plan, (TsPriority) user->priority, "user");
		step->function = user->function;
		step->owner = user->name;
		step->description = psprintf("run %s", user->function);
		step->sql = psprintf("SELECT %s(%s, push_id)", user->function, quote_literal_cstr(name));
		ts_fingerprint_text(plan->fingerprint, psprintf("%d %s", user->priority, step->sql));
	}
}

void
ts_plan_end(TsPlan *plan)
{
	for (int i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].store)
			ts_store_end(plan->steps[i].store);
	ts_refused_clear(&plan->refused);
}

char *
ts_plan_fingerprint(const TsPlan *plan)
{
	return ts_fingerprint_show(plan->fingerprint);
}
