/*
 * ready.c: ready-made rules.
 *
 *   add_rule(link, 'range', 'price, 0, 100')              the kind is the name
 *   add_rule(link, 'fair price', 'range(price, 0, 100)')   or the expression is a call
 *
 * A column, as SQL has it or just as it is called, and arguments with commas between; those that have commas, or are to begin or end with a
 * blank, in single quotes.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "link/rule.h"

pg_noreturn static void
refuse_args(const char *name, const char *problem, const char *usage)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rule \"%s\" %s", name, problem),
			 errhint("%s", usage)));
}

/* How each kind is written. */
static const char *const usages[TS_RULE_KINDS] = {
	[TS_RULE_REQUIRED] = "Give a column: 'required(email)'.",
	[TS_RULE_RANGE] = "Give a column and its least and greatest value, of which one may be left out: 'range(price, 0, 100)', 'range(price, , 100)'.",
	[TS_RULE_LENGTH] = "Give a column and its least and greatest length, of which one may be left out, or the greatest: 'length(name, 1, 40)', 'length(name, 40)'.",
	[TS_RULE_PATTERN] = "Give a column and a regular expression: 'pattern(email, ^[^@]+@[^@]+$)'.",
	[TS_RULE_ONE_OF] = "Give a column and the values that it may have: 'one_of(state, new, paid)'.",
	[TS_RULE_UNIQUE] = "Give one or more columns: 'unique(country, number)'.",
};

/* From … to, without blanks around. */
static char *
trimmed(const char *from, const char *to)
{
	while (from < to && scanner_isspace(*from))
		from++;
	while (to > from && scanner_isspace(to[-1]))
		to--;
	return pnstrdup(from, to - from);
}

/* The end of what is up to a comma that is not in quotes. */
static const char *
end_of_part(const char *text, char quote)
{
	bool		quoted = false;

	for (; *text != '\0' && (quoted || *text != ','); text++)
		if (*text == quote)
			quoted = !quoted;
	return text;
}

