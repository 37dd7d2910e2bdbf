/*
 * soles.c: rows that wait with a row in quarantine, because of values that only one row may have by a rule.
 *
 * The plan took it that all rows get their new values. One that was left out has its old ones still, and another one may have got them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "apply/quarantine.h"
#include "base/catalog.h"
#include "link/ask.h"
#include "link/remote.h"
#include "plan/keep.h"

/* t.a = o.a AND …, of the key, or of the rule's columns. */
static char *
same(const TsLink *link, int n, const int *at, bool key, const char *other)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < n; i++)
	{
		const TsColumn *col = &link->columns[at[i]];
		const char *name = quote_identifier(col->target_name);
		char	   *type = ts_target_type(link, col, false);
		Oid			op = key ? col->key_eq_op : lookup_type_cache(col->target_base, TYPECACHE_EQ_OPR)->eq_opr;

		appendStringInfo(&sql, "%st.%s::%s %s %s.%s::%s", i ? " AND " : "", name, type,
						 col->opaque ? "OPERATOR(pg_catalog.=)" : ts_target_operator(link, op), other, name, type);
	}
	return sql.data;
}

/* SELECT key of v, key of o: the row t with that key, and another one, o, that has the same values. */
static char *
query(const TsLink *link, const TsRule *rule)
{
	const char *only = link->target_partitioned ? "" : "ONLY ";

	return psprintf("SELECT v.key, %s FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v(key), LATERAL %s, %s%s AS t, %s%s AS o "
					"WHERE %s AND %s AND NOT (%s) ORDER BY 1, 2", ts_statement_key_text(link, "o"), ts_statement_key(link, "v.key", false),
					only, ts_link_target(link), only, ts_link_target(link), same(link, link->nkeys, link->keys, true, "q"),
					same(link, rule->ncolumns, rule->at, false, "o"), same(link, link->nkeys, link->keys, true, "o"));
}

/* Is the row one that an earlier run left out, and asked about? */
static bool
was_asked(const TsWriter *writer, const char *key)
{
	ListCell   *lc;

	foreach(lc, writer->excluded)
	{
		TsBad	   *bad = lfirst(lc);
		bool		asked = bad->asked;

		if (strcmp(bad->key, key) != 0)
			continue;
		bad->asked = true;
		return asked;
	}
	return false;
}

/* The keys of the rows that were left out: all, or those not asked about before; how many. One that is to be inserted is not there. */
static int
keys_of(const TsWriter *writer, bool all, Datum *keys)
{
	ListCell   *lc;
	int			n = 0;

	foreach(lc, writer->bad)
	{
		const TsBad *bad = lfirst(lc);

		if (bad->op != TS_CHANGE_INSERT && (all || !was_asked(writer, bad->key)))
			keys[n++] = CStringGetTextDatum(bad->key);
	}
	return n;
}

/* Leaves out those that have the values of rows with these keys, too; false: there are none. */
static bool
hold_back(TsWriter *writer, List *rules, int n, Datum *keys)
{
	static const Oid types[] = {TEXTARRAYOID};
	const TsLink *link = writer->link;
	Datum		values[1];
	bool		more = false;
	ListCell   *lc;

	if (n == 0)
		return false;
	values[0] = PointerGetDatum(construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT));
	foreach(lc, rules)
	{
		const TsRule *rule = lfirst(lc);
		ListCell   *row;

		if (rule->kind != TS_RULE_UNIQUE)
			continue;
		foreach(row, ts_target_ask(link, query(link, rule), 1, types, values, NULL, false))
		{
			char	  **found = lfirst(row);

			more |= ts_quarantine_exclude(writer, found[1], ERRCODE_CHECK_VIOLATION, rule->name,
										  psprintf("%s: the row with the key %s has it still", ts_rule_message(link, rule), found[0]));
		}
	}
	return more;
}

bool
ts_quarantine_soles(TsWriter *writer, List *rules)
{
	Datum	   *keys = palloc(sizeof(Datum) * (list_length(writer->bad) + 1));
	int			n = keys_of(writer, false, keys);

	/* a chain of rows takes a run for each: all of them are asked about in the last one only */
	return hold_back(writer, rules, n, keys) || (n < list_length(writer->bad) && hold_back(writer, rules, keys_of(writer, true, keys), keys));
}
