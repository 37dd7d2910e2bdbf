/* names.c: types and operators by the names that they have where the target is. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_operator.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/quote.h"
#include "link/remote.h"

/* A column of the target whose type, there, is this one here; NULL: none is known of. */
static const TsRemoteColumn *
column_of_type(const TsLink *link, Oid type)
{
	ListCell   *lc;

	if (link->remote == NULL || type < FirstNormalObjectId)
		return NULL;
	foreach(lc, link->remote->columns)
	{
		const TsRemoteColumn *col = lfirst(lc);

		if (!col->dropped && !col->opaque && (col->type == type || col->base_type == type))
			return col;
	}
	return NULL;
}

char *
ts_target_type_name(const TsLink *link, Oid type, int32 typmod)
{
	const TsRemoteColumn *col = column_of_type(link, type);
	char	   *here = ts_quote_type(type, typmod);
	const char *there;

	if (col == NULL)
		return here;
	there = col->type == type ? col->declared : col->base;
	/* the modifier is written behind the name */
	return psprintf("%s%s", there, typmod == -1 ? "" : here + strlen(ts_quote_type(type, -1)));
}

char *
ts_target_type(const TsLink *link, const TsColumn *col, bool cut)
{
	if (col->opaque != NULL)
		return pstrdup(col->opaque);
	return ts_target_type_name(link, col->target_base, cut ? col->target_typmod : -1);
}

char *
ts_target_operator(const TsLink *link, Oid op)
{
	const TsRemoteColumn *col;
	HeapTuple	tuple;
	char	   *result;

	if (link->remote == NULL || op < FirstNormalObjectId)
		return ts_quote_operator(op);
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(op));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", op);
	/* an extension has its operators where its types are */
	col = column_of_type(link, ((Form_pg_operator) GETSTRUCT(tuple))->oprleft);
	result = col == NULL ? ts_quote_operator(op) :
		psprintf("OPERATOR(%s.%s)", col->schema, NameStr(((Form_pg_operator) GETSTRUCT(tuple))->oprname));
	ReleaseSysCache(tuple);
	return result;
}
