/* images.c: what the target should hold while a row is in quarantine. */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "apply/fitting.h"
#include "apply/images.h"
#include "apply/policy.h"
#include "apply/quarantine.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "link/ask.h"
#include "link/remote.h"
#include "plan/keep.h"

typedef struct Disputed
{
	char	   *key;			/* all JSON; NULL = no row */
	char	   *image;
	char	   *row;
} Disputed;

/* A column's name in the target; before a push it may still have to be renamed. */
static const char *
name_of(const TsColumn *col, bool before)
{
	return before && col->now_name ? col->now_name : col->target_name;
}

/* FROM v(key, image), arrays $1 and $2, and the target's row h.j with that key, if there is one. */
static char *
rows_and_targets(const TsLink *link, bool before)
{
	StringInfoData sql,
				names;

	initStringInfo(&sql);
	initStringInfo(&names);
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", quote_literal_cstr(name_of(&link->columns[i], before)));
	appendStringInfo(&sql, "FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) WITH ORDINALITY AS v(key, image, n), LATERAL %s "
					 "LEFT JOIN LATERAL (SELECT (SELECT pg_catalog.jsonb_object_agg(e.key, e.value) FROM pg_catalog.jsonb_each(l.j) AS e "
					 "WHERE pg_catalog.jsonb_exists_any(pg_catalog.jsonb_build_array(e.key), ARRAY[%s])) AS j FROM "
					 "(SELECT pg_catalog.to_jsonb(t.*) AS j FROM %s%s AS t WHERE ",
					 ts_statement_key(link, "v.key", false), names.data, link->target_partitioned ? "" : "ONLY ", ts_link_target(link));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		char	   *type = ts_target_type(link, col, false);

		appendStringInfo(&sql, "%st.%s::%s %s q.%s", i ? " AND " : "", quote_identifier(name_of(col, before)), type, ts_target_operator(link, col->key_eq_op),
						 quote_identifier(col->target_name));
	}
	appendStringInfo(&sql, "%s) AS l) AS h ON true", before && !ts_target_is_sharded(link) ? " FOR UPDATE OF t" : "");
	return sql.data;
}

/* With two text arrays; NULLs in the second. Rows of texts. */
static List *
ask(const TsLink *link, const char *sql, int n, Datum *keys, Datum *images, bool *nulls)
{
	static const Oid types[] = {TEXTARRAYOID, TEXTARRAYOID};
	int			lower = 1;
	Datum		values[] = {
		PointerGetDatum(construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT)),
		PointerGetDatum(construct_md_array(images, nulls, 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT))
	};

	return ts_target_ask(link, sql, 2, types, values, NULL, false);
}

void
ts_images_take(const TsLink *link, List *bad)
{
	int			n = list_length(bad);
	Datum	   *keys = palloc(sizeof(Datum) * (n + 1));
	Datum	   *images = palloc0(sizeof(Datum) * (n + 1));
	bool	   *nulls = palloc(sizeof(bool) * (n + 1));
	List	   *rows;
	ListCell   *lc;
	int			i = 0;

	if (n == 0)
		return;
	foreach(lc, bad)
	{
		const TsBad *b = lfirst(lc);

		nulls[i] = b->before == NULL;
		images[i] = b->before ? CStringGetTextDatum(b->before) : (Datum) 0;
		keys[i++] = CStringGetTextDatum(b->key);
	}
	rows = ask(link, psprintf("SELECT (CASE WHEN v.image IS NULL THEN h.j ELSE coalesce(h.j, '{}') OPERATOR(pg_catalog.||) v.image::pg_catalog.jsonb END)::pg_catalog.text %s ORDER BY v.n",
							  rows_and_targets(link, false)), n, keys, images, nulls);
	if (list_length(rows) != n)
		elog(ERROR, "could not find the rows in quarantine again");
	i = 0;
	foreach(lc, bad)
	{
		TsBad	   *b = lfirst(lc);
		char	   *image = ((char **) list_nth(rows, i++))[0];

		/* what the source made anew was not there before */
		b->image = b->op != TS_CHANGE_INSERT ? image : NULL;
	}
}

