/*
 * statement.c: the SQL of a plan.
 *
 *   DELETE FROM ONLY s.t AS t USING ROWS FROM (unnest($1::int4[]), unnest($2::text[])) AS v(p1, p2)
 *    WHERE t.k OPERATOR(pg_catalog.=) v.p1 AND record_image_eq(ROW(t.k, t.a), ROW(v.p1, v.p2))
 *   UPDATE ONLY s.t AS t SET a = v.p2 FROM ROWS FROM (…) AS v(p1, p2, p3)
 *    WHERE t.k OPERATOR(pg_catalog.=) v.p1 AND record_image_eq(ROW(t.a), ROW(v.p3))
 *   INSERT INTO s.t AS t (k, a) OVERRIDING SYSTEM VALUE SELECT v.p1, v.p2 FROM ROWS FROM (…) AS v(p1, p2)
 *    ON CONFLICT (k) DO NOTHING
 *   SELECT v.p9, record_image_eq(<new>), <old by default equality>, to_jsonb(t) FROM ROWS FROM (…) AS v(…)
 *     JOIN ONLY s.t AS t ON … FOR UPDATE OF t
 *
 * Where three or more columns of one side are needed and source and target agree in their types, they travel as one array of
 * rows of the target's type, else as an array per column.
 *
 * Values whose type cannot be an array's element travel as text and are cast back. Where the target's type differs, writing
 * goes by assignment cast, comparing by a cast to the target's type.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "plan/parking.h"
#include "plan/statement.h"

/* From so many columns on, the values of one side travel as rows. */
#define ROWS_FROM_COLUMNS 3

typedef struct Builder
{
	const TsLink *link;
	TsStatement *stmt;
	const unsigned char *mask;
	bool		text_keys;
	StringInfoData sql;
	int			rows_at;		/* where the row source goes, once all parameters are known */
} Builder;

static void
append_rows(Builder *b)
{
	b->rows_at = b->sql.len;
}

/* The number (from 1) of the parameter for a column, added if need be; column -1: the row's number in the batch. */
static int
param(Builder *b, int column, bool old)
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
	p->element = p->type.as_text ? TEXTOID : p->type.type;
	return stmt->nparams;
}

/* The value as it was in the source: v.p1, or v.p1::type where it travels as text. */
static char *
source_value(Builder *b, int column, bool old)
{
	int			n = param(b, column, old);
	const TsParam *p = &b->stmt->params[n - 1];

	if (!p->type.as_text)
		return psprintf("v.p%d", n);
	if (p->type.is_text)
		return psprintf("v.p%d::%s", n, ts_quote_type(b->link->columns[column].target_base, -1));
	return psprintf("v.p%d::%s", n, ts_quote_type(p->type.type, -1));
}

char *
ts_as_target(const TsColumn *col, const char *value)
{
	char	   *whole = psprintf("(%s)::%s", value, ts_quote_type(col->target_base, -1));
	char	   *cut = psprintf("(%s)::%s", value, ts_quote_type(col->target_base, col->target_typmod));

	if (col->target_typmod == -1)
		return whole;
	/* an explicit cast cuts a string that an assignment would refuse: what is too long is not equal */
	if (col->target_base == VARCHAROID || col->target_base == BPCHAROID || col->target_base == BITOID || col->target_base == VARBITOID)
		return psprintf("CASE WHEN %s OPERATOR(pg_catalog.=) %s THEN %s ELSE %s END", cut, whole, cut, whole);
	return cut;
}

/* The value as the target would hold it. */
static char *
target_form(Builder *b, int column, bool old)
{
	const TsColumn *col = &b->link->columns[column];
	char	   *value = source_value(b, column, old);

	if (col->source_type == col->target_base && (col->target_typmod == -1 || col->target_typmod == col->source_typmod))
		return value;
	return ts_as_target(col, value);
}

/*
 * The value as it is compared with the target's key: in the target's type, but whole. A type modifier would cut or round it to
 * the key of another row.
 */
static char *
key_form(Builder *b, int column, bool old)
{
	const TsColumn *col = &b->link->columns[column];
	char	   *value = source_value(b, column, old);

	if (col->source_type == col->target_base)
		return value;
	return psprintf("(%s)::%s", value, ts_quote_type(col->target_base, -1));
}

/* The target's column, without its domain. */
static char *
target_value(Builder *b, int column)
{
	const TsColumn *col = &b->link->columns[column];
	const char *name = quote_identifier(col->target_name);

	if (col->target_type == col->target_base)
		return psprintf("t.%s", name);
	return psprintf("t.%s::%s", name, ts_quote_type(col->target_base, col->target_typmod));
}

/* record_image_eq(ROW(t.a, …), ROW(v.p2, …)) of the columns with these bits; false if there are none. */
static bool
append_image_eq(Builder *b, const char *before, int bits, bool old, bool all)
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
		appendStringInfo(&left, "%s%s", n ? ", " : "", target_value(b, i));
		appendStringInfo(&right, "%s%s", n ? ", " : "", target_form(b, i, old));
		n++;
	}
	if (n > 0)
		appendStringInfo(&b->sql, "%spg_catalog.record_image_eq(ROW(%s), ROW(%s))", before, left.data, right.data);
	return n > 0;
}

