/*
 * schedule.c: an order of units that read and write tables.
 *
 * A unit comes before another one if that one reads what it writes, directly or through others; so it has fewer units before it, and sorting by
 * how many there are before each puts all of them in order. Those of a circle have the same ones before them: they go by number. In
 * that order, each table is gone through as a processor's scoreboard does it: a writer waits for those that read since the last writer, a
 * reader for the last writer. That makes no more edges than there are accesses, however many units write one table.
 */
#include "postgres.h"

#include "api/schedule.h"

typedef struct Edge
{
	int			before;
	int			after;
} Edge;

typedef struct Work
{
	int			n;
	int			naccesses;
	TsAccess   *accesses;		/* by table */
	int		   *table;			/* of each access, where its table's begin */
	int		   *own;			/* the accesses by unit, … */
	int		   *first;			/* … n + 1, where those of each begin */
	int		   *place;			/* in the order */
	int			nedges;
	Edge	   *edges;
} Work;

static int
compare_tables(const void *a, const void *b)
{
	const TsAccess *x = a,
			   *y = b;

	if (x->rel != y->rel)
		return x->rel < y->rel ? -1 : 1;
	return OidIsValid(x->rel) ? 0 : strcmp(x->place, y->place);
}

static int
compare_accesses(const void *a, const void *b)
{
	int			tables = compare_tables(a, b);

	return tables != 0 ? tables : ((const TsAccess *) a)->unit - ((const TsAccess *) b)->unit;
}

/* Where the accesses to each table begin, and those of each unit. */
static void
index_accesses(Work *w)
{
	int		   *next = palloc0(sizeof(int) * (w->n + 1));

	w->table = palloc(sizeof(int) * (w->naccesses + 1));
	w->own = palloc(sizeof(int) * (w->naccesses + 1));
	w->first = palloc0(sizeof(int) * (w->n + 1));
	for (int i = 0; i < w->naccesses; i++)
	{
		w->table[i] = i > 0 && compare_tables(&w->accesses[i - 1], &w->accesses[i]) == 0 ? w->table[i - 1] : i;
		w->first[w->accesses[i].unit + 1]++;
	}
	for (int u = 0; u < w->n; u++)
	{
		w->first[u + 1] += w->first[u];
		next[u] = w->first[u];
	}
	for (int i = 0; i < w->naccesses; i++)
		w->own[next[w->accesses[i].unit]++] = i;
}

/* How many units there are before this one, itself not counted unless it is in a circle. */
static int
count_before(const Work *w, int unit, int *seen, int *seen_table, int *stack)
{
	int			depth = 0,
				count = 0;

	stack[depth++] = unit;
	while (depth > 0)
	{
		int			u = stack[--depth];

		for (int k = w->first[u]; k < w->first[u + 1]; k++)
		{
			int			from = w->table[w->own[k]];

			if (w->accesses[w->own[k]].writes || seen_table[from] == unit + 1)
				continue;
			seen_table[from] = unit + 1;
			for (int i = from; i < w->naccesses && w->table[i] == from; i++)
				if (w->accesses[i].writes && w->accesses[i].unit != u && seen[w->accesses[i].unit] != unit + 1)
				{
					seen[w->accesses[i].unit] = unit + 1;
					stack[depth++] = w->accesses[i].unit;
					count++;
				}
		}
	}
	/* all of a circle have the same number so; who is before it has less, also than one that only follows */
	return seen[unit] == unit + 1 ? count : count + 1;
}

typedef struct Ranked
{
	int64		key;
	int			tie;
	int			unit;
} Ranked;

static int
compare_ranks(const void *a, const void *b)
{
	const Ranked *x = a,
			   *y = b;

	return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->tie - y->tie;
}

static int *
sorted(int n, Ranked *ranks)
{
	int		   *order = palloc(sizeof(int) * (n + 1));

	qsort(ranks, n, sizeof(Ranked), compare_ranks);
	for (int i = 0; i < n; i++)
		order[i] = ranks[i].unit;
	return order;
}

