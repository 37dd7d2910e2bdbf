/* rule.c: rules for a link's rows, as they are kept. */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/expression.h"
#include "link/rule.h"

static const char *const kinds[TS_RULE_KINDS] = {
	[TS_RULE_EXPRESSION] = "expression",
	[TS_RULE_REQUIRED] = "required",
	[TS_RULE_RANGE] = "range",
	[TS_RULE_LENGTH] = "length",
	[TS_RULE_PATTERN] = "pattern",
	[TS_RULE_ONE_OF] = "one_of",
	[TS_RULE_UNIQUE] = "unique",
};

const char *
ts_rule_kind_name(TsRuleKind kind)
{
	return kinds[kind];
}

static TsRuleKind
read_kind(const char *text)
{
	TsRuleKind	kind = TS_RULE_EXPRESSION;

	for (int i = 0; i < TS_RULE_KINDS; i++)
		if (strcmp(kinds[i], text) == 0)
			kind = (TsRuleKind) i;
	return kind;
}

TupleDesc
ts_rule_row(const TsLink *link)
{
	TupleDesc	row = CreateTemplateTupleDesc(link->ncolumns);
	Relation	target = OidIsValid(link->target) ? relation_open(link->target, AccessShareLock) : NULL;

	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		bool		there = target != NULL && col->target_attnum > 0 && !col->retyped;

		TupleDescInitEntry(row, i + 1, col->target_name, col->target_base, -1, 0);
		if (OidIsValid(get_typcollation(col->target_base)))
			TupleDescInitEntryCollation(row, i + 1, there ? TupleDescAttr(RelationGetDescr(target), col->target_attnum - 1)->attcollation :
										col->source_type == col->target_base ? col->source_collation : get_typcollation(col->target_base));
	}
	if (target != NULL)
		relation_close(target, NoLock);
	return row;
}

static char *
what_of(const TsLink *link, const char *name)
{
	return psprintf("rule \"%s\" of link \"%s\"", name, link->name);
}

/* Its columns are those that the expression reads. */
static void
note_columns(const TsLink *link, TsRule *rule)
{
	Bitmapset  *reads = ts_expression_reads(rule->condition, NULL);
	int			attnum = -1;

	rule->columns = palloc0(sizeof(char *) * (link->ncolumns + 1));
	rule->at = palloc0(sizeof(int) * (link->ncolumns + 1));
	while ((attnum = bms_next_member(reads, attnum)) >= 0)
		rule->at[rule->ncolumns++] = attnum - 1;
}

/* Columns go by the names that the link has for them, which a rename that is not pushed yet has not changed. */
static void
use_kept_names(const TsLink *link, TsRule *rule, TupleDesc row)
{
	for (int i = 0; i < link->ncolumns; i++)
		namestrcpy(&TupleDescAttr(row, i)->attname, psprintf("column %d", i + 1));
	for (int i = 0; i < rule->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[rule->at[i]];

		rule->columns[i] = col->stored_name ? col->stored_name : col->target_name;
		namestrcpy(&TupleDescAttr(row, rule->at[i])->attname, rule->columns[i]);
		for (int j = 0; col->stored_name == NULL && j < link->ncolumns; j++)
			if (link->columns[j].stored_name != NULL && strcmp(link->columns[j].stored_name, col->target_name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("column \"%s\" of link \"%s\" was another one at its last push", col->target_name, link->name),
						 errhint("Push first.")));
	}
}

TsRule *
ts_rule_parse(const TsLink *link, const char *name, const char *text, const char *message)
{
	TupleDesc	row = ts_rule_row(link);
	TsRule	   *rule = ts_ready_parse(link, name, text);

	if (rule == NULL)
	{
		rule = palloc0(sizeof(TsRule));
		rule->condition = ts_expression_parse_row(text, row, link->target_name, BOOLOID, what_of(link, name));
		note_columns(link, rule);
		rule->args = list_make1(pstrdup(text));
	}
	else
	{
		char	   *sql = ts_ready_sql(link, rule, row);

		if (sql != NULL)
			rule->condition = ts_expression_read_row(sql, row, link->target_name, NULL, BOOLOID, what_of(link, name));
	}
	rule->name = pstrdup(name);
	rule->message = message ? pstrdup(message) : NULL;
	use_kept_names(link, rule, row);
	if (rule->condition != NULL)
		rule->expression = ts_expression_sql_row(rule->condition, row);
	return rule;
}

