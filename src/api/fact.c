/* fact.c: facts of one row, and queries for it. */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "api/fact.h"
#include "base/quote.h"
#include "link/ask.h"
#include "link/remote.h"
#include "base/srf.h"

const char *
ts_aspect_name(TsAspect aspect)
{
	static const char *const names[] = {
		[TS_ASPECT_LINK] = "link",
		[TS_ASPECT_EVENT] = "event",
		[TS_ASPECT_NET] = "net",
		[TS_ASPECT_SOURCE] = "source",
		[TS_ASPECT_MAPPING] = "mapping",
		[TS_ASPECT_TARGET] = "target",
		[TS_ASPECT_QUARANTINE] = "quarantine",
		[TS_ASPECT_CONFLICT] = "conflict",
		[TS_ASPECT_PUSHED] = "pushed",
		[TS_ASPECT_PUSH] = "push",
	};

	return names[aspect];
}

TsFact *
ts_fact_add(TsExplained *e, TsAspect aspect, TimestampTz at, char *what, Datum detail)
{
	TsFact	   *fact = palloc(sizeof(TsFact));

	*fact = (TsFact) {aspect, at, what, detail};
	e->facts = lappend(e->facts, fact);
	return fact;
}

void
ts_detail_add(TsDetail *detail, const char *name, Oid type, Datum value, bool isnull)
{
	if (isnull)
		return;
	Assert(detail->n < TS_DETAILS);
	detail->names[detail->n] = unconstify(char *, name);
	detail->types[detail->n] = type;
	detail->nulls[detail->n] = false;
	detail->values[detail->n++] = value;
}

void
ts_detail_text(TsDetail *detail, const char *name, const char *value)
{
	ts_detail_add(detail, name, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

void
ts_detail_json(TsDetail *detail, const char *name, const char *json)
{
	ts_detail_add(detail, name, JSONBOID, json ? ts_detail_of(json) : (Datum) 0, json == NULL);
}

Datum
ts_detail_done(const TsDetail *detail)
{
	return ts_to_jsonb(detail->n, detail->names, detail->types, detail->values, detail->nulls, NULL);
}

Datum
ts_detail_of(const char *json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

char *
ts_fact_columns(const TsLink *link, const unsigned char *mask, int bit)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < link->ncolumns; i++)
		if ((mask[i] & bit) && !link->columns[i].is_key && !link->columns[i].ignored)
			appendStringInfo(&names, "%s%s", names.len ? ", " : "", quote_identifier(link->columns[i].target_name));
	/* a key that is equal, but written otherwise */
	for (int i = 0; names.len == 0 && i < link->nkeys; i++)
		if (mask[link->keys[i]] & bit)
			return pstrdup(quote_identifier(link->columns[link->keys[i]].target_name));
	return names.data;
}

char *
ts_fact_key(const TsExplained *e, int i)
{
	const TsLink *link = e->link;
	int			n = link->nkeys;
	char	  **names = palloc(sizeof(char *) * n);
	Oid		   *types = palloc(sizeof(Oid) * n);
	bool	   *nulls = palloc0(sizeof(bool) * n);

	for (int k = 0; k < n; k++)
	{
		names[k] = link->columns[link->keys[k]].target_name;
		types[k] = link->columns[link->keys[k]].source_type;
	}
	return ts_to_json_text(n, names, types, e->keys->keys[i], nulls, NULL, INT_MAX);
}

/* A text, and the columns of a key. */
typedef struct Parameters
{
	int			n;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;
} Parameters;

static Parameters
parameters(const TsExplained *e, const char *text, int i)
{
	const TsLink *link = e->link;
	int			n = link->nkeys + 1;
	Parameters	p = {n, palloc(sizeof(Oid) * n), palloc(sizeof(Datum) * n), palloc0(n + 1)};

	p.types[0] = TEXTOID;
	p.values[0] = text ? CStringGetTextDatum(text) : (Datum) 0;
	memset(p.nulls, ' ', n);
	p.nulls[0] = text ? ' ' : 'n';
	for (int k = 0; k < link->nkeys; k++)
	{
		p.types[k + 1] = link->columns[link->keys[k]].source_type;
		p.values[k + 1] = e->keys->keys[i][k];
	}
	return p;
}

uint64
ts_fact_query(const TsExplained *e, const char *sql, const char *text, int i)
{
	Parameters	p = parameters(e, text, i);

	if (SPI_execute_with_args(sql, p.n, p.types, p.values, p.nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	return SPI_processed;
}

List *
ts_fact_ask(const TsExplained *e, const char *sql, const char *text, int i)
{
	Parameters	p = parameters(e, text, i);

	/* a parameter that is not used has no type */
	return ts_target_ask(e->link, psprintf("%s AND ($1::pg_catalog.text IS NULL OR true)", sql), p.n, p.types, p.values, p.nulls, true);
}

char *
ts_fact_is_source(const TsExplained *e, const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < e->link->nkeys; k++)
		appendStringInfo(&sql, "%s%s.%s %s $%d", k ? " AND " : "", alias, quote_identifier(e->link->columns[e->link->keys[k]].target_name),
						 ts_quote_operator(e->keys->equal[k]), k + 2);
	return sql.data;
}

/* A value has the target's key: whole, without domain. */
static void
append_is_key(StringInfo sql, const TsColumn *col, const char *value, int k, const char *operator, const char *type)
{
	appendStringInfo(sql, "%s%s %s (($%d)::%s)", k ? " AND " : "", value, operator, k + 2, type);
	if (OidIsValid(col->key_collation))
		appendStringInfo(sql, " COLLATE %s", ts_quote_collation(col->key_collation));
}

char *
ts_fact_is_target(const TsExplained *e)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < e->link->nkeys; k++)
	{
		const TsColumn *col = &e->link->columns[e->link->keys[k]];
		char	   *type = ts_target_type(e->link, col, false);

		append_is_key(&sql, col, col->future ? ts_diff_target_value(col) :
					  psprintf("t.%s::%s", quote_identifier(col->now_name ? col->now_name : col->target_name), type), k,
					  ts_target_operator(e->link, col->key_eq_op), type);
	}
	return sql.data;
}

char *
ts_fact_is_record(const TsExplained *e)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int k = 0; k < e->link->nkeys; k++)
	{
		const TsColumn *col = &e->link->columns[e->link->keys[k]];

		append_is_key(&sql, col, psprintf("q.%s", quote_identifier(col->target_name)), k, ts_quote_operator(col->key_eq_op),
					  ts_quote_type(col->target_base, -1));
	}
	return sql.data;
}
