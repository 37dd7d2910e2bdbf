/* bridge.c: how values of two types are compared. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "verify/bridge.h"

/* Families of types, each of which holds all that those before it can; and in the same order. */
static const Oid families[][4] = {
	{INT2OID, INT4OID, INT8OID, NUMERICOID},
	{FLOAT4OID, FLOAT8OID},
	{DATEOID, TIMESTAMPOID},
};

static Oid
common_type(Oid a, Oid b)
{
	if (a == b)
		return a;
	for (int f = 0; f < lengthof(families); f++)
	{
		int			of_a = -1,
					of_b = -1;

		for (int i = 0; i < lengthof(families[f]) && OidIsValid(families[f][i]); i++)
		{
			of_a = families[f][i] == a ? i : of_a;
			of_b = families[f][i] == b ? i : of_b;
		}
		if (of_a >= 0 && of_b >= 0)
			return families[f][Max(of_a, of_b)];
	}
	return TEXTOID;
}

TsBridge
ts_bridge(Form_pg_attribute a, Form_pg_attribute b)
{
	TsBridge	bridge = {0};
	int32		typmod[] = {a->atttypmod, b->atttypmod};
	Oid			base[] = {getBaseTypeAndTypmod(a->atttypid, &typmod[0]), getBaseTypeAndTypmod(b->atttypid, &typmod[1])};

	bridge.common = bridge.image_type = common_type(base[0], base[1]);
	bridge.casts = base[0] != base[1];
	/* what is written differently because the columns are declared so */
	if (bridge.casts || typmod[0] != typmod[1])
	{
		bridge.trims = bridge.common == NUMERICOID;
		if (bridge.common == BPCHAROID)
			bridge.image_type = TEXTOID;
	}
	return bridge;
}

void
ts_bridge_by_text(TsBridge *bridge)
{
	bridge->common = bridge->image_type = TEXTOID;
	bridge->casts = true;
	bridge->trims = false;
}

static char *
cast(Oid to, Oid type, char *column)
{
	return getBaseType(type) == to ? column : psprintf("(%s)::%s", column, ts_quote_type(to, -1));
}

char *
ts_bridge_image(const TsBridge *bridge, Oid type, char *column)
{
	char	   *value = cast(bridge->image_type, type, column);

	return bridge->trims ? psprintf("pg_catalog.trim_scale(%s)", value) : value;
}

char *
ts_bridge_match(const TsBridge *bridge, Oid type, char *column)
{
	return cast(bridge->common, type, column);
}
