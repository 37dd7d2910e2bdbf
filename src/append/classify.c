/* classify.c: incoming rows held against those that are there. */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/datum.h"

#include "append/classify.h"
#include "base/srf.h"

#define KEY_BYTES 200

typedef struct Numbered
{
	int64		number;
	int			index;
} Numbered;

bool
ts_classify_same(const TsAppend *append, int column, TupleTableSlot *row, TupleTableSlot *other, int other_column)
{
	Form_pg_attribute att = TupleDescAttr(append->desc, column);
	bool		xnull,
				ynull;
	Datum		x = slot_getattr(row, column + 1, &xnull);
	Datum		y = slot_getattr(other, other_column, &ynull);

	return xnull || ynull ? xnull == ynull : datum_image_eq(x, y, att->attbyval, att->attlen);
}

static int
by_number(const void *a, const void *b)
{
	int64		x = ((const Numbered *) a)->number,
				y = ((const Numbered *) b)->number;

	return x < y ? -1 : x > y;
}

/* The rows' numbers in the query, in their order. */
static Numbered *
number_rows(const TsAppend *append, TsClassified *batch, int n, TupleTableSlot *slot)
{
	Numbered   *numbered = palloc(sizeof(Numbered) * (n + 1));
	bool		isnull;

	for (int i = 0; i < n; i++)
	{
		ExecStoreMinimalTuple(batch[i].row, slot, false);
		numbered[i] = (Numbered) {DatumGetInt64(slot_getattr(slot, append->ncolumns + 1, &isnull)), i};
	}
	qsort(numbered, n, sizeof(Numbered), by_number);
	return numbered;
}

static bool
holds(const TsAppend *append, TupleTableSlot *row, TupleTableSlot *found)
{
	for (int i = 0; append->policy != TS_DUPLICATES_FIRST && i < append->ncolumns; i++)
		if (!ts_classify_same(append, i, row, found, i + 2))
			return false;
	return true;
}

/* The row of the batch that a row found (its number comes first) is about. */
static TsClassified *
find_row(TsClassified *batch, const Numbered *numbered, int n, TupleTableSlot *found)
{
	bool		isnull;
	Numbered	wanted = {DatumGetInt64(slot_getattr(found, 1, &isnull)), 0};
	const Numbered *one = bsearch(&wanted, numbered, n, sizeof(Numbered), by_number);

	if (one == NULL)
		elog(ERROR, "found a row that was not looked for");
	return &batch[one->index];
}

static void
classify(const TsAppend *append, TsClassified *batch, int n, SPITupleTable *found, uint64 nfound, bool done)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(append->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *other = MakeSingleTupleTableSlot(found->tupdesc, &TTSOpsHeapTuple);
	Numbered   *numbered = nfound > 0 ? number_rows(append, batch, n, row) : NULL;

	for (uint64 i = 0; i < nfound; i++)
	{
		TsClassified *one;

		ExecStoreHeapTuple(found->vals[i], other, false);
		one = find_row(batch, numbered, n, other);
		ExecStoreMinimalTuple(one->row, row, false);
		if (done)
			one->class = TS_CLASS_SAME;
		else if (one->class == TS_CLASS_NEW)
			one->class = holds(append, row, other) ? TS_CLASS_SAME : TS_CLASS_DIFFERS;
	}
	if (numbered)
		pfree(numbered);
	ExecDropSingleTupleTableSlot(row);
	ExecDropSingleTupleTableSlot(other);
}

void
ts_classify(const TsAppend *append, TsClassified *batch, int n, SPITupleTable *found, uint64 nfound)
{
	classify(append, batch, n, found, nfound, false);
}

void
ts_classify_done(const TsAppend *append, TsClassified *batch, int n, SPITupleTable *updated, uint64 nupdated)
{
	classify(append, batch, n, updated, nupdated, true);
}

char *
ts_classify_key(const TsAppend *append, TupleTableSlot *row)
{
	int			n = append->key->nkeys;
	char	  **names = palloc(sizeof(char *) * n);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(append->desc, append->positions[i]);

		names[i] = NameStr(att->attname);
		types[i] = att->atttypid;
		values[i] = slot_getattr(row, append->positions[i] + 1, &nulls[i]);
	}
	return ts_to_json_text(n, names, types, values, nulls, NULL, KEY_BYTES);
}

void
ts_classify_refuse(const TsAppend *append, int64 duplicates, List *first)
{
	StringInfoData keys;
	ListCell   *lc;

	initStringInfo(&keys);
	foreach(lc, first)
		appendStringInfo(&keys, "%s%s", keys.len ? ", " : "", (char *) lfirst(lc));
	if (duplicates > list_length(first))
		appendStringInfo(&keys, " and %lld more", (long long) duplicates - list_length(first));
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg_plural("%lld duplicate key in the rows for table \"%s\"", "%lld duplicate keys in the rows for table \"%s\"",
						   (unsigned long) duplicates, (long long) duplicates, RelationGetRelationName(append->target)),
			 errdetail("Rows with other values are there already, or come twice: %s.", keys.data),
			 errhint("Nothing was appended. Use on_duplicate => 'last' to let the incoming rows win, 'first' to keep those that are there."),
			 errtable(append->target)));
}
