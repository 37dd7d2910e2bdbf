/* unique.c: the unique and exclusion constraints of a target. */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "link/remote.h"
#include "link/unique.h"

/* The link's columns among these attributes of the target, offset as in a Bitmapset of them. */
static bool *
columns_of(const TsLink *link, const Bitmapset *attnums)
{
	bool	   *columns = palloc0(sizeof(bool) * (link->ncolumns + 1));

	for (int i = 0; i < link->ncolumns; i++)
		columns[i] = bms_is_member(link->columns[i].target_attnum - FirstLowInvalidHeapAttributeNumber, attnums);
	return columns;
}

static Oid
operator_of(Relation index, const Oid *exclusion, int i)
{
	return exclusion ? exclusion[i] : get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i], index->rd_opcintype[i], BTEqualStrategyNumber);
}

static TsUniquePart
read_part(const TsLink *link, Relation index, const Oid *exclusion, int i, const char *sql, Oid type)
{
	Oid			collation = index->rd_indcollation[i];
	TsUniquePart part = {.sql = pstrdup(sql), .collate = "", .operator = ts_target_operator(link, operator_of(index, exclusion, i))};

	if (OidIsValid(collation) && collation != get_typcollation(type))
		part.collate = psprintf(" COLLATE %s", ts_quote_collation(collation));
	return part;
}

/* How are the values of a part compared? */
static char
kind_of(const TsUnique *unique, Relation index, const Oid *exclusion, int i)
{
	Oid			op = operator_of(index, exclusion, i);

	if (!unique->exclusion || strcmp(get_opname(op), "=") == 0)
		return TS_PLAIN_EQUAL;
	/* WITHOUT OVERLAPS takes no empty ranges */
	return strcmp(get_opname(op), "&&") == 0 && !index->rd_index->indisunique ? TS_PLAIN_OVERLAPS : TS_PLAIN_OTHER;
}

static Node *
generation_expression(Relation rel, AttrNumber attnum)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != ATTRIBUTE_GENERATED_STORED)
		return NULL;
	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
		if (constr->defval[i].adnum == attnum)
			return stringToNode(constr->defval[i].adbin);
	return NULL;
}

char *
ts_unique_generated(Relation rel, AttrNumber attnum)
{
	Node	   *expression = generation_expression(rel, attnum);

	return expression == NULL ? NULL : deparse_expression(expression, deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel)), false, false);
}

/* Adds the columns that generated ones among these are made of. */
static Bitmapset *
with_origins(Relation rel, Bitmapset *attnums)
{
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
		if (bms_is_member(i - FirstLowInvalidHeapAttributeNumber, attnums))
			pull_varattnos(generation_expression(rel, i), 1, &attnums);
	return attnums;
}

static bool
is_out_of_reach(Oid function, void *arg)
{
	return ts_namespace_aclcheck(get_func_namespace(function), GetUserId(), ACL_USAGE) != ACLCHECK_OK;
}

/* Does the expression call something in a schema where we may not name it? */
static bool
cannot_name(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_out_of_reach, arg))
		return true;
	return expression_tree_walker(node, cannot_name, arg);
}

