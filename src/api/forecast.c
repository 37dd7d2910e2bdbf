/*
 * forecast.c: what the next push would do about one change.
 *
 * The same question to the target as apply/settle.c asks, without locks, and the same answers. A policy is not carried out: a merge is
 * shown, a user's function is not called. Constraints and triggers of the target are not tried.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/fact.h"
#include "apply/arrays.h"
#include "apply/policy.h"
#include "apply/settle.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "link/ask.h"
#include "link/back.h"
#include "plan/rules.h"

/* What would be done, and why. */
typedef struct Forecast
{
	TsExplained *e;
	const TsChange *change;
	TsWriter	writer;			/* as far as describing and merging need it */
	TsFound		found;
	bool		conflict;
	TsConflictKind kind;
	char	   *resolution;		/* of the conflict; NULL: the push fails */
	char	   *merged;
} Forecast;

/* The target's row as the push would find it. */
static TsFound
look(Forecast *f, TsChangeOp op, const unsigned char *mask)
{
	const TsLink *link = f->e->link;
	TsFound		found = {0};
	TsStatement *stmt;
	Datum	   *arrays;
	Oid		   *types;
	List	   *rows;
	char	  **row;
	int			one = 0;

	if (!OidIsValid(link->target))
		return found;
	stmt = ts_statement_build(link, TS_STATEMENT_PEEK, op, mask, f->e->text_keys);
	arrays = ts_arrays_build(link, stmt, f->change, 1, &one);
	types = palloc(sizeof(Oid) * (stmt->nparams + 1));
	for (int i = 0; i < stmt->nparams; i++)
		types[i] = get_array_type(stmt->params[i].element);
	rows = ts_target_ask(link, stmt->sql, stmt->nparams, types, arrays, NULL, true);
	if (rows == NIL)
		return found;
	row = linitial(rows);
	found.there = true;
	found.holds_new = row[1] && row[1][0] == 't';
	found.holds_old = row[2] && row[2][0] == 't';
	found.row = row[3];
	found.whose = row[4] ? (TsWhose) row[4][0] : TS_WHOSE_OWN;
	return found;
}

static char *
describe(Forecast *f, TsDescribed what)
{
	return ts_batch_describe(&f->writer, f->change, f->change->op, what, INT_MAX);
}

/* What the link's policy makes of the conflict; NULL: the push fails. */
static char *
resolve(Forecast *f, TsDispute *d)
{
	const TsLink *link = f->e->link;

	switch (link->on_conflict)
	{
		case TS_CONFLICT_ERROR:
			return NULL;
		case TS_CONFLICT_SOURCE_WINS:
			return pstrdup("source_wins");
		case TS_CONFLICT_TARGET_WINS:
			return pstrdup("target_wins");
		case TS_CONFLICT_MERGE:
			if (ts_policy_row_rule(link, d) != NULL && !(d->moved && d->target != NULL))
				return psprintf("merge: row %s", strcmp(ts_policy_row_rule(link, d), "keep") == 0 ? "kept" : "deleted");
			f->merged = d->moved ? NULL : ts_policy_merge(&f->writer, d);
			return f->merged ? pstrdup("merge") : NULL;
		case TS_CONFLICT_FUNCTION:
			if (d->moved || !OidIsValid(link->conflict_function))
				return NULL;
			return psprintf("function %s", quote_qualified_identifier(get_namespace_name(get_func_namespace(link->conflict_function)),
																	   get_func_name(link->conflict_function)));
	}
	return NULL;
}

/* Tells a conflict; would the source's change be made? */
static bool
conflict(Forecast *f, TsConflictKind kind, const char *old)
{
	const TsChange *change = f->change;
	TsDispute	d = {.kind = kind, .target = f->found.row, .moved = change->moved};
	TsDetail	detail = {0};

	/* a comparison just made has no expectations that could be disappointed */
	if (f->e->text_keys || (f->e->compared && change->op != TS_CHANGE_DELETE))
		return true;
	d.key = describe(f, DESCRIBE_KEY);
	d.old = old ? unconstify(char *, old) : change->op == TS_CHANGE_INSERT ? NULL : describe(f, DESCRIBE_OLD);
	d.source = change->op == TS_CHANGE_DELETE ? NULL : describe(f, old ? DESCRIBE_WHOLE : DESCRIBE_ROW);
	f->conflict = true;
	f->kind = kind;
	f->resolution = resolve(f, &d);
	ts_detail_json(&detail, "key", d.key);
	ts_detail_json(&detail, "old", d.old);
	ts_detail_json(&detail, "source", d.source);
	ts_detail_json(&detail, "target", d.target);
	ts_detail_text(&detail, "resolution", f->resolution ? f->resolution : "error");
	ts_fact_add(f->e, TS_ASPECT_CONFLICT, 0, psprintf("%s, found by the next push", ts_conflict_name(kind)), ts_detail_done(&detail));
	return f->resolution != NULL && (strcmp(f->resolution, "source_wins") == 0 ||
									 strcmp(f->resolution, d.source == NULL ? "merge: row deleted" : "merge: row kept") == 0);
}

