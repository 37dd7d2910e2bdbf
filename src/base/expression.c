/* expression.c: SQL expressions over one row. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/expression.h"

typedef struct Given
{
	const char *query;
	const char *what;
} Given;

/* What the parser's hook has to know. */
typedef struct Parsing
{
	Relation	rel;
	const TsNames *names;
	const char *what;
} Parsing;

/* Says which expression it is; a place in its text is not one in the query that gave it. */
static void
add_context(void *arg)
{
	const Given *given = arg;
	int			at = geterrposition();

	if (at > 0)
	{
		errposition(0);
		internalerrposition(at);
		internalerrquery(given->query);
	}
	errcontext("%s", given->what);
}

/* The column of that name, 0 if there is none. */
static AttrNumber
find_column(const Parsing *p, const char *name)
{
	TupleDesc	desc = RelationGetDescr(p->rel);

	for (int i = 0; p->names != NULL && i < p->names->n; i++)
		if (strcmp(p->names->names[i], name) == 0)
		{
			AttrNumber	attnum = p->names->attnums[i];

			if (attnum > 0 && attnum <= desc->natts && !TupleDescAttr(desc, attnum - 1)->attisdropped)
				return attnum;
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of %s was dropped", name, p->what),
					 errhint("Give it anew with tracksync.alter_link.")));
		}
	for (int i = 0; p->names == NULL && i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return 0;
}

/* "column" or "table.column": its Var. Whole rows and system columns are not columns of the row that a log can tell. */
static Node *
column_hook(ParseState *pstate, ColumnRef *ref)
{
	Parsing    *p = pstate->p_ref_hook_state;
	Node	   *last = llast(ref->fields);
	AttrNumber	attnum = 0;
	Form_pg_attribute att;
	Var		   *var;

	if (IsA(last, String) && (list_length(ref->fields) == 1 ||
							  (list_length(ref->fields) == 2 && strcmp(strVal(linitial(ref->fields)), RelationGetRelationName(p->rel)) == 0)))
		attnum = find_column(p, strVal(last));
	if (attnum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of %s does not exist", NameListToString(ref->fields), p->what),
				 errhint("Name columns of table \"%s\", one by one.", RelationGetRelationName(p->rel)),
				 parser_errposition(pstate, ref->location)));
	att = TupleDescAttr(RelationGetDescr(p->rel), attnum - 1);
	if (ts_is_virtual(att))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of %s is a virtual generated column", NameStr(att->attname), p->what),
				 errhint("Use its expression instead.")));
	var = makeVar(1, attnum, att->atttypid, att->atttypmod, att->attcollation, 0);
	var->location = ref->location;
	return (Node *) var;
}

/* One expression, as the grammar has it. */
static Node *
raw_expression(const char *query, const char *text, const char *what)
{
	List	   *statements = ts_raw_parser(query);
	SelectStmt *select = list_length(statements) == 1 ? (SelectStmt *) linitial_node(RawStmt, statements)->stmt : NULL;
	SelectStmt	plain = {.type = T_SelectStmt};
	ResTarget  *target;

	/* nothing but one column: what else there is shows in another field */
	if (select == NULL || !IsA(select, SelectStmt) || list_length(select->targetList) != 1)
		select = NULL;
	if (select != NULL)
	{
		plain.targetList = select->targetList;
		plain.limitOption = select->limitOption;
		target = linitial_node(ResTarget, select->targetList);
	}
	if (select == NULL || target->name != NULL || target->indirection != NIL || !equal(select, &plain))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s is not one expression", what),
				 errdetail("It is: %s", text),
				 errhint("Give an expression over the columns of the row.")));
	return target->val;
}

static bool
has_subquery(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return true;
	return raw_expression_tree_walker(node, has_subquery, context);
}

static Node *
parse(const char *query, const char *text, Relation rel, const TsNames *names, Oid type, const char *what)
{
	Parsing		p = {.rel = rel, .names = names, .what = what};
	ParseState *pstate = make_parsestate(NULL);
	Node	   *raw = raw_expression(query, text, what);
	Node	   *expr;

	if (has_subquery(raw, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s has a subquery", what),
				 errdetail("What other tables hold changes without an event of this one."),
				 errhint("Use a view as source with detect => 'diff', or an expression over the row's own columns.")));
	pstate->p_sourcetext = query;
	pstate->p_pre_columnref_hook = column_hook;
	pstate->p_ref_hook_state = &p;
	expr = transformExpr(pstate, raw, EXPR_KIND_CHECK_CONSTRAINT);
	if (OidIsValid(type))
	{
		Node	   *coerced = coerce_to_target_type(pstate, expr, exprType(expr), type, -1, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);

		if (coerced == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("%s is of type %s, not %s", what, format_type_be(exprType(expr)), format_type_be(type)),
					 errhint("Cast it.")));
		expr = coerced;
	}
	else if (exprType(expr) == UNKNOWNOID)
		expr = coerce_to_target_type(pstate, expr, UNKNOWNOID, TEXTOID, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	if (get_typtype(exprType(expr)) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s is of type %s", what, format_type_be(exprType(expr))),
				 errhint("Cast it to a type that a column may have.")));
	assign_expr_collations(pstate, expr);
	if (contain_volatile_functions(expr))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("%s is volatile", what),
				 errdetail("Its value may be another one each time it is asked for."),
				 errhint("Use functions that are immutable or stable.")));
	free_parsestate(pstate);
	return expr;
}

