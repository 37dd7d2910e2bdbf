/*
 * diff.c: source and target compared, as a source of changes.
 *
 * Two queries, each a cursor: rows that only the target has (mirror), then rows that miss or differ. The first:
 *   SELECT t.k::text, … FROM ONLY target t WHERE t.k IS NOT NULL
 *    AND NOT EXISTS (SELECT FROM ONLY source s WHERE s.k = t.k) AND … no other link's source has the key …
 * the second:
 *   SELECT t.ctid IS NULL, NOT record_image_eq(ROW(t.a), ROW(s.a)), …, s.k, s.a, … FROM ONLY source s
 *    LEFT JOIN ONLY target t ON t.k = s.k WHERE t.ctid IS NULL OR NOT record_image_eq(ROW(t.*), ROW(s.*)) ORDER BY s.k
 * After rows were rewritten the second also tells of rows that are there, but do not pass the link's filter: they are deleted by it.
 * A column whose type differs so that a value may not fit is compared by tracksync.holds.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "link/fetch.h"
#include "link/remote.h"
#include "link/rows.h"
#include "link/trust.h"
#include "plan/change.h"
#include "plan/diff.h"
#include "plan/keep.h"
#include "plan/repeats.h"
#include "plan/statement.h"

#define FETCH_ROWS 1000

typedef struct DiffSource
{
	TsChangeSource base;
	char	   *queries[2];		/* deletes (NULL: none), the rest */
	char	   *fetched;		/* the target's rows, of one on another server; NULL: not fetched */
	struct Tuplestorestate *store;	/* they are in it */
	int			at;				/* which one is open */
	Portal		portal;
	SPITupleTable *rows;
	uint64		nrows;
	uint64		row;
	bool		leaving;		/* rows that do not pass the filter are told, too */
	Datum	   *order;			/* the key of the source's row at hand, in the log's order */
} DiffSource;

/* The target's column, and the source's value as the target would hold it, both without domains. */
char *
ts_diff_target_value(const TsColumn *col)
{
	const char *name = quote_identifier(col->now_name ? col->now_name : col->target_name);

	if (col->future != NULL)
		return col->target_type == col->target_base ? col->future :
			psprintf("(%s)::%s", col->future, ts_quote_type(col->target_base, col->target_typmod));
	if (col->target_type == col->target_base)
		return psprintf("t.%s", name);
	return psprintf("t.%s::%s", name, ts_quote_type(col->target_base, col->target_typmod));
}

char *
ts_diff_source_value(const TsColumn *col, const char *alias)
{
	return ts_as_target(col, psprintf("%s.%s", alias, quote_identifier(col->target_name)));
}

/* A key is compared whole: a type modifier would cut or round it to that of another row. */
char *
ts_diff_key_value(const TsColumn *col, const char *alias, const char *name)
{
	char	   *value = psprintf("%s.%s::%s", alias, quote_identifier(name), ts_quote_type(col->target_base, -1));

	if (!OidIsValid(col->key_collation))
		return value;
	return psprintf("(%s) COLLATE %s", value, ts_quote_collation(col->key_collation));
}

void
ts_diff_append_key_match(StringInfo sql, const TsLink *link, const char *alias)
{
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(sql, "%s%s %s %s", i ? " AND " : "", ts_diff_target_value(col), ts_quote_operator(col->key_eq_op),
						 ts_diff_key_value(col, alias, col->target_name));
	}
}

static const char *
only(bool partitioned)
{
	return partitioned ? "" : "ONLY ";
}

char *
ts_diff_target(const TsLink *link)
{
	StringInfoData sql;

	if (!link->foreseen)
		return psprintf("%s%s", only(link->target_partitioned), ts_link_target(link));
	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&sql, "%s%s AS %s", i ? ", " : "(SELECT ", ts_diff_target_value(&link->columns[i]),
						 quote_identifier(link->columns[i].target_name));
	appendStringInfo(&sql, " FROM %s%s AS t)", only(link->target_partitioned), ts_link_target(link));
	return sql.data;
}

