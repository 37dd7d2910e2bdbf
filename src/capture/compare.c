/* compare.c: two versions of a row, side by side. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "utils/datum.h"

#include "base/compat.h"
#include "capture/compare.h"

bool
ts_same_value(Form_pg_attribute att, Datum a, Datum b)
{
	if (att->attbyval)
		return a == b;
	if (att->attlen > 0)
		return memcmp(DatumGetPointer(a), DatumGetPointer(b), att->attlen) == 0;
	if (att->attlen == -1)
	{
		struct varlena *x = (struct varlena *) DatumGetPointer(a);
		struct varlena *y = (struct varlena *) DatumGetPointer(b);
		Size		size = VARSIZE_ANY(x);

		/* also an unchanged pointer into the toast table */
		if (size == VARSIZE_ANY(y) && memcmp(x, y, size) == 0)
			return true;
		if (!VARATT_IS_EXTENDED(x) && !VARATT_IS_EXTENDED(y))
			return false;
		if (VARATT_IS_SHORT(x) && VARATT_IS_SHORT(y))
			return false;
	}
	return datum_image_eq(a, b, false, att->attlen);
}

/* Walks along a tuple's values. */
typedef struct Walk
{
	const bits8 *nulls;			/* NULL: none */
	char	   *data;
	uint32		offset;
} Walk;

static inline void
walk_begin(Walk *walk, HeapTuple tuple)
{
	walk->nulls = HeapTupleHasNulls(tuple) ? tuple->t_data->t_bits : NULL;
	walk->data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	walk->offset = 0;
}

/* The next value's place, NULL if it is NULL. */
static inline char *
walk_next(Walk *walk, Form_pg_attribute att, int i)
{
	char	   *value;

	if (walk->nulls != NULL && att_isnull(i, walk->nulls))
		return NULL;
	walk->offset = att_align_pointer(walk->offset, att->attalign, att->attlen, walk->data + walk->offset);
	value = walk->data + walk->offset;
	walk->offset = att_addlength_pointer(walk->offset, att->attlen, value);
	return value;
}

bool
ts_compare_tuples(TupleDesc desc, HeapTuple a, HeapTuple b, bool *changed)
{
	Walk		x,
				y;

	if (HeapTupleHeaderGetNatts(a->t_data) < desc->natts || HeapTupleHeaderGetNatts(b->t_data) < desc->natts)
		return false;
	walk_begin(&x, a);
	walk_begin(&y, b);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *p = walk_next(&x, att, i);
		char	   *q = walk_next(&y, att, i);

		if (p == NULL || q == NULL || att->attisdropped)
			changed[i] = p != q && !att->attisdropped;
		else if (att->attlen > 0)
			changed[i] = memcmp(p, q, att->attlen) != 0;
		else
			changed[i] = !ts_same_value(att, PointerGetDatum(p), PointerGetDatum(q));
	}
	return true;
}