/* 'it''s' is it's; other texts are as they are. */
static char *
unquoted(char *text)
{
	size_t		len = strlen(text);
	char	   *to = text;

	if (len < 2 || text[0] != '\'' || text[len - 1] != '\'')
		return text;
	for (const char *from = text + 1; from < text + len - 1; from++)
	{
		if (from[0] == '\'' && from[1] == '\'' && from + 1 < text + len - 1)
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return text;
}

/* What stands between commas; NULL: nothing does. */
static List *
split(const char *text)
{
	List	   *parts = NIL;

	for (;;)
	{
		const char *end = end_of_part(text, '\'');
		char	   *part = trimmed(text, end);

		parts = lappend(parts, part[0] == '\0' || pg_strcasecmp(part, "null") == 0 ? NULL : unquoted(part));
		if (*end == '\0')
			return parts;
		text = end + 1;
	}
}

/* The link's column that is named by the text: its name, or that in SQL. -1: none. */
static int
named_column(const TsLink *link, char *text)
{
	size_t		len = strlen(text);
	char	   *names[3] = {text, NULL, NULL};

	names[1] = downcase_identifier(text, (int) len, false, false);
	if (len > 2 && text[0] == '"' && text[len - 1] == '"')
	{
		char	   *to = names[2] = palloc(len);

		for (const char *from = text + 1; from < text + len - 1; from++)
		{
			if (from[0] == '"' && from[1] == '"')
				from++;
			*to++ = *from;
		}
		*to = '\0';
	}
	for (int n = 0; n < lengthof(names); n++)
		for (int i = 0; names[n] != NULL && i < link->ncolumns; i++)
			if (strcmp(link->columns[i].target_name, names[n]) == 0)
				return i;
	return -1;
}

/* The columns that the text begins with, at most so many; the rest of it. 0: it begins with none. */
static int
read_columns(const TsLink *link, const char *text, int most, int *at, const char **rest)
{
	int			n = 0;

	*rest = NULL;
	while (n < most)
	{
		const char *end = end_of_part(text, '"');
		int			column = named_column(link, trimmed(text, end));

		if (column < 0)
			return n == 0 ? 0 : -1;
		at[n++] = column;
		*rest = *end == '\0' ? NULL : end + 1;
		if (*rest == NULL)
			break;
		text = *rest;
	}
	return n;
}

/* What is in the parentheses, if the whole text is a call of a rule of the kind; else NULL. */
static char *
call_of(const char *text, TsRuleKind kind)
{
	const char *name = ts_rule_kind_name(kind);
	char	   *whole = trimmed(text, text + strlen(text));
	size_t		len = strlen(whole);
	char	   *open = whole + strlen(name);
	int			depth = 0;
	char		quote = '\0';

	if (pg_strncasecmp(whole, name, strlen(name)) != 0 || whole[len - 1] != ')')
		return NULL;
	while (scanner_isspace(*open))
		open++;
	if (*open != '(')
		return NULL;
	/* the first parenthesis ends with the last one; a regular expression has its own */
	for (char *c = open; kind != TS_RULE_PATTERN && c < whole + len; c++)
	{
		if (quote != '\0')
			quote = *c == quote ? '\0' : quote;
		else if (*c == '\'' || *c == '"')
			quote = *c;
		else if (*c == '(')
			depth++;
		else if (*c == ')' && --depth == 0 && c < whole + len - 1)
			return NULL;
	}
	return pnstrdup(open + 1, whole + len - 1 - (open + 1));
}

/* {new,paid}, ARRAY['new', 'paid'], ('new', 'paid') or new, paid. */
static List *
read_values(const char *list)
{
	char	   *whole = trimmed(list, list + strlen(list));
	size_t		len = strlen(whole);
	List	   *values = NIL;

	if (len >= 2 && whole[0] == '{' && whole[len - 1] == '}')
	{
		ArrayType  *array = DatumGetArrayTypeP(OidFunctionCall3(F_ARRAY_IN, CStringGetDatum(whole), ObjectIdGetDatum(TEXTOID), Int32GetDatum(-1)));
		Datum	   *elems;
		bool	   *nulls;
		int			n;

		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
		for (int i = 0; i < n; i++)
			values = lappend(values, nulls[i] ? NULL : TextDatumGetCString(elems[i]));
		return values;
	}
	if (pg_strncasecmp(whole, "array[", 6) == 0 && whole[len - 1] == ']')
		return split(pnstrdup(whole + 6, len - 7));
	if (len >= 2 && whole[0] == '(' && whole[len - 1] == ')')
		return split(pnstrdup(whole + 1, len - 2));
	return split(whole);
}

/* The least and the greatest length, NULL: none. */
static List *
read_lengths(const char *name, List *args)
{
	ListCell   *lc;

	if (list_length(args) == 1)
		args = lcons(NULL, args);
	foreach(lc, args)
	{
		char	   *arg = lfirst(lc);
		char	   *end;
		long		n = arg != NULL ? strtol(arg, &end, 10) : 0;

		if (arg != NULL && (*arg == '\0' || *end != '\0' || n < 0 || n > PG_INT32_MAX))
			refuse_args(name, psprintf("has an invalid length: \"%s\"", arg), usages[TS_RULE_LENGTH]);
	}
	return args;
}

static void
read_args(TsRule *rule, const char *name, const char *rest)
{
	switch (rule->kind)
	{
		case TS_RULE_REQUIRED:
			if (rest != NULL)
				refuse_args(name, "takes one column", usages[rule->kind]);
			break;
		case TS_RULE_RANGE:
		case TS_RULE_LENGTH:
			rule->args = rest != NULL ? split(rest) : NIL;
			if (rule->kind == TS_RULE_LENGTH)
				rule->args = read_lengths(name, rule->args);
			else if (list_length(rule->args) == 1)
				rule->args = lappend(rule->args, NULL);
			if (list_length(rule->args) != 2 || (linitial(rule->args) == NULL && lsecond(rule->args) == NULL))
				refuse_args(name, "takes a column and two limits", usages[rule->kind]);
			break;
		case TS_RULE_PATTERN:
			if (rest == NULL || trimmed(rest, rest + strlen(rest))[0] == '\0')
				refuse_args(name, "takes a column and a regular expression", usages[rule->kind]);
			rule->args = list_make1(unquoted(trimmed(rest, rest + strlen(rest))));
			/* 2201B if it is none */
			(void) DirectFunctionCall2Coll(textregexeq, DEFAULT_COLLATION_OID, CStringGetTextDatum(""), CStringGetTextDatum(linitial(rule->args)));
			break;
		case TS_RULE_ONE_OF:
			rule->args = rest != NULL ? read_values(rest) : NIL;
			if (rule->args == NIL || list_member_ptr(rule->args, NULL))
				refuse_args(name, rule->args == NIL ? "takes a column and values" : "has a value that is NULL", usages[rule->kind]);
			break;
		case TS_RULE_EXPRESSION:
		case TS_RULE_UNIQUE:
			break;
	}
}

static void
refuse_repeated(const TsLink *link, const char *name, const TsRule *rule)
{
	for (int i = 0; i < rule->ncolumns; i++)
		for (int j = 0; j < i; j++)
			if (rule->at[i] == rule->at[j])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("rule \"%s\" of link \"%s\" names column \"%s\" twice", name, link->name, link->columns[rule->at[i]].target_name),
						 errhint("Name each column once.")));
}

