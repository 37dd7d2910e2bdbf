/* builder.c: what the statements of a plan have in common: parameters, values, keys, and the rows that are their input. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "link/remote.h"
#include "plan/builder.h"

/* From so many columns on, the values of one side travel as rows. */
#define ROWS_FROM_COLUMNS 3

void
ts_build_rows(TsBuilder *b)
{
	b->rows_at = b->sql.len;
}

int
ts_build_param(TsBuilder *b, int column, bool old)
{
	TsStatement *stmt = b->stmt;
	TsParam    *p;

	for (int i = 0; i < stmt->nparams; i++)
		if (stmt->params[i].column == column && stmt->params[i].old == old)
			return i + 1;
	p = &stmt->params[stmt->nparams++];
	p->kind = column < 0 ? TS_PARAM_NUMBER : TS_PARAM_COLUMN;
	p->column = column;
	p->old = old;
	p->alias = stmt->nparams;
	if (column < 0)
		p->type = (TsValueType) {INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, false, false};
	else
		p->type = ts_value_type(b->link, column, stmt->op, b->text_keys);
	if (column >= 0 && b->link->columns[column].bridge != TS_BRIDGE_NONE && !p->type.is_text)
	{
		p->type = ts_held_type(b->link, column);
		p->fitted = true;
	}
	p->element = p->type.as_text ? TEXTOID : p->type.type;
	return stmt->nparams;
}

char *
ts_build_source_value(TsBuilder *b, int column, bool old)
{
	int			n = ts_build_param(b, column, old);
	const TsParam *p = &b->stmt->params[n - 1];

	if (!p->type.as_text)
		return psprintf("v.p%d", n);
	/* another server may not have the source's type */
	if (p->type.is_text || b->link->server != NULL)
		return psprintf("v.p%d::%s", n, ts_target_type(b->link, &b->link->columns[column], false));
	return psprintf("v.p%d::%s", n, ts_quote_type(p->type.type, -1));
}

/* Is it sent as the target would hold it? */
static bool
is_fitted(TsBuilder *b, int column, bool old)
{
	return b->stmt->params[ts_build_param(b, column, old) - 1].fitted;
}

static char *
as_type(const TsColumn *col, const char *value, const char *whole_type, const char *cut_type)
{
	char	   *whole = psprintf("(%s)::%s", value, whole_type);
	char	   *cut = psprintf("(%s)::%s", value, cut_type);

	if (col->target_typmod == -1 || col->opaque != NULL)
		return whole;
	/* an explicit cast cuts a string that an assignment would refuse: what is too long is not equal */
	if (col->target_base == VARCHAROID || col->target_base == BPCHAROID || col->target_base == BITOID || col->target_base == VARBITOID)
		return psprintf("CASE WHEN %s OPERATOR(pg_catalog.=) %s THEN %s ELSE %s END", cut, whole, cut, whole);
	return cut;
}

char *
ts_as_target(const TsColumn *col, const char *value)
{
	if (col->bridge == TS_BRIDGE_TEXT)
		value = psprintf("(%s)::pg_catalog.text", value);
	return as_type(col, value, ts_quote_type(col->target_base, -1), ts_quote_type(col->target_base, col->target_typmod));
}

char *
ts_build_target_form(TsBuilder *b, int column, bool old)
{
	const TsColumn *col = &b->link->columns[column];
	char	   *value = ts_build_source_value(b, column, old);

	if (is_fitted(b, column, old) || col->opaque != NULL ||
		(col->source_type == col->target_base && (col->target_typmod == -1 || col->target_typmod == col->source_typmod)))
		return value;
	return as_type(col, value, ts_target_type(b->link, col, false), ts_target_type(b->link, col, true));
}

/*
 * The value as it is compared with the target's key: in the target's type, but whole. A type modifier would cut or round it to
 * the key of another row.
 */
static char *
key_form(TsBuilder *b, int column, bool old)
{
	const TsColumn *col = &b->link->columns[column];
	char	   *value = ts_build_source_value(b, column, old);

	if (is_fitted(b, column, old) || col->source_type == col->target_base || col->opaque != NULL)
		return value;
	return psprintf("(%s)::%s", value, ts_target_type(b->link, col, false));
}

char *
ts_build_target_value(TsBuilder *b, int column)
{
	const TsColumn *col = &b->link->columns[column];
	const char *name = quote_identifier(col->target_name);

	/* a domain that there is on the other server only is its base type here */
	if (col->target_type == col->target_base && !col->domain_there)
		return psprintf("t.%s", name);
	return psprintf("t.%s::%s", name, ts_target_type(b->link, col, true));
}

bool
ts_build_image_eq(TsBuilder *b, const char *before, int bits, bool old, bool all)
{
	StringInfoData left,
				right;
	int			n = 0;

	initStringInfo(&left);
	initStringInfo(&right);
	for (int i = 0; i < b->link->ncolumns; i++)
	{
		if (!all && (b->mask[i] & bits) != bits)
			continue;
		appendStringInfo(&left, "%s%s", n ? ", " : "", ts_build_target_value(b, i));
		appendStringInfo(&right, "%s%s", n ? ", " : "", ts_build_target_form(b, i, old));
		n++;
	}
	if (n > 0)
		appendStringInfo(&b->sql, "%spg_catalog.record_image_eq(ROW(%s), ROW(%s))", before, left.data, right.data);
	pfree(left.data);
	pfree(right.data);
	return n > 0;
}