static int *
find_order(Work *w)
{
	int		   *seen = palloc0(sizeof(int) * (w->n + 1));
	int		   *seen_table = palloc0(sizeof(int) * (w->naccesses + 1));
	int		   *stack = palloc(sizeof(int) * (w->n + 2));
	Ranked	   *ranks = palloc(sizeof(Ranked) * (w->n + 1));
	int		   *order;

	w->place = palloc(sizeof(int) * (w->n + 1));
	for (int u = 0; u < w->n; u++)
		ranks[u] = (Ranked)
	{
		count_before(w, u, seen, seen_table, stack), u, u
	};
	order = sorted(w->n, ranks);
	for (int i = 0; i < w->n; i++)
		w->place[order[i]] = i;
	return order;
}

static void
add_edge(Work *w, int before, int after)
{
	if (before < 0 || before == after)
		return;
	w->edges[w->nedges++] = (Edge)
	{
		before, after
	};
}

typedef struct Turn
{
	int			place;
	int			unit;
	bool		writes;
} Turn;

static int
compare_turns(const void *a, const void *b)
{
	return ((const Turn *) a)->place - ((const Turn *) b)->place;
}

/* The accesses [from, to) to one table. A unit that reads and writes it writes it. */
static void
find_edges(Work *w, int from, int to)
{
	Turn	   *turns = palloc(sizeof(Turn) * (to - from));
	int		   *readers = palloc(sizeof(int) * (to - from));
	int			n = 0,
				nreaders = 0,
				writer = -1;

	for (int i = from; i < to; i++)
	{
		int			unit = w->accesses[i].unit;

		if (i == from || unit != turns[n - 1].unit)
			turns[n++] = (Turn)
		{
			w->place[unit], unit, false
		};
		turns[n - 1].writes |= w->accesses[i].writes;
	}
	qsort(turns, n, sizeof(Turn), compare_turns);
	for (int i = 0; i < n; i++)
	{
		/* each edge is of a reader that comes or goes, or of two writers in a row: no more than two for each turn */
		if (!turns[i].writes)
		{
			add_edge(w, writer, turns[i].unit);
			readers[nreaders++] = turns[i].unit;
			continue;
		}
		if (nreaders == 0)
			add_edge(w, writer, turns[i].unit);
		while (nreaders > 0)
			add_edge(w, readers[--nreaders], turns[i].unit);
		writer = turns[i].unit;
	}
	pfree(turns);
	pfree(readers);
}

/* Whose followers take longest comes first: what is longest from here to the end. */
static int *
find_picks(const TsSchedule *s, const int64 *costs, const int *order)
{
	int64	   *path = palloc0(sizeof(int64) * (s->n + 1));
	Ranked	   *ranks = palloc(sizeof(Ranked) * (s->n + 1));

	for (int i = s->n - 1; i >= 0; i--)
	{
		int			u = order[i];

		for (int k = s->first[u]; k < s->first[u + 1]; k++)
			path[u] = Max(path[u], path[s->followers[k]]);
		path[u] += costs[u];
		ranks[i] = (Ranked)
		{
			-path[u], i, u
		};
	}
	return sorted(s->n, ranks);
}

TsSchedule *
ts_schedule_make(int n, const int64 *costs, int naccesses, TsAccess *accesses)
{
	Work		w = {.n = n, .naccesses = naccesses, .accesses = accesses};
	TsSchedule *s = palloc0(sizeof(TsSchedule));
	int		   *order,
			   *next = palloc0(sizeof(int) * (n + 1));

	qsort(accesses, naccesses, sizeof(TsAccess), compare_accesses);
	index_accesses(&w);
	order = find_order(&w);
	w.edges = palloc(sizeof(Edge) * (2 * naccesses + 1));
	for (int from = 0, to; from < naccesses; from = to)
	{
		for (to = from + 1; to < naccesses && w.table[to] == from;)
			to++;
		find_edges(&w, from, to);
	}
	s->n = n;
	s->waits = palloc0(sizeof(int) * (n + 1));
	s->first = palloc0(sizeof(int) * (n + 1));
	s->followers = palloc(sizeof(int) * (w.nedges + 1));
	for (int i = 0; i < w.nedges; i++)
	{
		s->waits[w.edges[i].after]++;
		s->first[w.edges[i].before + 1]++;
	}
	for (int u = 0; u < n; u++)
	{
		s->first[u + 1] += s->first[u];
		next[u] = s->first[u];
	}
	for (int i = 0; i < w.nedges; i++)
		s->followers[next[w.edges[i].before]++] = w.edges[i].after;
	s->picks = find_picks(s, costs, order);
	return s;
}
