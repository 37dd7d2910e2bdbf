/* trust.c: what of another role's link may run with the rights of this one's owner. */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "link/compared.h"
#include "link/trust.h"

static bool
is_users_function(Oid function, void *arg)
{
	return function >= FirstNormalObjectId;
}

static bool
has_users_code(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_users_function, NULL))
		return true;
	/* its constraints */
	if (IsA(node, CoerceToDomain))
		return true;
	return expression_tree_walker(node, has_users_code, arg);
}

static bool
runs_code(const TsLink *link)
{
	/* partitions may be foreign tables */
	if (get_rel_relkind(link->source) == RELKIND_VIEW || ts_source_is_foreign(link->source))
		return true;
	for (int i = 0; i < link->ncolumns; i++)
		if (has_users_code(link->columns[i].value, NULL))
			return true;
	return has_users_code(link->condition, NULL);
}

static void
refuse(const TsLink *link, const TsLink *other)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("link \"%s\" cannot be told from another link that writes to its target", link->name),
			 errdetail("To know which rows are those of link \"%s\", functions that its owner chose would run with the rights of role \"%s\".",
					   other->name, GetUserNameFromId(link->owner, false)),
			 errhint("Let both links belong to one role, or give each link a target of its own.")));
}

/* Who may do all that the link's owner may has nothing to gain. */
static bool
is_trusted(const TsLink *link, const TsLink *other)
{
	return has_privs_of_role(other->owner, link->owner);
}

void
ts_trust_source(const TsLink *link, const TsLink *other)
{
	if (!is_trusted(link, other) && runs_code(other))
		refuse(link, other);
}

void
ts_trust_condition(const TsLink *link, const TsLink *other, Node *condition)
{
	if (!is_trusted(link, other) && has_users_code(condition, NULL))
		refuse(link, other);
}
