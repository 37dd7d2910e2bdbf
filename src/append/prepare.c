/* prepare.c: the query of an append, its columns, the key. */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#include "append/append.h"
#include "append/forbid.h"
#include "base/compat.h"

/* Does the statement return rows of its own: SELECT, VALUES, TABLE, WITH, or DML with RETURNING? Not EXPLAIN, SHOW or EXECUTE. */
static bool
is_query(CachedPlanSource *source)
{
	if (source->resultDesc == NULL || source->raw_parse_tree == NULL)
		return false;
	switch (nodeTag(source->raw_parse_tree->stmt))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
#if PG_VERSION_NUM >= 150000
		case T_MergeStmt:
#endif
			return true;
		default:
			return false;
	}
}

/* Constants in the list of SELECT or RETURNING that may be of no type before they are of type text, as in INSERT … SELECT 'x'. */
static bool *
find_literals(CachedPlanSource *source, int n)
{
	bool	   *literal = palloc0(sizeof(bool) * (n + 1));
	Query	   *query = linitial_node(Query, source->query_list);
	ListCell   *lc;

	if (query->setOperations != NULL)
		return literal;
	foreach(lc, query->commandType == CMD_SELECT ? query->targetList : query->returningList)
	{
		TargetEntry *entry = lfirst(lc);

		if (!entry->resjunk && entry->resno <= n && IsA(entry->expr, Const))
			literal[entry->resno - 1] = ((Const *) entry->expr)->consttype == TEXTOID;
	}
	return literal;
}

static void
prepare_query(TsAppend *append, const char *query)
{
	CachedPlanSource *source;
	List	   *sources;

	append->query = SPI_prepare(query, 0, NULL);
	if (append->query == NULL)
		elog(ERROR, "could not prepare the query: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(append->query);
	if (list_length(sources) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg(sources == NIL ? "the query is empty" : "the query is more than one statement"),
				 errhint("Give one SELECT, VALUES, TABLE or WITH, or one INSERT, UPDATE or DELETE with RETURNING.")));
	source = linitial(sources);
	if (!is_query(source))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the statement is not a query"),
				 errhint("Give one SELECT, VALUES, TABLE or WITH, or one INSERT, UPDATE or DELETE with RETURNING.")));
	append->incoming_desc = CreateTupleDescCopy(source->resultDesc);
	append->literal = find_literals(source, source->resultDesc->natts);
}

static AttrNumber
find_column(Relation target, const char *name)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(target), name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(target)),
				 errhint("Each column of the query must have the name of one of the table's: rename it with AS, or leave it out.")));
	if (TupleDescAttr(RelationGetDescr(target), attnum - 1)->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("column \"%s\" of table \"%s\" is a generated column", name, RelationGetRelationName(target)),
				 errhint("Leave it out of the query.")));
	return attnum;
}

static void
match_columns(TsAppend *append)
{
	TupleDesc	query = append->incoming_desc;

	append->ncolumns = query->natts;
	append->attnums = palloc(sizeof(AttrNumber) * (query->natts + 1));
	if (query->natts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the query has no columns"),
				 errhint("Each column of the query must have the name of one of the table's.")));
	for (int i = 0; i < query->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(query, i)->attname);

		append->attnums[i] = find_column(append->target, name);
		for (int j = 0; j < i; j++)
			if (append->attnums[j] == append->attnums[i])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" comes twice in the query", name),
						 errhint("Leave one of them out, or rename it with AS.")));
	}
}

static TupleDesc
describe_rows(const TsAppend *append)
{
	TupleDesc	desc = CreateTemplateTupleDesc(append->ncolumns + 1);

	for (int i = 0; i < append->ncolumns; i++)
		TupleDescCopyEntry(desc, i + 1, RelationGetDescr(append->target), append->attnums[i]);
	/* statements give all of them names of their own */
	TupleDescInitEntry(desc, append->ncolumns + 1, "n", INT8OID, -1, 0);
	return desc;
}

static int
position_of(const TsAppend *append, AttrNumber attnum)
{
	for (int i = 0; i < append->ncolumns; i++)
		if (append->attnums[i] == attnum)
			return i;
	return -1;
}