List *
ts_images_disputed(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name)};
	MemoryContext context = CurrentMemoryContext;
	List	   *disputed = NIL;
	Datum	   *keys,
			   *images;
	bool	   *nulls;
	List	   *rows;
	ListCell   *lc;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql("SELECT key::text, image::text FROM tracksync.quarantine_record WHERE link = $1 ORDER BY key", SPI_OK_SELECT, 1, types, values, NULL);
	keys = MemoryContextAlloc(context, sizeof(Datum) * (n + 1));
	images = MemoryContextAllocZero(context, sizeof(Datum) * (n + 1));
	nulls = MemoryContextAlloc(context, sizeof(bool) * (n + 1));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		char	   *image = ts_sql_text(i, 2);

		keys[i] = CStringGetTextDatum(ts_sql_text(i, 1));
		nulls[i] = image == NULL;
		if (image)
			images[i] = CStringGetTextDatum(image);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	if (n == 0)
		return NIL;
	/* columns that came or went since are no matter; a key looks as it does under today's settings, TimeZone say */
	rows = ask(link, psprintf("SELECT %s, v.image, h.j::pg_catalog.text %s WHERE CASE WHEN v.image IS NULL THEN h.j IS NOT NULL WHEN h.j IS NULL THEN true "
							  "ELSE EXISTS (SELECT FROM pg_catalog.jsonb_each(v.image::pg_catalog.jsonb) AS e WHERE pg_catalog.jsonb_exists(h.j, e.key) "
							  "AND NOT pg_catalog.jsonb_eq(pg_catalog.jsonb_object_field(h.j, e.key), e.value)) END", ts_statement_key_text(link, "q"), rows_and_targets(link, true)),
			   (int) n, keys, images, nulls);
	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		Disputed   *d = palloc0(sizeof(Disputed));

		d->key = row[0];
		d->image = row[1];
		d->row = row[2];
		disputed = lappend(disputed, d);
	}
	return disputed;
}

static const Disputed *
find(const TsWriter *writer, const char *key)
{
	ListCell   *lc;

	foreach(lc, writer->disputed)
		if (strcmp(((Disputed *) lfirst(lc))->key, key) == 0)
			return lfirst(lc);
	return NULL;
}

/* A disputed row, and its change. */
typedef struct Settling
{
	TsWriter   *writer;
	const Disputed *d;
	TsBatch		batch;			/* of this one row */
	char	   *source;			/* JSON; NULL for a DELETE */
	unsigned char *mask;		/* of an UPDATE: what the source changed */
	bool		changed;		/* it changed something, */
	bool		clash;			/* and somebody else the same at the target */
	int			done;
} Settling;

static TsColumn *
find_column(const TsLink *link, const char *name)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (strcmp(link->columns[i].target_name, name) == 0)
			return &link->columns[i];
	return NULL;
}

/* Which columns has the source changed since the image? What JSON does not show, but a comparison found, it did. */
static void
find_changes(Settling *s)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(s->source), CStringGetTextDatum(s->d->image), CStringGetTextDatum(s->d->row)};
	const TsLink *link = s->writer->link;
	const TsChange *row = &s->batch.rows[0];

	SPI_connect();
	if (SPI_execute_with_args("SELECT e.key, i.v IS DISTINCT FROM e.value::text, t.v IS DISTINCT FROM i.v, t.v IS DISTINCT FROM e.value::text "
							  "FROM pg_catalog.jsonb_each($1::pg_catalog.jsonb) AS e, "
							  "LATERAL (SELECT pg_catalog.jsonb_object_field($2::pg_catalog.jsonb, e.key)::pg_catalog.text) AS i(v), "
							  "LATERAL (SELECT pg_catalog.jsonb_object_field($3::pg_catalog.jsonb, e.key)::pg_catalog.text) AS t(v)",
							  3, (Oid *) types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not compare a row in quarantine");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TsColumn   *col = find_column(link, ts_sql_text(i, 1));
		int			c = col != NULL ? col - link->columns : 0;
		bool		source = strcmp(ts_sql_text(i, 2), "t") == 0;
		bool		target = strcmp(ts_sql_text(i, 3), "t") == 0;
		bool		differs = strcmp(ts_sql_text(i, 4), "t") == 0;

		if (col == NULL || col->is_key || (row->mask[c] & TS_COLUMN_CHANGED) == 0 || (!source && differs && ts_policy_same_in_json(col)))
			continue;
		s->mask[c] = TS_COLUMN_CHANGED;
		s->changed |= !col->ignored;
		s->clash |= target && differs && !col->ignored;
	}
	SPI_finish();
}

