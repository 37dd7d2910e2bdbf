/* merge.c: the plans of several links as one. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "link/remote.h"
#include "plan/fingerprint.h"
#include "plan/merge.h"

/* One step, and what it is sorted by. */
typedef struct Placed
{
	TsMergedStep at;
	TsPriority	priority;
	int			rank;
} Placed;

/* Has the one target a foreign key to the other? */
typedef enum Refers
{
	REFERS_NOT,
	REFERS_DEFERRABLY,			/* one that can wait */
	REFERS
} Refers;

/* Has it on one server? */
static Refers
refers_there(const TsLink *child, const TsLink *parent)
{
	Refers		refers = REFERS_NOT;
	ListCell   *lc;

	if (child->remote == NULL || parent->remote == NULL || strcmp(child->server, parent->server) != 0)
		return REFERS_NOT;
	foreach(lc, child->remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		if (r->from_here && strcmp(r->parent_schema, parent->target_schema) == 0 && strcmp(r->parent, parent->target_name) == 0)
			refers = Max(refers, r->deferrable ? REFERS_DEFERRABLY : REFERS);
	}
	return refers;
}

/* refers[child * n + parent]: has the target of the one plan a foreign key to that of the other? */
static Refers *
read_references(int n, TsPlan **plans)
{
	static const Oid types[] = {OIDARRAYOID};
	Datum	   *oids = palloc(sizeof(Datum) * (n + 1));
	Datum		values[1];
	Refers	   *refers = palloc0(sizeof(Refers) * (n * n + 1));
	TsCatalog	cat;
	uint64		rows;

	for (int i = 0; i < n; i++)
		oids[i] = ObjectIdGetDatum(plans[i]->link->target);
	values[0] = PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	ts_catalog_enter(&cat);
	rows = ts_sql_reading("SELECT DISTINCT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY ($1) "
						  "AND confrelid = ANY ($1) AND conrelid <> confrelid", 1, types, values, NULL);
	for (uint64 r = 0; r < rows; r++)
	{
		bool		isnull;
		Oid			child = DatumGetObjectId(ts_sql_value(r, 1, &isnull)),
					parent = DatumGetObjectId(ts_sql_value(r, 2, &isnull));

		for (int i = 0; i < n; i++)
			for (int j = 0; j < n && plans[i]->link->target == child; j++)
				if (plans[j]->link->target == parent)
					refers[i * n + j] = REFERS;
	}
	ts_catalog_leave(&cat);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			if (i != j)
				refers[i * n + j] = Max(refers[i * n + j], refers_there(plans[i]->link, plans[j]->link));
	return refers;
}

/* How many that have no place yet the i-th one refers to, by way of others too; most + 1 if there are more than most. */
static int
count_ahead(int n, const Refers *refers, const int *rank, int i, int most)
{
	bool	   *seen = palloc0(sizeof(bool) * n);
	int		   *found = palloc(sizeof(int) * n);
	int			nfound = 1;

	found[0] = i;
	seen[i] = true;
	for (int at = 0; at < nfound && nfound <= most; at++)
		for (int j = 0; j < n && nfound <= most; j++)
			if (refers[found[at] * n + j] != REFERS_NOT && rank[j] < 0 && !seen[j])
			{
				seen[j] = true;
				found[nfound++] = j;
			}
	pfree(seen);
	pfree(found);
	return nfound;
}

/* Does it refer to one that has no place yet? */
static Refers
waits(int n, const Refers *refers, const int *rank, int i)
{
	Refers		result = REFERS_NOT;

	for (int j = 0; j < n; j++)
		if (rank[j] < 0)
			result = Max(result, refers[i * n + j]);
	return result;
}

/*
 * All that have no place wait for each other, or for those who do. Of a circle that waits for nobody else: one whose own keys can wait, or
 * the first one by name. Who waits for the circle has more ahead of him than who is in it.
 */
static int
break_circle(int n, const Refers *refers, const int *rank)
{
	int			next = -1,
				least = n;

	for (int i = 0; i < n; i++)
	{
		int			ahead;

		if (rank[i] >= 0)
			continue;
		ahead = count_ahead(n, refers, rank, i, least);
		if (next < 0 || ahead < least ||
			(ahead == least && waits(n, refers, rank, i) < waits(n, refers, rank, next)))
		{
			next = i;
			least = ahead;
		}
	}
	return next;
}