/* Are all columns of the key among the query's? The first one that is not. */
static AttrNumber
missing_column(const TsAppend *append, const TsKeyIndex *key)
{
	for (int i = 0; i < key->nkeys; i++)
		if (position_of(append, key->columns[i].attnum) < 0)
			return key->columns[i].attnum;
	return 0;
}

static TsKeyIndex *
explicit_key(const TsAppend *append, List *names)
{
	const char *table = RelationGetRelationName(append->target);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (list_length(names) + 1));
	TsKeyIndex *key;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, names)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(append->target), lfirst(lc));

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", (char *) lfirst(lc), table),
					 errhint("Name the key's columns as the table has them.")));
		for (int i = 0; i < n; i++)
			if (attnums[i] == attnum)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" comes twice in the key", (char *) lfirst(lc)),
						 errhint("Name each column of the key once.")));
		attnums[n++] = attnum;
	}
	key = n > 0 ? ts_key_index_find(append->target, n, attnums) : NULL;
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the columns given as key of table \"%s\" have no unique index", table),
				 errdetail("What is a duplicate is decided by a unique index without expressions and predicate."),
				 errhint("Create a unique index on exactly these columns.")));
	return key;
}

/* By the rules for all keys (log/tracked.h), of those whose columns the query has. */
static TsKeyIndex *
implicit_key(const TsAppend *append)
{
	bool	   *given = palloc0(sizeof(bool) * (RelationGetNumberOfAttributes(append->target) + 1));
	TsKeyIndex *key;

	for (int i = 0; i < append->ncolumns; i++)
		given[append->attnums[i] - 1] = true;
	key = ts_key_among(append->target, given);
	if (key == NULL)
		key = ts_key_among(append->target, NULL);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("table \"%s\" has no usable key", RelationGetRelationName(append->target)),
				 errdetail("A key is the replica identity index, the primary key, or a unique index on NOT NULL columns."),
				 errhint("Add one, or name the columns of another unique index as key, or use on_duplicate => 'all'.")));
	return key;
}

static void
find_key(TsAppend *append, List *names, bool explicitly)
{
	TsKeyIndex *key = append->key = explicitly ? explicit_key(append, names) : implicit_key(append);
	AttrNumber	missing = missing_column(append, key);
	Relation	index;

	if (missing != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("key column \"%s\" of table \"%s\" is not among the query's columns",
						get_attname(RelationGetRelid(append->target), missing, false), RelationGetRelationName(append->target)),
				 errhint("Add it to the query, or name another key.")));
	append->positions = palloc(sizeof(int) * key->nkeys);
	for (int i = 0; i < key->nkeys; i++)
		append->positions[i] = position_of(append, key->columns[i].attnum);
	index = index_open(key->index, AccessShareLock);
	append->nulls_equal = ts_nulls_equal(index);
	index_close(index, NoLock);
}

/* An update cannot write an identity column that is GENERATED ALWAYS. */
static void
check_identity(const TsAppend *append)
{
	for (int i = 0; i < append->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(append->target), append->attnums[i] - 1);
		bool		is_key = false;

		for (int k = 0; k < append->key->nkeys; k++)
			is_key |= append->positions[k] == i;
		if (att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS && !is_key)
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("identity column \"%s\" of table \"%s\" cannot be updated", NameStr(att->attname),
							RelationGetRelationName(append->target)),
					 errdetail("It is GENERATED ALWAYS, and not part of the key."),
					 errhint("Leave it out of the query, or make it GENERATED BY DEFAULT.")));
	}
}

void
ts_append_prepare(TsAppend *append, const char *query, List *key, bool explicitly)
{
	prepare_query(append, query);
	match_columns(append);
	append->desc = describe_rows(append);
	if (append->policy == TS_DUPLICATES_ALL)
	{
		ts_forbid_duplicates(append);
		return;
	}
	find_key(append, key, explicitly);
	if (append->policy == TS_DUPLICATES_LAST)
		check_identity(append);
}
