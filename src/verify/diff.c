/*
 * diff.c: two sorted streams of rows, merged.
 *
 * The smaller of the two keys at hand is checked against the one before it: so no key of either side comes twice or out of order unseen.
 * Rows that are the same byte by byte are found so before they are taken apart, which nearly all rows are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"

#include "base/srf.h"
#include "verify/diff.h"
#include "verify/reader.h"

typedef struct Key
{
	Datum	   *values;
	bool	   *nulls;
} Key;

struct TsDiff
{
	TsSides    *sides;
	Snapshot	snapshot;
	TsReader   *reader[TS_SIDES];
	TupleTableSlot *row[TS_SIDES];	/* at hand */
	bool		wanted[TS_SIDES];	/* it was dealt with */
	Key			key[TS_SIDES];	/* of it */
	SortSupport order;			/* per key column */
	bool		begun;			/* there is a key before */
	Key			before;
	char	  **room;			/* where its values are, per key column */
	Size	   *room_size;
	bool	   *differs;
	/* can rows of these two shapes be compared as they are stored? */
	TupleDesc	known[TS_SIDES];
	bool		alike;
	MemoryContext row_context;
};

static Key
new_key(int n)
{
	Key			key = {.values = palloc0(sizeof(Datum) * n), .nulls = palloc0(sizeof(bool) * n)};

	return key;
}

TsDiff *
ts_diff_begin(TsSides *sides)
{
	TsDiff	   *diff = palloc0(sizeof(TsDiff));

	diff->sides = sides;
	diff->row_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync diff row", ALLOCSET_SMALL_SIZES);
	diff->order = palloc0(sizeof(SortSupportData) * sides->nkeys);
	diff->before = new_key(sides->nkeys);
	diff->room = palloc0(sizeof(char *) * sides->nkeys);
	diff->room_size = palloc0(sizeof(Size) * sides->nkeys);
	diff->differs = palloc0(sizeof(bool) * (sides->ncolumns + 1));
	for (int i = 0; i < sides->nkeys; i++)
	{
		diff->order[i].ssup_cxt = CurrentMemoryContext;
		diff->order[i].ssup_collation = sides->keys[i].collation;
		PrepareSortSupportFromOrderingOp(sides->keys[i].order, &diff->order[i]);
	}
	for (int s = 0; s < TS_SIDES; s++)
	{
		diff->key[s] = new_key(sides->nkeys);
		diff->wanted[s] = true;
		diff->reader[s] = ts_reader_plan(sides->query[s], get_rel_relkind(sides->relid[s]) != RELKIND_VIEW);
	}
	/* the locks are held: under an older one, a table that was truncated meanwhile would be empty */
	PushActiveSnapshot(GetTransactionSnapshot());
	diff->snapshot = GetActiveSnapshot();
	for (int s = 0; s < TS_SIDES; s++)
		ts_reader_begin(diff->reader[s], diff->snapshot);
	diff->snapshot = RegisterSnapshot(diff->snapshot);
	PopActiveSnapshot();
	return diff;
}

void
ts_diff_resume(TsDiff *diff)
{
	PushActiveSnapshot(diff->snapshot);
}

void
ts_diff_pause(TsDiff *diff)
{
	PopActiveSnapshot();
}

void
ts_diff_end(TsDiff *diff)
{
	for (int s = 0; s < TS_SIDES; s++)
		ts_reader_end(diff->reader[s]);
	UnregisterSnapshot(diff->snapshot);
}

/* Takes a new row where the last one was dealt with. */
static void
fetch(TsDiff *diff, int side)
{
	const TsSides *sides = diff->sides;

	if (!diff->wanted[side])
		return;
	diff->wanted[side] = false;
	diff->row[side] = ts_reader_next(diff->reader[side]);
	if (diff->row[side] == NULL)
		return;
	for (int i = 0; i < sides->nkeys; i++)
		diff->key[side].values[i] = slot_getattr(diff->row[side], sides->keys[i].match[side], &diff->key[side].nulls[i]);
}