static Datum
text_array(int n, char *const *texts)
{
	Datum	   *elems = palloc(sizeof(Datum) * (n + 1));
	bool	   *nulls = palloc(sizeof(bool) * (n + 1));
	int			lower = 1;

	for (int i = 0; i < n; i++)
	{
		nulls[i] = texts[i] == NULL;
		elems[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	return PointerGetDatum(n == 0 ? construct_empty_array(TEXTOID) :
						   construct_md_array(elems, nulls, 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
text_list(List *texts)
{
	char	  **all = palloc(sizeof(char *) * (list_length(texts) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, texts)
		all[n++] = lfirst(lc);
	return text_array(n, all);
}

void
ts_rule_add(const TsLink *link, const TsRule *rule)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID, TEXTOID};
	Datum		values[7];
	char		nulls[8] = "       ";
	TsCatalog	cat;
	bool		taken;

	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(rule->name);
	values[2] = CStringGetTextDatum(kinds[rule->kind]);
	values[3] = text_array(rule->ncolumns, rule->columns);
	nulls[4] = rule->expression ? ' ' : 'n';
	values[4] = rule->expression ? CStringGetTextDatum(rule->expression) : (Datum) 0;
	values[5] = text_list(rule->args);
	nulls[6] = rule->message ? ' ' : 'n';
	values[6] = rule->message ? CStringGetTextDatum(rule->message) : (Datum) 0;
	ts_catalog_enter(&cat);
	taken = ts_sql("SELECT FROM tracksync.rule_record WHERE link = $1 AND rule = $2 AND (columns = $4 OR kind <> $3 OR kind <> rule)",
				   SPI_OK_SELECT, 4, types, values, NULL) > 0;
	if (!taken)
		ts_sql("INSERT INTO tracksync.rule_record (link, rule, kind, columns, expression, args, message) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			   SPI_OK_INSERT, 7, types, values, nulls);
	ts_catalog_leave(&cat);
	if (taken)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("link \"%s\" has a rule \"%s\" already", link->name, rule->name),
				 errhint("Choose another name, or drop the rule with tracksync.drop_rule.")));
}

void
ts_rule_drop(const char *link, const char *name)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link), CStringGetTextDatum(name)};
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql("DELETE FROM tracksync.rule_record WHERE link = $1 AND rule = $2", SPI_OK_DELETE, 2, types, values, NULL);
	/* one of several that share the name of their kind */
	if (n == 0)
		n = ts_sql("DELETE FROM tracksync.rule_record WHERE link = $1 AND rule = kind AND $2 IN (kind || '(' || array_to_string(columns, ', ') || ')', "
				   "kind || '(' || (SELECT string_agg(quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS u(c, n)) || ')')",
				   SPI_OK_DELETE, 2, types, values, NULL);
	ts_catalog_leave(&cat);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" has no rule \"%s\"", link, name),
				 errhint("See tracksync.rule for the rules there are.")));
}

void
ts_rules_forget(const char *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link)};

	ts_sql("DELETE FROM tracksync.rule_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
}

static List *
read_texts(uint64 row, int column, int *n)
{
	bool		isnull;
	Datum	   *elems;
	bool	   *nulls;
	List	   *texts = NIL;

	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(row, column, &isnull)), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, n);
	for (int i = 0; i < *n; i++)
		texts = lappend(texts, nulls[i] ? NULL : TextDatumGetCString(elems[i]));
	return texts;
}

static TsRule *
read_rule(uint64 row)
{
	TsRule	   *rule = palloc0(sizeof(TsRule));
	List	   *columns = read_texts(row, 3, &rule->ncolumns);
	ListCell   *lc;
	int			n = 0;

	rule->name = ts_sql_text(row, 1);
	rule->kind = read_kind(ts_sql_text(row, 2));
	rule->columns = palloc(sizeof(char *) * (rule->ncolumns + 1));
	foreach(lc, columns)
		rule->columns[n++] = lfirst(lc);
	rule->expression = ts_sql_text(row, 4);
	rule->args = read_texts(row, 5, &n);
	rule->message = ts_sql_text(row, 6);
	return rule;
}

List *
ts_rules_of(const char *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link)};
	MemoryContext context = CurrentMemoryContext;
	List	   *rules = NIL;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT rule, kind, columns, expression, args, message FROM tracksync.rule_record WHERE link = $1 "
					   "ORDER BY rule COLLATE \"C\", columns COLLATE \"C\"", 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		rules = lappend(rules, read_rule(i));
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return rules;
}

