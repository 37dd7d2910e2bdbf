/* tangle.c: rows that are to get unique values which other rows of the push give up. */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "apply/fitting.h"
#include "apply/holder.h"
#include "apply/strands.h"
#include "base/settings.h"
#include "plan/holders.h"
#include "plan/parking.h"

TsTangle *
ts_tangle_begin(void)
{
	TsTangle   *tangle = palloc0(sizeof(TsTangle));

	tangle->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync tangle", ALLOCSET_DEFAULT_SIZES);
	return tangle;
}

void
ts_tangle_clear(TsTangle *tangle)
{
	/* its memory stays: rows in quarantine are in it */
	*tangle = (TsTangle) {.context = tangle->context};
}

static void *
enlarge(TsTangle *tangle, void *array, int max, Size size)
{
	if (array == NULL)
		return MemoryContextAllocHuge(tangle->context, size * max);
	return repalloc_huge(array, size * max);
}

static Size
bytes_of(const TsWriter *writer, const TsChange *row)
{
	Size		bytes = 0;

	for (int i = 0; i < writer->link->ncolumns; i++)
	{
		if (ts_value_type(writer->link, i, TS_CHANGE_UPDATE, false).len != -1)
			continue;
		if (!row->new_nulls[i])
			bytes += VARSIZE_ANY(DatumGetPointer(row->new_values[i]));
		if ((row->mask[i] & TS_COLUMN_KNOWN) && !row->old_nulls[i])
			bytes += VARSIZE_ANY(DatumGetPointer(row->old_values[i]));
	}
	return bytes;
}

/* A change with a mask of its own, to be written later. */
static void
put_by(TsWriter *writer, const TsChange *row)
{
	TsTangle   *tangle = writer->tangle;
	MemoryContext old = MemoryContextSwitchTo(tangle->context);
	Strand	   *strand;

	if (tangle->n == tangle->max)
	{
		tangle->max = Max(tangle->max * 2, 256);
		tangle->strands = enlarge(tangle, tangle->strands, tangle->max, sizeof(Strand));
	}
	strand = &tangle->strands[tangle->n];
	*strand = (Strand) {.writer = writer, .step = writer->number, .kind = writer->step, .number = tangle->n++, .bytes = bytes_of(writer, row)};
	strand->row = ts_batch_copy(writer, TS_CHANGE_UPDATE, row);
	MemoryContextSwitchTo(old);
}

/* Has another row one of the rows' new values, but for that of the key? */
static bool
other_values_taken(TsWriter *writer, const TsBatch *batch)
{
	const TsLink *link = writer->link;
	TsBatch		values = *batch;
	unsigned char *mask = palloc(link->ncolumns + 1);
	bool	   *taken;

	memcpy(mask, batch->mask, link->ncolumns);
	for (int i = 0; i < link->nkeys; i++)
		mask[link->keys[i]] &= ~TS_COLUMN_CHANGED;
	values.mask = mask;
	if (!ts_holder_matters(writer, values.op, mask))
		return false;
	taken = ts_holder_taken(writer, &values);
	for (int i = 0; i < batch->n; i++)
		if (taken[i])
			return true;
	return false;
}

/* Rows that get another key come in an order in which it is free, as long as none of them waits. */
static bool
is_free(TsWriter *writer, const TsBatch *batch)
{
	if (!ts_holder_matters(writer, batch->op, batch->mask))
		return true;
	if (!batch->rows[0].moved)
		return false;
	if (!writer->moves_wait && !batch->rows[0].in_circle)
		writer->moves_wait = other_values_taken(writer, batch);
	return !writer->moves_wait && !batch->rows[0].in_circle;
}

static void
note_there(void *arg, int ncolumns, char *const *values)
{
	((bool *) arg)[strtol(values[0], NULL, 10)] = true;
}

