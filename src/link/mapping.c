/* mapping.c: which columns and rows of the source go where. */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "common/keywords.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/expression.h"
#include "link/mapping.h"

/* An expression in the place of a column. */
static void
map_expression(const TsLink *link, TsColumn *col, Relation source, const char *text, Bitmapset **reads)
{
	Node	   *value = ts_expression_parse(text, source, NULL, InvalidOid,
											psprintf("the expression for column \"%s\" of link \"%s\"", col->target_name, link->name));

	col->attnum = 0;
	col->expression = ts_expression_sql(value, RelationGetRelid(source), NULL);
	*reads = ts_expression_reads(value, *reads);
}

/* Could the text be the name of a column that there is not? TRUE and CURRENT_DATE could not. */
static bool
looks_like_name(const char *text)
{
	int			keyword = ScanKeywordLookup(text, &ScanKeywords);
	bool		name = text[0] != '\0' && (keyword < 0 || ScanKeywordCategories[keyword] != RESERVED_KEYWORD);

	for (const char *c = text; *c; c++)
		name &= IS_HIGHBIT_SET(*c) || isalnum((unsigned char) *c) || *c == '_' || *c == '$';
	return name && !isdigit((unsigned char) text[0]);
}

/* One entry: a column of the source, or an expression over them. */
static void
map_column(TsLink *link, Relation source, char *target, char *text, Bitmapset **reads)
{
	TsColumn   *col = &link->columns[link->ncolumns];

	col->target_name = target;
	col->attnum = get_attnum(RelationGetRelid(source), text);
	if (col->attnum > 0 && ts_is_virtual(TupleDescAttr(RelationGetDescr(source), col->attnum - 1)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is a virtual generated column", text, RelationGetRelationName(source)),
				 errhint("Use its expression instead.")));
	if (col->attnum <= 0 && (looks_like_name(text) || get_attnum(RelationGetRelid(source), text) < 0))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", text, RelationGetRelationName(source)),
				 errhint("Name a column of the source, or give an expression over its columns.")));
	if (col->attnum <= 0)
		map_expression(link, col, source, text, reads);
	link->ncolumns++;
}

/* {"target column": "source column or expression", …} */
static void
map_named_columns(TsLink *link, Relation source, Jsonb *columns, Bitmapset **reads)
{
	JsonbIterator *it = JsonbIteratorInit(&columns->root);
	JsonbValue	v;
	JsonbIteratorToken token;
	char	   *key = NULL;

	if (!JB_ROOT_IS_OBJECT(columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must be a JSON object"),
				 errhint("For example: {\"target column\": \"source column\"}.")));
	link->columns = palloc0(sizeof(TsColumn) * (JB_ROOT_COUNT(columns) + 1));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE)
			continue;
		if (v.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the source of column \"%s\" must be a string", key),
					 errhint("For example: {\"target column\": \"source column\"}.")));
		map_column(link, source, key, pnstrdup(v.val.string.val, v.val.string.len), reads);
	}
}

/* Every column that both sides have, by name; without a target every column. A generated column is not written. */
static void
map_common_columns(TsLink *link, Relation source, Relation target)
{
	TupleDesc	desc = RelationGetDescr(source);

	link->columns = palloc0(sizeof(TsColumn) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		AttrNumber	there;

		if (att->attisdropped || ts_is_virtual(att))
			continue;
		if (target != NULL)
		{
			there = get_attnum(RelationGetRelid(target), NameStr(att->attname));
			if (there <= 0 || TupleDescAttr(RelationGetDescr(target), there - 1)->attgenerated)
				continue;
		}
		link->columns[link->ncolumns].attnum = i + 1;
		link->columns[link->ncolumns].target_name = pstrdup(NameStr(att->attname));
		link->ncolumns++;
	}
}

static void
check_filter(const TsLink *link, const Node *condition)
{
	if (!link->by_diff && !ts_expression_is_immutable(condition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the filter of link \"%s\" depends on more than the row", link->name),
				 errdetail("It is not immutable: rows could enter or leave it without an event."),
				 errhint("Use immutable functions, or detect => 'diff'.")));
}

/* The rows of the target that are the link's, if they are to be told otherwise than by its filter. */
static void
map_target_filter(TsLink *link, const TsLinkOptions *options, Relation target)
{
	Node	   *condition;

	if (options->target_filter == NULL)
	{
		ts_link_renew_target_filter(link, target);
		return;
	}
	link->target_filter = NULL;
	if (options->target_filter[0] == '\0')
		return;
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table %s of link \"%s\" does not exist", ts_link_target(link), link->name),
				 errdetail("Its target_filter cannot be checked."),
				 errhint("Create the table first, or give target_filter after the first push.")));
	condition = ts_expression_parse(options->target_filter, target, NULL, BOOLOID, psprintf("the target_filter of link \"%s\"", link->name));
	if (!ts_expression_is_immutable(condition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the target_filter of link \"%s\" depends on more than the row", link->name),
				 errhint("Use immutable functions.")));
	link->target_filter = ts_expression_sql(condition, RelationGetRelid(target), NULL);
}