TsRule *
ts_ready_parse(const TsLink *link, const char *name, const char *text)
{
	for (int kind = TS_RULE_REQUIRED; kind < TS_RULE_KINDS; kind++)
	{
		const char *args = call_of(text, (TsRuleKind) kind);
		TsRule	   *rule = palloc0(sizeof(TsRule));
		const char *rest = NULL;

		if (args == NULL && strcmp(name, ts_rule_kind_name((TsRuleKind) kind)) == 0)
			args = text;
		if (args == NULL)
			continue;
		rule->kind = (TsRuleKind) kind;
		rule->at = palloc0(sizeof(int) * (link->ncolumns + 1));
		rule->columns = palloc0(sizeof(char *) * (link->ncolumns + 1));
		rule->ncolumns = read_columns(link, args, kind == TS_RULE_UNIQUE ? link->ncolumns : 1, rule->at, &rest);
		if (rule->ncolumns < 0 || (rule->ncolumns > 0 && kind == TS_RULE_UNIQUE && rest != NULL))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("rule \"%s\" of link \"%s\" names a column that the link does not write: %s", name, link->name, args),
					 errhint("%s", usages[kind])));
		if (rule->ncolumns == 0)
			continue;
		refuse_repeated(link, name, rule);
		read_args(rule, name, rest);
		return rule;
	}
	return NULL;
}

/* An operator of the column's type; 42883 if it has none. */
static char *
operator(const TsLink *link, Oid type, bool equality)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
	Oid			op = equality ? entry->eq_opr : entry->lt_opr;

	if (!OidIsValid(op))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg(equality ? "values of type %s cannot be compared" : "values of type %s have no order", format_type_be(type)),
				 errhint("Give an expression over the columns of link \"%s\".", link->name)));
	return ts_quote_operator(op);
}

static char *
literal(const char *value, Oid type)
{
	return psprintf("%s::%s", quote_literal_cstr(value), ts_quote_type(type, -1));
}

/* How long the column's value is. */
static char *
length_of(const char *column, Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	if (type == BYTEAOID)
		return psprintf("pg_catalog.octet_length(%s)", column);
	if (category == TYPCATEGORY_BITSTRING)
		return psprintf("pg_catalog.length(%s)", column);
	if (OidIsValid(get_element_type(type)))
		return psprintf("pg_catalog.cardinality(%s)", column);
	return psprintf("pg_catalog.char_length((%s)::pg_catalog.text)", column);
}

static char *
both(const char *a, const char *b)
{
	return a != NULL && b != NULL ? psprintf("(%s) AND (%s)", a, b) : unconstify(char *, a ? a : b);
}

/* NaN is greater than all: so it is beyond the greatest value. */
static char *
range_sql(const TsLink *link, const TsRule *rule, const char *column, Oid type)
{
	char	   *less = operator(link, type, false);
	const char *least = linitial(rule->args),
			   *greatest = lsecond(rule->args);

	return both(least ? psprintf("NOT (%s %s %s)", column, less, literal(least, type)) : NULL,
				greatest ? psprintf("NOT (%s %s %s)", literal(greatest, type), less, column) : NULL);
}

