/* image.c: building and reading old-row images. */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"

#include "base/compat.h"
#include "log/image.h"

#define MASK_BYTES(n) (((n) + 7) / 8)

static inline bool
att_stored(Form_pg_attribute att)
{
	return !att->attisdropped && !ts_is_virtual(att);
}

/* Does the image hold a value (or NULL) for this attribute? */
static inline bool
att_in_image(int flags, Form_pg_attribute att, const bool *changed, int i)
{
	return (flags & TS_IMAGE_ROW) != 0 ? att_stored(att) : changed[i];
}

static void
pack_mask(TsBytes *bytes, int n, const bool *set)
{
	unsigned char mask[MASK_BYTES(MaxTupleAttributeNumber)];

	memset(mask, 0, MASK_BYTES(n));
	for (int i = 0; i < n; i++)
		if (set[i])
			mask[i / 8] |= 1 << (i % 8);
	ts_pack(bytes, mask, MASK_BYTES(n));
}

static void
pack_values(TsBytes *bytes, int flags, TupleDesc desc, const bool *changed, const Datum *values, const bool *nulls)
{
	bool		isnull[MaxTupleAttributeNumber];
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if (att_in_image(flags, TupleDescAttr(desc, i), changed, i))
			isnull[n++] = nulls[i];
	pack_mask(bytes, n, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att_in_image(flags, att, changed, i) && !nulls[i])
			ts_pack_value(bytes, att->attbyval, att->attlen, values[i]);
	}
}

void
ts_image_pack(TsBytes *bytes, int flags, int32 shape, TupleDesc desc, const bool *changed,
			  const Datum *values, const bool *nulls)
{
	unsigned char head = (unsigned char) flags;

	ts_pack(bytes, &head, 1);
	ts_pack(bytes, &shape, sizeof(shape));
	if (flags & TS_IMAGE_MASK)
		pack_mask(bytes, desc->natts, changed);
	if (flags & TS_IMAGE_VALUES)
		pack_values(bytes, flags, desc, changed, values, nulls);
}

/* The next mask of n bits. */
static const char *
unpack_mask(const char *at, const char *end, int n, const unsigned char **mask)
{
	if (MASK_BYTES(n) > end - at)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged row image in a change log")));
	*mask = (const unsigned char *) at;
	return at + MASK_BYTES(n);
}

static inline bool
bit(const unsigned char *mask, int i)
{
	return (mask[i / 8] & (1 << (i % 8))) != 0;
}

void
ts_image_read(Datum image, TsImage *result)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(image);
	const char *at = VARDATA_ANY(v);
	const char *end = at + VARSIZE_ANY_EXHDR(v);
	const unsigned char *mask = NULL;
	unsigned char flags;
	int32		shape;
	int			natts;
	int			nvalues = 0,
				n = 0;

	memset(result, 0, sizeof(*result));
	at = ts_unpack(at, end, &flags, 1);
	at = ts_unpack(at, end, &shape, sizeof(shape));
	result->flags = flags;
	result->shape = ts_shape_get(shape);
	result->natts = natts = result->shape->natts;
	result->changed = palloc0(sizeof(bool) * (natts + 1));
	result->values = palloc0(sizeof(Datum) * (natts + 1));
	result->nulls = palloc0(sizeof(bool) * (natts + 1));
	if (flags & TS_IMAGE_MASK)
		at = unpack_mask(at, end, natts, &mask);
	for (int i = 0; i < natts; i++)
	{
		result->changed[i] = mask != NULL ? bit(mask, i) : !result->shape->atts[i].dropped;
		nvalues += result->changed[i];
	}
	if ((flags & TS_IMAGE_VALUES) == 0)
		return;
	at = unpack_mask(at, end, nvalues, &mask);
	for (int i = 0; i < natts; i++)
	{
		const TsShapeAtt *att = &result->shape->atts[i];

		if (!result->changed[i])
			continue;
		if (bit(mask, n++))
			result->nulls[i] = true;
		else
			at = ts_unpack_value(at, end, att->byval, att->len, &result->values[i]);
	}
}
