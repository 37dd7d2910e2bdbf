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

/* Has the one target a foreign key to the other, on one server? */
static bool
refers_there(const TsLink *child, const TsLink *parent)
{
	ListCell   *lc;

	if (child->remote == NULL || parent->remote == NULL || strcmp(child->server, parent->server) != 0)
		return false;
	foreach(lc, child->remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		if (r->from_here && strcmp(r->parent_schema, parent->target_schema) == 0 && strcmp(r->parent, parent->target_name) == 0)
			return true;
	}
	return false;
}

/* refers[child * n + parent]: the target of the one plan has a foreign key to that of the other. */
static bool *
read_references(int n, TsPlan **plans)
{
	static const Oid types[] = {OIDARRAYOID};
	Datum	   *oids = palloc(sizeof(Datum) * (n + 1));
	Datum		values[1];
	bool	   *refers = palloc0(sizeof(bool) * n * n + 1);
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
			for (int j = 0; j < n; j++)
				if (plans[i]->link->target == child && plans[j]->link->target == parent)
					refers[i * n + j] = true;
	}
	ts_catalog_leave(&cat);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			refers[i * n + j] |= i != j && refers_there(plans[i]->link, plans[j]->link);
	return refers;
}

/* Parents come before children; in a circle the first one by name. */
static int *
rank_targets(int n, TsPlan **plans)
{
	bool	   *refers = read_references(n, plans);
	int		   *rank = palloc(sizeof(int) * (n + 1));

	for (int i = 0; i < n; i++)
		rank[i] = -1;
	for (int place = 0; place < n; place++)
	{
		int			next = -1;

		for (int i = 0; i < n; i++)
		{
			bool		waits = false;

			for (int j = 0; j < n && rank[i] < 0; j++)
				waits |= refers[i * n + j] && rank[j] < 0;
			if (rank[i] < 0 && (next < 0 || !waits))
			{
				next = i;
				if (!waits)
					break;
			}
		}
		rank[next] = place;
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
	int		   *rank = rank_targets(n, plans);
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