static void
map_filter(TsLink *link, const TsLinkOptions *options, Relation source, Bitmapset **reads)
{
	Node	   *condition;

	if (options->filter == NULL)
		return;
	link->filter = NULL;
	if (options->filter[0] == '\0')
		return;
	condition = ts_expression_parse(options->filter, source, NULL, BOOLOID, psprintf("the filter of link \"%s\"", link->name));
	check_filter(link, condition);
	link->filter = ts_expression_sql(condition, RelationGetRelid(source), NULL);
	*reads = ts_expression_reads(condition, *reads);
}

void
ts_link_map(TsLink *link, const TsLinkOptions *options, TsTracked *tracked)
{
	Relation	source = relation_open(link->source, AccessShareLock);
	Relation	target = OidIsValid(link->target) ? relation_open(link->target, AccessShareLock) : NULL;
	Bitmapset  *reads = NULL;

	link->tracked = tracked;
	if (options->columns)
		map_named_columns(link, source, options->columns, &reads);
	else
		map_common_columns(link, source, target);
	if (link->ncolumns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("source and target of link \"%s\" have no column in common", link->name),
				 errhint("Name the columns with the argument \"columns\".")));
	map_filter(link, options, source, &reads);
	map_target_filter(link, options, target);
	link->names = ts_names_of(source, reads);
	ts_link_resolve(link, source, target);
	ts_link_check_rights(link, source, target);
	if (target)
		relation_close(target, NoLock);
	relation_close(source, NoLock);
}

void
ts_link_map_filters(TsLink *link, const TsLinkOptions *options)
{
	Relation	source = relation_open(link->source, AccessShareLock);
	Relation	target = OidIsValid(link->target) ? relation_open(link->target, AccessShareLock) : NULL;
	TsLinkOptions kept = *options;
	Bitmapset  *reads = NULL;

	if (!link->by_diff)
		link->tracked = ts_tracked_need(link->source);
	if (kept.filter == NULL && link->filter != NULL)
		kept.filter = ts_link_read_text(link, source, link->filter);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsColumn   *col = &link->columns[i];
		Node	   *value;

		if (col->expression == NULL)
			continue;
		value = ts_expression_read(col->expression, source, link->names, InvalidOid, psprintf("the expression for column \"%s\" of link \"%s\"", col->target_name, link->name));
		col->expression = ts_expression_sql(value, RelationGetRelid(source), NULL);
		reads = ts_expression_reads(value, reads);
	}
	map_filter(link, &kept, source, &reads);
	map_target_filter(link, options, target);
	link->names = ts_names_of(source, reads);
	if (target)
		relation_close(target, NoLock);
	relation_close(source, NoLock);
}

char *
ts_link_read_text(const TsLink *link, Relation source, const char *kept)
{
	Node	   *expression = ts_expression_read(kept, source, link->names, InvalidOid, psprintf("an expression of link \"%s\"", link->name));

	return ts_expression_sql(expression, RelationGetRelid(source), NULL);
}

static Datum
text_array(int n, Datum *texts, bool *nulls)
{
	int			lower = 1;

	return PointerGetDatum(n == 0 ? construct_empty_array(TEXTOID) :
						   construct_md_array(texts, nulls, 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT));
}

TsStoredColumns
ts_link_stored_columns(const TsLink *link)
{
	TsStoredColumns stored;
	int			n = Max(link->ncolumns, link->names->n) + 1;
	Datum	   *texts = palloc(sizeof(Datum) * n);
	Datum	   *numbers = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc0(sizeof(bool) * n);

	for (int i = 0; i < link->ncolumns; i++)
		texts[i] = CStringGetTextDatum(link->columns[i].target_name);
	stored.names = text_array(link->ncolumns, texts, NULL);
	for (int i = 0; i < link->ncolumns; i++)
		numbers[i] = Int16GetDatum(link->columns[i].attnum);
	stored.attnums = PointerGetDatum(construct_array(numbers, link->ncolumns, INT2OID, 2, true, TYPALIGN_SHORT));
	for (int i = 0; i < link->ncolumns; i++)
		numbers[i] = Int16GetDatum(OidIsValid(link->target) ? link->columns[i].target_attnum : 0);
	stored.target_attnums = PointerGetDatum(construct_array(numbers, link->ncolumns, INT2OID, 2, true, TYPALIGN_SHORT));
	for (int i = 0; i < link->ncolumns; i++)
	{
		nulls[i] = link->columns[i].expression == NULL;
		texts[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(link->columns[i].expression);
	}
	stored.expressions = text_array(link->ncolumns, texts, nulls);
	for (int i = 0; i < link->names->n; i++)
	{
		texts[i] = CStringGetTextDatum(link->names->names[i]);
		numbers[i] = Int16GetDatum(link->names->attnums[i]);
	}
	stored.read_names = text_array(link->names->n, texts, NULL);
	stored.read_attnums = PointerGetDatum(construct_array(numbers, link->names->n, INT2OID, 2, true, TYPALIGN_SHORT));
	stored.keys = (Datum) 0;
	if (link->by_diff)
	{
		Datum	   *keys = palloc(sizeof(Datum) * (link->tracked->nkeys + 1));

		for (int i = 0; i < link->tracked->nkeys; i++)
			keys[i] = Int16GetDatum(link->tracked->keys[i]);
		stored.keys = PointerGetDatum(construct_array(keys, link->tracked->nkeys, INT2OID, 2, true, TYPALIGN_SHORT));
	}
	return stored;
}
