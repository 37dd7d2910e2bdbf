/*
 * image.h: the old values of a row, as an event carries them.
 *
 * Format (see pack.h):
 *   1 byte   flags, TS_IMAGE_…
 *   4 bytes  shape number; the shape tells the number of attributes
 *   mask     one bit per attribute number: the column changed (only TS_IMAGE_MASK)
 *   if TS_IMAGE_VALUES: one bit per marked column (all columns with TS_IMAGE_ROW): its old value was NULL;
 *            then the values that are not NULL
 */
#ifndef TS_IMAGE_H
#define TS_IMAGE_H

#include "access/tupdesc.h"

#include "log/pack.h"
#include "log/shape.h"

#define TS_IMAGE_MASK 0x01		/* names the changed columns */
#define TS_IMAGE_ROW 0x02		/* the whole row */
#define TS_IMAGE_VALUES 0x04	/* old values follow */

/*
 * Appends an image. desc and values are in the tracked table's attribute numbers; changed (per attribute) only with
 * TS_IMAGE_MASK. values may be NULL without TS_IMAGE_VALUES.
 */
extern void ts_image_pack(TsBytes *bytes, int flags, int32 shape, TupleDesc desc, const bool *changed,
						  const Datum *values, const bool *nulls);

typedef struct TsImage
{
	int			flags;
	const TsShape *shape;		/* NULL: there was no image */
	int			natts;
	bool	   *changed;		/* per attribute: in the image; all with TS_IMAGE_ROW */
	Datum	   *values;			/* per attribute, where changed and TS_IMAGE_VALUES */
	bool	   *nulls;
} TsImage;

/* Decodes a bytea into the current context; the values need the context and the bytea. */
extern void ts_image_read(Datum image, TsImage *result);

#endif
