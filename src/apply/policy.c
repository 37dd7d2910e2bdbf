/* policy.c: what a link's on_conflict makes of a conflict. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "apply/policy.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "plan/keep.h"

#define NARGS 5

/* Runs a query of one jsonb value, with the dispute as $1 … $5; NULL if that is its result. In the current context. */
static char *
ask(const TsDispute *dispute, const char *sql)
{
	static const Oid types[NARGS] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	const char *args[NARGS] = {ts_conflict_name(dispute->kind), dispute->key, dispute->old, dispute->source, dispute->target};
	Datum		values[NARGS];
	char		nulls[NARGS + 1] = "     ";
	MemoryContext context = CurrentMemoryContext;
	char	   *result;

	for (int i = 0; i < NARGS; i++)
	{
		values[i] = args[i] ? CStringGetTextDatum(args[i]) : (Datum) 0;
		nulls[i] = args[i] ? ' ' : 'n';
	}
	SPI_connect();
	if (SPI_execute_with_args(sql, NARGS, (Oid *) types, values, nulls, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run: %s", sql);
	result = ts_keep(context, ts_sql_text(0, 1));
	SPI_finish();
	return result;
}

/* Is the text the object of a row with this key? */
static void
check_key(const TsLink *link, const TsDispute *dispute, const char *row)
{
	TsDispute	both = *dispute;

	both.target = unconstify(char *, row);
	if (strcmp(ask(&both, "SELECT coalesce($5::pg_catalog.jsonb OPERATOR(pg_catalog.@>) $2::pg_catalog.jsonb, false) FROM (SELECT $1, $3, $4) unused"), "t") == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the function that decides conflicts of link \"%s\" returned a row with another key", link->name),
			 errdetail("The key is %s, the row %s.", dispute->key, row),
			 errhint("Let it return the source's or the target's row, changed but for the key, or NULL.")));
}

static char *
call_function(const TsLink *link, const TsDispute *dispute)
{
	Oid			function = link->conflict_function;
	char	   *row;

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the function that decides conflicts of link \"%s\" does not exist", link->name),
				 errhint("Make it anew, or name another policy: tracksync.alter_link(%s, on_conflict => …).", quote_literal_cstr(link->name))));
	row = ask(dispute, psprintf("SELECT %s($1, $2::pg_catalog.jsonb, $3::pg_catalog.jsonb, $4::pg_catalog.jsonb, $5::pg_catalog.jsonb)",
								quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), get_func_name(function))));
	if (row != NULL)
		check_key(link, dispute, row);
	return row;
}

/* The rule for a column that both sides changed; NULL = none. */
static const char *
rule_of(const TsLink *link, const TsColumn *col)
{
	static const Oid types[] = {TEXTOID, INT2OID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name), Int16GetDatum(col ? col->attnum : InvalidAttrNumber),
	CStringGetTextDatum(col && col->value ? col->target_name : "")};
	MemoryContext context = CurrentMemoryContext;
	char	   *rule = NULL;
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	if (ts_sql("SELECT rule FROM tracksync.merge_rule WHERE link = $1 AND attnum = $2 AND column_name = $3", SPI_OK_SELECT, 3, types, values, NULL) == 1)
		rule = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return rule;
}

/* One column of a row that is JSON, as its base type: no operator or check that somebody made for a domain has a say. */
static char *
typed(const char *row, const TsColumn *col)
{
	const char *name = quote_identifier(col->target_name);

	return psprintf("(SELECT q.%s FROM pg_catalog.jsonb_to_record(%s) AS q(%s %s))", name, row, name, ts_quote_type(col->target_base, -1));
}

/* The source's value, JSON; NULL, which is no decision, where a null may be that of the column or that of JSON. SQL. */
static char *
source_field(const TsColumn *col, const char *key)
{
	char	   *field = psprintf("pg_catalog.jsonb_object_field(x.s, %s)", key);

	return col->target_base == JSONBOID || col->target_base == JSONOID ?
		psprintf("CASE WHEN NOT pg_catalog.jsonb_eq(%s, 'null') THEN %s END", field, field) : field;
}

