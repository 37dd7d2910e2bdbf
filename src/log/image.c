/* image.c: building and reading old-row images. */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "utils/datum.h"
#include "utils/memutils.h"

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

static inline Size
value_size(Form_pg_attribute att, Datum value)
{
	if (att->attlen > 0)
		return att->attlen;
	if (att->attlen == -1)
		return VARSIZE_ANY(DatumGetPointer(value));
	return strlen(DatumGetCString(value)) + 1;
}

static inline char *
put(char *p, const void *from, Size size)
{
	memcpy(p, from, size);
	return p + size;
}

static char *
put_value(char *p, Form_pg_attribute att, Datum value)
{
	Size		size = value_size(att, value);

	if (att->attbyval)
	{
		Datum		aligned;

		store_att_byval(&aligned, value, att->attlen);
		return put(p, &aligned, size);
	}
	return put(p, DatumGetPointer(value), size);
}

struct varlena *
ts_image_build(int flags, CommandId cid, int32 shape, TupleDesc desc, const bool *changed,
			   const Datum *values, const bool *nulls)
{
	int			natts = desc->natts;
	bool		shaped = (flags & (TS_IMAGE_MASK | TS_IMAGE_ROW)) != 0;
	Datum	   *plain = NULL;
	Size		size = VARHDRSZ + 1;
	int			nvalues = 0;
	struct varlena *image;
	char	   *p;

	if (flags & TS_IMAGE_CID)
		size += sizeof(CommandId);
	if (shaped)
		size += sizeof(int32);
	if (flags & TS_IMAGE_MASK)
		size += MASK_BYTES(natts);
	if (flags & TS_IMAGE_VALUES)
	{
		plain = palloc(sizeof(Datum) * (natts + 1));
		for (int i = 0; i < natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att_in_image(flags, att, changed, i))
				continue;
			nvalues++;
			if (nulls[i])
				continue;
			plain[i] = values[i];
			/* the log must not point into the source's toast table, whose rows go away */
			if (att->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(values[i])))
				plain[i] = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(values[i])));
			size += value_size(att, plain[i]);
		}
		size += MASK_BYTES(nvalues);
	}
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("old row image of %zu bytes is too large for the change log", size),
				 errhint("Track the table with images => 'none'.")));

	image = palloc(size);
	p = VARDATA(image);
	*p++ = (char) flags;
	if (flags & TS_IMAGE_CID)
		p = put(p, &cid, sizeof(cid));
	if (shaped)
		p = put(p, &shape, sizeof(shape));
	if (flags & TS_IMAGE_MASK)
	{
		memset(p, 0, MASK_BYTES(natts));
		for (int i = 0; i < natts; i++)
			if (changed[i])
				p[i / 8] |= 1 << (i % 8);
		p += MASK_BYTES(natts);
	}
	if (flags & TS_IMAGE_VALUES)
	{
		char	   *bits = p;
		int			n = 0;

		memset(p, 0, MASK_BYTES(nvalues));
		p += MASK_BYTES(nvalues);
		for (int i = 0; i < natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att_in_image(flags, att, changed, i))
				continue;
			if (nulls[i])
				bits[n / 8] |= 1 << (n % 8);
			else
			{
				p = put_value(p, att, plain[i]);
				if (plain[i] != values[i])
					pfree(DatumGetPointer(plain[i]));
			}
			n++;
		}
		pfree(plain);
	}
	Assert(p == (char *) image + size);
	SET_VARSIZE(image, size);
	return image;
}

static const char *
get(const char *p, const char *end, void *to, Size size)
{
	if (p + size > end)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged row image in the change log")));
	memcpy(to, p, size);
	return p + size;
}

/* One value, copied to aligned memory. */
static const char *
get_value(const char *p, const char *end, const TsShapeAtt *att, Datum *value)
{
	Size		size;
	char	   *copy;

	if (att->byval)
	{
		char		aligned[sizeof(Datum)];

		p = get(p, end, aligned, att->len);
		*value = fetch_att(aligned, true, att->len);
		return p;
	}
	if (p >= end)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged row image in the change log")));
	if (att->len > 0)
		size = att->len;
	else if (att->len == -1)
	{
		/* a long header may stand unaligned here */
		if (VARATT_IS_1B(p))
			size = VARSIZE_1B(p);
		else
		{
			struct varlena header;

			(void) get(p, end, &header, VARHDRSZ);
			size = VARSIZE_4B(&header);
		}
	}
	else
		size = strnlen(p, end - p) + 1;
	copy = palloc(size);
	p = get(p, end, copy, size);
	*value = PointerGetDatum(copy);
	return p;
}

static const char *
read_head(const char *p, const char *end, int *flags, CommandId *cid)
{
	*flags = (unsigned char) *p++;
	*cid = 0;
	if (*flags & TS_IMAGE_CID)
		p = get(p, end, cid, sizeof(*cid));
	return p;
}

int
ts_image_flags(Datum image, CommandId *cid)
{
	struct varlena *v = PG_DETOAST_DATUM_SLICE(image, 0, 1 + sizeof(CommandId));
	const char *p = VARDATA_ANY(v);
	int			flags;

	(void) read_head(p, p + VARSIZE_ANY_EXHDR(v), &flags, cid);
	return flags;
}

void
ts_image_read(Datum image, TsImage *result)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(image);
	const char *p = VARDATA_ANY(v);
	const char *end = p + VARSIZE_ANY_EXHDR(v);
	int32		shape;
	int			natts;
	int			nvalues = 0,
				n = 0;
	const char *bits;

	memset(result, 0, sizeof(*result));
	p = read_head(p, end, &result->flags, &result->cid);
	if ((result->flags & (TS_IMAGE_MASK | TS_IMAGE_ROW)) == 0)
		return;
	p = get(p, end, &shape, sizeof(shape));
	result->shape = ts_shape_get(shape);
	result->natts = natts = result->shape->natts;
	result->changed = palloc0(sizeof(bool) * (natts + 1));
	result->values = palloc0(sizeof(Datum) * (natts + 1));
	result->nulls = palloc0(sizeof(bool) * (natts + 1));
	for (int i = 0; i < natts; i++)
		if ((result->flags & TS_IMAGE_ROW) != 0 ? !result->shape->atts[i].dropped : (p[i / 8] & (1 << (i % 8))) != 0)
		{
			result->changed[i] = true;
			nvalues++;
		}
	if (result->flags & TS_IMAGE_MASK)
		p += MASK_BYTES(natts);
	if ((result->flags & TS_IMAGE_VALUES) == 0)
		return;
	bits = p;
	p += MASK_BYTES(nvalues);
	for (int i = 0; i < natts; i++)
	{
		if (!result->changed[i])
			continue;
		if (bits[n / 8] & (1 << (n % 8)))
			result->nulls[i] = true;
		else
			p = get_value(p, end, &result->shape->atts[i], &result->values[i]);
		n++;
	}
}
