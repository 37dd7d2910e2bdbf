/* untie.c: writing the rows of a tangle. */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "apply/policy.h"
#include "apply/quarantine.h"
#include "apply/strands.h"
#include "base/settings.h"
#include "plan/key.h"

/* What the strand's row is found by from now on, and what it may be written over. */
static void
note_vacated(Strand *strand, bool as_expected, char *const *keys)
{
	const TsLink *link = strand->writer->link;
	TsChange   *row = &strand->row;

	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		if (row->mask[k] & TS_COLUMN_VACATED)
			row->old_values[k] = ts_key_source_datum(&link->columns[k], keys[i]);
	}
	/* it held its old values; a trigger may have changed some since */
	for (int i = 0; i < link->ncolumns; i++)
	{
		if (!link->columns[i].is_key && (as_expected || (row->mask[i] & TS_COLUMN_VACATED)))
			row->mask[i] &= ~TS_COLUMN_KNOWN;
		row->mask[i] &= ~TS_COLUMN_VACATED;
	}
}

typedef struct Vacating
{
	Part	   *part;
	bool		as_expected;
} Vacating;

static void
read_vacated(void *arg, int ncolumns, char *const *values)
{
	Vacating   *vacating = arg;
	TsTangle   *tangle = vacating->part->tangle;
	MemoryContext old = MemoryContextSwitchTo(tangle->context);

	note_vacated(&tangle->strands[vacating->part->strands[strtol(values[0], NULL, 10)]], vacating->as_expected, values + 1);
	MemoryContextSwitchTo(old);
}

static void
vacate_part(Part *part, bool as_expected)
{
	Vacating	vacating = {part, as_expected};
	TsWriter   *writer = part->tangle->strands[part->strands[0]].writer;
	unsigned char *mask = palloc(writer->link->ncolumns + 1);

	/* that of the strands changes on the way */
	memcpy(mask, part->batch.mask, writer->link->ncolumns);
	part->batch.mask = mask;
	ts_batch_announce(writer, &part->batch);
	ts_strands_execute(part, as_expected ? TS_STATEMENT_VACATE : TS_STATEMENT_VACATE_ANYWAY, read_vacated, &vacating);
}

/* The strands that are still to be vacated, if the source wins whatever they hold; the others are settled in their turn. */
static int
not_vacated(TsTangle *tangle, int *strands, int n, bool source_wins)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		Strand	   *strand = &tangle->strands[strands[i]];
		bool		vacated = true;

		for (int c = 0; c < strand->writer->link->ncolumns; c++)
			vacated &= (strand->row.mask[c] & TS_COLUMN_VACATED) == 0;
		if (vacated)
			continue;
		if (source_wins && strand->writer->link->on_conflict == TS_CONFLICT_SOURCE_WINS)
			strands[left++] = strands[i];
		else
			for (int c = 0; c < strand->writer->link->ncolumns; c++)
				strand->row.mask[c] &= ~TS_COLUMN_VACATED;
	}
	return left;
}

static void
vacate(TsTangle *tangle, int *strands, int n)
{
	for (int as_expected = true; as_expected >= 0; as_expected--)
	{
		for (int i = 0, done; i < n; i += done)
		{
			Part		part = ts_strands_part(tangle, strands, i, n);

			done = part.n;
			tangle->strands[strands[i]].writer->step = tangle->strands[strands[i]].kind;
			vacate_part(&part, as_expected);
		}
		n = not_vacated(tangle, strands, n, as_expected);
	}
}

/* Rows that wait for each other: neighbours in the order. */
static int
knot_size(const TsTangle *tangle, int at)
{
	int			n = 1;

	while (at + n < tangle->n && tangle->sorted.knot[tangle->sorted.order[at + n]] == tangle->sorted.knot[tangle->sorted.order[at]])
		n++;
	return n;
}

/* Are these rows a knot that goes into quarantine as a whole, if it has to? */
static bool
is_tried(const TsTangle *tangle, int at, int n)
{
	const TsWriter *writer = tangle->strands[tangle->sorted.order[at]].writer;

	for (int i = at; i < at + n; i++)
		if (tangle->strands[tangle->sorted.order[i]].writer != writer)
			return false;
	return n > 1 && writer->probing;
}

TsWriter *
ts_tangle_next(TsTangle *tangle, int *step)
{
	const Strand *strand;

	if (tangle->at >= tangle->n)
		return NULL;
	strand = &tangle->strands[tangle->sorted.order[tangle->at]];
	*step = strand->step;
	return strand->writer;
}