void
ts_build_old_holds(TsBuilder *b, int bits)
{
	int			n = 0;

	for (int i = 0; i < b->link->ncolumns; i++)
	{
		const TsColumn *col = &b->link->columns[i];
		TypeCacheEntry *type;
		char	   *have,
				   *want;

		if ((b->mask[i] & bits) != bits)
			continue;
		type = lookup_type_cache(col->target_base, TYPECACHE_EQ_OPR);
		have = ts_build_target_value(b, i);
		want = ts_build_target_form(b, i, true);
		appendStringInfo(&b->sql, "%s(CASE WHEN %s IS NULL OR %s IS NULL THEN %s IS NULL AND %s IS NULL ELSE ",
						 n++ ? " AND " : "", have, want, have, want);
		if (OidIsValid(type->eq_opr) && col->opaque == NULL)
			appendStringInfo(&b->sql, "%s %s %s END)", have, ts_target_operator(b->link, type->eq_opr), want);
		else
			appendStringInfo(&b->sql, "(%s)::pg_catalog.text OPERATOR(pg_catalog.=) (%s)::pg_catalog.text END)", have, want);
	}
	if (n == 0)
		appendStringInfoString(&b->sql, "true");
}

void
ts_build_key_match(TsBuilder *b)
{
	const TsLink *link = b->link;
	bool		old = b->stmt->op == TS_CHANGE_DELETE || ts_change_moves(link, b->mask);

	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(&b->sql, "%s%s %s %s", i ? " AND " : "", ts_build_target_value(b, link->keys[i]),
						 ts_target_operator(link, col->key_eq_op), key_form(b, link->keys[i], old));
	}
}

const char *
ts_build_only(const TsLink *link)
{
	return link->target_partitioned ? "" : "ONLY ";
}

/* Could the columns of one side travel as rows of the target's type, and is it worth it? */
static bool
rows_fit(const TsBuilder *b, bool old)
{
	int			n = 0;

	if (!OidIsValid(b->link->target) || b->link->server != NULL || b->text_keys || b->link->foreseen)
		return false;
	for (int i = 0; i < b->stmt->nparams; i++)
	{
		const TsParam *p = &b->stmt->params[i];
		const TsColumn *col = p->kind == TS_PARAM_COLUMN ? &b->link->columns[p->column] : NULL;

		if (col == NULL || p->old != old)
			continue;
		n++;
		if (col->target_type != p->type.type ||
			(!p->fitted && col->target_typmod != -1 && col->target_typmod != col->source_typmod))
			return false;
	}
	return n >= ROWS_FROM_COLUMNS;
}

/*
 * Puts one array of rows in the place of the column arrays of each side that has many: unnesting an array costs as much per
 * value as a whole row does. The names v.p<n> stay.
 */
static void
gather_rows(TsBuilder *b)
{
	TsStatement *stmt = b->stmt;

	for (int old = 0; old < 2; old++)
	{
		int			n = 0;

		if (!rows_fit(b, old))
			continue;
		stmt->aliases[old] = palloc0(sizeof(int) * (b->link->ncolumns + 1));
		for (int i = 0; i < stmt->nparams; i++)
		{
			TsParam    *p = &stmt->params[i];

			if (p->kind == TS_PARAM_COLUMN && p->old == (bool) old)
				stmt->aliases[old][p->column] = p->alias;
			else
				stmt->params[n++] = *p;
		}
		stmt->params[n].kind = TS_PARAM_ROWS;
		stmt->params[n].column = -1;
		stmt->params[n].old = old;
		stmt->params[n].element = get_rel_type_id(b->link->target);
		stmt->nparams = n + 1;
	}
}

/* The names of a row's columns, in the order of the target's columns: v.p<n> where one is used. */
static void
append_row_aliases(TsBuilder *b, StringInfo out, bool old)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(get_rel_type_id(b->link->target), -1);
	bool		first = true;

	for (int i = 0; i < desc->natts; i++)
	{
		int			alias = 0;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		for (int j = 0; j < b->link->ncolumns; j++)
			if (b->link->columns[j].target_attnum == i + 1)
				alias = b->stmt->aliases[old][j];
		appendStringInfoString(out, first ? "" : ", ");
		first = false;
		if (alias != 0)
			appendStringInfo(out, "p%d", alias);
		else
			appendStringInfo(out, "%s%d", old ? "o" : "n", i + 1);
	}
	ReleaseTupleDesc(desc);
}

char *
ts_build_finish(TsBuilder *b)
{
	StringInfoData out;

	gather_rows(b);
	initStringInfo(&out);
	appendBinaryStringInfo(&out, b->sql.data, b->rows_at);
	appendStringInfoString(&out, "ROWS FROM (");
	for (int i = 0; i < b->stmt->nparams; i++)
	{
		const TsParam *p = &b->stmt->params[i];
		char	   *type = p->kind == TS_PARAM_ROWS ? ts_link_target(b->link) : ts_quote_type(p->element, -1);

		appendStringInfo(&out, "%spg_catalog.unnest($%d::%s[])", i ? ", " : "", i + 1, type);
	}
	appendStringInfoString(&out, ") AS v(");
	for (int i = 0; i < b->stmt->nparams; i++)
	{
		const TsParam *p = &b->stmt->params[i];

		appendStringInfoString(&out, i ? ", " : "");
		if (p->kind == TS_PARAM_ROWS)
			append_row_aliases(b, &out, p->old);
		else
			appendStringInfo(&out, "p%d", p->alias);
	}
	appendStringInfo(&out, ")%s", b->sql.data + b->rows_at);
	return out.data;
}