static TsConflictKind
kind_of(const Settling *s)
{
	if (s->batch.op == TS_CHANGE_DELETE)
		return TS_DELETE_DIFFERS;
	return s->d->row == NULL ? TS_UPDATE_MISSING : s->d->image == NULL ? TS_INSERT_EXISTS : TS_UPDATE_DIFFERS;
}

/* The source's change is made, to the row as it was found and locked. */
static void
make_change(Settling *s)
{
	static const int one[] = {0};
	TsWriter   *writer = s->writer;

	if (s->batch.op == TS_CHANGE_DELETE)
	{
		if (s->d->row != NULL)
			ts_settle_anyway(writer, &s->batch, TS_STATEMENT_DELETE_ANYWAY, TS_CHANGE_DELETE, 1, one);
	}
	else if (s->d->row == NULL)
		ts_settle_anyway(writer, &s->batch, TS_STATEMENT_INSERT, TS_CHANGE_INSERT, 1, one);
	else if (s->batch.op == TS_CHANGE_UPDATE && s->d->image != NULL)
		ts_settle_anyway(writer, &s->batch, TS_STATEMENT_UPDATE_ANYWAY, TS_CHANGE_UPDATE, 1, one);
	else
		ts_settle_anyway(writer, &s->batch, TS_STATEMENT_OVERWRITE, TS_CHANGE_INSERT, 1, one);
}

static void
settle(void *arg)
{
	Settling   *s = arg;
	TsWriter   *writer = s->writer;
	TsDispute	dispute = {.key = s->d->key, .old = s->d->image, .source = s->source, .target = s->d->row};

	TsChange	masked = s->batch.rows[0];

	dispute.kind = kind_of(s);
	if (s->batch.op == TS_CHANGE_UPDATE && dispute.kind == TS_UPDATE_DIFFERS)
	{
		memset(s->mask, 0, writer->link->ncolumns);
		s->changed = s->clash = false;
		find_changes(s);
		if (!s->changed)
			return;
		s->batch.mask = s->mask;
		masked.mask = s->mask;
		dispute.written = ts_batch_describe(writer, &masked, TS_CHANGE_UPDATE, DESCRIBE_ROW, INT_MAX);
	}
	s->done = 1;
	/* what a policy makes of it is written as JSON */
	if (s->batch.op != TS_CHANGE_DELETE)
		ts_fitting_check(writer->link, &s->batch.rows[0], s->batch.op == TS_CHANGE_UPDATE ? s->batch.mask : NULL);
	if ((dispute.kind == TS_UPDATE_DIFFERS && s->batch.op == TS_CHANGE_UPDATE && !s->clash) || ts_policy_decide(writer, &dispute))
		make_change(s);
	ts_policy_write(writer);
}

/* One that the target does not take, or that has to wait, stays in quarantine. */
static int
settle_row(TsWriter *writer, const TsBatch *batch, int i, const Disputed *d)
{
	TsChange   *row = &batch->rows[i];
	Settling	s = {.writer = writer, .d = d, .batch = {.op = batch->op, .mask = batch->mask, .n = 1, .rows = row}};
	ErrorData  *error = NULL;

	s.mask = palloc0(writer->link->ncolumns + 1);
	if (batch->op != TS_CHANGE_DELETE)
		s.source = ts_batch_describe(writer, row, batch->op, batch->op == TS_CHANGE_UPDATE ? DESCRIBE_WHOLE : DESCRIBE_ROW, INT_MAX);
	ts_batch_announce(writer, &s.batch);
	if (writer->probing)
	{
		error = ts_quarantine_excluded(writer, batch->op, row);
		if (error == NULL)
			error = ts_quarantine_trial(writer, settle, &s);
	}
	if (error == NULL)
		settle(&s);
	else
		ts_quarantine_note(writer, batch->op, row, error);
	return error ? 0 : s.done;
}

int
ts_images_settle(TsWriter *writer, TsBatch *batch)
{
	int			n = 0,
				done = 0;

	for (int i = 0; i < batch->n; i++)
	{
		const Disputed *d = find(writer, ts_batch_describe(writer, &batch->rows[i], batch->op, DESCRIBE_KEY, INT_MAX));

		if (d == NULL)
			batch->rows[n++] = batch->rows[i];
		else
			done += settle_row(writer, batch, i, d);
	}
	batch->n = n;
	return done;
}