static bool
is_same_target(const TsLink *a, const TsLink *b)
{
	return strcmp(a->server ? a->server : "", b->server ? b->server : "") == 0 && strcmp(a->target_name, b->target_name) == 0 &&
		strcmp(a->target_schema, b->target_schema) == 0;
}

/* Parents come before children. */
static int *
rank_targets(int n, TsPlan **plans, const Refers *refers)
{
	int		   *rank = palloc(sizeof(int) * (n + 1));
	int		   *ahead = palloc0(sizeof(int) * (n + 1));	/* how many that have no place yet it refers to */
	int			placed = 0;

	for (int i = 0; i < n; i++)
		rank[i] = -1;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			ahead[i] += refers[i * n + j] != REFERS_NOT;
	for (int place = 0; placed < n; place++)
	{
		int			next = -1;

		for (int i = 0; i < n && next < 0; i++)
			if (rank[i] < 0 && ahead[i] == 0)
				next = i;
		if (next < 0)
			next = break_circle(n, refers, rank);
		for (int i = 0; i < n; i++)
			if (rank[i] < 0 && is_same_target(plans[i]->link, plans[next]->link))
			{
				rank[i] = place;
				placed++;
				for (int j = 0; j < n; j++)
					ahead[j] -= refers[j * n + i] != REFERS_NOT;
			}
	}
	return rank;
}

static int
compare(const void *a, const void *b)
{
	const Placed *x = a,
			   *y = b;

	if (x->priority != y->priority)
		return (int) x->priority - (int) y->priority;
	if (x->rank != y->rank)
		return x->rank - y->rank;
	if (x->at.plan != y->at.plan)
		return x->at.plan - y->at.plan;
	return x->at.step - y->at.step;
}

TsMerged *
ts_merge_plans(int n, TsPlan **plans)
{
	TsMerged   *merged = palloc0(sizeof(TsMerged));
	Refers	   *refers = read_references(n, plans);
	int		   *rank = rank_targets(n, plans, refers);
	Placed	   *placed;
	int			nsteps = 0;

	for (int i = 0; i < n; i++)
		nsteps += plans[i]->nsteps;
	placed = palloc(sizeof(Placed) * (nsteps + 1));
	merged->nplans = n;
	merged->plans = plans;
	for (int i = 0; i < n; i++)
		for (int s = 0; s < plans[i]->nsteps; s++)
		{
			Placed	   *p = &placed[merged->nsteps++];
			const char *owner = plans[i]->steps[s].owner;

			p->at = (TsMergedStep) {i, s};
			p->priority = plans[i]->steps[s].priority;
			p->rank = p->priority == TS_PRIORITY_DELETE ? -rank[i] : rank[i];
			if (owner != NULL && strcmp(owner, plans[i]->link->name) != 0)
				p->rank = n;	/* a step of the group follows those of its links */
		}
	qsort(placed, nsteps, sizeof(Placed), compare);
	merged->steps = palloc(sizeof(TsMergedStep) * (nsteps + 1));
	for (int i = 0; i < nsteps; i++)
		merged->steps[i] = placed[i].at;
	merged->rank = rank;
	merged->refers = palloc(sizeof(bool) * (n * n + 1));
	for (int i = 0; i < n * n; i++)
		merged->refers[i] = refers[i] != REFERS_NOT;
	return merged;
}

const TsStep *
ts_merged_step(const TsMerged *merged, int i)
{
	return &merged->plans[merged->steps[i].plan]->steps[merged->steps[i].step];
}

char *
ts_merged_fingerprint(const TsMerged *merged)
{
	uint64		state[2];

	if (merged->nplans == 1)
		return ts_plan_fingerprint(merged->plans[0]);
	ts_fingerprint_clear(state);
	for (int i = 0; i < merged->nplans; i++)
	{
		ts_fingerprint_text(state, merged->plans[i]->link->name);
		ts_fingerprint_text(state, ts_plan_fingerprint(merged->plans[i]));
	}
	return ts_fingerprint_show(state);
}
