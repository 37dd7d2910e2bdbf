/* order.c: in which order the data steps of a push are run. */
#include "postgres.h"

#include "apply/order.h"
#include "link/remote.h"

bool
ts_order_is_data(const TsStep *step)
{
	if (step->function != NULL)
		return false;
	switch (step->priority)
	{
		case TS_PRIORITY_DELETE:
		case TS_PRIORITY_UPDATE:
		case TS_PRIORITY_INSERT:
			return true;
		case TS_PRIORITY_CREATE_TABLE:
		case TS_PRIORITY_RENAME_COLUMN:
		case TS_PRIORITY_DROP_COLUMN:
		case TS_PRIORITY_ADD_COLUMN:
		case TS_PRIORITY_ALTER_COLUMN:
		case TS_PRIORITY_SEQUENCE:
			return false;
	}
	return false;
}

static bool
is_of(const TsMerged *merged, int i, TsPriority priority)
{
	const TsStep *step = ts_merged_step(merged, i);

	return step->function == NULL && step->priority == priority;
}

static bool
has_step(const TsMerged *merged, int plan, TsPriority priority)
{
	for (int i = 0; i < merged->nsteps; i++)
		if (merged->steps[i].plan == plan && is_of(merged, i, priority))
			return true;
	return false;
}

/* Per plan: may rows that stay refer to rows that it deletes, until they are updated? */
static bool *
find_late(const TsMerged *merged)
{
	int			n = merged->nplans;
	bool	   *late = palloc0(sizeof(bool) * (n + 1));
	bool	   *updates = palloc(sizeof(bool) * (n + 1));
	bool		more = true;

	for (int i = 0; i < n; i++)
		updates[i] = has_step(merged, i, TS_PRIORITY_UPDATE);
	for (int i = 0; i < n; i++)
		late[i] = updates[i] && ts_remote_refers_to_itself(merged->plans[i]->link, false);
	while (more)
	{
		more = false;
		for (int parent = 0; parent < n; parent++)
			for (int child = 0; child < n && !late[parent]; child++)
				if (merged->refers[child * n + parent] && (updates[child] || late[child]))
					more = late[parent] = true;
	}
	return late;
}

typedef struct Order
{
	const TsMerged *merged;
	int		   *steps;
	int			at;
} Order;

static void
append(Order *order, int i)
{
	const TsMerged *merged = order->merged;

	while (!ts_order_is_data(ts_merged_step(merged, order->at)))
		order->at++;
	order->steps[order->at++] = i;
}

static void
append_deletes(Order *order, const bool *late, bool which)
{
	for (int i = 0; i < order->merged->nsteps; i++)
		if (is_of(order->merged, i, TS_PRIORITY_DELETE) && late[order->merged->steps[i].plan] == which)
			append(order, i);
}

static void
append_writes(Order *order, int rank, TsPriority priority)
{
	for (int i = 0; i < order->merged->nsteps; i++)
		if (is_of(order->merged, i, priority) && order->merged->rank[order->merged->steps[i].plan] == rank)
			append(order, i);
}

int *
ts_order_steps(const TsMerged *merged, bool parents_first)
{
	Order		order = {.merged = merged, .steps = palloc(sizeof(int) * (merged->nsteps + 1))};
	bool	   *late;

	for (int i = 0; i < merged->nsteps; i++)
		order.steps[i] = i;
	if (!parents_first)
		return order.steps;
	late = find_late(merged);
	append_deletes(&order, late, false);
	for (int rank = 0; rank < merged->nplans; rank++)
	{
		append_writes(&order, rank, TS_PRIORITY_UPDATE);
		append_writes(&order, rank, TS_PRIORITY_INSERT);
	}
	append_deletes(&order, late, true);
	return order.steps;
}

bool
ts_order_settles(const TsMerged *merged, const int *order, int at, bool parents_first)
{
	/* of one table after the other */
	if (parents_first)
		return at > 0 && is_of(merged, order[at - 1], TS_PRIORITY_UPDATE) &&
			!(is_of(merged, order[at], TS_PRIORITY_UPDATE) &&
			  merged->rank[merged->steps[order[at]].plan] == merged->rank[merged->steps[order[at - 1]].plan]);
	/* no step from here on updates rows, and this one may want to see them updated */
	if (ts_merged_step(merged, order[at])->priority < TS_PRIORITY_UPDATE)
		return false;
	for (int i = at; i < merged->nsteps; i++)
		if (is_of(merged, order[i], TS_PRIORITY_UPDATE))
			return false;
	return true;
}