/* What becomes of a column that both sides changed, as JSON; SQL. */
static char *
clash(const TsLink *link, const TsColumn *col, const char *key)
{
	/* an ignored column goes along, and never makes a conflict */
	const char *rule = col->ignored ? "source" : rule_of(link, col);
	char	   *o = typed("x.o", col),
			   *s = typed("x.s", col),
			   *t = typed("x.t", col);

	if (rule == NULL)
		return pstrdup("NULL");
	if (strcmp(rule, "source") == 0)
		return source_field(col, key);
	if (strcmp(rule, "target") == 0)
		return psprintf("pg_catalog.jsonb_object_field(x.t, %s)", key);
	if (strcmp(rule, "add") == 0)
		return psprintf("coalesce(pg_catalog.to_jsonb(%s OPERATOR(pg_catalog.+) CASE WHEN %s IS NULL THEN %s ELSE %s OPERATOR(pg_catalog.-) %s END), 'null')",
						t, o, s, s, o);
	return psprintf("coalesce(pg_catalog.to_jsonb(%s(%s, %s)), 'null')", rule, s, t);
}

static bool
adds(TsWriter *writer, int column)
{
	const TsLink *link = writer->link;

	if (writer->adds == NULL)
	{
		writer->adds = MemoryContextAllocZero(writer->context, sizeof(bool) * (link->ncolumns + 1));
		for (int i = 0; i < link->ncolumns; i++)
		{
			const char *rule = link->columns[i].ignored ? NULL : rule_of(link, &link->columns[i]);

			writer->adds[i] = rule != NULL && strcmp(rule, "add") == 0;
		}
	}
	return writer->adds[column];
}

bool
ts_policy_counts(TsWriter *writer, TsChangeOp op, const TsChange *row)
{
	const int	both = TS_COLUMN_CHANGED | TS_COLUMN_KNOWN;

	/* of a target that is a copy, whoever made it equal by hand has mended it */
	if (writer->link->on_conflict != TS_CONFLICT_MERGE || row->moved || !writer->back)
		return false;
	for (int i = 0; i < writer->link->ncolumns; i++)
		if ((op == TS_CHANGE_INSERT || (row->mask[i] & both) == both) && adds(writer, i))
			return true;
	return false;
}

bool
ts_policy_same_in_json(const TsColumn *col)
{
	static const Oid numbers[] = {INT2OID, INT4OID, INT8OID, NUMERICOID};
	Oid			source = getBaseType(col->source_type);
	int			found = 0;

	for (int i = 0; i < lengthof(numbers); i++)
		found += (source == numbers[i]) + (col->target_base == numbers[i]);
	return source == col->target_base || found == 2 ||
		((source == TEXTOID || source == VARCHAROID) && (col->target_base == TEXTOID || col->target_base == VARCHAROID));
}

/*
 * The query that merges: the target's row with the columns that the source changed; NULL if both changed one that has no rule. A
 * column that the target has unchanged takes the source's value. x: the rows o before, s of the source, t of the target; c: a column's
 * name and what that name stands for in each.
 */
static char *
merge_query(TsWriter *writer)
{
	const TsLink *link = writer->link;
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT CASE WHEN pg_catalog.bool_and(m.value IS NOT NULL) THEN pg_catalog.jsonb_object_agg(m.name, m.value) END FROM "
						   "(SELECT $3::pg_catalog.jsonb, $4::pg_catalog.jsonb, $5::pg_catalog.jsonb, $1, $2) x(o, s, t, kind, key), LATERAL (");
	for (int i = 0; i < link->ncolumns; i++)
	{
		char	   *key = quote_literal_cstr(link->columns[i].target_name);

		if (!ts_policy_same_in_json(&link->columns[i]))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("conflicts of link \"%s\" cannot be merged: column %s has another type in the source", link->name,
							quote_identifier(link->columns[i].target_name)),
					 errhint("Give both the same type, or name another policy: tracksync.alter_link(%s, on_conflict => …).", quote_literal_cstr(link->name))));
		/* an old value that is not known is no base to add to */
		appendStringInfo(&sql, "%sSELECT c.name, CASE WHEN c.s IS NULL%s THEN c.t "
						 "WHEN %s THEN NULL WHEN pg_catalog.jsonb_eq(c.o, c.t) THEN %s WHEN pg_catalog.jsonb_eq(c.o, c.s) THEN c.t ELSE %s END FROM (SELECT %s, pg_catalog.jsonb_object_field(x.o, %s), "
						 "pg_catalog.jsonb_object_field(x.s, %s), pg_catalog.jsonb_object_field(x.t, %s)) c(name, o, s, t)",
						 i ? " UNION ALL " : "", adds(writer, i) && writer->back ? "" : " OR pg_catalog.jsonb_eq(c.s, c.t)",
						 adds(writer, i) ? "c.o IS NULL AND x.kind OPERATOR(pg_catalog.<>) 'insert_exists'" : "false", source_field(&link->columns[i], key), clash(link, &link->columns[i], key), key, key, key, key);
	}
	appendStringInfoString(&sql, ") m(name, value)");
	MemoryContextSwitchTo(old);
	return sql.data;
}

