/*
 * statement.c: the SQL of a plan.
 *
 *   DELETE FROM ONLY s.t AS t USING ROWS FROM (unnest($1::int4[]), unnest($2::text[])) AS v(p1, p2)
 *    WHERE t.k OPERATOR(pg_catalog.=) v.p1 AND record_image_eq(ROW(t.k, t.a), ROW(v.p1, v.p2))
 *   UPDATE ONLY s.t AS t SET a = v.p2 FROM ROWS FROM (…) AS v(p1, p2, p3)
 *    WHERE t.k OPERATOR(pg_catalog.=) v.p1 AND record_image_eq(ROW(t.a), ROW(v.p3))
 *   INSERT INTO s.t AS t (k, a) OVERRIDING SYSTEM VALUE SELECT v.p1, v.p2 FROM ROWS FROM (…) AS v(p1, p2)
 *    ON CONFLICT (k) DO NOTHING
 *   SELECT v.p9, record_image_eq(<new>), <old by default equality>, to_jsonb(t), <whose it is> FROM ROWS FROM (…) AS v(…)
 *     JOIN ONLY s.t AS t ON … FOR UPDATE OF t
 *
 * Where three or more columns of one side are needed and source and target agree in their types, they travel as one array of
 * rows of the target's type, else as an array per column.
 *
 * Values whose type cannot be an array's element travel as text and are cast back. Where the target's type differs, and the cast may lose
 * something or fail, they travel as the target's column would hold them (link/fit.h); else the statement casts them.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "link/remote.h"
#include "link/rows.h"
#include "plan/builder.h"
#include "plan/holders.h"

static void
append_set(TsBuilder *b, bool everything)
{
	int			n = 0;

	for (int i = 0; i < b->link->ncolumns; i++)
	{
		const TsColumn *col = &b->link->columns[i];

		/* a key that is equal may be written otherwise: 'a' and 'A' in citext */
		if (everything ? col->is_key && (col->byval || col->identity_always) : (b->mask[i] & TS_COLUMN_CHANGED) == 0)
			continue;
		appendStringInfo(&b->sql, "%s%s = %s", n++ ? ", " : "", quote_identifier(b->link->columns[i].target_name),
						 ts_build_source_value(b, i, false));
	}
	/* a table of nothing but its key: write something */
	if (n == 0)
		appendStringInfo(&b->sql, "%s = %s", quote_identifier(b->link->columns[b->link->keys[0]].target_name),
						 ts_build_source_value(b, b->link->keys[0], false));
}

static void
build_delete(TsBuilder *b, bool anyway)
{
	appendStringInfo(&b->sql, "DELETE FROM %s%s AS t\n USING ", ts_build_only(b->link), ts_link_target(b->link));
	ts_build_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	ts_build_key_match(b);
	if (anyway)
		return;
	if (!b->text_keys)
		ts_build_image_eq(b, " AND ", TS_COLUMN_KNOWN, true, false);
	/* a row that is another link's by now */
	appendStringInfoString(&b->sql, ts_target_rows_condition(b->link));
	/* a row that is gone could not be told from one that this statement deleted */
	appendStringInfo(&b->sql, "\nRETURNING v.p%d", ts_build_param(b, -1, false));
}

static void
build_update(TsBuilder *b, bool anyway, bool everything)
{
	appendStringInfo(&b->sql, "UPDATE %s%s AS t\n   SET ", ts_build_only(b->link), ts_link_target(b->link));
	append_set(b, everything);
	appendStringInfoString(&b->sql, "\n  FROM ");
	ts_build_rows(b);
	appendStringInfoString(&b->sql, "\n WHERE ");
	ts_build_key_match(b);
	if (anyway)
		return;
	if (b->link->shared == TS_SHARED)
		appendStringInfoString(&b->sql, ts_target_rows_condition(b->link));
	ts_build_image_eq(b, " AND ", TS_COLUMN_CHANGED | TS_COLUMN_KNOWN, true, false);
	/* without an old value to compare: a row that holds the new ones is not written */
	if (ts_change_has_unknown(b->link, b->mask))
		ts_build_image_eq(b, " AND NOT ", TS_COLUMN_CHANGED, false, false);
	/* what a trigger of the target makes of a row must not look like a conflict */
	appendStringInfo(&b->sql, "\nRETURNING v.p%d", ts_build_param(b, -1, false));
}