/* Rows that are missing may be made anew, if a policy says so, with values that others still have. */
static void
take_missing(TsWriter *writer, const TsBatch *batch, bool *taken)
{
	bool	   *there = palloc0(sizeof(bool) * batch->n);

	if (writer->link->on_conflict == TS_CONFLICT_ERROR && !writer->compared)
		return;
	ts_batch_execute(writer, ts_batch_statement(writer, TS_STATEMENT_IDENTIFY, batch->op, batch->mask), batch, batch->n, ts_batch_all(batch->n),
					 note_there, there);
	for (int i = 0; i < batch->n; i++)
		taken[i] |= !there[i];
}

void
ts_tangle_take(TsWriter *writer, TsBatch *batch)
{
	bool	   *taken;
	int			n = 0;

	if (is_free(writer, batch))
		return;
	/* under a key that one of them should have left there may be another row, and the one itself may be missing */
	taken = batch->rows[0].moved ? NULL : ts_holder_taken(writer, batch);
	if (taken != NULL)
		take_missing(writer, batch, taken);
	for (int i = 0; i < batch->n; i++)
	{
		if (taken == NULL || taken[i])
			put_by(writer, &batch->rows[i]);
		else
			batch->rows[n++] = batch->rows[i];
	}
	batch->n = n;
}

static int
by_mask(const void *a, const void *b)
{
	const Strand *x = a,
			   *y = b;
	int			c = x->step - y->step;

	if (c == 0)
		c = memcmp(x->row.mask, y->row.mask, x->writer->link->ncolumns);
	return c != 0 ? c : x->number - y->number;
}

/* The strands from "first" on that can be written at once. */
Part
ts_strands_part(TsTangle *tangle, int *strands, int first, int end)
{
	Part		part = {.tangle = tangle, .strands = strands + first};
	const Strand *one = &tangle->strands[strands[first]];
	int			limit = one->writer->single_from >= 0 && one->writer->batch >= one->writer->single_from ? 1 : Min(ts_batch_rows, TS_PARKING_ROOM);

	Size		bytes = 0;

	part.batch = (TsBatch) {.op = TS_CHANGE_UPDATE, .mask = one->row.mask, .rows = palloc(sizeof(TsChange) * Min(limit, end - first))};
	for (; part.n < limit && first + part.n < end; part.n++)
	{
		const Strand *strand = &tangle->strands[strands[first + part.n]];

		if (strand->writer != one->writer || (strand->id == NULL) != (one->id == NULL) || strand->step != one->step ||
			memcmp(strand->row.mask, one->row.mask, one->writer->link->ncolumns) != 0 || (part.n > 0 && bytes + strand->bytes > TS_BATCH_BYTES))
			break;
		bytes += strand->bytes;
		part.batch.rows[part.n] = strand->row;
	}
	part.batch.n = part.n;
	return part;
}

void
ts_strands_execute(Part *part, TsStatementKind kind, TsRowFunction row, void *arg)
{
	TsWriter   *writer = part->tangle->strands[part->strands[0]].writer;

	ts_batch_execute(writer, ts_batch_statement(writer, kind, TS_CHANGE_UPDATE, part->batch.mask), &part->batch, part->n, ts_batch_all(part->n), row, arg);
}

static void
note_id(void *arg, int ncolumns, char *const *values)
{
	Part	   *part = arg;

	part->tangle->strands[part->strands[strtol(values[0], NULL, 10)]].id = MemoryContextStrdup(part->tangle->context, values[1]);
}

static int
by_id(const void *a, const void *b, void *arg)
{
	const Strand *strands = arg;
	int			x = *(const int *) a,
				y = *(const int *) b;
	int			c = strcmp(strands[x].id, strands[y].id);

	return c != 0 ? c : x - y;
}