Node *
ts_expression_parse(const char *text, Relation rel, const TsNames *names, Oid type, const char *what)
{
	Given		given = {.query = psprintf("SELECT %s", text), .what = what};
	ErrorContextCallback callback = {.callback = add_context, .arg = &given, .previous = error_context_stack};
	Node	   *expr;

	error_context_stack = &callback;
	expr = parse(given.query, text, rel, names, type, what);
	error_context_stack = callback.previous;
	return expr;
}

/* In what follows, a name means what it did when the text was written, and the text what it says. */
static int
pin_names(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("DateStyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("IntervalStyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("quote_all_identifiers", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

Node *
ts_expression_read(const char *text, Relation rel, const TsNames *names, Oid type, const char *what)
{
	int			level = pin_names();
	Node	   *expr = ts_expression_parse(text, rel, names, type, what);

	AtEOXact_GUC(true, level);
	return expr;
}

char *
ts_expression_sql(const Node *expression, Oid relid, const char *alias)
{
	int			level = pin_names();
	char	   *sql = deparse_expression(copyObject(unconstify(Node *, expression)), deparse_context_for(alias ? alias : "s", relid), alias != NULL, false);

	AtEOXact_GUC(true, level);
	return sql;
}

static bool
collect_reads(Node *node, void *attnums)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		*(Bitmapset **) attnums = bms_add_member(*(Bitmapset **) attnums, ((Var *) node)->varattno);
	return expression_tree_walker(node, collect_reads, attnums);
}

Bitmapset *
ts_expression_reads(const Node *expression, Bitmapset *attnums)
{
	(void) collect_reads(unconstify(Node *, expression), &attnums);
	return attnums;
}

bool
ts_expression_is_immutable(const Node *expression)
{
	return !contain_mutable_functions(unconstify(Node *, expression));
}

typedef struct Trust
{
	Oid			role;
	bool		casts;
} Trust;

static bool
is_trusted_role(Oid owner, Oid role)
{
	return owner == role || superuser_arg(owner);
}

static bool
is_strange_function(Oid function, void *arg)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return true;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return !is_trusted_role(owner, ((Trust *) arg)->role);
}

/* A domain's constraints call functions, too. */
static bool
is_strange_domain(Oid type, Oid role)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return true;
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return !is_trusted_role(owner, role);
}

static bool
calls_strange(Node *node, void *arg)
{
	Trust	   *trust = arg;
	FuncExpr   *call = (FuncExpr *) node;

	if (node == NULL)
		return false;
	if (!trust->casts && check_functions_in_node(node, is_strange_function, trust))
		return true;
	if (!trust->casts && IsA(node, CoerceToDomain) && is_strange_domain(((CoerceToDomain *) node)->resulttype, trust->role))
		return true;
	if (trust->casts && IsA(node, FuncExpr) &&
		(call->funcformat == COERCE_IMPLICIT_CAST || call->funcformat == COERCE_EXPLICIT_CAST) && is_strange_function(call->funcid, trust))
		return true;
	return expression_tree_walker(node, calls_strange, arg);
}

bool
ts_expression_is_trusted(const Node *expression, Oid role, bool casts)
{
	Trust		trust = {.role = role, .casts = casts};

	return !calls_strange(unconstify(Node *, expression), &trust);
}

static bool
is_own_function(Oid function, void *arg)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_own(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_own_function, arg) || expression_tree_walker(node, calls_own, arg);
}

bool
ts_expression_is_native(const Node *expression)
{
	return !calls_own(unconstify(Node *, expression), NULL);
}

typedef struct Moving
{
	const AttrNumber *attnums;
	Relation	to;
	bool		fails;
} Moving;

/* A column of another type there: as the type that it has here. */
static Node *
cast_column(Moving *m, Var *var, Form_pg_attribute att)
{
	Oid			type = getBaseType(var->vartype);
	Node	   *cast;

	var->vartype = att->atttypid;
	var->vartypmod = att->atttypmod;
	cast = coerce_to_target_type(NULL, (Node *) var, att->atttypid, type, -1, COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
	m->fails |= cast == NULL;
	return cast;
}

static Node *
move_column(Node *node, void *arg)
{
	Moving	   *m = arg;
	Var		   *var;
	AttrNumber	attnum;
	Form_pg_attribute att;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var))
		return expression_tree_mutator(node, move_column, arg);
	var = copyObject((Var *) node);
	attnum = m->attnums[var->varattno - 1];
	att = attnum > 0 ? TupleDescAttr(RelationGetDescr(m->to), attnum - 1) : NULL;
	if (att == NULL || att->attcollation != var->varcollid)
		m->fails = true;
	var->varattno = attnum;
	var->varattnosyn = attnum;
	if (!m->fails && getBaseType(att->atttypid) != getBaseType(var->vartype))
		return cast_column(m, var, att);
	return (Node *) var;
}

Node *
ts_expression_moved(const Node *expression, const AttrNumber *attnums, Relation to)
{
	Moving		m = {.attnums = attnums, .to = to};
	Node	   *moved = move_column(unconstify(Node *, expression), &m);

	return m.fails ? NULL : moved;
}

TsNames *
ts_names_of(Relation rel, const Bitmapset *attnums)
{
	TsNames    *names = palloc0(sizeof(TsNames));
	int			attnum = -1;

	names->names = palloc(sizeof(char *) * (bms_num_members(attnums) + 1));
	names->attnums = palloc(sizeof(AttrNumber) * (bms_num_members(attnums) + 1));
	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
	{
		names->names[names->n] = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
		names->attnums[names->n++] = (AttrNumber) attnum;
	}
	return names;
}

ExprState *
ts_expression_prepare(const Node *expression)
{
	return ExecInitExpr(expression_planner(copyObject(unconstify(Expr *, (const Expr *) expression))), NULL);
}
