/* parking.c: values that no row has. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "link/remote.h"
#include "link/unique.h"
#include "plan/parking.h"

/* Beyond the values that there are and will be, one step for each row of the batch. */
static char *
beyond(const TsLink *link, const TsColumn *col, const char *number)
{
	static const struct
	{
		Oid			type;
		const char *limit;		/* what is less has room above it */
		const char *step;		/* a row's number times this */
	}			ordered[] = {
		{INT2OID, "31767", "1::pg_catalog.int2"}, {INT4OID, "2147482647", "1"}, {INT8OID, "9223372036854774807", "1"}, {NUMERICOID, "1e1000", "1"},
		{FLOAT4OID, "'1e6'", "1::pg_catalog.float4"}, {FLOAT8OID, "'1e15'", "1::pg_catalog.float8"},
		{DATEOID, "'infinity'", "1"}, {TIMESTAMPOID, "'infinity'", "interval '1 day'"}, {TIMESTAMPTZOID, "'infinity'", "interval '1 day'"}
	};
	const char *name = quote_identifier(col->target_name);
	const char *type = ts_target_type(link, col, false);

	for (int i = 0; i < lengthof(ordered); i++)
	{
		char	   *way,
				   *above,
				   *below;

		if (ordered[i].type != col->target_base)
			continue;
		way = psprintf("((1 OPERATOR(pg_catalog.+) %s) OPERATOR(pg_catalog.*) %s)", number, ordered[i].step);
		if (ordered[i].type == INT2OID || ordered[i].type == DATEOID)
			way = psprintf("%s::pg_catalog.int4", way);
		/* these are looked up once for all rows */
		above = psprintf("(SELECT pg_catalog.max(p.%s::%s) FROM %s AS p)", name, type, ts_link_target(link));
		below = psprintf("(SELECT pg_catalog.min(p.%s::%s) FROM %s AS p)", name, type, ts_link_target(link));
		if (col->greatest != NULL)
		{
			above = psprintf("GREATEST(%s, %s::%s)", above, quote_literal_cstr(col->greatest), type);
			below = psprintf("LEAST(%s, %s::%s)", below, quote_literal_cstr(col->least), type);
		}
		return psprintf("(CASE WHEN %s OPERATOR(pg_catalog.<) %s THEN %s OPERATOR(pg_catalog.+) %s ELSE %s OPERATOR(pg_catalog.-) %s END)::%s",
						above, ordered[i].limit, above, way, below, way, type);
	}
	return NULL;
}

/* A value that no row of the target has; NULL: the type is none that this is known of. */
static char *
free_value(const TsLink *link, const TsColumn *col, const char *number)
{
	if (col->target_base == UUIDOID)
		return pstrdup("pg_catalog.gen_random_uuid()");
	if (col->target_base == BYTEAOID)
		return pstrdup("pg_catalog.decode(pg_catalog.md5(pg_catalog.gen_random_uuid()::pg_catalog.text), 'hex')");
	if (TypeCategory(col->target_base) == TYPCATEGORY_STRING)
		return psprintf("pg_catalog.\"left\"(pg_catalog.md5(pg_catalog.gen_random_uuid()::pg_catalog.text), %d)::%s",
						col->target_typmod > VARHDRSZ ? Min(col->target_typmod - VARHDRSZ, 32) : 32, ts_target_type(link, col, false));
	return beyond(link, col, number);
}

/* May the target's column be NULL, its domain included? */
static bool
takes_null(const TsLink *link, const TsColumn *col)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(link->target), Int16GetDatum(col->target_attnum));
	bool		not_null;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", col->target_attnum, link->target);
	not_null = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	for (Oid type = col->target_type; !not_null && get_typtype(type) == TYPTYPE_DOMAIN;)
	{
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		not_null = ((Form_pg_type) GETSTRUCT(tuple))->typnotnull;
		type = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
	return !not_null;
}

char *
ts_parking_vacant(const TsLink *link, int column, const char *number)
{
	const TsColumn *col = &link->columns[column];
	/* foreign keys would carry a NULL to the rows that refer to it, and never bring them back */
	bool		nulls = takes_null(link, col) && !col->referred,
				empty = type_is_range(col->target_base) || ts_is_multirange(col->target_base),
				value = true;
	ListCell   *lc;

	foreach(lc, link->uniques)
	{
		const TsUnique *unique = lfirst(lc);

		nulls &= !unique->touches[column] || !unique->nulls_equal;
		empty &= !unique->touches[column] || unique->plain[column] == TS_PLAIN_OVERLAPS;
		value &= !unique->touches[column] || unique->plain[column] != TS_PLAIN_OTHER;
	}
	if (nulls)
		return pstrdup("NULL");
	/* overlaps with nothing, and touches nothing */
	if (empty)
		return psprintf("'%s'::%s", type_is_range(col->target_base) ? "empty" : "{}", ts_target_type(link, col, false));
	return value ? free_value(link, col, number) : NULL;
}
