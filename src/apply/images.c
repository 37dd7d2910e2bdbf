/* images.c: what the target held when a row went into quarantine. */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "apply/images.h"
#include "apply/policy.h"
#include "apply/quarantine.h"
#include "base/catalog.h"
#include "base/quote.h"
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
	appendStringInfo(&sql, "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS v(key, image, n), LATERAL %s "
					 "LEFT JOIN LATERAL (SELECT (SELECT pg_catalog.jsonb_object_agg(e.key, e.value) FROM pg_catalog.jsonb_each(l.j) AS e "
					 "WHERE pg_catalog.jsonb_exists_any(pg_catalog.jsonb_build_array(e.key), ARRAY[%s])) AS j FROM "
					 "(SELECT pg_catalog.to_jsonb(t.*) AS j FROM %s%s AS t WHERE ",
					 ts_statement_key(link, "v.key"), names.data, link->target_partitioned ? "" : "ONLY ", ts_link_target(link));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		char	   *type = ts_quote_type(col->target_base, -1);

		appendStringInfo(&sql, "%st.%s::%s %s q.%s", i ? " AND " : "", quote_identifier(name_of(col, before)), type, ts_quote_operator(col->key_eq_op),
						 quote_identifier(col->target_name));
	}
	appendStringInfo(&sql, "%s) AS l) AS h ON true", before ? " FOR UPDATE OF t" : "");
	return sql.data;
}

/* Two text arrays; NULLs in the second. */
static uint64
run(const char *sql, int n, Datum *keys, Datum *images, bool *nulls)
{
	static const Oid types[] = {TEXTARRAYOID, TEXTARRAYOID};
	int			lower = 1;
	Datum		values[] = {
		PointerGetDatum(construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT)),
		PointerGetDatum(construct_md_array(images, nulls, 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT))
	};

	if (SPI_execute_with_args(sql, 2, (Oid *) types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	return SPI_processed;
}

void
ts_images_take(const TsLink *link, List *bad)
{
	int			n = list_length(bad);
	Datum	   *keys = palloc(sizeof(Datum) * (n + 1));
	Datum	   *images = palloc0(sizeof(Datum) * (n + 1));
	bool	   *nulls = palloc(sizeof(bool) * (n + 1));
	MemoryContext context = CurrentMemoryContext;
	ListCell   *lc;
	int			i = 0;

	if (n == 0)
		return;
	foreach(lc, bad)
	{
		nulls[i] = true;
		keys[i++] = CStringGetTextDatum(((TsBad *) lfirst(lc))->key);
	}
	SPI_connect();
	if (run(psprintf("SELECT h.j::pg_catalog.text %s ORDER BY v.n", rows_and_targets(link, false)), n, keys, images, nulls) != n)
		elog(ERROR, "could not find the rows in quarantine again");
	i = 0;
	foreach(lc, bad)
	{
		char	   *image = ts_sql_text(i++, 1);

		((TsBad *) lfirst(lc))->image = image ? ts_keep(context, image) : NULL;
	}
	SPI_finish();
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
	SPI_connect();
	/* columns that came or went since are no matter; a key looks as it does under today's settings, TimeZone say */
	n = run(psprintf("SELECT %s, v.image, h.j::pg_catalog.text %s WHERE CASE WHEN v.image IS NULL THEN h.j IS NOT NULL WHEN h.j IS NULL THEN true "
					 "ELSE EXISTS (SELECT FROM pg_catalog.jsonb_each(v.image::pg_catalog.jsonb) AS e WHERE pg_catalog.jsonb_exists(h.j, e.key) "
					 "AND NOT pg_catalog.jsonb_eq(pg_catalog.jsonb_object_field(h.j, e.key), e.value)) END", ts_statement_key_text(link, "q"), rows_and_targets(link, true)),
			(int) n, keys, images, nulls);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Disputed   *d = palloc0(sizeof(Disputed));

		d->key = pstrdup(ts_sql_text(i, 1));
		d->image = ts_sql_text(i, 2) ? pstrdup(ts_sql_text(i, 2)) : NULL;
		d->row = ts_sql_text(i, 3) ? pstrdup(ts_sql_text(i, 3)) : NULL;
		disputed = lappend(disputed, d);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
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

void
ts_images_settle(TsWriter *writer, TsBatch *batch)
{
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		const TsChange *row = &batch->rows[i];
		char	   *key = ts_batch_describe(writer, row, batch->op, DESCRIBE_KEY, INT_MAX);
		const Disputed *d = find(writer, key);
		TsDispute	dispute = {.key = key, .moved = row->moved};

		if (d != NULL)
		{
			dispute.kind = batch->op == TS_CHANGE_DELETE ? TS_DELETE_DIFFERS :
				d->row == NULL ? TS_UPDATE_MISSING : d->image == NULL ? TS_INSERT_EXISTS : TS_UPDATE_DIFFERS;
			dispute.old = d->image;
			dispute.target = d->row;
			if (batch->op != TS_CHANGE_DELETE)
				dispute.source = ts_batch_describe(writer, row, batch->op, batch->op == TS_CHANGE_UPDATE ? DESCRIBE_WHOLE : DESCRIBE_ROW, INT_MAX);
		}
		if (d == NULL || ts_policy_decide(writer, &dispute))
			batch->rows[n++] = *row;
	}
	batch->n = n;
	ts_policy_write(writer);
}