/*
 * AND NOT (t may be a row of the other link, AND EXISTS (SELECT FROM the other link's rows AS o WHERE o has the key of t)), by the other
 * link's own mapping.
 */
static void
append_other_source(StringInfo sql, const TsLink *link, const char *name, TsRowsOf rows_of, void *arg)
{
	TsLink	   *other = ts_source_of(name, link);
	char	   *rows = other == NULL ? NULL : rows_of ? rows_of(arg, other) : ts_source_rows(other);
	StringInfoData match;

	initStringInfo(&match);
	if (rows != NULL)
		ts_trust_source(link, other);
	for (int i = 0; rows != NULL && i < link->nkeys; i++)
		for (int j = 0; j < other->ncolumns; j++)
		{
			const TsColumn *col = &link->columns[link->keys[i]];
			const TsColumn *its = &other->columns[j];

			/* which may have been renamed since the other link's last push */
			if (its->target_attnum > 0 && col->target_attnum > 0 ? its->target_attnum != col->target_attnum :
				strcmp(its->target_name, col->now_name ? col->now_name : col->target_name) != 0)
				continue;
			/* a cast could run somebody else's code with our rights */
			if (its->source_type != col->target_base && (its->source_type >= FirstNormalObjectId || col->target_base >= FirstNormalObjectId))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("link \"%s\" cannot compare: another link writes to its target", link->name),
						 errdetail("The key of the source of link \"%s\" is of another type than that of the target.", name),
						 errhint("Give both the same type, or each link a target of its own.")));
			appendStringInfo(&match, "%s%s %s %s", match.len ? " AND " : "", ts_diff_target_value(col), ts_quote_operator(col->key_eq_op),
							 ts_diff_key_value(col, "o", its->target_name));
		}
	if (match.len > 0)
		appendStringInfo(sql, " AND NOT (%s EXISTS (SELECT FROM %s AS o WHERE %s))",
						 other->target_condition && ts_fetch_has(link, other->target_reads) ? psprintf("(%s) IS TRUE AND", other->target_condition) : "", rows, match.data);
}

/* Rows that another link puts into the same target are not ours to delete. */
void
ts_diff_append_other_sources(StringInfo sql, const TsLink *link)
{
	ts_diff_append_other_rows(sql, link, NULL, NULL);
}

void
ts_diff_append_other_rows(StringInfo sql, const TsLink *link, TsRowsOf rows_of, void *arg)
{
	ListCell   *lc;

	foreach(lc, ts_links_beside(link))
		append_other_source(sql, link, lfirst(lc), rows_of, arg);
}

/* The keys, as a table q. */
static char *
key_table(const TsLink *link, List *keys, bool here)
{
	StringInfoData texts;
	ListCell   *lc;

	initStringInfo(&texts);
	foreach(lc, keys)
		appendStringInfo(&texts, "%s%s", texts.len ? ", " : "", quote_literal_cstr(lfirst(lc)));
	return psprintf("pg_catalog.unnest(ARRAY[%s]::pg_catalog.text[]) AS j, LATERAL %s", texts.data, ts_statement_key(link, "j", here));
}

