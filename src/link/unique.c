/* unique.c: the unique and exclusion constraints of a target. */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "base/quote.h"
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
read_part(Relation index, const Oid *exclusion, int i, const char *sql, Oid type)
{
	Oid			collation = index->rd_indcollation[i];
	TsUniquePart part = {.sql = pstrdup(sql), .collate = "", .operator = ts_quote_operator(operator_of(index, exclusion, i))};

	if (OidIsValid(collation) && collation != get_typcollation(type))
		part.collate = psprintf(" COLLATE %s", ts_quote_collation(collation));
	return part;
}

static TsUnique *
read_unique(const TsLink *link, Relation rel, Relation index)
{
	TsUnique   *unique = palloc0(sizeof(TsUnique));
	List	   *context = deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel));
	List	   *expressions = RelationGetIndexExpressions(index);
	List	   *predicate = RelationGetIndexPredicate(index);
	Bitmapset  *plain = NULL,
			   *all = NULL;
	Oid		   *exclusion = NULL,
			   *procedures;
	uint16	   *strategies;
	ListCell   *expression = list_head(expressions);

	unique->name = pstrdup(RelationGetRelationName(index));
	unique->exclusion = index->rd_index->indisexclusion;
	unique->nulls_equal = ts_nulls_equal(index);
	unique->nparts = IndexRelationGetNumberOfKeyAttributes(index);
	unique->parts = palloc(sizeof(TsUniquePart) * unique->nparts);
	if (unique->exclusion)
		RelationGetExclusionInfo(index, &exclusion, &procedures, &strategies);
	for (int i = 0; i < unique->nparts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];

		if (attnum != 0)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

			unique->parts[i] = read_part(index, exclusion, i, quote_identifier(NameStr(att->attname)), att->atttypid);
			plain = bms_add_member(plain, attnum - FirstLowInvalidHeapAttributeNumber);
			continue;
		}
		unique->parts[i] = read_part(index, exclusion, i, deparse_expression(lfirst(expression), context, false, false), exprType(lfirst(expression)));
		pull_varattnos(lfirst(expression), 1, &all);
		expression = lnext(expressions, expression);
	}
	if (predicate != NIL)
		unique->predicate = deparse_expression((Node *) make_ands_explicit(predicate), context, false, false);
	pull_varattnos((Node *) predicate, 1, &all);
	unique->plain = columns_of(link, plain);
	unique->touches = columns_of(link, bms_union(plain, all));
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

List *
ts_unique_constraints(const TsLink *link)
{
	Relation	rel = table_open(link->target, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/* what is deferrable is checked when the push ends; but rows are found by their keys */
		if ((index->rd_index->indisunique || index->rd_index->indisexclusion) && index->rd_index->indisready &&
			(index->rd_index->indimmediate || is_on_key(link, index)))
			result = lappend(result, read_unique(link, rel, index));
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	list_sort(result, by_name);
	return result;
}