static void
build_insert(TsBuilder *b)
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
		appendStringInfo(&b->sql, "%s%s", i ? ", " : "", ts_build_source_value(b, i, false));
	appendStringInfoString(&b->sql, "\n  FROM ");
	ts_build_rows(b);
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
		appendStringInfo(&b->sql, "\n WHERE NOT EXISTS (SELECT FROM %s%s AS t WHERE ", ts_build_only(link), ts_link_target(link));
		ts_build_key_match(b);
		appendStringInfoChar(&b->sql, ')');
	}
}

static void
build_look(TsBuilder *b)
{
	TsChangeOp	op = b->stmt->op;

	appendStringInfo(&b->sql, "SELECT v.p%d, ", ts_build_param(b, -1, false));
	if (op == TS_CHANGE_DELETE || !ts_build_image_eq(b, "", TS_COLUMN_CHANGED, false, op == TS_CHANGE_INSERT))
		appendStringInfoString(&b->sql, "false");
	appendStringInfoString(&b->sql, ", ");
	if (op == TS_CHANGE_INSERT)
		appendStringInfoString(&b->sql, "false");
	else if (b->text_keys)
		appendStringInfoString(&b->sql, "true");
	else
		ts_build_old_holds(b, op == TS_CHANGE_UPDATE ? TS_COLUMN_CHANGED | TS_COLUMN_KNOWN : TS_COLUMN_KNOWN);
	appendStringInfo(&b->sql, ", pg_catalog.to_jsonb(t.*), %s%s\n  FROM ", b->link->whose && !b->link->foreseen ? b->link->whose : "'o'",
					 b->stmt->kind == TS_STATEMENT_LOOK ? ", (t.*)::pg_catalog.text" : "");
	ts_build_rows(b);
	appendStringInfo(&b->sql, "\n  JOIN %s AS t ON ", b->stmt->kind == TS_STATEMENT_PEEK ? ts_diff_target(b->link) :
					 psprintf("%s%s", ts_build_only(b->link), ts_link_target(b->link)));
	ts_build_key_match(b);
	/* rows on several nodes cannot be locked one by one: the target's table is, before */
	appendStringInfoString(&b->sql, b->stmt->kind == TS_STATEMENT_PEEK || ts_target_is_sharded(b->link) ? "" : "\n   FOR UPDATE OF t");
}

TsStatement *
ts_statement_build(const TsLink *link, TsStatementKind kind, TsChangeOp op, const unsigned char *mask, bool text_keys)
{
	TsBuilder		b = {.link = link, .mask = mask, .text_keys = text_keys && op == TS_CHANGE_DELETE};

	b.stmt = palloc0(sizeof(TsStatement));
	b.stmt->kind = kind;
	b.stmt->op = op;
	b.stmt->params = palloc0(sizeof(TsParam) * (2 * link->ncolumns + 1));
	b.stmt->fits = palloc0(sizeof(struct TsFit *) * (link->ncolumns + 1));
	initStringInfo(&b.sql);
	/* the key comes first */
	for (int i = 0; i < link->nkeys; i++)
		(void) ts_build_param(&b, link->keys[i], op == TS_CHANGE_DELETE || ts_change_moves(link, mask));
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
		case TS_STATEMENT_HOLDERS:
			ts_holders_build(&b);
			break;
		case TS_STATEMENT_IDENTIFY:
			ts_holders_build_identify(&b);
			break;
		case TS_STATEMENT_VACATE:
			ts_holders_build_vacate(&b, false);
			break;
		case TS_STATEMENT_VACATE_ANYWAY:
			ts_holders_build_vacate(&b, true);
			break;
	}
	b.stmt->sql = ts_build_finish(&b);
	return b.stmt;
}