/* The row t has one of the keys, in a statement there; NULL: all of them. */
static char *
keys_there(const TsLink *link, List *keys)
{
	StringInfoData sql;

	if (keys == NIL)
		return NULL;
	initStringInfo(&sql);
	appendStringInfo(&sql, "EXISTS (SELECT FROM %s WHERE ", key_table(link, keys, false));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(&sql, "%sq.%s %s t.%s::%s", i ? " AND " : "", quote_identifier(col->target_name), ts_target_operator(link, col->key_eq_op),
						 quote_identifier(col->now_name ? col->now_name : col->target_name), ts_target_type(link, col, false));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

void
ts_diff_append_keys(StringInfo sql, const TsLink *link, const char *alias, List *keys, bool has)
{
	if (keys == NIL)
		return;
	appendStringInfo(sql, " AND %sEXISTS (SELECT FROM %s WHERE ", has ? "" : "NOT ", key_table(link, keys, true));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(sql, "%sq.%s::%s %s %s", i ? " AND " : "", quote_identifier(col->target_name), ts_quote_type(col->target_base, -1),
						 ts_quote_operator(col->key_eq_op), strcmp(alias, "t") == 0 ? ts_diff_target_value(col) : ts_diff_key_value(col, alias, col->target_name));
	}
	appendStringInfoChar(sql, ')');
}

/* What stands for the target in a query here. */
char *
ts_diff_target_rows(const TsLink *link, const char *fetched)
{
	return fetched ? psprintf("%s", fetched) : psprintf("%s%s", only(link->target_partitioned), ts_link_target(link));
}

static char *
delete_query(const TsLink *link, const char *fetched, List *keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "%s(%s)::pg_catalog.text", i ? ", " : "", ts_diff_target_value(&link->columns[link->keys[i]]));
	appendStringInfo(&sql, " FROM %s AS t WHERE ", ts_diff_target_rows(link, fetched));
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "%s IS NOT NULL AND ", ts_diff_target_value(&link->columns[link->keys[i]]));
	appendStringInfo(&sql, "NOT EXISTS (SELECT FROM %s AS s WHERE ", ts_source_rows(link));
	ts_diff_append_key_match(&sql, link, "s");
	appendStringInfo(&sql, ")%s", ts_target_rows_condition(link));
	ts_diff_append_other_sources(&sql, link);
	ts_diff_append_keys(&sql, link, "t", keys, true);
	appendStringInfoString(&sql, " ORDER BY ");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "%s%s", i ? ", " : "", ts_diff_target_value(&link->columns[link->keys[i]]));
	return sql.data;
}

bool
ts_diff_is_cast(const TsColumn *col)
{
	return col->bridge != TS_BRIDGE_NONE;
}

char *
ts_diff_holds(const TsLink *link, const TsColumn *col, const char *alias)
{
	return psprintf("tracksync.holds(%s, %s.%s, %d, %s)", ts_diff_target_value(col), alias, quote_identifier(col->target_name), col->target_typmod,
					link->lossy ? "false" : "true");
}

