/* calls.c: whose functions an expression calls. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/syscache.h"

#include "base/calls.h"

static bool
is_strange_function(Oid function, Oid role)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return true;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner != role && !superuser_arg(owner);
}

static bool
has_strange_cast(Node *node, void *role)
{
	FuncExpr   *call = (FuncExpr *) node;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && (call->funcformat == COERCE_IMPLICIT_CAST || call->funcformat == COERCE_EXPLICIT_CAST) &&
		is_strange_function(call->funcid, *(Oid *) role))
		return true;
	return expression_tree_walker(node, has_strange_cast, role);
}

bool
ts_expression_trusts_casts(const Node *expression, Oid role)
{
	return !has_strange_cast(unconstify(Node *, expression), &role);
}

static bool
is_of_user(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_users(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_of_user, context) || expression_tree_walker(node, calls_users, context);
}

bool
ts_expression_calls_users(const Node *expression)
{
	return calls_users(unconstify(Node *, expression), NULL);
}

static bool
has_users(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_of_user, context))
		return true;
	if (!IsA(node, List) && exprType(node) >= FirstNormalObjectId)
		return true;
	return expression_tree_walker(node, has_users, context);
}

bool
ts_expression_is_builtin(const Node *expression)
{
	return !has_users(unconstify(Node *, expression), NULL);
}
