/* expression.c: SQL expressions over one row. */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
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
	TupleDesc	desc;
	const char *table;			/* whose columns these are */
	bool		alone;			/* a row by itself, not one of a table that is tracked */
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
	TupleDesc	desc = p->desc;

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
							  (list_length(ref->fields) == 2 && strcmp(strVal(linitial(ref->fields)), p->table) == 0)))
		attnum = find_column(p, strVal(last));
	if (attnum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of %s does not exist", NameListToString(ref->fields), p->what),
				 errhint("Name columns of table \"%s\"%s, one by one.", p->table, p->alone ? " that the link writes" : ""),
				 parser_errposition(pstate, ref->location)));
	att = TupleDescAttr(p->desc, attnum - 1);
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
parse(const char *query, const char *text, Parsing *p, Oid type)
{
	const char *what = p->what;
	ParseState *pstate = make_parsestate(NULL);
	Node	   *raw = raw_expression(query, text, what);
	Node	   *expr;

	if (has_subquery(raw, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s has a subquery", what),
				 p->alone ? errdetail("It is about one row at a time.") :
				 errdetail("What other tables hold changes without an event of this one."),
				 p->alone ? errhint("Give an expression over the row's own columns.") :
				 errhint("Use a view as source with detect => 'diff', or an expression over the row's own columns.")));
	pstate->p_sourcetext = query;
	pstate->p_pre_columnref_hook = column_hook;
	pstate->p_ref_hook_state = p;
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

static Node *
parse_in_context(const char *text, Parsing *p, Oid type)
{
	Given		given = {.query = psprintf("SELECT %s", text), .what = p->what};
	ErrorContextCallback callback = {.callback = add_context, .arg = &given, .previous = error_context_stack};
	Node	   *expr;

	error_context_stack = &callback;
	expr = parse(given.query, text, p, type);
	error_context_stack = callback.previous;
	return expr;
}

Node *
ts_expression_parse(const char *text, Relation rel, const TsNames *names, Oid type, const char *what)
{
	Parsing		p = {.desc = RelationGetDescr(rel), .table = RelationGetRelationName(rel), .names = names, .what = what};

	return parse_in_context(text, &p, type);
}

Node *
ts_expression_parse_row(const char *text, TupleDesc desc, const char *table, Oid type, const char *what)
{
	Parsing		p = {.desc = desc, .table = table, .alone = true, .what = what};

	return parse_in_context(text, &p, type);
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

Node *
ts_expression_read_row(const char *text, TupleDesc desc, const char *table, const TsNames *names, Oid type, const char *what)
{
	Parsing		p = {.desc = desc, .table = table, .alone = true, .names = names, .what = what};
	int			level = pin_names();
	Node	   *expr = parse_in_context(text, &p, type);

	AtEOXact_GUC(true, level);
	return expr;
}

/* What the server's deparser takes for the columns' names: a plan with a table of nothing but names. */
static List *
row_context(TupleDesc desc)
{
	PlannedStmt *plan = makeNode(PlannedStmt);
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_VALUES;
	rte->eref = makeAlias("t", NIL);
	for (int i = 0; i < desc->natts; i++)
		rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(NameStr(TupleDescAttr(desc, i)->attname))));
	plan->rtable = list_make1(rte);
	return deparse_context_for_plan_tree(plan, list_make1(rte->eref->aliasname));
}

char *
ts_expression_sql_row(const Node *expression, TupleDesc desc)
{
	int			level = pin_names();
	char	   *sql = deparse_expression(copyObject(unconstify(Node *, expression)), row_context(desc), false, false);

	AtEOXact_GUC(true, level);
	return sql;
}

char *
ts_expression_show_row(const Node *expression, TupleDesc desc)
{
	return deparse_expression(copyObject(unconstify(Node *, expression)), row_context(desc), false, false);
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

/* Each column's value in the place of the column. */
static Node *
replace_column(Node *node, void *values)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
		return copyObject(((Node **) values)[((Var *) node)->varattno - 1]);
	return expression_tree_mutator(node, replace_column, values);
}

Node *
ts_expression_over(const Node *expression, Node *const *values)
{
	return replace_column(unconstify(Node *, expression), (void *) values);
}

Node *
ts_expression_cast(Node *value, Oid type, int32 typmod)
{
	Node	   *cast;
	CoerceViaIO *text;

	if (exprType(value) == type && typmod == -1)
		return value;
	cast = coerce_to_target_type(NULL, value, exprType(value), type, typmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (cast != NULL)
		return cast;
	/* no assignment cast: by its text */
	text = makeNode(CoerceViaIO);
	text->arg = (Expr *) value;
	text->resulttype = type;
	text->resultcollid = get_typcollation(type);
	text->coerceformat = COERCE_EXPLICIT_CAST;
	text->location = -1;
	return (Node *) text;
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