/* The first of the strands of the row with this id, in by_id. */
static int
find(const TsTangle *tangle, const char *id)
{
	int			low = 0,
				high = tangle->nids;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (strcmp(tangle->strands[tangle->by_id[middle]].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
add_wait(TsTangle *tangle, int from, int to, const TsUnique *unique)
{
	if (tangle->nwaits == tangle->maxwaits)
	{
		tangle->maxwaits = Max(tangle->maxwaits * 2, 256);
		tangle->waits = enlarge(tangle, tangle->waits, tangle->maxwaits, sizeof(TsWait));
		tangle->claims = enlarge(tangle, tangle->claims, tangle->maxwaits, sizeof(Claim));
	}
	tangle->waits[tangle->nwaits] = (TsWait) {from, to};
	tangle->claims[tangle->nwaits++] = (Claim) {to, unique};
}

/* What a row has that is not put by, or whose change has nothing to do with it, is not given up. */
static void
note_holder(void *arg, int ncolumns, char *const *values)
{
	Part	   *part = arg;
	TsTangle   *tangle = part->tangle;
	int			from = part->strands[strtol(values[0], NULL, 10)];
	const TsUnique *unique = list_nth(tangle->strands[from].writer->link->uniques, strtol(values[2], NULL, 10));

	for (int i = find(tangle, values[1]); i < tangle->nids && strcmp(tangle->strands[tangle->by_id[i]].id, values[1]) == 0; i++)
	{
		const Strand *to = &tangle->strands[tangle->by_id[i]];
		/* another link may have other columns */
		const TsUnique *own = ts_unique_find(to->writer->link, unique->name);

		if (own != NULL && ts_holders_matter(to->writer->link, own, TS_CHANGE_UPDATE, to->row.mask))
			add_wait(tangle, from, tangle->by_id[i], own);
	}
}

/* A column of a row that is put aside can be vacated if the row's change writes it; those that are the constraint's own rather than others. */
static void
vacate_column(Strand *strand, const TsUnique *unique)
{
	const TsLink *link = strand->writer->link;

	for (int i = 0; i < link->ncolumns; i++)
		if (unique->plain[i] && (strand->row.mask[i] & TS_COLUMN_VACATED))
			return;
	for (int plain = 1; plain >= 0; plain--)
		for (int i = 0; i < link->ncolumns; i++)
			if ((plain ? unique->plain[i] : unique->touches[i]) && (strand->row.mask[i] & TS_COLUMN_CHANGED) && ts_parking_vacant(link, i, "0") != NULL)
			{
				strand->row.mask[i] |= TS_COLUMN_VACATED;
				return;
			}
	strand->stuck = unique->name;
}

/* Rows that the target does not have may be made anew there, when what they hold is free for sure. */
static void
put_missing_last(TsTangle *tangle)
{
	int		   *missing = palloc(sizeof(int) * tangle->n);
	Size		nmissing = 0,
				n = 0;

	for (int i = 0; i < tangle->n; i++)
	{
		int			strand = tangle->sorted.order[i];

		if (tangle->strands[strand].id == NULL)
			missing[nmissing++] = strand;
		else
			tangle->sorted.order[n++] = strand;
	}
	memcpy(tangle->sorted.order + n, missing, sizeof(int) * nmissing);
}

/* Finds out between what the values are that the strands' rows will have in a column of the target. */
static void
note_range(const TsTangle *tangle, const TsLink *link, TsColumn *col)
{
	/* what is compared is what the target will hold: text is in another order than numbers */
	TsFit	   *fit = col->bridge != TS_BRIDGE_NONE ? ts_fitting_create(link, col - link->columns) : NULL;
	Oid			held = fit ? col->target_base : col->source_type;
	TypeCacheEntry *type = lookup_type_cache(held, TYPECACHE_CMP_PROC_FINFO);
	Oid			collation = fit ? type->typcollation : col->source_collation;
	Datum		least = 0,
				greatest = 0;
	bool		any = false;
	Oid			output;
	bool		varlena;

	if (!OidIsValid(type->cmp_proc_finfo.fn_oid))
		return;
	for (int i = 0; i < tangle->n; i++)
	{
		const Strand *strand = &tangle->strands[i];
		const TsLink *other = strand->writer->link;

		for (int c = 0; c < other->ncolumns; c++)
		{
			Datum		value = strand->row.new_values[c];

			if (other->target != link->target || other->columns[c].target_attnum != col->target_attnum || other->columns[c].source_type != col->source_type ||
				strand->row.new_nulls[c])
				continue;
			if (fit != NULL)
			{
				bool		isnull;

				value = ts_fit_cast(fit, value, &isnull);
				if (isnull)
					continue;
			}
			if (!any || DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, collation, value, least)) < 0)
				least = value;
			if (!any || DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, collation, value, greatest)) > 0)
				greatest = value;
			any = true;
		}
	}
	if (!any)
		return;
	getTypeOutputInfo(held, &output, &varlena);
	col->least = OidOutputFunctionCall(output, least);
	col->greatest = OidOutputFunctionCall(output, greatest);
}

