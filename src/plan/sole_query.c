/*
 * sole_query.c: the query about values that only one row may have.
 *
 *   SELECT r.n, 0 FROM p AS r WHERE r.writes AND r.c3 IS DISTINCT FROM NULL
 *      AND EXISTS (SELECT FROM p AS o WHERE o.writes AND o.n <> r.n AND o.c3 = r.c3)
 *   UNION SELECT r.n, 0 FROM p AS r JOIN (SELECT DISTINCT t.a AS c3 FROM (SELECT DISTINCT c3 FROM p WHERE writes AND c3 IS DISTINCT FROM NULL) AS v
 *      JOIN target AS t ON t.a = v.c3 WHERE NOT EXISTS (SELECT FROM p AS k WHERE t.id = k.k1)) AS h ON h.c3 = r.c3 WHERE r.writes
 *   UNION … ORDER BY 1, 2
 * The rows of a target elsewhere are fetched: those with such values, or all where these are many.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "link/fetch.h"
#include "link/remote.h"
#include "plan/sole.h"

static char *
equality(const TsLink *link, Oid type, bool there)
{
	Oid			op = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;

	if (!OidIsValid(op))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s cannot be compared", format_type_be(type)),
				 errdetail("A rule of link \"%s\" says that they are unique.", link->name),
				 errhint("Drop the rule with tracksync.drop_rule.")));
	return there ? ts_target_operator(link, op) : ts_quote_operator(op);
}

/* The rows t of a target elsewhere with such values, SQL there; NULL: all. */
static char *
asked_condition(const TsSole *source, const TsRule *rule, const TsSoleAsked *asked)
{
	const TsLink *link = source->base.link;
	StringInfoData sql;

	if (asked->rows > TS_SOLE_ASKED_ROWS || asked->values[0].len > TS_SOLE_ASKED_BYTES)
		return NULL;
	if (asked->rows == 0)
		return pstrdup("false");
	initStringInfo(&sql);
	appendStringInfoString(&sql, "EXISTS (SELECT FROM ROWS FROM (");
	for (int i = 0; i < rule->ncolumns; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest(ARRAY[%s]::pg_catalog.text[])", i ? ", " : "", asked->values[i].data);
	appendStringInfoString(&sql, ") AS v(");
	for (int i = 0; i < rule->ncolumns; i++)
		appendStringInfo(&sql, "%sp%d", i ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") WHERE ");
	for (int i = 0; i < rule->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[rule->at[i]];
		char	   *type = ts_target_type(link, col, false);

		if (col->future != NULL || col->opaque != NULL)
			return NULL;
		appendStringInfo(&sql, "%st.%s::%s %s v.p%d::%s", i ? " AND " : "", quote_identifier(col->now_name ? col->now_name : col->target_name), type,
						 equality(link, col->target_base, true), i + 1, type);
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* What stands for the target in the query about a rule. */
static char *
target_rows(TsSole *source, const TsRule *rule, int r)
{
	const TsLink *link = source->base.link;
	TsSoleFetched    *fetched;

	if (source->asked == NULL)
		return psprintf("%s%s", link->target_partitioned ? "" : "ONLY ", ts_link_target(link));
	fetched = palloc0(sizeof(TsSoleFetched));
	fetched->name = ts_fetch_target(link, asked_condition(source, rule, &source->asked[r]), &fetched->store);
	source->fetched = lappend(source->fetched, fetched);
	return fetched->name;
}

/* a.c3, … or, of the target's row t, t.a AS c3, … */
static char *
columns_of(const TsSole *source, const TsRule *rule, const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < rule->ncolumns; i++)
		if (alias != NULL)
			appendStringInfo(&sql, "%s%s.c%d", i ? ", " : "", alias, rule->at[i] + 1);
		else
			appendStringInfo(&sql, "%s%s AS c%d", i ? ", " : "", ts_diff_target_value(&source->base.link->columns[rule->at[i]]), rule->at[i] + 1);
	return sql.data;
}

/* a.c3 = b.c3 AND …; a NULL: of the target's row t */
static char *
same_values(const TsSole *source, const TsRule *rule, const char *a, const char *b)
{
	const TsLink *link = source->base.link;
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < rule->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[rule->at[i]];
		Oid			collation = source->parts[ts_sole_part(source, rule->at[i])].collation;

		appendStringInfo(&sql, "%s(%s%s) %s %s.c%d", i ? " AND " : "", a ? psprintf("%s.c%d", a, rule->at[i] + 1) : ts_diff_target_value(col),
						 OidIsValid(collation) ? psprintf(" COLLATE %s", ts_quote_collation(collation)) : "",
						 equality(link, col->target_base, false), b, rule->at[i] + 1);
	}
	return sql.data;
}

/* a is written, and none of the columns is NULL. */
static char *
is_written(const TsRule *rule, const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s.writes", alias);
	for (int i = 0; i < rule->ncolumns; i++)
		appendStringInfo(&sql, " AND %s.c%d IS DISTINCT FROM NULL", alias, rule->at[i] + 1);
	return sql.data;
}

/* The target's row t is k's. */
static char *
is_same_row(const TsLink *link)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(&sql, "%s%s %s k.k%d%s", i ? " AND " : "", ts_diff_target_value(col), ts_quote_operator(col->key_eq_op), link->keys[i] + 1,
						 OidIsValid(col->key_collation) ? psprintf(" COLLATE %s", ts_quote_collation(col->key_collation)) : "");
	}
	return sql.data;
}

char *
ts_sole_query(TsSole *source)
{
	StringInfoData sql;
	int			r = 0;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, source->rules)
	{
		const TsRule *rule = lfirst(lc);
		char	   *written = is_written(rule, "r");

		appendStringInfo(&sql, "%sSELECT r.n, %d FROM %s AS r WHERE %s AND EXISTS (SELECT FROM %s AS o WHERE o.writes AND o.n OPERATOR(pg_catalog.<>) r.n AND %s)",
						 r ? " UNION " : "", r, source->name, written, source->name, same_values(source, rule, "o", "r"));
		if (source->target_exists)
			appendStringInfo(&sql, " UNION SELECT r.n, %d FROM %s AS r JOIN (SELECT DISTINCT %s FROM (SELECT DISTINCT %s FROM %s AS r WHERE %s) AS v "
							 "JOIN %s AS t ON %s WHERE NOT EXISTS (SELECT FROM %s AS k WHERE %s)) AS h ON %s WHERE r.writes", r, source->name,
							 columns_of(source, rule, NULL), columns_of(source, rule, "r"), source->name, written, target_rows(source, rule, r),
							 same_values(source, rule, NULL, "v"), source->name, is_same_row(source->base.link), same_values(source, rule, "h", "r"));
		r++;
	}
	appendStringInfoString(&sql, " ORDER BY 1, 2");
	return sql.data;
}
