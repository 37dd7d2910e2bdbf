/*
 * forbid.c: does a constraint of a table forbid that rows are appended whatever their keys?
 *
 * A unique index does, unless it has a column that is another one for each row: one that the query does not give and whose default
 * is volatile (a sequence, a new uuid), or NULL where NULLs are distinct.
 */
#include "postgres.h"

#include "access/genam.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "append/forbid.h"
#include "base/compat.h"

static bool
is_given(const TsAppend *append, AttrNumber attnum)
{
	for (int i = 0; i < append->ncolumns; i++)
		if (append->attnums[i] == attnum)
			return true;
	return false;
}

/* Does a column that the query does not give differ from row to row? */
static bool
differs_by_itself(const TsAppend *append, AttrNumber attnum, bool nulls_equal)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(append->target), attnum - 1);
	Node	   *value;

	if (att->attgenerated)
		return false;
	if (att->attidentity)
		return true;
	value = build_column_default(append->target, attnum);
	return value == NULL ? !nulls_equal : contain_volatile_functions(value);
}

static bool
forbids(const TsAppend *append, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (form->indisexclusion)
		return true;
	if (!form->indisunique)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];

		if (attnum > 0 && !is_given(append, attnum) && differs_by_itself(append, attnum, ts_nulls_equal(index)))
			return false;
	}
	return true;
}

void
ts_forbid_duplicates(const TsAppend *append)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(append->target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (forbids(append, index))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("\"%s\" of table \"%s\" forbids duplicates", RelationGetRelationName(index), RelationGetRelationName(append->target)),
					 errhint("Use on_duplicate => 'error', 'first' or 'last'.")));
		index_close(index, AccessShareLock);
	}
}