/* The column that the link has under that name; one that it has not seen yet goes by its name of now. */
static int
find_column(const TsLink *link, const char *name)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].stored_name != NULL && strcmp(link->columns[i].stored_name, name) == 0)
			return i;
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].stored_name == NULL && strcmp(link->columns[i].target_name, name) == 0)
			return i;
	return -1;
}

void
ts_rules_locate(const TsLink *link, List *rules)
{
	ListCell   *lc;

	foreach(lc, rules)
	{
		TsRule	   *rule = lfirst(lc);

		rule->at = palloc(sizeof(int) * (rule->ncolumns + 1));
		for (int i = 0; i < rule->ncolumns; i++)
		{
			rule->at[i] = find_column(link, rule->columns[i]);
			if (rule->at[i] < 0)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("%s is about column \"%s\", which the link does not write", what_of(link, rule->name), rule->columns[i]),
						 errhint("Drop the rule: tracksync.drop_rule(%s, %s).", quote_literal_cstr(link->name), quote_literal_cstr(rule->name))));
		}
	}
}

void
ts_rules_resolve(const TsLink *link, List *rules)
{
	TupleDesc	row = ts_rule_row(link);
	ListCell   *lc;

	ts_rules_locate(link, rules);
	foreach(lc, rules)
	{
		TsRule	   *rule = lfirst(lc);
		TsNames		names = {.n = rule->ncolumns, .names = rule->columns};

		names.attnums = palloc(sizeof(AttrNumber) * (rule->ncolumns + 1));
		for (int i = 0; i < rule->ncolumns; i++)
			names.attnums[i] = rule->at[i] + 1;
		if (rule->expression != NULL)
			rule->condition = ts_expression_read_row(rule->expression, row, link->target_name, &names, BOOLOID, what_of(link, rule->name));
	}
}

static void
rename_columns(const TsLink *link, TsRule *rule, TupleDesc row)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID};
	Datum		values[5];
	char		nulls[6] = "     ";
	char	   *sql = rule->condition ? ts_expression_sql_row(rule->condition, row) : NULL;
	TsCatalog	cat;

	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(rule->name);
	values[2] = text_array(rule->ncolumns, rule->columns);
	for (int i = 0; i < rule->ncolumns; i++)
		rule->columns[i] = link->columns[rule->at[i]].target_name;
	values[3] = text_array(rule->ncolumns, rule->columns);
	nulls[4] = sql ? ' ' : 'n';
	values[4] = sql ? CStringGetTextDatum(sql) : (Datum) 0;
	ts_catalog_enter(&cat);
	/* a name may be another one's former one: by their old ones none is changed twice */
	ts_sql("UPDATE tracksync.rule_record SET columns = '{\"\"}' || $4, expression = $5, "
		   "args = CASE kind WHEN 'expression' THEN '{}' ELSE args END WHERE link = $1 AND rule = $2 AND columns = $3", SPI_OK_UPDATE, 5,
		   types, values, nulls);
	ts_catalog_leave(&cat);
}

void
ts_rules_follow(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name)};
	bool		any = false;
	List	   *rules;
	ListCell   *lc;
	TupleDesc	row;
	TsCatalog	cat;

	for (int i = 0; i < link->ncolumns; i++)
		any |= link->columns[i].stored_name != NULL && strcmp(link->columns[i].stored_name, link->columns[i].target_name) != 0;
	rules = any ? ts_rules_of(link->name) : NIL;
	if (rules == NIL)
		return;
	ts_rules_resolve(link, rules);
	row = ts_rule_row(link);
	foreach(lc, rules)
		rename_columns(link, lfirst(lc), row);
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.rule_record SET columns = columns[2:] WHERE link = $1 AND columns[1] = ''", SPI_OK_UPDATE, 1, types, values, NULL);
	ts_catalog_leave(&cat);
}

char *
ts_rule_message(const TsLink *link, const TsRule *rule)
{
	bool		as_given = rule->args != NIL;

	if (rule->message != NULL)
		return rule->message;
	if (rule->kind != TS_RULE_EXPRESSION)
		return ts_ready_message(link, rule);
	for (int i = 0; i < rule->ncolumns; i++)
		as_given &= strcmp(rule->columns[i], link->columns[rule->at[i]].target_name) == 0;
	return psprintf("does not hold: %s", as_given ? (char *) linitial(rule->args) : ts_expression_show_row(rule->condition, ts_rule_row(link)));
}