char *
ts_policy_merge(TsWriter *writer, const TsDispute *dispute)
{
	/* a row that one side deleted and the other one changed */
	if (dispute->source == NULL || dispute->target == NULL)
		return NULL;
	if (writer->merge == NULL)
		writer->merge = merge_query(writer);
	return ask(dispute, writer->merge);
}

const char *
ts_policy_row_rule(const TsLink *link, const TsDispute *dispute)
{
	return dispute->source == NULL || dispute->target == NULL ? rule_of(link, NULL) : NULL;
}

static void
put_by(TsWriter *writer, const char *row, const char *over)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	writer->kept = lappend(writer->kept, pstrdup(row));
	writer->kept_over = lappend(writer->kept_over, pstrdup(over));
	MemoryContextSwitchTo(old);
}

/*
 * A target that is tracked gets the source's change first, which its log knows for the source's, and then, as a change of its own, what the
 * policy makes of it: so its log tells what the source has, and what it does not have yet. Where that is the same, nothing. Columns that the
 * policy leaves as the target had them get their values back.
 * "then": the row with the source's change. What the policy does not name it leaves to the target, or makes it NULL in a row that is new.
 */
static void
keep_after(TsWriter *writer, const TsDispute *dispute, char *row)
{
	TsDispute	d = *dispute;
	bool		restore = dispute->target_text != NULL;
	char	   *written = dispute->written ? dispute->written : dispute->source;

	if (dispute->target == NULL)
		written = dispute->source;
	/* $3: then; $4: as the policy wants it; $5: what that is written over */
	d.source = written;
	d.old = ask(&d, "SELECT coalesce($5::pg_catalog.jsonb, '{}') OPERATOR(pg_catalog.||) $4::pg_catalog.jsonb FROM (SELECT $1, $2, $3) unused");
	d.source = row;
	d.source = ask(&d, dispute->target != NULL ? "SELECT $5::pg_catalog.jsonb OPERATOR(pg_catalog.||) $4::pg_catalog.jsonb FROM (SELECT $1, $2, $3) unused" :
				   "SELECT pg_catalog.jsonb_object_agg(e.key, coalesce(pg_catalog.jsonb_object_field($4::pg_catalog.jsonb, e.key), 'null')) "
				   "FROM pg_catalog.jsonb_each($3::pg_catalog.jsonb) AS e, (SELECT $1, $2, $5) unused");
	if (strcmp(ask(&d, "SELECT $3::pg_catalog.jsonb OPERATOR(pg_catalog.=) $4::pg_catalog.jsonb FROM (SELECT $1, $2, $5) unused"), "t") == 0)
		return;
	if (!restore)
		d.target = d.old;
	put_by(writer, ask(&d, "SELECT (SELECT pg_catalog.jsonb_object_agg(e.key, e.value) FROM pg_catalog.jsonb_each($4::pg_catalog.jsonb) AS e "
					   "WHERE pg_catalog.jsonb_exists($2::pg_catalog.jsonb, e.key) OR pg_catalog.jsonb_eq(e.value, "
					   "pg_catalog.jsonb_object_field($5::pg_catalog.jsonb, e.key)) IS NOT TRUE) FROM (SELECT $1, $3) unused"),
		   restore ? dispute->target_text : "");
}

