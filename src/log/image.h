/*
 * image.h: the old values of a row, as stored in a log's image column.
 *
 * Format, unaligned, in the server's byte order (a log never leaves its server):
 *   1 byte   flags, TS_IMAGE_…
 *   4 bytes  command id, if TS_IMAGE_CID
 *   4 bytes  shape number, if TS_IMAGE_MASK or TS_IMAGE_ROW; the shape tells the number of attributes
 *   mask     one bit per attribute number: the column changed (only TS_IMAGE_MASK)
 *   if TS_IMAGE_VALUES: one bit per marked column (all columns with TS_IMAGE_ROW): its old value was NULL;
 *            then the values that are not NULL, one after the other, detoasted but perhaps compressed
 */
#ifndef TS_IMAGE_H
#define TS_IMAGE_H

#include "access/tupdesc.h"
#include "log/shape.h"

#define TS_IMAGE_MASK 0x01		/* names the changed columns */
#define TS_IMAGE_ROW 0x02		/* the whole row */
#define TS_IMAGE_VALUES 0x04	/* old values follow */
#define TS_IMAGE_PAIR 0x08		/* half of an UPDATE that changed the key: D, and the I that follows it */
#define TS_IMAGE_CID 0x10		/* the id of the command that made the change: it orders a row's versions, arrival does not */

/*
 * Builds an image. desc and values are in the tracked table's attribute numbers; changed (per attribute) only with
 * TS_IMAGE_MASK. values may be NULL without TS_IMAGE_VALUES. Allocated in the current context, a short varlena if small.
 */
extern struct varlena *ts_image_build(int flags, CommandId cid, int32 shape, TupleDesc desc, const bool *changed,
									  const Datum *values, const bool *nulls);

typedef struct TsImage
{
	int			flags;
	CommandId	cid;
	const TsShape *shape;		/* NULL without mask and row */
	int			natts;
	bool	   *changed;		/* per attribute: in the image; all with TS_IMAGE_ROW */
	Datum	   *values;			/* per attribute, where changed and TS_IMAGE_VALUES */
	bool	   *nulls;
} TsImage;

/* Decodes into the current context; the values are copies, aligned, and need the context only. */
extern void ts_image_read(Datum image, TsImage *result);
/* Only the flags and the command id (0 without). */
extern int	ts_image_flags(Datum image, CommandId *cid);

#endif