static char *
one_of_sql(const TsLink *link, const TsRule *rule, const char *column, Oid type)
{
	char	   *equal = operator(link, type, true);
	bool		array = OidIsValid(get_array_type(type));
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, rule->args)
	{
		if (array)
			appendStringInfo(&sql, "%s%s", sql.len ? ", " : "", literal(lfirst(lc), type));
		else
			appendStringInfo(&sql, "%s(%s %s %s)", sql.len ? " OR " : "", column, equal, literal(lfirst(lc), type));
	}
	return array ? psprintf("%s %s ANY (ARRAY[%s])", column, equal, sql.data) : sql.data;
}

char *
ts_ready_sql(const TsLink *link, const TsRule *rule, TupleDesc row)
{
	const char *column = quote_identifier(link->columns[rule->at[0]].target_name);
	Form_pg_attribute att = TupleDescAttr(row, rule->at[0]);
	char	   *length;

	switch (rule->kind)
	{
		case TS_RULE_REQUIRED:
			/* a row that has fields that are null is not null itself */
			return psprintf("%s IS DISTINCT FROM NULL", column);
		case TS_RULE_RANGE:
			return range_sql(link, rule, column, att->atttypid);
		case TS_RULE_LENGTH:
			length = length_of(column, att->atttypid);
			return both(linitial(rule->args) ? psprintf("%s >= %s", length, (char *) linitial(rule->args)) : NULL,
						lsecond(rule->args) ? psprintf("%s <= %s", length, (char *) lsecond(rule->args)) : NULL);
		case TS_RULE_PATTERN:
			/* regular expressions know no nondeterministic collations */
			return psprintf("(%s)::pg_catalog.text%s OPERATOR(pg_catalog.~) %s", column,
							OidIsValid(att->attcollation) && !get_collation_isdeterministic(att->attcollation) ? " COLLATE pg_catalog.\"default\"" : "",
							quote_literal_cstr(linitial(rule->args)));
		case TS_RULE_ONE_OF:
			return one_of_sql(link, rule, column, att->atttypid);
		case TS_RULE_UNIQUE:
			for (int i = 0; i < rule->ncolumns; i++)
				(void) operator(link, TupleDescAttr(row, rule->at[i])->atttypid, true);
			return NULL;
		case TS_RULE_EXPRESSION:
			break;
	}
	return NULL;
}

/* "at least 1", "at most 40" or "between 1 and 40" */
static char *
limits(const TsRule *rule)
{
	const char *least = linitial(rule->args),
			   *greatest = lsecond(rule->args);

	if (least != NULL && greatest != NULL)
		return strcmp(least, greatest) == 0 ? psprintf("%s", least) : psprintf("between %s and %s", least, greatest);
	return least != NULL ? psprintf("at least %s", least) : psprintf("at most %s", greatest);
}

char *
ts_ready_message(const TsLink *link, const TsRule *rule)
{
	StringInfoData names,
				args;
	ListCell   *lc;

	initStringInfo(&names);
	initStringInfo(&args);
	for (int i = 0; i < rule->ncolumns; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", link->columns[rule->at[i]].target_name);
	foreach(lc, rule->args)
		appendStringInfo(&args, "%s%s", args.len ? ", " : "", lfirst(lc) ? (char *) lfirst(lc) : "");
	switch (rule->kind)
	{
		case TS_RULE_REQUIRED:
			return psprintf("%s is required", names.data);
		case TS_RULE_RANGE:
			return psprintf("%s must be %s", names.data, limits(rule));
		case TS_RULE_LENGTH:
			return psprintf("the length of %s must be %s", names.data, limits(rule));
		case TS_RULE_PATTERN:
			return psprintf("%s does not match %s", names.data, args.data);
		case TS_RULE_ONE_OF:
			return psprintf("%s must be one of %s", names.data, args.data);
		case TS_RULE_UNIQUE:
			return psprintf("%s must be unique", names.data);
		case TS_RULE_EXPRESSION:
			break;
	}
	return NULL;
}
