/* untangle.c: in which order rows can be written that wait for each other's values. */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "plan/untangle.h"

#define UNSEEN (-1)

typedef struct Search
{
	TsUntangled result;
	int			nordered;
	int			nknots;
	int		   *first;			/* per row: where its waits begin in "to"; one more at the end */
	int		   *to;
	int		   *next;			/* per row: the wait to be followed next */
	int		   *seen;			/* per row: when it was met */
	int		   *low;			/* per row: the earliest one that can be reached from it and whose knot is open */
	int		   *left;			/* per row: when all its waits were followed */
	bool	   *on_path;
	int		   *path;
	int			npath;
	int		   *open;			/* rows met whose knot is open */
	int			nopen;
	int			clock;
} Search;

static int *
numbers(int n, int value)
{
	int		   *result = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int) * ((Size) n + 1));

	for (int i = 0; i <= n; i++)
		result[i] = value;
	return result;
}

static void
sort_waits(Search *s, int nrows, int nwaits, const TsWait *waits)
{
	s->first = numbers(nrows, 0);
	s->to = numbers(nwaits, 0);
	for (int i = 0; i < nwaits; i++)
		s->first[waits[i].from + 1]++;
	for (int i = 0; i < nrows; i++)
		s->first[i + 1] += s->first[i];
	s->next = numbers(nrows, 0);
	for (int i = 0; i < nrows; i++)
		s->next[i] = s->first[i];
	for (int i = 0; i < nwaits; i++)
		s->to[s->next[waits[i].from]++] = waits[i].to;
	for (int i = 0; i < nrows; i++)
		s->next[i] = s->first[i];
}

static void
enter(Search *s, int row)
{
	s->seen[row] = s->low[row] = s->clock++;
	s->on_path[row] = true;
	s->path[s->npath++] = row;
	s->open[s->nopen++] = row;
}

/* The rows from this one on form a knot: in the order in which they were left, that is, those waited for first. */
static void
close_knot(Search *s, int row)
{
	int			start = s->nordered;

	do
	{
		int			member = s->open[--s->nopen];
		int			at = s->nordered++;

		s->result.knot[member] = s->nknots;
		for (; at > start && s->left[s->result.order[at - 1]] > s->left[member]; at--)
			s->result.order[at] = s->result.order[at - 1];
		s->result.order[at] = member;
	} while (s->open[s->nopen] != row);
	s->nknots++;
}

static void
leave(Search *s, int row)
{
	s->npath--;
	s->on_path[row] = false;
	s->left[row] = s->clock++;
	if (s->low[row] == s->seen[row])
		close_knot(s, row);
	if (s->npath > 0)
		s->low[s->path[s->npath - 1]] = Min(s->low[s->path[s->npath - 1]], s->low[row]);
}

static void
follow(Search *s, int row, int to)
{
	if (s->seen[to] == UNSEEN)
	{
		enter(s, to);
		return;
	}
	if (s->on_path[to])
		s->result.aside[to] = true;
	if (s->result.knot[to] == UNSEEN)
		s->low[row] = Min(s->low[row], s->seen[to]);
}

TsUntangled
ts_untangle(int nrows, int nwaits, const TsWait *waits)
{
	Search		s = {.clock = 0};

	sort_waits(&s, nrows, nwaits, waits);
	s.result.order = numbers(nrows, 0);
	s.result.knot = numbers(nrows, UNSEEN);
	s.result.aside = palloc0(sizeof(bool) * ((Size) nrows + 1));
	s.seen = numbers(nrows, UNSEEN);
	s.low = numbers(nrows, 0);
	s.left = numbers(nrows, 0);
	s.on_path = palloc0(sizeof(bool) * ((Size) nrows + 1));
	s.path = numbers(nrows, 0);
	s.open = numbers(nrows, 0);
	for (int i = 0; i < nrows; i++)
	{
		if (s.seen[i] != UNSEEN)
			continue;
		enter(&s, i);
		while (s.npath > 0)
		{
			int			row = s.path[s.npath - 1];

			CHECK_FOR_INTERRUPTS();
			if (s.next[row] < s.first[row + 1])
				follow(&s, row, s.to[s.next[row]++]);
			else
				leave(&s, row);
		}
	}
	return s.result;
}
