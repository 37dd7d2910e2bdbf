/*
 * push.c: running the plans of one or several links.
 *
 * The data steps run in one subtransaction. The first attempt takes it that the keys to be inserted are not there; if one is,
 * all is rolled back and run once more, with a look at each. If another batch fails they are rolled back and run once more: with
 * on_error => 'quarantine' trying each batch first, and leaving out what the target does not take (quarantine.h); else row by row from the
 * failing batch on: either the failing row names itself in the error, or the push succeeds after all.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "apply/alter.h"
#include "apply/holder.h"
#include "apply/quarantine.h"
#include "apply/run.h"
#include "base/attempt.h"
#include "base/catalog.h"
#include "link/remote.h"

/* Where the push was when an error came: link, step, table and key. */
static char *
describe_place(const TsRun *run)
{
	const TsWriter *writer = run->at ? run->at->writer : NULL;
	char	   *where;

	if (writer == NULL && run->n == 1)
		writer = run->links[0].writer;
	where = writer == NULL ? psprintf("push of group \"%s\"", run->pushed->group) :
		psprintf("push of link \"%s\" to table %s%s", writer->link->name, ts_link_target(writer->link),
				 writer->link->server ? psprintf(" on server \"%s\"", writer->link->server) : "");
	if (run->at == NULL)
		return psprintf("%s, at the end, when constraints are checked and triggers fire", where);
	if (writer->step == NULL)
		return where;
	where = psprintf("%s, step %d (%s)", where, writer->number, writer->step);
	if (writer->first_key == NULL)
		return where;
	if (writer->batch_size == 1)
		return psprintf("%s, key %s%s%s", where, writer->first_key, writer->cast ? ", values to be cast " : "",
						writer->cast ? writer->cast : "");
	return psprintf("%s, one of %d rows with keys from %s to %s", where, writer->batch_size, writer->first_key, writer->last_key);
}

/* Can it be a row's fault? Not a cancel, a time-out, a lost lock or a full disk. */
static bool
is_worth_it(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('5', '7', '0', '0', '0'), MAKE_SQLSTATE('5', '3', '0', '0', '0'),
		MAKE_SQLSTATE('5', '5', '0', '0', '0'), MAKE_SQLSTATE('4', '0', '0', '0', '0'),
		MAKE_SQLSTATE('5', '8', '0', '0', '0'), MAKE_SQLSTATE('X', 'X', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(classes[i]))
			return false;
	return true;
}

/* Is it worth finding out which row it was? */
static bool
worth_locating(const TsWriter *writer, int sqlstate)
{
	return is_worth_it(sqlstate) && writer->first_key != NULL && writer->batch_size > 1 && writer->single_from < 0;
}

typedef enum Attempt
{
	ATTEMPT_DONE,
	ATTEMPT_CAREFULLY,			/* again, looking for keys that are there already */
	ATTEMPT_UNTANGLING,			/* again, all rows that get other keys in one tangle */
	ATTEMPT_PARENTS_FIRST,		/* again, in an order that foreign keys allow which are checked at once */
	ATTEMPT_PROBING,			/* again, leaving out what the target does not take */
	ATTEMPT_ROW_BY_ROW			/* again, taking the failing batch apart */
} Attempt;

/* Is there a target on another server? */
static bool
is_remote(const TsRun *run)
{
	for (int i = 0; i < run->n; i++)
		if (run->links[i].plan->link->server != NULL)
			return true;
	return false;
}

/* Do foreign keys between targets on a server act when rows go? They must not: what they did at the source is among the changes. */
static bool
has_actions(const TsRun *run)
{
	for (int i = 0; i < run->n; i++)
	{
		const TsLink *parent = run->links[i].plan->link;
		ListCell   *lc;

		if (parent->remote == NULL)
			continue;
		foreach(lc, parent->remote->references)
		{
			const TsRemoteReference *r = lfirst(lc);

			for (int j = 0; r->acts && r->to_here && j < run->n; j++)
			{
				const TsLink *child = run->links[j].plan->link;

				if (child->server != NULL && strcmp(child->server, parent->server) == 0 && strcmp(child->target_schema, r->child_schema) == 0 &&
					strcmp(child->target_name, r->child) == 0)
					return true;
			}
		}
	}
	return false;
}