/* What rows are given that are put aside must be out of the way of all others. */
static void
note_ranges(const TsTangle *tangle)
{
	for (int i = 0; i < tangle->n; i++)
	{
		TsLink	   *link = tangle->strands[i].writer->link;

		for (int c = 0; c < link->ncolumns; c++)
			link->columns[c].least = link->columns[c].greatest = NULL;
	}
	for (int i = 0; i < tangle->n; i++)
	{
		const Strand *strand = &tangle->strands[i];
		TsLink	   *link = strand->writer->link;

		for (int c = 0; c < link->ncolumns; c++)
			if ((strand->row.mask[c] & TS_COLUMN_VACATED) && link->columns[c].greatest == NULL)
				note_range(tangle, link, &link->columns[c]);
	}
}

/* Runs a statement for all strands. */
static void
ask_for_all(TsTangle *tangle, TsStatementKind kind, TsRowFunction row)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync part", ALLOCSET_DEFAULT_SIZES);
	int		   *all = ts_batch_all(tangle->n);

	for (int i = 0, n; i < tangle->n; i += n)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Part		part = ts_strands_part(tangle, all, i, tangle->n);

		CHECK_FOR_INTERRUPTS();
		n = part.n;
		ts_strands_execute(&part, kind, row, &part);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	pfree(all);
}

void
ts_tangle_sort(TsTangle *tangle)
{
	MemoryContext old;

	if (tangle->n == 0)
		return;
	old = MemoryContextSwitchTo(tangle->context);
	qsort(tangle->strands, tangle->n, sizeof(Strand), by_mask);
	ask_for_all(tangle, TS_STATEMENT_IDENTIFY, note_id);
	tangle->by_id = palloc(sizeof(int) * tangle->n);
	for (int i = 0; i < tangle->n; i++)
		if (tangle->strands[i].id != NULL)
			tangle->by_id[tangle->nids++] = i;
	qsort_arg(tangle->by_id, tangle->nids, sizeof(int), by_id, tangle->strands);
	ask_for_all(tangle, TS_STATEMENT_HOLDERS, note_holder);
	tangle->sorted = ts_untangle(tangle->n, tangle->nwaits, tangle->waits);
	put_missing_last(tangle);
	for (int i = 0; i < tangle->nwaits; i++)
		if (tangle->sorted.aside[tangle->claims[i].strand])
			vacate_column(&tangle->strands[tangle->claims[i].strand], tangle->claims[i].unique);
	note_ranges(tangle);
	tangle->rest = palloc(sizeof(int) * tangle->n);
	for (int i = tangle->n - 1; i >= 0; i--)
		tangle->rest[i] = i + 1 < tangle->n && tangle->sorted.knot[tangle->sorted.order[i + 1]] == tangle->sorted.knot[tangle->sorted.order[i]] ?
			tangle->rest[i + 1] + 1 : 1;
	MemoryContextSwitchTo(old);
}