/* The row is in quarantine, and somebody else wrote to the target's row since: see apply/images.h. */
static bool
is_disputed(Forecast *f)
{
	TsExplained *e = f->e;
	List	   *rows;
	char	  **row;

	if (!e->quarantined || e->compared || e->link->state != TS_STATE_ACTIVE || !OidIsValid(e->link->target))
		return false;
	rows = ts_fact_ask(e, psprintf("SELECT pg_catalog.to_jsonb(t.*)::pg_catalog.text, EXISTS (SELECT FROM pg_catalog.jsonb_each($1::pg_catalog.jsonb) AS e WHERE "
									  "pg_catalog.jsonb_exists(pg_catalog.to_jsonb(t.*), e.key) AND NOT "
									  "pg_catalog.jsonb_eq(pg_catalog.jsonb_object_field(pg_catalog.to_jsonb(t.*), e.key), e.value)) FROM %s%s AS t WHERE %s",
									  e->link->target_partitioned ? "" : "ONLY ", ts_link_target(e->link), ts_fact_is_target(e)), e->image, 0);
	row = rows != NIL ? linitial(rows) : NULL;
	f->found.row = row ? row[0] : NULL;
	return (row != NULL) != (e->image != NULL) || (row != NULL && row[1] && row[1][0] == 't');
}

/* The update, in words. */
static char *
update_of(const Forecast *f)
{
	const TsExplained *e = f->e;
	char	   *columns = ts_fact_columns(e->link, f->change->mask, TS_COLUMN_CHANGED);

	if (!f->change->moved)
		return psprintf("update of %s", columns);
	return pstrdup("change of the key, and update of the row");
}

/* What a push would do, as settle.c decides it. */
static char *
decide(Forecast *f)
{
	const TsChange *change = f->change;
	TsFound    *found = &f->found;

	switch (change->op)
	{
		case TS_CHANGE_INSERT:
			if (!found->there)
				return pstrdup("insert");
			if (found->holds_new && !ts_policy_counts(&f->writer, change->op, change))
				return pstrdup("nothing: the target has the row already");
			return found->whose == TS_WHOSE_SIBLING || conflict(f, TS_INSERT_EXISTS, NULL) ? pstrdup("overwrite of the target's row") : NULL;
		case TS_CHANGE_UPDATE:
			if (!found->there && change->moved)
			{
				unsigned char *all = palloc0(f->e->link->ncolumns + 1);

				/* perhaps it has its new key already */
				*found = look(f, TS_CHANGE_INSERT, all);
				if (found->there && found->holds_new)
					return pstrdup("nothing: the target has the row under its new key already");
				return change->maybe || conflict(f, TS_UPDATE_MISSING, NULL) ? pstrdup(found->there ? "overwrite of the target's row" : "insert") : NULL;
			}
			if (!found->there)
				return change->maybe || conflict(f, TS_UPDATE_MISSING, NULL) ? pstrdup("insert") : NULL;
			if (found->holds_new && !change->moved && !ts_policy_counts(&f->writer, change->op, change))
				return pstrdup("nothing: the target holds the new values already");
			return found->holds_old || conflict(f, TS_UPDATE_DIFFERS, NULL) ? update_of(f) : NULL;
		case TS_CHANGE_DELETE:
			if (!found->there && !change->maybe && f->e->link->on_conflict == TS_CONFLICT_ERROR && !conflict(f, TS_DELETE_MISSING, NULL))
				return NULL;
			if (!found->there)
				return pstrdup("nothing: the target does not have the row any more");
			if (found->whose != TS_WHOSE_OWN && (found->whose != TS_WHOSE_NOBODY || change->maybe))
				return pstrdup("nothing: the target's row is not the link's");
			return found->holds_old || conflict(f, TS_DELETE_DIFFERS, NULL) ? pstrdup("delete") : NULL;
	}
	return NULL;
}

