/* parking.c: values that no row has. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "plan/parking.h"

char *
ts_parking_value(const TsLink *link, const TsColumn *col)
{
	static const struct
	{
		Oid			type;
		const char *limit;		/* of what has a next value */
		const char *step;
	}			ordered[] = {
		{INT2OID, "32767", "1"}, {INT4OID, "2147483647", "1"}, {INT8OID, "9223372036854775807", "1"}, {NUMERICOID, "'Infinity'", "1"},
		{FLOAT4OID, "'1e6'", "1"}, {FLOAT8OID, "'1e15'", "1"},
		{DATEOID, "'infinity'", "1"}, {TIMESTAMPOID, "'infinity'", "interval '1 day'"}, {TIMESTAMPTZOID, "'infinity'", "interval '1 day'"}
	};
	const char *name = quote_identifier(col->target_name);
	const char *type = ts_quote_type(col->target_base, -1);

	for (int i = 0; i < lengthof(ordered); i++)
		if (ordered[i].type == col->target_base)
			return psprintf("(SELECT CASE WHEN pg_catalog.max(p.%s::%s) OPERATOR(pg_catalog.<) %s THEN pg_catalog.max(p.%s::%s) OPERATOR(pg_catalog.+) %s "
							"ELSE pg_catalog.min(p.%s::%s) OPERATOR(pg_catalog.-) %s END FROM %s AS p)", name, type,
							ordered[i].type == NUMERICOID ? "1e1000" : ordered[i].limit, name, type, ordered[i].step, name, type, ordered[i].step,
							ts_link_target(link));
	if (col->target_base == UUIDOID)
		return pstrdup("pg_catalog.gen_random_uuid()");
	if (col->target_base == BYTEAOID)
		return pstrdup("pg_catalog.decode(pg_catalog.md5(pg_catalog.gen_random_uuid()::pg_catalog.text), 'hex')");
	if (col->target_base == TEXTOID || col->target_base == VARCHAROID || col->target_base == BPCHAROID)
		return psprintf("pg_catalog.\"left\"(pg_catalog.md5(pg_catalog.gen_random_uuid()::pg_catalog.text), %d)",
						col->target_typmod > VARHDRSZ ? Min(col->target_typmod - VARHDRSZ, 32) : 32);
	return NULL;
}

int
ts_parking_column(const TsLink *link)
{
	for (int i = 0; i < link->nkeys; i++)
		if (ts_parking_value(link, &link->columns[link->keys[i]]) != NULL)
			return link->keys[i];
	return -1;
}