static int
compare_keys(const TsDiff *diff, const Key *a, const Key *b)
{
	int			result = 0;

	for (int i = 0; result == 0 && i < diff->sides->nkeys; i++)
		result = ApplySortComparator(a->values[i], a->nulls[i], b->values[i], b->nulls[i], &diff->order[i]);
	return result;
}

/* The key at hand as JSON, for a message. */
static char *
show_key(const TsDiff *diff, int side)
{
	const TsSides *sides = diff->sides;
	char	  **names = palloc(sizeof(char *) * sides->nkeys);
	Oid		   *types = palloc(sizeof(Oid) * sides->nkeys);
	Datum	   *values = palloc(sizeof(Datum) * sides->nkeys);
	bool	   *nulls = palloc(sizeof(bool) * sides->nkeys);
	int			n = 0;

	for (int i = 0; i < sides->ncolumns; i++)
	{
		const TsSharedColumn *col = &sides->columns[i];

		if (!col->is_key)
			continue;
		names[n] = col->name;
		types[n] = col->type[side];
		values[n] = slot_getattr(diff->row[side], col->raw[side], &nulls[n]);
		n++;
	}
	return ts_to_json_text(n, names, types, values, nulls, NULL, 400);
}

static void
refuse_key(const TsDiff *diff, int side, bool twice)
{
	const char *name = ts_sides_name(diff->sides, side);
	bool		foreign = get_rel_relkind(diff->sides->relid[side]) == RELKIND_FOREIGN_TABLE;

	if (twice)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one row of %s has the key %s", name, show_key(diff, side)),
				 errhint("Name columns that tell all rows apart: key => '{…}'.")));
	ereport(ERROR,
			(errcode(foreign ? ERRCODE_FDW_ERROR : ERRCODE_INDEX_CORRUPTED),
			 errmsg("the rows of %s do not come in the order of their key", name),
			 errdetail("The first out of order has the key %s.", show_key(diff, side)),
			 foreign ? errhint("The other server sorts in another way. Declare the foreign table's key column COLLATE \"C\" if it is text.") :
			 errhint("Its index may be corrupt: see whether REINDEX helps.")));
}

/* Keeps the key of a row before the row goes. */
static void
remember_key(TsDiff *diff, const Key *key)
{
	for (int i = 0; i < diff->sides->nkeys; i++)
	{
		const TsSharedKey *column = &diff->sides->keys[i];
		Datum		value = key->values[i];
		Size		size;

		diff->before.nulls[i] = key->nulls[i];
		if (column->byval || key->nulls[i])
		{
			diff->before.values[i] = value;
			continue;
		}
		/* an array that a view has just made lives in the executor's memory */
		if (column->len == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value)))
			value = PointerGetDatum(PG_DETOAST_DATUM(value));
		size = datumGetSize(value, false, column->len);
		if (size > diff->room_size[i])
		{
			if (diff->room[i] != NULL)
				pfree(diff->room[i]);
			diff->room_size[i] = Max(size, 64);
			diff->room[i] = MemoryContextAlloc(GetMemoryChunkContext(diff), diff->room_size[i]);
		}
		memcpy(diff->room[i], DatumGetPointer(value), size);
		diff->before.values[i] = PointerGetDatum(diff->room[i]);
	}
	diff->begun = true;
}

/* Are the rows of both sides laid out alike, column by column? */
static bool
look_alike(const TsSides *sides, TupleDesc a, TupleDesc b)
{
	if (a->natts != b->natts || a->natts < sides->ncolumns)
		return false;
	for (int i = 0; i < a->natts; i++)
	{
		Form_pg_attribute x = TupleDescAttr(a, i),
					y = TupleDescAttr(b, i);

		if (x->attlen != y->attlen || x->attbyval != y->attbyval || x->attalign != y->attalign)
			return false;
	}
	for (int i = 0; i < sides->ncolumns; i++)
		if (sides->columns[i].image[0] != sides->columns[i].image[1])
			return false;
	return true;
}