/* What becomes of a row whose conflict the source does not win. */
static char *
not_the_sources(const Forecast *f)
{
	switch (f->resolution == NULL ? TS_CONFLICT_ERROR : f->e->link->on_conflict)
	{
		case TS_CONFLICT_TARGET_WINS:
			return pstrdup("nothing: the target's row stays");
		case TS_CONFLICT_MERGE:
			return pstrdup(f->merged ? "write of the merged row" : "nothing: the target's row, or that there is none, stays");
		case TS_CONFLICT_FUNCTION:
			return psprintf("what %s decides", f->resolution);
		case TS_CONFLICT_ERROR:
		case TS_CONFLICT_SOURCE_WINS:
			break;
	}
	return psprintf("the push fails: %s", ts_conflict_name(f->kind));
}

static void
tell(Forecast *f, char *what)
{
	static const char *const ops[TS_CHANGE_OPS] = {"DELETE", "UPDATE", "INSERT"};
	TsExplained *e = f->e;
	TsDetail	detail = {0};

	ts_detail_text(&detail, "op", ops[f->change->op]);
	/* a comparison has the key of a row that is to go as text */
	ts_detail_json(&detail, "key", e->text_keys && f->change->op == TS_CHANGE_DELETE ? ts_fact_key(e, 0) : describe(f, DESCRIBE_KEY));
	if (f->change->moved)
		ts_detail_json(&detail, "old", describe(f, DESCRIBE_OLD));
	ts_detail_json(&detail, "row", f->merged ? f->merged : f->change->op != TS_CHANGE_DELETE ? describe(f, DESCRIBE_ROW) : NULL);
	if (f->conflict)
		ts_detail_text(&detail, "conflict", ts_conflict_name(f->kind));
	if (f->conflict)
		ts_detail_text(&detail, "resolution", f->resolution ? f->resolution : "error");
	ts_detail_add(&detail, "compares", BOOLOID, BoolGetDatum(true), !e->compared);
	ts_detail_add(&detail, "quarantined", BOOLOID, BoolGetDatum(true), !e->quarantined);
	ts_detail_add(&detail, "backfill", BOOLOID, BoolGetDatum(true), !f->change->backfill);
	if (f->conflict && f->resolution)
		what = psprintf("%s (%s: %s)", what, ts_conflict_name(f->kind), f->resolution);
	ts_fact_add(e, TS_ASPECT_PUSH, 0, e->quarantined ? psprintf("%s, tried again", what) : what, ts_detail_done(&detail));
}

/* What becomes of a row that breaks rules. */
static char *
broken_rules(const Forecast *f)
{
	StringInfoData what;
	ListCell   *lc;

	initStringInfo(&what);
	appendStringInfoString(&what, f->e->link->quarantine && !f->change->moved ? "nothing: it is left out: " : "the push fails: ");
	foreach(lc, f->change->violations)
	{
		const TsViolation *v = lfirst(lc);

		appendStringInfo(&what, "%srule \"%s\": %s", lc == list_head(f->change->violations) ? "" : "; ", v->rule->name, v->message);
	}
	return what.data;
}

void
ts_forecast(TsExplained *e)
{
	const TsChange *change = e->change;
	Forecast	f = {.e = e, .change = change};
	char	   *what;

	f.writer.link = e->link;
	f.writer.text_keys = e->text_keys;
	f.writer.back = ts_link_back(e->link) != TS_BACK_NONE;
	f.writer.tracked = ts_link_target_is_tracked(e->link);
	f.writer.context = CurrentMemoryContext;
	if (change->violations != NIL)
	{
		tell(&f, broken_rules(&f));
		return;
	}
	if (is_disputed(&f))
	{
		TsConflictKind kind = change->op == TS_CHANGE_DELETE ? TS_DELETE_DIFFERS : f.found.row == NULL ? TS_UPDATE_MISSING :
			e->image == NULL ? TS_INSERT_EXISTS : TS_UPDATE_DIFFERS;

		if (!conflict(&f, kind, e->image))
		{
			tell(&f, not_the_sources(&f));
			return;
		}
	}
	f.found = look(&f, change->op, change->mask);
	what = decide(&f);
	tell(&f, what ? what : not_the_sources(&f));
}

void
ts_forecast_nothing(TsExplained *e)
{
	const char *why = "neither side has the row";

	if (e->in_source && e->in_target)
		why = e->differs ? "no change of the row is pending; the target's differs, but not by this link" : "the target's row is as the source's";
	else if (e->in_source)
		why = "no change of the row is pending; the target lost it, but not by this link";
	else if (e->in_target)
		why = "no change of the row is pending; only the target has it";
	ts_fact_add(e, TS_ASPECT_PUSH, 0, psprintf("nothing: %s", why), (Datum) 0);
}