/* To be written later: the key, and the columns that differ. JSON cannot show all values of all types: what is right stays as it is. */
static void
keep(TsWriter *writer, const TsDispute *dispute, char *row)
{
	TsDispute	both = *dispute;
	MemoryContext old;

	both.source = row;
	if (dispute->target != NULL)
		row = ask(&both, "SELECT (SELECT pg_catalog.jsonb_object_agg(e.key, e.value) FROM pg_catalog.jsonb_each($4::pg_catalog.jsonb) AS e "
				  "WHERE pg_catalog.jsonb_exists($2::pg_catalog.jsonb, e.key) OR pg_catalog.jsonb_eq(e.value, "
				  "pg_catalog.jsonb_object_field($5::pg_catalog.jsonb, e.key)) IS NOT TRUE) FROM (SELECT $1, $3) unused");
	if (dispute->target != NULL)
	{
		put_by(writer, row, "");
		return;
	}
	old = MemoryContextSwitchTo(writer->context);
	writer->kept_new = lappend(writer->kept_new, pstrdup(row));
	MemoryContextSwitchTo(old);
}

/* What a policy made of a row; is the source's change to be made first? */
static bool
keep_result(TsWriter *writer, const TsDispute *dispute, char *row)
{
	bool		first = writer->tracked && dispute->source != NULL;

	(first ? keep_after : keep) (writer, dispute, row);
	return first;
}

/* A row that one side deleted and the other one changed; is the source's change to be made? */
static bool
apply_row_rule(const TsLink *link, const TsDispute *d, const char **resolution)
{
	const char *rule = ts_policy_row_rule(link, d);
	bool		keeps;

	/* under its new key it can come back, if that is free */
	if (rule == NULL || (d->moved && d->target != NULL))
		return false;
	keeps = strcmp(rule, "keep") == 0;
	*resolution = keeps ? "merge: row kept" : "merge: row deleted";
	return keeps ? d->target == NULL : d->source == NULL;
}

bool
ts_policy_decide(TsWriter *writer, const TsDispute *d)
{
	const TsLink *link = writer->link;
	const char *resolution = NULL;
	bool		source = false;
	char	   *row;

	writer->deciding = true;
	switch (link->on_conflict)
	{
		case TS_CONFLICT_ERROR:
			break;
		case TS_CONFLICT_SOURCE_WINS:
			source = true;
			resolution = "source_wins";
			break;
		case TS_CONFLICT_TARGET_WINS:
			resolution = "target_wins";
			break;
		case TS_CONFLICT_MERGE:
			if (d->source == NULL || d->target == NULL)
				source = apply_row_rule(link, d, &resolution);
			row = d->moved ? NULL : ts_policy_merge(writer, d);
			if (row == NULL)
				break;
			source = keep_result(writer, d, row);
			resolution = "merge";
			break;
		case TS_CONFLICT_FUNCTION:
			/* what they decide is written under the row's key, and this one has two */
			if (d->moved)
				break;
			row = call_function(link, d);
			if (row != NULL)
				source = keep_result(writer, d, row);
			resolution = row ? "function" : "function: target left alone";
			break;
	}
	writer->deciding = false;
	if (resolution)
		ts_conflict_record(link, d->kind, d->key, d->source, d->target, resolution);
	else
		ts_conflict_refuse(&writer->conflicts, d->kind, d->key, d->source, d->target, writer->context);
	return source;
}

Datum
ts_policy_texts(const List *rows)
{
	Datum	   *texts = palloc(sizeof(Datum) * (list_length(rows) + 1));
	ListCell   *lc;
	int			i = 0;

	foreach(lc, rows)
		texts[i++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(texts, i, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A statement for rows that are JSON; all of them must be written. */
static void
write_kept(TsWriter *writer, TsStatement *stmt, const List *rows, const List *over)
{
	int			n = list_length(rows);
	Datum		arrays[2];

	if (n == 0)
		return;
	arrays[0] = ts_policy_texts(rows);
	arrays[1] = ts_policy_texts(over);
	if (writer->target->ops->execute(writer->target, stmt, arrays, NULL, NULL) != (uint64) n)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("table %s did not take a row that a policy decided on, of link \"%s\"", ts_link_target(writer->link), writer->link->name),
				 errdetail("A trigger or rule of the table suppressed the change."),
				 errhint("Let the trigger return the row, or disable it for the role that pushes.")));
}

void
ts_policy_write(TsWriter *writer)
{
	write_kept(writer, ts_keep_update(writer->link), writer->kept, writer->kept_over);
	/* one that came meanwhile has not been decided on: 23505 */
	write_kept(writer, ts_keep_insert(writer->link), writer->kept_new, NIL);
	list_free_deep(writer->kept);
	list_free_deep(writer->kept_over);
	list_free_deep(writer->kept_new);
	writer->kept = writer->kept_over = writer->kept_new = NIL;
}