/* All that are put aside at all, but for knots that are tried. */
static void
vacate_all(TsTangle *tangle)
{
	int		   *aside = palloc(sizeof(int) * tangle->n);
	int			n = 0;

	for (int at = 0, size; at < tangle->n; at += size)
	{
		size = knot_size(tangle, at);
		for (int i = at; i < at + size && !is_tried(tangle, at, size); i++)
			if (tangle->sorted.aside[tangle->sorted.order[i]])
				aside[n++] = tangle->sorted.order[i];
	}
	vacate(tangle, aside, n);
	tangle->vacated = true;
}

/* A knot, whole. */
typedef struct Knot
{
	TsTangle   *tangle;
	int			n;
	int		   *strands;
} Knot;

static void
write_knot(void *arg)
{
	Knot	   *knot = arg;
	int		   *aside = palloc(sizeof(int) * knot->n);
	int			n = 0;

	for (int i = 0; i < knot->n; i++)
		if (knot->tangle->sorted.aside[knot->strands[i]])
			aside[n++] = knot->strands[i];
	vacate(knot->tangle, aside, n);
	for (int i = 0, done; i < knot->n; i += done)
	{
		Part		part = ts_strands_part(knot->tangle, knot->strands, i, knot->n);

		done = part.n;
		ts_batch_write(knot->tangle->strands[part.strands[0]].writer, &part.batch);
	}
}

/* All of the knot is written, or none of it. */
static int
try_knot(Knot *knot)
{
	Strand	   *strands = knot->tangle->strands;
	TsWriter   *writer = strands[knot->strands[0]].writer;
	int			size = writer->link->ncolumns;
	char	   *masks = palloc(size * knot->n + 1);
	ErrorData  *error = NULL;

	for (int i = 0; i < knot->n; i++)
	{
		memcpy(masks + i * size, strands[knot->strands[i]].row.mask, size);
		error = error ? error : ts_quarantine_excluded(writer, TS_CHANGE_UPDATE, &strands[knot->strands[i]].row);
	}
	if (error == NULL)
		error = ts_quarantine_trial(writer, write_knot, knot);
	for (int i = 0; i < knot->n; i++)
		memcpy(strands[knot->strands[i]].row.mask, masks + i * size, size);
	if (error == NULL)
		write_knot(knot);
	for (int i = 0; error != NULL && i < knot->n; i++)
		ts_quarantine_note(writer, TS_CHANGE_UPDATE, &strands[knot->strands[i]].row, error);
	return error ? 0 : knot->n;
}

/* Rows of one link up to the next knot that is tried. */
static int64
write_part(TsTangle *tangle, int size)
{
	Part		part = ts_strands_part(tangle, tangle->sorted.order, tangle->at, tangle->at + size);
	TsWriter   *writer = tangle->strands[part.strands[0]].writer;

	tangle->at += part.n;
	/* the target has no such row; under its old key there may be by now another one */
	if (tangle->strands[part.strands[0]].id == NULL && part.batch.rows[0].moved)
	{
		ts_batch_announce(writer, &part.batch);
		ts_settle_moved(writer, &part.batch, part.n, ts_batch_all(part.n));
		ts_policy_write(writer);
		return part.n;
	}
	if (writer->probing)
		return ts_quarantine_write(writer, &part.batch);
	ts_batch_write(writer, &part.batch);
	return part.n;
}

int64
ts_tangle_write(TsTangle *tangle)
{
	Strand	   *first = &tangle->strands[tangle->sorted.order[tangle->at]];
	TsWriter   *writer = first->writer;
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);
	int			size = knot_size(tangle, tangle->at);
	int64		total;

	CHECK_FOR_INTERRUPTS();
	if (!tangle->vacated)
		vacate_all(tangle);
	writer->step = first->kind;
	if (is_tried(tangle, tangle->at, size))
	{
		Knot		knot = {tangle, size, tangle->sorted.order + tangle->at};

		total = try_knot(&knot);
		tangle->at += size;
	}
	else
	{
		/* together with those that follow */
		while (tangle->at + size < tangle->n && size < ts_batch_rows)
		{
			int			next = knot_size(tangle, tangle->at + size);

			if (is_tried(tangle, tangle->at + size, next))
				break;
			size += next;
		}
		total = write_part(tangle, size);
	}
	writer->step = NULL;
	writer->first_key = writer->last_key = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->batch_context);
	return total;
}