static bool
has_quarantine(const TsRun *run)
{
	for (int i = 0; i < run->n; i++)
		if (run->links[i].plan->link->quarantine)
			return true;
	return false;
}

/* Is it about a value that another row has? */
static bool
is_taken(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

/* What to do about an error: another attempt, or nothing (ATTEMPT_DONE). */
static Attempt
next_attempt(const TsRun *run, const ErrorData *error)
{
	const TsWriter *writer = run->at ? run->at->writer : NULL;

	if (error->sqlerrcode == ERRCODE_ONCE_MORE)
		return ATTEMPT_PROBING;
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && !run->parents_first && is_remote(run))
		return ATTEMPT_PARENTS_FIRST;
	if (writer == NULL)
		return error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && !run->references && has_quarantine(run) ? ATTEMPT_PROBING : ATTEMPT_DONE;
	if (is_taken(error) && writer->step != NULL && writer->op == TS_CHANGE_UPDATE && writer->row.moved && !writer->moves_wait)
		return ATTEMPT_UNTANGLING;
	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && !writer->careful && writer->step != NULL)
		return ATTEMPT_CAREFULLY;
	if (writer->link->quarantine && !writer->probing && writer->step != NULL && writer->first_key != NULL && is_worth_it(error->sqlerrcode))
		return ATTEMPT_PROBING;
	return worth_locating(writer, error->sqlerrcode) ? ATTEMPT_ROW_BY_ROW : ATTEMPT_DONE;
}

typedef struct Found
{
	TsWriter   *writer;
	const ErrorData *error;
	char	   *holder;
} Found;

static void
find_holder(void *arg)
{
	Found	   *found = arg;

	found->holder = ts_holder_find(found->writer, found->error);
}

/* Says who has the value that is taken; by what the target is like without this push, which may be nothing that it can say. */
static void
name_holder(const TsRun *run, ErrorData *error)
{
	TsWriter   *writer = run->at ? run->at->writer : NULL;
	Found		found = {writer, error, NULL};

	if (!is_taken(error) || writer == NULL || writer->step == NULL || writer->first_key == NULL)
		return;
	writer->statements = NIL;
	writer->uniques_known = false;
	if (ts_attempt(find_holder, &found, true) == NULL && found.holder != NULL)
		error->detail = psprintf("%s%sBefore this push the row %s of table %s had it.", error->detail ? error->detail : "",
								 error->detail ? "\n" : "", found.holder, ts_link_target(writer->link));
}

static void
raise_conflicts(void *arg)
{
	const TsRun  *run = arg;

	for (int i = 0; i < run->n; i++)
		ts_conflict_raise(&run->links[i].writer->conflicts, run->links[i].plan->link);
}

static void
run_all(void *run)
{
	ts_run_steps(run);
}

static Attempt
attempt(TsRun *run, bool dry_run)
{
	ErrorData  *error = ts_attempt(run_all, run, dry_run);
	Attempt		next;

	if (error == NULL)
		return ATTEMPT_DONE;
	for (int i = 0; i < run->n; i++)
	{
		run->links[i].target->ops->reset(run->links[i].target);
		/* they went with the subtransaction */
		run->links[i].writer->flights = NIL;
		run->links[i].writer->streamed = 0;
	}
	next = next_attempt(run, error);
	if (next != ATTEMPT_DONE)
		return next;
	/* a row that was left alone because of a conflict has the value */
	if (is_taken(error))
	{
		ErrorData  *conflict = ts_attempt(raise_conflicts, run, true);

		error = conflict ? conflict : error;
	}
	name_holder(run, error);
	/* what matters to the user first, then the server's own lines */
	error->context = error->context ? psprintf("%s\n%s", describe_place(run), error->context) : describe_place(run);
	ReThrowError(error);
}