/* The tuple in a slot that has it as it is stored, else NULL. */
static HeapTuple
stored_tuple(TupleTableSlot *slot)
{
	if (slot->tts_ops == &TTSOpsBufferHeapTuple || slot->tts_ops == &TTSOpsHeapTuple)
		return ((HeapTupleTableSlot *) slot)->tuple;
	/* a sort of single values puts them there as they are */
	if (slot->tts_ops == &TTSOpsMinimalTuple && ((MinimalTupleTableSlot *) slot)->mintuple != NULL)
		return ((MinimalTupleTableSlot *) slot)->tuple;
	return NULL;
}

/* Same bytes, same values; what is out of line has the same pointer then, into the same table. Other bytes say nothing. */
static bool
same_bytes(TsDiff *diff)
{
	TupleDesc	desc[] = {diff->row[0]->tts_tupleDescriptor, diff->row[1]->tts_tupleDescriptor};
	HeapTuple	a = stored_tuple(diff->row[0]),
				b = stored_tuple(diff->row[1]);

	if (a == NULL || b == NULL || a->t_len != b->t_len)
		return false;
	if (diff->known[0] != desc[0] || diff->known[1] != desc[1])
	{
		diff->known[0] = desc[0];
		diff->known[1] = desc[1];
		diff->alike = look_alike(diff->sides, desc[0], desc[1]);
	}
	if (!diff->alike || a->t_data->t_hoff != b->t_data->t_hoff ||
		HeapTupleHasNulls(a) != HeapTupleHasNulls(b) ||
		HeapTupleHeaderGetNatts(a->t_data) != desc[0]->natts || HeapTupleHeaderGetNatts(b->t_data) != desc[0]->natts)
		return false;
	return memcmp((char *) a->t_data + SizeofHeapTupleHeader, (char *) b->t_data + SizeofHeapTupleHeader,
				  a->t_len - SizeofHeapTupleHeader) == 0;
}

/* Compares rows with the same key: do they differ, and in which columns? */
static bool
rows_differ(TsDiff *diff)
{
	const TsSides *sides = diff->sides;
	bool		any = false;

	if (same_bytes(diff))
		return false;
	slot_getallattrs(diff->row[0]);
	slot_getallattrs(diff->row[1]);
	for (int i = 0; i < sides->ncolumns; i++)
	{
		const TsSharedColumn *col = &sides->columns[i];
		int			a = col->image[0] - 1,
					b = col->image[1] - 1;
		bool		null_a = diff->row[0]->tts_isnull[a],
					null_b = diff->row[1]->tts_isnull[b];

		diff->differs[i] = null_a != null_b ||
			(!null_a && !datum_image_eq(diff->row[0]->tts_values[a], diff->row[1]->tts_values[b], col->byval, col->len));
		any |= diff->differs[i];
	}
	return any;
}

/* Deals with the smaller of the two keys at hand. Returns false if its rows are the same. */
static bool
step(TsDiff *diff, TsDifference *difference)
{
	int			order = diff->row[1] == NULL ? -1 : diff->row[0] == NULL ? 1 : compare_keys(diff, &diff->key[0], &diff->key[1]);
	int			first = order <= 0 ? 0 : 1;
	int			since = diff->begun ? compare_keys(diff, &diff->before, &diff->key[first]) : -1;

	if (since >= 0)
		refuse_key(diff, first, since == 0);
	remember_key(diff, &diff->key[first]);
	difference->kind = order < 0 ? TS_DIFF_ONLY_A : order > 0 ? TS_DIFF_ONLY_B : TS_DIFF_DIFFERS;
	for (int s = 0; s < TS_SIDES; s++)
	{
		diff->wanted[s] = order == 0 || s == first;
		difference->row[s] = diff->wanted[s] ? diff->row[s] : NULL;
	}
	difference->differs = diff->differs;
	return order != 0 || rows_differ(diff);
}

bool
ts_diff_next(TsDiff *diff, TsDifference *difference)
{
	for (;;)
	{
		MemoryContext old;
		bool		found;

		CHECK_FOR_INTERRUPTS();
		fetch(diff, 0);
		fetch(diff, 1);
		if (diff->row[0] == NULL && diff->row[1] == NULL)
			return false;
		MemoryContextReset(diff->row_context);
		old = MemoryContextSwitchTo(diff->row_context);
		found = step(diff, difference);
		MemoryContextSwitchTo(old);
		if (found)
			return true;
	}
}