static char *
write_query(const TsLink *link, bool target_exists, const char *fetched, List *keys, bool leaving)
{
	StringInfoData sql,
				have,
				want,
				fits;
	const char *there = ts_fetch_there(link);
	bool		repeats = ts_keys_may_repeat(link);

	initStringInfo(&sql);
	initStringInfo(&have);
	initStringInfo(&want);
	initStringInfo(&fits);
	appendStringInfoString(&sql, target_exists ? psprintf("SELECT %s IS NULL", there) : "SELECT true");
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		char	   *mine = ts_diff_source_value(col, "s");
		char	   *theirs = ts_diff_target_value(col);

		if (target_exists && col->bridge != TS_BRIDGE_NONE && !col->is_key && !col->ignored)
		{
			appendStringInfo(&sql, ", %s IS NOT NULL AND NOT %s", there, ts_diff_holds(link, col, "s"));
			appendStringInfo(&fits, " OR NOT %s", ts_diff_holds(link, col, "s"));
		}
		else if (target_exists && (!col->ignored || col->future != NULL))
		{
			appendStringInfo(&sql, ", %s IS NOT NULL AND NOT pg_catalog.record_image_eq(ROW(%s), ROW(%s))", there, theirs, mine);
			appendStringInfo(&have, "%s%s", have.len ? ", " : "", theirs);
			appendStringInfo(&want, "%s%s", want.len ? ", " : "", mine);
		}
		else
			appendStringInfoString(&sql, ", false");
	}
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(&sql, ", s.%s", quote_identifier(link->columns[i].target_name));
	for (int i = 0; link->order_apart && i < link->tracked->nkeys; i++)
		appendStringInfo(&sql, ", s.\"" TS_SOURCE_KEY "\"", i + 1);
	if (leaving)
		appendStringInfoString(&sql, ", s.\"" TS_SOURCE_PASSES "\"");
	appendStringInfo(&sql, ", %s FROM %s AS s", repeats ? "s." TS_REPEATED : "false",
					 leaving ? ts_source_all_rows(link) : repeats ? ts_repeats_rows(link) : ts_source_rows(link));
	if (target_exists)
	{
		appendStringInfo(&sql, " LEFT JOIN %s AS t ON ", ts_diff_target_rows(link, fetched));
		ts_diff_append_key_match(&sql, link, "s");
		appendStringInfoString(&sql, leaving ? " WHERE CASE WHEN s.\"" TS_SOURCE_PASSES "\" THEN " : " WHERE ");
		appendStringInfo(&sql, "(%s%s IS NULL OR NOT pg_catalog.record_image_eq(ROW(%s), ROW(%s))%s)", repeats ? "s." TS_REPEATED " OR " : "", there,
						 have.data, want.data, fits.data);
		if (leaving)
			appendStringInfo(&sql, " ELSE %s IS NOT NULL%s END", there, ts_target_rows_condition(link));
	}
	else
		appendStringInfoString(&sql, " WHERE true");
	ts_diff_append_keys(&sql, link, "s", keys, true);
	if (fetched != NULL && keys == NIL && link->narrow_here != NULL)
		appendStringInfo(&sql, " AND (%s)", link->narrow_here);
	appendStringInfoString(&sql, " ORDER BY ");
	for (int i = 0; link->order_apart && i < link->tracked->nkeys; i++)
		appendStringInfo(&sql, "%ss.\"" TS_SOURCE_KEY "\"", i ? ", " : "", i + 1);
	for (int i = 0; !link->order_apart && i < link->nkeys; i++)
		appendStringInfo(&sql, "%ss.%s", i ? ", " : "", quote_identifier(link->columns[link->keys[i]].target_name));
	return sql.data;
}

static bool
fetch(DiffSource *source)
{
	if (source->rows)
		SPI_freetuptable(source->rows);
	source->rows = NULL;
	SPI_cursor_fetch(source->portal, true, FETCH_ROWS);
	source->rows = SPI_tuptable;
	source->nrows = SPI_processed;
	source->row = 0;
	return source->nrows > 0;
}

/* The next row of the open query, opening the second one in time; false at the end of both. */
static bool
next_row(DiffSource *source)
{
	while (source->at < 2)
	{
		if (source->portal == NULL && source->queries[source->at] != NULL)
		{
			SPIPlanPtr	plan = SPI_prepare(source->queries[source->at], 0, NULL);

			if (plan == NULL)
				elog(ERROR, "could not prepare: %s", source->queries[source->at]);
			source->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
		}
		if (source->portal != NULL)
		{
			if (source->row < source->nrows || fetch(source))
				return true;
			SPI_cursor_close(source->portal);
			source->portal = NULL;
			source->nrows = source->row = 0;
		}
		source->at++;
	}
	return false;
}

/* The row of the source does not pass, but is in the target. Its key is as the source has it. */
static bool
is_leaving(const DiffSource *source, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	return source->leaving && !DatumGetBool(SPI_getbinval(tuple, desc, desc->natts - 1, &isnull));
}

static void
make_delete(const TsLink *link, TsChange *change)
{
	change->op = TS_CHANGE_DELETE;
	memset(change->mask, 0, link->ncolumns);
	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		change->mask[k] = TS_COLUMN_KNOWN;
		change->old_values[k] = change->new_values[k];
		change->old_nulls[k] = false;
	}
}

