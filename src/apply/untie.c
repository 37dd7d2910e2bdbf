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
refuse(const Strand *strand)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("rows of target table %s cannot exchange their values of constraint \"%s\"", ts_link_target(strand->writer->link), strand->stuck),
			 errdetail("No value of the columns' types can be made that is free for sure."),
			 errhint("At the source, give one of the rows a value that is free, push, and give it its value back; or let the columns be NULL at the target.")));
}

static void
vacate(TsTangle *tangle, int *strands, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync part", ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < n; i++)
		if (tangle->strands[strands[i]].stuck != NULL)
		{
			Part		part = ts_strands_part(tangle, strands, i, i + 1);
			Strand	   *strand = &tangle->strands[strands[i]];

			strand->writer->step = strand->kind;
			ts_batch_announce(strand->writer, &part.batch);
			refuse(strand);
		}
	for (int as_expected = true; as_expected >= 0; as_expected--)
	{
		for (int i = 0, done; i < n; i += done)
		{
			MemoryContext old = MemoryContextSwitchTo(context);
			Part		part = ts_strands_part(tangle, strands, i, n);

			CHECK_FOR_INTERRUPTS();
			done = part.n;
			tangle->strands[strands[i]].writer->step = tangle->strands[strands[i]].kind;
			vacate_part(&part, as_expected);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
		n = not_vacated(tangle, strands, n, as_expected);
	}
	MemoryContextDelete(context);
}

/* How a place in the order is written. */
typedef enum Way
{
	WAY_PLAIN,
	WAY_QUARANTINE,				/* a row that may be left out */
	WAY_KNOT					/* rows that wait for each other, and are left out together or not at all */
} Way;

/* Of the knot that begins here. */
static Way
way_of(const TsTangle *tangle, int at)
{
	int			n = tangle->rest[at];

	/* where one link leaves nothing out, none may: a row would be left with what it was given aside */
	for (int i = at; i < at + n; i++)
		if (!tangle->strands[tangle->sorted.order[i]].writer->probing)
			return WAY_PLAIN;
	return n == 1 ? WAY_QUARANTINE : WAY_KNOT;
}

static void
find_ways(TsTangle *tangle)
{
	tangle->way = MemoryContextAlloc(tangle->context, tangle->n);
	for (int at = 0; at < tangle->n; at += tangle->rest[at])
		memset(tangle->way + at, way_of(tangle, at), tangle->rest[at]);
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

/* All that are put aside at all, but for those of knots that may be left out. */
static void
vacate_all(TsTangle *tangle)
{
	int		   *aside = palloc(sizeof(int) * tangle->n);
	int			n = 0;

	for (int at = 0; at < tangle->n; at++)
		if (tangle->way[at] == WAY_PLAIN && tangle->sorted.aside[tangle->sorted.order[at]])
			aside[n++] = tangle->sorted.order[at];
	vacate(tangle, aside, n);
	pfree(aside);
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

/* What putting a row aside changes of it. */
typedef struct Kept
{
	unsigned char *mask;
	Datum	   *old_values;
} Kept;

static void
keep_row(Kept *kept, const Strand *strand)
{
	int			n = strand->writer->link->ncolumns;

	kept->mask = memcpy(palloc(n + 1), strand->row.mask, n);
	kept->old_values = memcpy(palloc(sizeof(Datum) * (n + 1)), strand->row.old_values, sizeof(Datum) * n);
}

static void
put_back(const Kept *kept, Strand *strand)
{
	int			n = strand->writer->link->ncolumns;

	memcpy(strand->row.mask, kept->mask, n);
	memcpy(strand->row.old_values, kept->old_values, sizeof(Datum) * n);
}

/* All of the knot is written, or none of it. */
static int
try_knot(Knot *knot)
{
	Strand	   *strands = knot->tangle->strands;
	Kept	   *kept = palloc(sizeof(Kept) * knot->n);
	ErrorData  *error = NULL;
	bool		moved = false;

	for (int i = 0; i < knot->n; i++)
	{
		Strand	   *strand = &strands[knot->strands[i]];

		keep_row(&kept[i], strand);
		moved |= strand->row.moved;
		error = error ? error : ts_quarantine_excluded(strand->writer, TS_CHANGE_UPDATE, &strand->row);
	}
	if (error == NULL)
		error = ts_quarantine_trial(strands[knot->strands[0]].writer, write_knot, knot);
	for (int i = 0; i < knot->n; i++)
		put_back(&kept[i], &strands[knot->strands[i]]);
	if (error == NULL)
		write_knot(knot);
	else if (moved)				/* as in quarantine.c: such a row is not left out */
		ReThrowError(error);
	for (int i = 0; error != NULL && i < knot->n; i++)
		ts_quarantine_note(strands[knot->strands[i]].writer, TS_CHANGE_UPDATE, &strands[knot->strands[i]].row, error);
	return error ? 0 : knot->n;
}

/* The first of so many places that go the same way, as far as they are one link's. */
static int64
write_part(TsTangle *tangle, int size, Way way)
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
	if (way == WAY_QUARANTINE)
		return ts_quarantine_write(writer, &part.batch);
	ts_batch_write(writer, &part.batch);
	return part.n;
}

/* The places from here on that go the same way. */
static int
same_way(const TsTangle *tangle, Way way)
{
	int			size = 1;

	while (tangle->at + size < tangle->n && size < ts_batch_rows && tangle->way[tangle->at + size] == way)
		size++;
	return size;
}

int64
ts_tangle_write(TsTangle *tangle)
{
	Strand	   *first = &tangle->strands[tangle->sorted.order[tangle->at]];
	TsWriter   *writer = first->writer;
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);
	Way			way;
	int64		total;

	CHECK_FOR_INTERRUPTS();
	if (tangle->way == NULL)
	{
		find_ways(tangle);
		vacate_all(tangle);
	}
	way = tangle->way[tangle->at];
	writer->step = first->kind;
	if (way == WAY_KNOT)
	{
		Knot		knot = {tangle, tangle->rest[tangle->at], tangle->sorted.order + tangle->at};

		total = try_knot(&knot);
		tangle->at += knot.n;
	}
	else
		total = write_part(tangle, same_way(tangle, way), way);
	writer->step = NULL;
	writer->first_key = writer->last_key = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->batch_context);
	return total;
}
