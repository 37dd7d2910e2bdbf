/*
 * explain.c: SQL function explain_row: all that is known of one row.
 *
 * The plan is made as for a push, its comparisons restricted to the row's key; of what comes from the log, which is read whole, the
 * changes of that key are kept. Everything runs as the link's owner, under one snapshot, and nothing is written. What fails in the
 * course of it, a value that cannot be cast say, would fail the push, too: it is a fact like others, and the rest goes on.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "api/changes.h"
#include "api/fact.h"
#include "api/netchange.h"
#include "base/attempt.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "plan/plan.h"

PG_FUNCTION_INFO_V1(tracksync_explain_row);

typedef void (*Part) (TsExplained *e);

/* Is it about the row, the link or its tables? Not a cancel, a time-out, a lost lock, a full disk or a bug. */
static bool
is_a_fact(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('0', 'A', '0', '0', '0'), MAKE_SQLSTATE('2', '1', '0', '0', '0'), MAKE_SQLSTATE('2', '2', '0', '0', '0'), MAKE_SQLSTATE('2', '3', '0', '0', '0'),
		MAKE_SQLSTATE('4', '2', '0', '0', '0'), MAKE_SQLSTATE('5', '5', '0', '0', '0'), MAKE_SQLSTATE('P', '0', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return sqlstate != ERRCODE_LOCK_NOT_AVAILABLE;
	return false;
}

/* A part, and what of. */
typedef struct Telling
{
	TsExplained *e;
	Part		part;
} Telling;

static void
do_part(void *arg)
{
	Telling    *telling = arg;

	telling->part(telling->e);
}

/* Does a part, in a subtransaction; returns what it failed with, or NULL. */
static ErrorData *
attempt(TsExplained *e, Part part)
{
	Telling		telling = {e, part};
	ErrorData  *error = ts_attempt(do_part, &telling, false);

	if (error != NULL && !is_a_fact(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/* Tells a part; if it fails, that is the fact. */
static void
tell(TsExplained *e, TsAspect aspect, Part part)
{
	ErrorData  *error = attempt(e, part);
	TsDetail	detail = {0};

	if (error == NULL)
		return;
	ts_detail_text(&detail, "sqlstate", unpack_sql_state(error->sqlerrcode));
	ts_detail_text(&detail, "message", error->message);
	ts_detail_text(&detail, "detail", error->detail);
	ts_detail_text(&detail, "hint", error->hint);
	ts_fact_add(e, aspect, 0, psprintf("%s: %s", aspect == TS_ASPECT_PUSH ? "the push fails" : "cannot be told", error->message),
				ts_detail_done(&detail));
}

static TsChange *
copy_change(const TsLink *link, const TsChange *from, bool text_keys)
{
	ListCell   *lc;
	TsChange   *to = palloc(sizeof(TsChange));

	ts_change_init(to, link->ncolumns);
	to->op = from->op;
	to->backfill = from->backfill;
	to->moved = from->moved;
	to->in_circle = from->in_circle;
	memcpy(to->mask, from->mask, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsValueType type = ts_value_type(link, i, from->op, text_keys);

		to->new_nulls[i] = from->op == TS_CHANGE_DELETE || from->new_nulls[i];
		to->old_nulls[i] = (from->mask[i] & TS_COLUMN_KNOWN) == 0 || from->old_nulls[i];
		if (!to->new_nulls[i])
			to->new_values[i] = datumCopy(from->new_values[i], type.byval, type.len);
		if (!to->old_nulls[i])
			to->old_values[i] = datumCopy(from->old_values[i], type.byval, type.len);
	}
	foreach(lc, from->violations)
	{
		const TsViolation *v = lfirst(lc);

		to->violations = lappend(to->violations, ts_violation_make(link, v->rule, to, pstrdup(v->message)));
	}
	return to;
}

/* Is the change one of the keys' rows? */
static bool
is_wanted(const TsExplained *e, const TsChange *change, bool text_keys)
{
	/* found by a comparison, which is of these keys only */
	if (text_keys && change->op == TS_CHANGE_DELETE)
		return true;
	if (change->op == TS_CHANGE_DELETE || change->moved)
		if (ts_key_set_has(e->keys, change->old_values, false))
			return true;
	return change->op != TS_CHANGE_DELETE && ts_key_set_has(e->keys, change->new_values, false);
}

/* The changes of the row that the plan is made of; false if their source broke. */
static bool
gather(TsExplained *e, bool distrust)
{
	TsPending	pending;
	TsChange	change;
	TsChangeSource *changes = ts_plan_source(e->link, e->opened->source, e->opened->target, e->snapshot, distrust, &e->compared, &pending);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync row", ALLOCSET_DEFAULT_SIZES);
	List	   *rules = ts_plan_rules(e->link);
	bool		more = true;

	if (rules != NIL)
		changes = ts_rules_source(e->link, rules, e->opened->target != NULL, changes);
	e->changes = NIL;
	e->text_keys = changes->text_keys;
	ts_change_init(&change, e->link->ncolumns);
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		wanted;

		CHECK_FOR_INTERRUPTS();
		more = changes->next(changes, &change);
		wanted = more && is_wanted(e, &change, changes->text_keys);
		MemoryContextSwitchTo(old);
		if (wanted)
			e->changes = lappend(e->changes, copy_change(e->link, &change, changes->text_keys));
		MemoryContextReset(context);
	}
	changes->end(changes);
	return !changes->broken;
}

static void
find_changes(TsExplained *e)
{
	ListCell   *lc;

	if (!gather(e, false) && !gather(e, true))
		elog(ERROR, "could not compare the source and the target of link \"%s\"", e->link->name);
	e->planned = true;
	foreach(lc, e->changes)
	{
		const TsChange *change = lfirst(lc);

		if (!change->moved)
			continue;
		ts_key_set_add(e->keys, change->old_values);
		ts_key_set_add(e->keys, change->new_values);
	}
}

static void
tell_net(TsExplained *e)
{
	ListCell   *lc;

	foreach(lc, e->changes)
	{
		Datum		values[TS_NET_CHANGE_COLUMNS];
		bool		nulls[TS_NET_CHANGE_COLUMNS];
		TsDetail	detail = {0};

		ts_net_change_row(e->link, lfirst(lc), e->text_keys, values, nulls);
		ts_detail_add(&detail, "key", JSONBOID, values[2], nulls[2]);
		ts_detail_add(&detail, "old", JSONBOID, values[3], nulls[3]);
		ts_detail_add(&detail, "new", JSONBOID, values[4], nulls[4]);
		ts_detail_add(&detail, "changed", TEXTARRAYOID, values[5], nulls[5]);
		ts_fact_add(e, TS_ASPECT_NET, 0, TextDatumGetCString(values[1]), ts_detail_done(&detail));
	}
	if (e->changes == NIL)
		ts_fact_add(e, TS_ASPECT_NET, 0, pstrdup("none"), (Datum) 0);
}

/* The link, as far as it decides about rows. */
static void
tell_link(TsExplained *e)
{
	static const char *const states[] = {"initial", "active", "resync"};
	static const char *const policies[] = {"error", "source_wins", "target_wins", "merge"};
	const TsLink *link = e->link;
	TsDetail	detail = {0};
	Datum	   *steps = palloc(sizeof(Datum) * (list_length(link->schema) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, link->schema)
		steps[n++] = CStringGetTextDatum(((TsSchemaStep *) lfirst(lc))->description);
	ts_detail_text(&detail, "source", ts_quote_relation(link->source));
	ts_detail_text(&detail, "target", ts_link_target(link));
	ts_detail_text(&detail, "on_conflict", link->on_conflict != TS_CONFLICT_FUNCTION ? policies[link->on_conflict] :
				   OidIsValid(link->conflict_function) ? get_func_name(link->conflict_function) : "a function that is gone");
	ts_detail_text(&detail, "on_error", link->quarantine ? "quarantine" : "abort");
	ts_detail_add(&detail, "schema_steps", TEXTARRAYOID, PointerGetDatum(construct_array(steps, n, TEXTOID, -1, false, TYPALIGN_INT)), n == 0);
	ts_fact_add(e, TS_ASPECT_LINK, 0, pstrdup(states[link->state]), ts_detail_done(&detail));
}

/* The event's key as the link's expressions make it. */
static void
map_key(TsExplained *e, TupleTableSlot *event, Datum *keys, bool *isnull)
{
	const TsTracked *tracked = e->link->tracked;
	TupleTableSlot *row;
	bool	   *known;

	ts_mapper_reset(e->mapper);
	row = ts_mapper_old(e->mapper, &known);
	for (int i = 0; !*isnull && i < tracked->nkeys; i++)
	{
		row->tts_values[tracked->keys[i] - 1] = slot_getattr(event, TS_EVENT_FIRST_KEY + i, isnull);
		row->tts_isnull[tracked->keys[i] - 1] = *isnull;
	}
	for (int i = 0; !*isnull && i < e->link->nkeys; i++)
		keys[i] = ts_mapper_value(e->mapper, e->link->keys[i], row, isnull);
}

static bool
event_wanted(void *arg, TupleTableSlot *event)
{
	TsExplained *e = arg;
	bool		isnull = false;
	Datum	   *keys = palloc(sizeof(Datum) * e->link->nkeys);
	bool		wanted;

	if (e->link->order_apart)
		map_key(e, event, keys, &isnull);
	for (int i = 0; !e->link->order_apart && !isnull && i < e->link->nkeys; i++)
		keys[i] = slot_getattr(event, TS_EVENT_FIRST_KEY + i, &isnull);
	wanted = !isnull && ts_key_set_has(e->keys, keys, true);
	pfree(keys);
	return wanted;
}

/* Is the event shipped? */
static const char *
event_state(const TsExplained *e, uint64 txid, int64 seq)
{
	if (ts_position_is_ahead(e->link->position) || !ts_position_passed(e->link->position, txid, seq))
		return "pending";
	if (e->link->state == TS_STATE_INITIAL)
		return "before the link";
	return e->quarantined ? "shipped or left out" : "shipped";
}

static void
tell_events(TsExplained *e)
{
	static const Oid types[] = {INT8OID, XID8OID, TEXTOID, JSONBOID, JSONBOID, JSONBOID, TEXTARRAYOID, TIMESTAMPTZOID, NAMEOID, TEXTOID};
	static const char *const names[] = {"seq", "txid", NULL, "key", "old", "new", "changed", NULL, "by", "context"};
	TsResult	events = {.desc = CreateTemplateTupleDesc(lengthof(types))};
	TupleTableSlot *slot;

	for (int i = 0; i < lengthof(types); i++)
		TupleDescInitEntry(events.desc, i + 1, names[i], types[i], -1, 0);
	events.store = tuplestore_begin_heap(false, false, work_mem);
	slot = MakeSingleTupleTableSlot(events.desc, &TTSOpsMinimalTuple);
	e->mapper = ts_mapper_create(e->link, e->opened->source);
	ts_changes_read(&events, e->link->source, e->snapshot, NULL, event_wanted, e);
	while (tuplestore_gettupleslot(events.store, true, false, slot))
	{
		TsDetail	detail = {0};

		slot_getallattrs(slot);
		/* a transaction's number, as a number */
		for (int i = 0; i < lengthof(types); i++)
			if (names[i] != NULL)
				ts_detail_add(&detail, names[i], types[i] == XID8OID ? INT8OID : types[i], slot->tts_values[i], slot->tts_isnull[i]);
		ts_fact_add(e, TS_ASPECT_EVENT, DatumGetTimestampTz(slot->tts_values[7]),
					psprintf("%s, %s", TextDatumGetCString(slot->tts_values[2]),
							 event_state(e, DatumGetInt64(slot->tts_values[1]), DatumGetInt64(slot->tts_values[0]))), ts_detail_done(&detail));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(events.store);
	ts_mapper_end(e->mapper);
}

/* The key by the target's names as they will be, if it is one of the link's: these, or those of now, none of them null. */
static char *
own_key(const TsLink *link, Jsonb *key, bool by_names_of_now)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	if (!JB_ROOT_IS_OBJECT(key) || JB_ROOT_COUNT(key) != link->nkeys)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		const char *name = by_names_of_now && col->now_name ? col->now_name : col->target_name;
		JsonbValue	field = {.type = jbvString};
		JsonbValue *value = getKeyJsonValueFromContainer(&key->root, name, strlen(name), NULL);

		if (value == NULL || value->type == jbvNull)
			return NULL;
		field.val.string.val = col->target_name;
		field.val.string.len = strlen(col->target_name);
		pushJsonbValue(&state, WJB_KEY, &field);
		pushJsonbValue(&state, WJB_VALUE, value);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbToCString(NULL, &JsonbValueToJsonb(result)->root, 0);
}

static void
read_key(TsExplained *e)
{
	ts_key_set_read(e->keys, e->link->only);
	/* comparisons know keys as the key columns have them */
	e->link->only = list_make1(ts_fact_key(e, 0));
}

/* Is it a key of the link? If not, and it is known, why. */
static bool
take_key(TsExplained *e, Jsonb *key, char **why)
{
	char	   *own = own_key(e->link, key, false);
	ErrorData  *error;

	if (own == NULL)
		own = own_key(e->link, key, true);
	if (own == NULL)
		return false;
	e->keys = ts_key_set_create(e->link, e->opened->source);
	e->link->only = list_make1(own);
	error = attempt(e, read_key);
	if (error != NULL)
		*why = error->message;
	return error == NULL;
}

static void
explain_link(TsExplained *e)
{
	ListCell   *lc;

	tell(e, TS_ASPECT_LINK, tell_link);
	tell(e, TS_ASPECT_PUSH, find_changes);
	/* what was found until then is not what a push would do */
	if (!e->planned)
		e->changes = NIL;
	tell(e, TS_ASPECT_QUARANTINE, ts_record_quarantine);
	if (!e->link->by_diff)
		tell(e, TS_ASPECT_EVENT, tell_events);
	if (e->planned)
		tell(e, TS_ASPECT_NET, tell_net);
	tell(e, TS_ASPECT_SOURCE, ts_side_source);
	tell(e, TS_ASPECT_MAPPING, ts_side_mapping);
	tell(e, TS_ASPECT_TARGET, ts_side_target);
	tell(e, TS_ASPECT_CONFLICT, ts_record_conflicts);
	tell(e, TS_ASPECT_PUSHED, ts_record_pushed);
	foreach(lc, e->changes)
	{
		e->change = lfirst(lc);
		tell(e, TS_ASPECT_PUSH, ts_forecast);
	}
	if (e->planned && e->changes == NIL)
		tell(e, TS_ASPECT_PUSH, ts_forecast_nothing);
}

/* The facts in the order of their aspects. */
static void
put_facts(TsResult *result, const TsExplained *e)
{
	int			n = 0;

	for (TsAspect aspect = TS_ASPECT_LINK; aspect <= TS_ASPECT_PUSH; aspect++)
	{
		ListCell   *lc;

		foreach(lc, e->facts)
		{
			const TsFact *fact = lfirst(lc);
			Datum		values[6];
			bool		nulls[6] = {false};

			if (fact->aspect != aspect)
				continue;
			values[0] = CStringGetTextDatum(e->link->name);
			values[1] = Int32GetDatum(++n);
			values[2] = CStringGetTextDatum(ts_aspect_name(aspect));
			nulls[3] = fact->at == 0;
			values[3] = TimestampTzGetDatum(fact->at);
			values[4] = CStringGetTextDatum(fact->what);
			nulls[5] = fact->detail == (Datum) 0;
			values[5] = fact->detail;
			ts_result_put(result, values, nulls);
		}
	}
}

/* No link has such a key. why: NULL = not known. */
static void
refuse_key(const TsOpening *opening, Jsonb *key, const char *why)
{
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < opening->n; i++)
	{
		const TsLink *link = opening->links[i].link;

		if (opening->group)
			appendStringInfo(&keys, "%s%s (", i ? ", " : "", quote_identifier(link->name));
		for (int k = 0; k < link->nkeys; k++)
			appendStringInfo(&keys, "%s%s", k ? ", " : "", quote_identifier(link->columns[link->keys[k]].target_name));
		if (opening->group)
			appendStringInfoChar(&keys, ')');
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is not a key of %s \"%s\"", JsonbToCString(NULL, &key->root, 0), opening->group ? "any link of group" : "link", opening->name),
			 why ? errdetail("Its values are not of the key's types: %s.", why) : opening->n == 0 ? errdetail("The group has no links.") :
			 errdetail("The key columns of the target%s: %s.", opening->group ? "s" : "", keys.data),
			 errhint("Give an object with a value for each key column of the target, and nothing else.")));
}

Datum
tracksync_explain_row(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;
	Jsonb	   *key;
	char	   *why = NULL;
	bool		found = false;

	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "key");
	key = PG_GETARG_JSONB_P(1);
	result = ts_result_begin(fcinfo);
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_READ);
	for (int i = 0; i < opening.n; i++)
	{
		TsExplained e = {.link = opening.links[i].link, .opened = &opening.links[i], .snapshot = opening.snapshot};

		if (!take_key(&e, key, &why))
			continue;
		found = true;
		explain_link(&e);
		put_facts(&result, &e);
	}
	if (!found)
		refuse_key(&opening, key, why);
	ts_close(&opening);
	PG_RETURN_NULL();
}