static bool
diff_next(TsChangeSource *base, TsChange *change)
{
	DiffSource *source = (DiffSource *) base;
	const TsLink *link = base->link;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;

	if (!next_row(source))
		return false;
	tuple = source->rows->vals[source->row++];
	desc = source->rows->tupdesc;
	memset(change->mask, 0, link->ncolumns);
	change->maybe = false;
	change->order = NULL;
	if (source->at == 0)
	{
		change->op = TS_CHANGE_DELETE;
		for (int i = 0; i < link->nkeys; i++)
		{
			int			k = link->keys[i];

			change->mask[k] = TS_COLUMN_KNOWN;
			change->old_values[k] = SPI_getbinval(tuple, desc, i + 1, &change->old_nulls[k]);
		}
		return true;
	}
	change->op = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull)) ? TS_CHANGE_INSERT : TS_CHANGE_UPDATE;
	for (int i = 0; i < link->ncolumns; i++)
	{
		if (DatumGetBool(SPI_getbinval(tuple, desc, i + 2, &isnull)) ||
			(change->op == TS_CHANGE_UPDATE && link->columns[i].ignored))
			change->mask[i] = TS_COLUMN_CHANGED;
		change->new_values[i] = SPI_getbinval(tuple, desc, link->ncolumns + i + 2, &change->new_nulls[i]);
		if (link->columns[i].is_key && change->new_nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a row of the source of link \"%s\" has no key: \"%s\" is NULL", link->name,
							link->columns[i].source_name),
					 errhint(link->by_diff ? "Leave such rows out, or make the link with another key." : "Set the key's columns NOT NULL.")));
	}
	if (DatumGetBool(SPI_getbinval(tuple, desc, desc->natts, &isnull)))
		ts_repeats_refuse(link, tuple, desc);
	if (is_leaving(source, tuple, desc))
		make_delete(link, change);
	for (int i = 0; link->tracked != NULL && i < link->tracked->nkeys; i++)
		source->order[i] = link->order_apart ? SPI_getbinval(tuple, desc, 2 * link->ncolumns + 2 + i, &isnull) : change->new_values[link->keys[i]];
	change->order = source->order;
	return true;
}

static void
diff_end(TsChangeSource *base)
{
	DiffSource *source = (DiffSource *) base;

	if (source->rows)
		SPI_freetuptable(source->rows);
	if (source->portal)
		SPI_cursor_close(source->portal);
	if (source->fetched)
		ts_fetch_end(source->fetched, source->store);
}

static TsChangeSource *
diff_source(const TsLink *link, bool target_exists, bool mirror, List *keys, bool leaving)
{
	DiffSource *source = palloc0(sizeof(DiffSource));

	source->base.link = link;
	source->base.text_keys = true;
	source->order = palloc(sizeof(Datum) * ((link->tracked ? link->tracked->nkeys : 0) + 1));
	source->leaving = leaving;
	source->base.next = diff_next;
	source->base.end = diff_end;
	if (link->server != NULL && target_exists)
		source->fetched = ts_fetch_target(link, keys != NIL ? keys_there(link, keys) : link->narrow_there, &source->store);
	source->queries[0] = mirror && target_exists ? delete_query(link, source->fetched, keys) : NULL;
	source->queries[1] = write_query(link, target_exists, source->fetched, keys, leaving);
	return &source->base;
}

TsChangeSource *
ts_diff_source(const TsLink *link, Relation target, bool mirror)
{
	return diff_source(link, target != NULL, mirror, link->only, false);
}

TsChangeSource *
ts_diff_all_source(const TsLink *link)
{
	return diff_source(link, true, false, link->only, false);
}

TsChangeSource *
ts_diff_rewritten_source(const TsLink *link)
{
	return diff_source(link, true, false, link->only, link->condition != NULL);
}

TsChangeSource *
ts_diff_keys_source(const TsLink *link, List *keys)
{
	return diff_source(link, true, true, keys, false);
}
