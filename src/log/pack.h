/*
 * pack.h: values one after the other, unaligned, in the server's byte order (a log never leaves its server).
 *
 * A value lies as it would in a row, without padding; a varlena is never external, but perhaps compressed. A frame is a varlena
 * that holds bytes: with a one-byte header if it is short. What is unpacked is checked against the end: XX001 if it is not whole.
 */
#ifndef TS_PACK_H
#define TS_PACK_H

#include "access/tupmacs.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* A growing buffer; make one with zeroes, it lives in the context that is current at the first use. */
typedef struct TsBytes
{
	char	   *data;
	Size		used;
	Size		size;
} TsBytes;

extern void ts_bytes_enlarge(TsBytes *bytes, Size more);

static inline void
ts_pack(TsBytes *bytes, const void *from, Size size)
{
	if (unlikely(bytes->used + size > bytes->size))
		ts_bytes_enlarge(bytes, size);
	memcpy(bytes->data + bytes->used, from, size);
	bytes->used += size;
}

/* A value of a type with this length; fetches what is toasted. */
extern void ts_pack_value(TsBytes *bytes, bool byval, int16 len, Datum value);
extern Size ts_frame_size(Size size);
extern void ts_pack_frame(TsBytes *bytes, const char *from, Size size);

/* A number, in as few bytes as it takes: seven bits in each, the lowest first, and the eighth set where more follow. */
extern void ts_pack_number(TsBytes *bytes, uint64 number);

extern const char *ts_unpack(const char *at, const char *end, void *to, Size size);
extern const char *ts_unpack_number(const char *at, const char *end, uint64 *number);
/* What is aligned where it lies, or needs no alignment, is not copied; what is, to the current context. */
extern const char *ts_unpack_value(const char *at, const char *end, bool byval, int16 len, Datum *value);
/* Where the frame's bytes are, and how many. */
extern const char *ts_unpack_frame(const char *at, const char *end, const char **bytes, Size *size);

#endif