static void
prepare(TsRun *run, Relation *sources)
{
	for (int i = 0; i < run->n; i++)
	{
		TsLinkRun  *link = &run->links[i];
		char	   *immediate;

		link->plan = run->pushed->merged->plans[i];
		link->source = sources[i];
		link->target = link->plan->link->server ? ts_remote_target(link->plan->link) : ts_local_target(link->plan->link);
		link->existing = link->plan->link->target;
		link->described = link->plan->link->remote;
		/* a deferrable key is checked at the end, too late to try again */
		link->careful = !link->plan->link->arbiter;
		link->single_from = -1;
		if (!OidIsValid(link->existing) || link->plan->link->server != NULL)
			continue;
		link->deferred = ts_alter_constraints(link->plan->link, false);
		immediate = ts_alter_constraints(link->plan->link, true);
		if (immediate)
			link->target->ops->run(link->target, immediate);
	}
}

TsPushed *
ts_push_run(TsMerged *merged, const char *group, Relation *sources, bool dry_run)
{
	TsPushed   *pushed = palloc0(sizeof(TsPushed));
	TimestampTz started = GetCurrentTimestamp();
	TsRun		run = {.pushed = pushed, .n = merged->nplans};
	Attempt		result;

	pushed->merged = merged;
	pushed->group = group;
	pushed->id = ts_push_next_id();
	pushed->done = palloc0(sizeof(TsDone) * (merged->nsteps + 1));
	run.links = palloc0(sizeof(TsLinkRun) * (run.n + 1));
	prepare(&run, sources);
	run.parents_first = has_actions(&run);
	do
	{
		run.tangle = ts_tangle_begin();
		for (int i = 0; i < run.n; i++)
		{
			TsLinkRun  *link = &run.links[i];
			List	   *excluded;

			excluded = link->writer ? link->writer->excluded : NIL;
			link->writer = ts_writer_begin(link->plan, link->target, link->careful, link->probing, link->single_from);
			link->writer->excluded = excluded;
			if (!link->begun)
				link->refused = ts_quarantine_refused(link->writer, link->plan);
			link->begun = true;
			link->writer->bad = list_copy(link->refused);
			link->writer->tangle = run.tangle;
			link->writer->moves_wait = link->moves_wait;
			link->writer->whole = ts_remote_refers_to_itself(link->plan->link, true);
			link->plan->link->target = link->existing;
			link->plan->link->remote = link->described;
			link->altered = false;
		}
		result = attempt(&run, dry_run);
		if (result == ATTEMPT_CAREFULLY)
			run.at->careful = true;
		for (int i = 0; result == ATTEMPT_UNTANGLING && i < run.n; i++)
			run.links[i].moves_wait = true;
		run.parents_first |= result == ATTEMPT_PARENTS_FIRST;
		for (int i = 0; result == ATTEMPT_PROBING && run.at == NULL && i < run.n; i++)
			run.links[i].target->at_once = true;
		/* at the end, when foreign keys are checked */
		run.references |= result == ATTEMPT_PROBING && run.at == NULL;
		/* rows of the other links may have to wait with those of this one */
		for (int i = 0; result == ATTEMPT_PROBING && i < run.n; i++)
			run.links[i].probing = run.links[i].plan->link->quarantine;
		if (result == ATTEMPT_ROW_BY_ROW)
			run.at->single_from = Max(run.at->writer->batch - 1, 0);
	} while (result != ATTEMPT_DONE);
	for (int i = 0; i < run.n; i++)
	{
		if (run.links[i].deferred)
			run.links[i].target->ops->run(run.links[i].target, run.links[i].deferred);
		if (dry_run)
		{
			run.links[i].plan->link->target = run.links[i].existing;
			run.links[i].plan->link->remote = run.links[i].described;
		}
	}
	pushed->bad = palloc0(sizeof(List *) * (run.n + 1));
	for (int i = 0; i < run.n; i++)
		pushed->bad[i] = run.links[i].writer->bad;
	pushed->microseconds = GetCurrentTimestamp() - started;
	return pushed;
}
