/* pack.c: packed values. */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/memutils.h"

#include "log/pack.h"

void
ts_bytes_enlarge(TsBytes *bytes, Size more)
{
	Size		size = Max(bytes->used + more, bytes->size * 2);

	if (bytes->data == NULL)
		bytes->data = MemoryContextAllocHuge(CurrentMemoryContext, size);
	else
		bytes->data = repalloc_huge(bytes->data, size);
	bytes->size = size;
}

static void
pack_varlena(TsBytes *bytes, struct varlena *value)
{
	struct varlena *plain = value;

	/* the log must not point into the source's toast table, whose rows go away */
	if (VARATT_IS_EXTERNAL(value))
		plain = detoast_external_attr(value);
	if (VARATT_IS_SHORT(plain) || !VARATT_CAN_MAKE_SHORT(plain))
		ts_pack(bytes, plain, VARSIZE_ANY(plain));
	else
		ts_pack_frame(bytes, VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	if (plain != value)
		pfree(plain);
}

void
ts_pack_value(TsBytes *bytes, bool byval, int16 len, Datum value)
{
	if (byval)
	{
		Datum		stored;

		store_att_byval(&stored, value, len);
		ts_pack(bytes, &stored, len);
	}
	else if (len > 0)
		ts_pack(bytes, DatumGetPointer(value), len);
	else if (len == -1)
		pack_varlena(bytes, (struct varlena *) DatumGetPointer(value));
	else
		ts_pack(bytes, DatumGetCString(value), strlen(DatumGetCString(value)) + 1);
}

Size
ts_frame_size(Size size)
{
	return size + (size + VARHDRSZ_SHORT <= VARATT_SHORT_MAX ? VARHDRSZ_SHORT : VARHDRSZ);
}

void
ts_pack_frame(TsBytes *bytes, const char *from, Size size)
{
	char		header[VARHDRSZ];

	if (size + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
	{
		SET_VARSIZE_SHORT(header, size + VARHDRSZ_SHORT);
		ts_pack(bytes, header, VARHDRSZ_SHORT);
	}
	else
	{
		varattrib_4b aligned;

		SET_VARSIZE(&aligned, size + VARHDRSZ);
		ts_pack(bytes, &aligned, VARHDRSZ);
	}
	ts_pack(bytes, from, size);
}

void
ts_pack_number(TsBytes *bytes, uint64 number)
{
	unsigned char digits[10];
	int			n = 0;

	for (; number > 0x7f; number >>= 7)
		digits[n++] = 0x80 | (number & 0x7f);
	digits[n++] = number;
	ts_pack(bytes, digits, n);
}

static void
damaged(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged row in a change log")));
}

const char *
ts_unpack(const char *at, const char *end, void *to, Size size)
{
	if (size > (Size) (end - at))
		damaged();
	memcpy(to, at, size);
	return at + size;
}

const char *
ts_unpack_number(const char *at, const char *end, uint64 *number)
{
	unsigned char digit;
	int			shift = 0;

	*number = 0;
	do
	{
		at = ts_unpack(at, end, &digit, 1);
		if (shift > 63)
			damaged();
		*number |= (uint64) (digit & 0x7f) << shift;
		shift += 7;
	} while (digit & 0x80);
	return at;
}

/* The size of the varlena that begins here, its header included; the header may stand unaligned. */
static Size
varlena_size(const char *at, const char *end)
{
	Size		size;

	if (at >= end)
		damaged();
	if (VARATT_IS_1B(at))
		size = VARATT_IS_1B_E(at) ? 0 : VARSIZE_1B(at);
	else
	{
		varattrib_4b header;

		(void) ts_unpack(at, end, &header, VARHDRSZ);
		size = VARSIZE(&header);
	}
	if (size < VARHDRSZ_SHORT || size > (Size) (end - at))
		damaged();
	return size;
}

const char *
ts_unpack_value(const char *at, const char *end, bool byval, int16 len, Datum *value)
{
	Size		size;

	if (byval)
	{
		Datum		aligned;

		at = ts_unpack(at, end, &aligned, len);
		*value = fetch_att(&aligned, true, len);
		return at;
	}
	if (len > 0)
		size = len;
	else if (len == -1)
		size = varlena_size(at, end);
	else
		size = strnlen(at, end - at) + 1;
	if (size > (Size) (end - at))
		damaged();
	if (len == -2 || (len == -1 && VARATT_IS_1B(at)))
		*value = PointerGetDatum(at);
	else
	{
		char	   *copy = palloc(size);

		memcpy(copy, at, size);
		*value = PointerGetDatum(copy);
	}
	return at + size;
}

const char *
ts_unpack_frame(const char *at, const char *end, const char **bytes, Size *size)
{
	Size		whole = varlena_size(at, end);
	Size		header = VARATT_IS_1B(at) ? VARHDRSZ_SHORT : VARHDRSZ;

	if (whole < header)
		damaged();
	*bytes = at + header;
	*size = whole - header;
	return at + whole;
}
