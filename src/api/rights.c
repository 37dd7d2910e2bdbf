/* rights.c: who may read what of a tracked table's log. */
#include "postgres.h"

#include "access/relation.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "api/rights.h"
#include "log/tracked.h"

bool *
ts_readable_columns(Oid source)
{
	Relation	rel = relation_open(source, AccessShareLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	bool	   *readable = palloc0(sizeof(bool) * (natts + 1));
	bool		all = pg_class_aclcheck(source, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	TsTracked  *tracked = ts_tracked_need(source);

	relation_close(rel, NoLock);
	for (int i = 0; i < natts; i++)
		readable[i] = all || (get_attname(source, i + 1, true) != NULL &&
							  pg_attribute_aclcheck(source, i + 1, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
	for (int i = 0; i < tracked->nkeys; i++)
		if (!readable[tracked->keys[i] - 1])
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for table %s", get_rel_name(source)),
					 errdetail("Its changes can be read by those who may read its key column \"%s\".",
							   get_attname(source, tracked->keys[i], false)),
					 errhint("Ask the table's owner for SELECT.")));
	return readable;
}

bool
ts_rows_hidden(Oid source)
{
	return check_enable_rls(source, GetUserId(), true) == RLS_ENABLED;
}

void
ts_refuse_hidden_rows(Oid source)
{
	if (ts_rows_hidden(source))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides rows of table %s", get_rel_name(source)),
				 errhint("Use a role that may see all its rows.")));
}
