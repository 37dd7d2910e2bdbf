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
		/* a pointer into the toast table counts as short, too */
		if (VARATT_IS_SHORT(x) && !VARATT_IS_EXTERNAL(x) && VARATT_IS_SHORT(y) && !VARATT_IS_EXTERNAL(y))
			return false;
	}
	return datum_image_eq(a, b, false, att->attlen);
}

/* Bytes of two tuples that are compared at once. */
#define COMMON_STEP 256

/* Walks along a tuple's values. */
typedef struct Walk
{
	const bits8 *nulls;			/* NULL: none */
	char	   *data;
	uint32		offset;
	uint32		size;
} Walk;

static inline void
walk_begin(Walk *walk, HeapTuple tuple)
{
	walk->nulls = HeapTupleHasNulls(tuple) ? tuple->t_data->t_bits : NULL;
	walk->data = (char *) tuple->t_data + tuple->t_data->t_hoff;
	walk->offset = 0;
	walk->size = tuple->t_len - tuple->t_data->t_hoff;
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

/* How many bytes both have in common before the first that differs. */
static Size
common_bytes(const char *a, const char *b, Size size)
{
	Size		n = 0;

	while (size - n >= COMMON_STEP && memcmp(a + n, b + n, COMMON_STEP) == 0)
		n += COMMON_STEP;
	while (size - n >= sizeof(uint64) && memcmp(a + n, b + n, sizeof(uint64)) == 0)
		n += sizeof(uint64);
	while (n < size && a[n] == b[n])
		n++;
	return n;
}

/* Is the rest of both the same? If not, sets how far it is. */
static bool
rest_is_same(const Walk *x, const Walk *y, uint32 *same_to)
{
	uint32		left = x->size - x->offset,
				other = y->size - y->offset;
	uint32		same = common_bytes(x->data + x->offset, y->data + y->offset, Min(left, other));

	*same_to = x->offset + same;
	return same == left && same == other;
}

static bool
same_nulls(const Walk *x, const Walk *y, int natts)
{
	if (x->nulls == NULL || y->nulls == NULL)
		return x->nulls == y->nulls;
	return memcmp(x->nulls, y->nulls, BITMAPLEN(natts)) == 0;
}

/*
 * Values that are the same in both lie at the same places, as long as those before take as much room, or a multiple of the strictest
 * alignment more: so what does not differ is found by its bytes, and only one of the tuples has to be taken apart.
 */
bool
ts_compare_tuples(TupleDesc desc, HeapTuple a, HeapTuple b, bool *changed)
{
	Walk		x,
				y;
	uint32		same_to = 0;	/* x holds the same as y from where it stands to here */
	bool		alike;

	if (HeapTupleHeaderGetNatts(a->t_data) < desc->natts || HeapTupleHeaderGetNatts(b->t_data) < desc->natts)
		return false;
	walk_begin(&x, a);
	walk_begin(&y, b);
	memset(changed, 0, sizeof(bool) * desc->natts);
	alike = same_nulls(&x, &y, desc->natts);
	if (alike && rest_is_same(&x, &y, &same_to))
		return true;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint32		before = x.offset;
		char	   *p = walk_next(&x, att, i);
		char	   *q;

		if (alike && x.offset <= same_to)
		{
			y.offset += x.offset - before;
			continue;
		}
		q = walk_next(&y, att, i);
		if (p == NULL || q == NULL || att->attisdropped)
			changed[i] = p != q && !att->attisdropped;
		else if (att->attlen > 0)
			changed[i] = memcmp(p, q, att->attlen) != 0;
		else
			changed[i] = !ts_same_value(att, PointerGetDatum(p), PointerGetDatum(q));
		if (alike && (x.offset - y.offset) % MAXIMUM_ALIGNOF == 0 && rest_is_same(&x, &y, &same_to))
			return true;
	}
	return true;
}