static TsUnique *
read_unique(const TsLink *link, Relation rel, Relation index)
{
	TsUnique   *unique = palloc0(sizeof(TsUnique));
	List	   *context = deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel));
	List	   *expressions = RelationGetIndexExpressions(index);
	List	   *predicate = RelationGetIndexPredicate(index);
	Bitmapset  *all = NULL;
	Oid		   *exclusion = NULL,
			   *procedures;
	uint16	   *strategies;
	ListCell   *expression = list_head(expressions);

	if (cannot_name((Node *) expressions, NULL) || cannot_name((Node *) predicate, NULL))
		return NULL;
	unique->name = pstrdup(RelationGetRelationName(index));
	unique->exclusion = index->rd_index->indisexclusion;
	unique->nulls_equal = ts_nulls_equal(index);
	unique->nparts = IndexRelationGetNumberOfKeyAttributes(index);
	unique->parts = palloc(sizeof(TsUniquePart) * unique->nparts);
	unique->plain = palloc0(link->ncolumns + 1);
	if (unique->exclusion)
		RelationGetExclusionInfo(index, &exclusion, &procedures, &strategies);
	for (int i = 0; i < unique->nparts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];

		if (attnum != 0)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

			unique->parts[i] = read_part(link, index, exclusion, i, quote_identifier(NameStr(att->attname)), att->atttypid);
			all = bms_add_member(all, attnum - FirstLowInvalidHeapAttributeNumber);
			for (int c = 0; c < link->ncolumns; c++)
				if (link->columns[c].target_attnum == attnum)
					unique->plain[c] = kind_of(unique, index, exclusion, i);
			continue;
		}
		unique->parts[i] = read_part(link, index, exclusion, i, deparse_expression(lfirst(expression), context, false, false), exprType(lfirst(expression)));
		pull_varattnos(lfirst(expression), 1, &all);
		expression = lnext(expressions, expression);
	}
	if (predicate != NIL)
		unique->predicate = deparse_expression((Node *) make_ands_explicit(predicate), context, false, false);
	pull_varattnos((Node *) predicate, 1, &all);
	/* a whole row has the table's name in it */
	if (bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, all))
		return NULL;
	unique->touches = columns_of(link, with_origins(rel, all));
	return unique;
}

/* Is it on just the columns of the link's key? */
static bool
is_on_key(const TsLink *link, Relation index)
{
	int			n = IndexRelationGetNumberOfKeyAttributes(index);
	int			found = 0;

	for (int i = 0; i < n; i++)
		for (int k = 0; k < link->nkeys; k++)
			found += index->rd_index->indkey.values[i] == link->columns[link->keys[k]].target_attnum;
	return n == link->nkeys && found == n && index->rd_index->indisunique;
}

static int
by_name(const ListCell *a, const ListCell *b)
{
	return strcmp(((TsUnique *) lfirst(a))->name, ((TsUnique *) lfirst(b))->name);
}

/* Notes to which columns foreign keys refer. */
static void
note_referred(TsLink *link, Relation rel)
{
	for (int i = 0; i < link->ncolumns; i++)
		link->columns[i].referred = link->remote != NULL && ts_remote_is_referred(link->remote, link->columns[i].target_attnum);
	for (int t = 0; rel->trigdesc != NULL && t < rel->trigdesc->numtriggers; t++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[t];
		HeapTuple	tuple;
		Datum		keys;
		bool		isnull;
		Datum	   *attnums;
		int			n;

		if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK)
			continue;
		tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(trigger->tgconstraint));
		if (!HeapTupleIsValid(tuple))
			continue;
		keys = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_confkey, &isnull);
		if (!isnull)
		{
			deconstruct_array(DatumGetArrayTypeP(keys), INT2OID, 2, true, TYPALIGN_SHORT, &attnums, NULL, &n);
			for (int i = 0; i < link->ncolumns; i++)
				for (int k = 0; k < n; k++)
					link->columns[i].referred |= link->columns[i].target_attnum == DatumGetInt16(attnums[k]);
		}
		ReleaseSysCache(tuple);
	}
}

TsUnique *
ts_unique_find(const TsLink *link, const char *name)
{
	ListCell   *lc;

	foreach(lc, link->uniques)
		if (strcmp(((TsUnique *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

List *
ts_unique_constraints(TsLink *link)
{
	Relation	rel = table_open(link->target, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/* what is deferrable is checked when the push ends, if it is one of this database; but rows are found by their keys */
		if ((index->rd_index->indisunique || index->rd_index->indisexclusion) && index->rd_index->indisready &&
			(index->rd_index->indimmediate || link->server != NULL || is_on_key(link, index)))
		{
			TsUnique   *unique = read_unique(link, rel, index);

			if (unique != NULL)
				result = lappend(result, unique);
		}
		index_close(index, NoLock);
	}
	note_referred(link, rel);
	table_close(rel, NoLock);
	list_sort(result, by_name);
	return result;
}
