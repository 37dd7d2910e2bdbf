/*
 * wire.c: array parameters as they go over the wire.
 *
 * The binary format of arrays (array_send) and of the server's plain types has not changed since PostgreSQL 8; it spares both sides the
 * making and reading of text. Strings are sent as they are: the connection's client_encoding is this database's, whatever the session's
 * own is, which the types' send functions would convert to.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "apply/wire.h"

typedef enum Form
{
	FORM_NONE,					/* only as text */
	FORM_1,
	FORM_2,
	FORM_4,
	FORM_8,
	FORM_UUID,
	FORM_STRING,
	FORM_NUMERIC
} Form;

static Form
form_of(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return FORM_1;
		case INT2OID:
			return FORM_2;
		case INT4OID:
		case OIDOID:
		case DATEOID:
		case FLOAT4OID:
			return FORM_4;
		case INT8OID:
		case FLOAT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return FORM_8;
		case UUIDOID:
			return FORM_UUID;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
			return FORM_STRING;
		case NUMERICOID:
			return FORM_NUMERIC;
		default:
			return FORM_NONE;
	}
}

static void
append_value(StringInfo out, Form form, Datum value)
{
	bytea	   *sent;

	switch (form)
	{
		case FORM_NONE:
			break;
		case FORM_1:
			pq_sendint32(out, 1);
			pq_sendint8(out, DatumGetBool(value) ? 1 : 0);
			break;
		case FORM_2:
			pq_sendint32(out, 2);
			pq_sendint16(out, (uint16) DatumGetInt16(value));
			break;
		case FORM_4:
			/* a float4 is its bits */
			pq_sendint32(out, 4);
			pq_sendint32(out, (uint32) DatumGetInt32(value));
			break;
		case FORM_8:
			pq_sendint32(out, 8);
			pq_sendint64(out, (uint64) DatumGetInt64(value));
			break;
		case FORM_UUID:
			pq_sendint32(out, 16);
			appendBinaryStringInfo(out, DatumGetPointer(value), 16);
			break;
		case FORM_STRING:
			pq_sendint32(out, (uint32) VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
			appendBinaryStringInfo(out, VARDATA_ANY(DatumGetPointer(value)), VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
			break;
		case FORM_NUMERIC:
			sent = DatumGetByteaP(DirectFunctionCall1(numeric_send, value));
			pq_sendint32(out, (uint32) (VARSIZE(sent) - VARHDRSZ));
			appendBinaryStringInfo(out, VARDATA(sent), (int) (VARSIZE(sent) - VARHDRSZ));
			pfree(sent);
			break;
	}
}

static char *
as_text(Oid element, Datum array)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(get_array_type(element), &output, &varlena);
	return OidOutputFunctionCall(output, array);
}

char *
ts_wire_array(Oid element, Datum array, int *length)
{
	Form		form = form_of(element);
	ArrayType  *values = DatumGetArrayTypeP(array);
	StringInfoData out;
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	int16		len;
	bool		byval;
	char		align;

	*length = -1;
	if (form == FORM_NONE || ARR_NDIM(values) != 1)
		return as_text(element, array);
	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(values, element, len, byval, align, &elems, &nulls, &n);
	initStringInfo(&out);
	pq_sendint32(&out, 1);
	pq_sendint32(&out, ARR_HASNULL(values) ? 1 : 0);
	pq_sendint32(&out, element);
	pq_sendint32(&out, n);
	pq_sendint32(&out, 1);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			pq_sendint32(&out, (uint32) -1);
		else
			append_value(&out, form, elems[i]);
	}
	pfree(elems);
	pfree(nulls);
	*length = out.len;
	return out.data;
}