/* The columns' default equality, text where a type has none, NULL equal to NULL. */
static void
append_old_holds(Builder *b, int bits)
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
		have = target_value(b, i);
		want = target_form(b, i, true);
		appendStringInfo(&b->sql, "%s(CASE WHEN %s IS NULL OR %s IS NULL THEN %s IS NULL AND %s IS NULL ELSE ",
						 n++ ? " AND " : "", have, want, have, want);
		if (OidIsValid(type->eq_opr))
			appendStringInfo(&b->sql, "%s %s %s END)", have, ts_quote_operator(type->eq_opr), want);
		else
			appendStringInfo(&b->sql, "(%s)::pg_catalog.text OPERATOR(pg_catalog.=) (%s)::pg_catalog.text END)", have, want);
	}
	if (n == 0)
		appendStringInfoString(&b->sql, "true");
}

static void
append_key_match(Builder *b)
{
	const TsLink *link = b->link;
	bool		old = b->stmt->op == TS_CHANGE_DELETE || ts_change_moves(link, b->mask);

	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(&b->sql, "%s%s %s %s", i ? " AND " : "", target_value(b, link->keys[i]),
						 ts_quote_operator(col->key_eq_op), key_form(b, link->keys[i], old));
	}
}

static const char *
only(const TsLink *link)
{
	return link->target_partitioned ? "" : "ONLY ";
}

static void
append_set(Builder *b, bool everything)
{
	int			n = 0;

	for (int i = 0; i < b->link->ncolumns; i++)
	{
		const TsColumn *col = &b->link->columns[i];

		/* a key that is equal may be written otherwise: 'a' and 'A' in citext */
		if (everything ? col->is_key && (col->byval || col->identity_always) : (b->mask[i] & TS_COLUMN_CHANGED) == 0)
			continue;
		appendStringInfo(&b->sql, "%s%s = %s", n++ ? ", " : "", quote_identifier(b->link->columns[i].target_name),
						 source_value(b, i, false));
	}
	/* a table of nothing but its key: write something */
	if (n == 0)
		appendStringInfo(&b->sql, "%s = %s", quote_identifier(b->link->columns[b->link->keys[0]].target_name),
						 source_value(b, b->link->keys[0], false));
}

static void
build_park(Builder *b)
{
	const TsColumn *col = &b->link->columns[ts_parking_column(b->link)];
	const char *name = quote_identifier(col->target_name);

	appendStringInfo(&b->sql, "UPDATE %s%s AS t\n   SET %s = %s\n  FROM ", only(b->link), ts_link_target(b->link), name, ts_parking_value(b->link, col));
	append_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	append_key_match(b);
	appendStringInfo(&b->sql, "\nRETURNING t.%s::pg_catalog.text", name);
}

static void
build_delete(Builder *b, bool anyway)
{
	appendStringInfo(&b->sql, "DELETE FROM %s%s AS t\n USING ", only(b->link), ts_link_target(b->link));
	append_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	append_key_match(b);
	if (anyway)
		return;
	if (!b->text_keys)
		append_image_eq(b, " AND ", TS_COLUMN_KNOWN, true, false);
	/* a row that is gone could not be told from one that this statement deleted */
	appendStringInfo(&b->sql, "\nRETURNING v.p%d", param(b, -1, false));
}

static void
build_update(Builder *b, bool anyway, bool everything)
{
	appendStringInfo(&b->sql, "UPDATE %s%s AS t\n   SET ", only(b->link), ts_link_target(b->link));
	append_set(b, everything);
	appendStringInfoString(&b->sql, "\n  FROM ");
	append_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	append_key_match(b);
	if (anyway)
		return;
	append_image_eq(b, " AND ", TS_COLUMN_CHANGED | TS_COLUMN_KNOWN, true, false);
	/* without an old value to compare: a row that holds the new ones is not written */
	if (ts_change_has_unknown(b->link, b->mask))
		append_image_eq(b, " AND NOT ", TS_COLUMN_CHANGED, false, false);
	/* what a trigger of the target makes of a row must not look like a conflict */
	appendStringInfo(&b->sql, "\nRETURNING v.p%d", param(b, -1, false));
}

static void
build_insert(Builder *b)
{
	const TsLink *link = b->link;

	appendStringInfo(&b->sql, "INSERT INTO %s AS t (", ts_link_target(link));
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&b->sql, "%s%s", i ? ", " : "", quote_identifier(link->columns[i].target_name));
	appendStringInfoString(&b->sql, ")");
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].identity_always)
		{
			appendStringInfoString(&b->sql, " OVERRIDING SYSTEM VALUE");
			break;
		}
	appendStringInfoString(&b->sql, "\nSELECT ");
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&b->sql, "%s%s", i ? ", " : "", source_value(b, i, false));
	appendStringInfoString(&b->sql, "\n  FROM ");
	append_rows(b);
	if (b->stmt->kind == TS_STATEMENT_INSERT_ALL)
		return;
	if (link->arbiter)
	{
		appendStringInfoString(&b->sql, "\n    ON CONFLICT (");
		for (int i = 0; i < link->nkeys; i++)
			appendStringInfo(&b->sql, "%s%s", i ? ", " : "", quote_identifier(link->columns[link->keys[i]].target_name));
		appendStringInfoString(&b->sql, ") DO NOTHING");
	}
	else
	{
		/* a deferrable unique constraint cannot arbitrate */
		appendStringInfo(&b->sql, "\n WHERE NOT EXISTS (SELECT FROM %s%s AS t WHERE ", only(link), ts_link_target(link));
		append_key_match(b);
		appendStringInfoChar(&b->sql, ')');
	}
}

static void
build_look(Builder *b)
{
	TsChangeOp	op = b->stmt->op;

	appendStringInfo(&b->sql, "SELECT v.p%d, ", param(b, -1, false));
	if (op == TS_CHANGE_DELETE || !append_image_eq(b, "", TS_COLUMN_CHANGED, false, op == TS_CHANGE_INSERT))
		appendStringInfoString(&b->sql, "false");
	appendStringInfoString(&b->sql, ", ");
	if (op == TS_CHANGE_INSERT)
		appendStringInfoString(&b->sql, "false");
	else if (b->text_keys)
		appendStringInfoString(&b->sql, "true");
	else
		append_old_holds(b, op == TS_CHANGE_UPDATE ? TS_COLUMN_CHANGED | TS_COLUMN_KNOWN : TS_COLUMN_KNOWN);
	appendStringInfoString(&b->sql, ", pg_catalog.to_jsonb(t.*)\n  FROM ");
	append_rows(b);
	appendStringInfo(&b->sql, "\n  JOIN %s AS t ON ", b->stmt->kind == TS_STATEMENT_PEEK ? ts_diff_target(b->link) :
					 psprintf("%s%s", only(b->link), ts_link_target(b->link)));
	append_key_match(b);
	appendStringInfoString(&b->sql, b->stmt->kind == TS_STATEMENT_PEEK ? "" : "\n   FOR UPDATE OF t");
}

/* Could the columns of one side travel as rows of the target's type, and is it worth it? */
static bool
rows_fit(const Builder *b, bool old)
{
	int			n = 0;

	if (!OidIsValid(b->link->target) || b->text_keys || b->link->foreseen)
		return false;
	for (int i = 0; i < b->stmt->nparams; i++)
	{
		const TsParam *p = &b->stmt->params[i];
		const TsColumn *col = p->kind == TS_PARAM_COLUMN ? &b->link->columns[p->column] : NULL;

		if (col == NULL || p->old != old)
			continue;
		n++;
		if (col->target_type != col->source_type ||
			(col->target_typmod != -1 && col->target_typmod != col->source_typmod))
			return false;
	}
	return n >= ROWS_FROM_COLUMNS;
}

/*
 * Puts one array of rows in the place of the column arrays of each side that has many: unnesting an array costs as much per
 * value as a whole row does. The names v.p<n> stay.
 */
static void
gather_rows(Builder *b)
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
append_row_aliases(Builder *b, StringInfo out, bool old)
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

/* Puts the row source in its place. */
static char *
insert_rows(Builder *b)
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

TsStatement *
ts_statement_build(const TsLink *link, TsStatementKind kind, TsChangeOp op, const unsigned char *mask, bool text_keys)
{
	Builder		b = {.link = link, .mask = mask, .text_keys = text_keys && op == TS_CHANGE_DELETE};

	b.stmt = palloc0(sizeof(TsStatement));
	b.stmt->kind = kind;
	b.stmt->op = op;
	b.stmt->params = palloc0(sizeof(TsParam) * (2 * link->ncolumns + 1));
	initStringInfo(&b.sql);
	/* the key comes first */
	for (int i = 0; i < link->nkeys; i++)
		(void) param(&b, link->keys[i], op == TS_CHANGE_DELETE || ts_change_moves(link, mask));
	switch (kind)
	{
		case TS_STATEMENT_DELETE:
			build_delete(&b, false);
			break;
		case TS_STATEMENT_DELETE_ANYWAY:
			build_delete(&b, true);
			break;
		case TS_STATEMENT_UPDATE:
			build_update(&b, false, false);
			break;
		case TS_STATEMENT_UPDATE_ANYWAY:
			build_update(&b, true, false);
			break;
		case TS_STATEMENT_OVERWRITE:
			build_update(&b, true, true);
			break;
		case TS_STATEMENT_INSERT:
		case TS_STATEMENT_INSERT_ALL:
			build_insert(&b);
			break;
		case TS_STATEMENT_LOOK:
		case TS_STATEMENT_PEEK:
			build_look(&b);
			break;
		case TS_STATEMENT_PARK:
			build_park(&b);
			break;
	}
	b.stmt->sql = insert_rows(&b);
	return b.stmt;
}
