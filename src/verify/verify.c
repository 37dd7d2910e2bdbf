/*
 * verify.c: what a link's target holds, beside what it should hold by what was shipped.
 *
 * s: what the source held at the link's position; t: the target; n: what the source holds now. A row of t that is as in n already is
 * none to be named: the next push finds it so. Four queries, each of which returns (t is missing, unknown columns, s.a …, t.a …):
 *   rows without a net change that miss or differ:     s LEFT JOIN t WHERE t is missing OR NOT record_image_eq(t, s)
 *   rows of before a net change that do, and are not as after it:   s LEFT JOIN t LEFT JOIN n WHERE …
 *   rows that are to come with a net change, and are there, otherwise:     t JOIN n WHERE NOT EXISTS s AND NOT record_image_eq(t, n)
 *   rows of which the source knows nothing:     t WHERE NOT EXISTS s, nor any row of the source now, nor one of another link's source,
 *   now or at that link's position
 * Rows in quarantine are in none of them.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/quote.h"
#include "link/fetch.h"
#include "link/rows.h"
#include "plan/diff.h"
#include "plan/plan.h"
#include "verify/checksum.h"
#include "verify/inflight.h"
#include "verify/verify.h"

#define FETCH_ROWS 1000

typedef struct Verify
{
	TsLink	   *link;
	Relation	source;
	TsInFlight	flight;
	List	   *quarantined;	/* keys, JSON */
	char	   *same;			/* SQL, in FROM: rows without a net change, */
	char	   *old;			/* of before one; NULL: there are none */
	char	   *fetched;		/* the target's rows, of one on another server */
	struct Tuplestorestate *store;
	Snapshot	snapshot;
	List	   *beside;			/* TsInFlight of other links to the same target */
	bool		doubtful_beside;	/* what these shipped is not known: a row that only the target has may be one of theirs */
	bool		doubtful;		/* what was shipped is not known: any difference may be a pending change */
	TsFindingFunction put;
	void	   *arg;
} Verify;

/* Appends s.a, …, t.a, … as the target would hold them and holds them; alias NULL: no such row. */
static void
append_values(StringInfo sql, const TsLink *link, const char *source, bool target)
{
	for (int i = 0; i < link->ncolumns; i++)
		appendStringInfo(sql, ", %s", source ? ts_diff_source_value(&link->columns[i], source) : "NULL::pg_catalog.text");
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		/* one that is yet to be added has no value */
		appendStringInfo(sql, ", %s", target && (col->is_key || ts_checksum_has(col) || col->ignored) && col->future == NULL ? ts_diff_target_value(col) :
						 target && col->is_key ? ts_diff_target_value(col) : "NULL::pg_catalog.text");
	}
}

/* SQL: t holds the column's value in the row of "alias". */
static char *
holds_column(const TsLink *link, const TsColumn *col, const char *alias)
{
	if (ts_diff_is_cast(col) && !col->is_key)
		return ts_diff_holds(link, col, alias);
	return psprintf("pg_catalog.record_image_eq(ROW(%s), ROW(%s))", ts_diff_target_value(col), ts_diff_source_value(col, alias));
}

/* SQL: (pg_catalog.record_image_eq(ROW(t.a, …), ROW(s.a, …)) AND …), what has to be cast apart: what cannot be must not stop anything. */
static char *
is_equal(const TsLink *link, const char *alias)
{
	StringInfoData have,
				want,
				cast;

	initStringInfo(&have);
	initStringInfo(&want);
	initStringInfo(&cast);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		if (!ts_checksum_has(col))
			continue;
		if (ts_diff_is_cast(col) && !col->is_key)
		{
			appendStringInfo(&cast, " AND %s", holds_column(link, col, alias));
			continue;
		}
		appendStringInfo(&have, "%s%s", have.len ? ", " : "", ts_diff_target_value(col));
		appendStringInfo(&want, "%s%s", want.len ? ", " : "", ts_diff_source_value(col, alias));
	}
	return psprintf("(%s%s)", have.len == 0 ? "true" : psprintf("pg_catalog.record_image_eq(ROW(%s), ROW(%s))", have.data, want.data), cast.data);
}

/* The same as is_equal of a row s of which not all may be known. */
static char *
is_equal_as_known(const Verify *v)
{
	const TsLink *link = v->link;
	StringInfoData sql;

	if (!v->flight.unknown)
		return is_equal(link, "s");
	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		if (ts_checksum_has(col))
			appendStringInfo(&sql, "%s(%s OR %s)", sql.len ? " AND " : "", ts_inflight_is_unknown(col->reads), holds_column(link, col, "s"));
	}
	return sql.len == 0 ? pstrdup("true") : sql.data;
}

static void
append_order(StringInfo sql, const TsLink *link, bool target)
{
	appendStringInfoString(sql, " ORDER BY ");
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(sql, "%s%s", i ? ", " : "", target ? ts_diff_target_value(col) : psprintf("s.%s", quote_identifier(col->target_name)));
	}
}

static void
append_narrow(StringInfo sql, const Verify *v)
{
	if (v->fetched != NULL && v->link->narrow_here != NULL)
		appendStringInfo(sql, " AND (%s)", v->link->narrow_here);
}

static const char *
no_unknown(void)
{
	return "NULL::pg_catalog.int2[]";
}

static char *
same_query(const Verify *v)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s IS NULL, %s", ts_fetch_there(v->link), no_unknown());
	append_values(&sql, v->link, "s", true);
	appendStringInfo(&sql, " FROM %s AS s LEFT JOIN %s AS t ON ", v->same, ts_diff_target_rows(v->link, v->fetched));
	ts_diff_append_key_match(&sql, v->link, "s");
	appendStringInfo(&sql, " WHERE (%s IS NULL OR NOT %s)", ts_fetch_there(v->link), is_equal(v->link, "s"));
	append_narrow(&sql, v);
	append_order(&sql, v->link, false);
	return sql.data;
}

/* n.k = s.k, as the target's key is compared */
static void
append_same_key(StringInfo sql, const TsLink *link)
{
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		appendStringInfo(sql, "%s%s %s %s", i ? " AND " : "", ts_diff_key_value(col, "n", col->target_name), ts_quote_operator(col->key_eq_op),
						 ts_diff_key_value(col, "s", col->target_name));
	}
}

static char *
old_query(const Verify *v)
{
	const TsLink *link = v->link;
	const char *key = quote_identifier(link->columns[link->keys[0]].target_name);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s IS NULL, s." TS_FLIGHT_UNKNOWN, ts_fetch_there(link));
	append_values(&sql, link, "s", true);
	appendStringInfo(&sql, " FROM %s AS s LEFT JOIN %s AS n ON ", v->old, ts_inflight_new(&v->flight, link, v->source));
	append_same_key(&sql, link);
	appendStringInfo(&sql, " LEFT JOIN %s AS t ON ", ts_diff_target_rows(link, v->fetched));
	ts_diff_append_key_match(&sql, link, "s");
	appendStringInfo(&sql, " WHERE s." TS_FLIGHT_SURE " AND CASE WHEN %s IS NULL THEN n.%s IS NOT NULL ELSE NOT (%s) AND (n.%s IS NULL OR NOT %s) END",
					 ts_fetch_there(link), key, is_equal_as_known(v), key, is_equal(link, "n"));
	/* a row that went over to another link's rows, and was shipped by that one */
	if (link->shared != TS_SHARED_NOT)
	{
		appendStringInfo(&sql, " AND (%s IS NULL OR (%s) IS TRUE OR (true", ts_fetch_there(link), link->target_condition);
		ts_diff_append_other_sources(&sql, link);
		appendStringInfoString(&sql, "))");
	}
	ts_diff_append_keys(&sql, link, "s", v->quarantined, false);
	append_narrow(&sql, v);
	append_order(&sql, link, false);
	return sql.data;
}

/* What another link to the same target shipped, and its source does not hold like that any more. */
static char *
rows_beside(void *arg, TsLink *other)
{
	Verify	   *v = arg;
	TsInFlight *flight;
	Relation	source;

	if (other->by_diff || other->state != TS_STATE_ACTIVE)
		return NULL;
	flight = palloc0(sizeof(TsInFlight));
	source = relation_open(other->source, AccessShareLock);
	ts_inflight_begin(flight, other, source, v->snapshot);
	relation_close(source, NoLock);
	v->beside = lappend(v->beside, flight);
	v->doubtful_beside |= flight->doubtful;
	return flight->name == NULL ? NULL : ts_inflight_old(flight, other);
}

/* AND the rows t are the link's own, and not told of elsewhere. */
static void
append_own(StringInfo sql, Verify *v)
{
	const TsLink *link = v->link;

	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(sql, " AND %s IS NOT NULL", ts_diff_target_value(&link->columns[link->keys[i]]));
	if (v->old != NULL)
	{
		appendStringInfo(sql, " AND NOT EXISTS (SELECT FROM %s AS s WHERE ", v->old);
		ts_diff_append_key_match(sql, link, "s");
		appendStringInfoChar(sql, ')');
	}
	ts_diff_append_other_sources(sql, link);
	ts_diff_append_other_rows(sql, link, rows_beside, v);
	appendStringInfoString(sql, ts_target_rows_condition(link));
	ts_diff_append_keys(sql, link, "t", v->quarantined, false);
}

static char *
new_query(Verify *v)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT false, %s", no_unknown());
	append_values(&sql, v->link, NULL, true);
	appendStringInfo(&sql, " FROM %s AS n JOIN %s AS t ON ", ts_inflight_new(&v->flight, v->link, v->source), ts_diff_target_rows(v->link, v->fetched));
	ts_diff_append_key_match(&sql, v->link, "n");
	appendStringInfo(&sql, " WHERE NOT %s", is_equal(v->link, "n"));
	append_own(&sql, v);
	append_order(&sql, v->link, true);
	return sql.data;
}

static char *
extra_query(Verify *v)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT false, %s", no_unknown());
	append_values(&sql, v->link, NULL, true);
	appendStringInfo(&sql, " FROM %s AS t WHERE NOT EXISTS (SELECT FROM %s AS s WHERE ", ts_diff_target_rows(v->link, v->fetched),
					 ts_source_rows(v->link));
	ts_diff_append_key_match(&sql, v->link, "s");
	appendStringInfoChar(&sql, ')');
	append_own(&sql, v);
	append_order(&sql, v->link, true);
	return sql.data;
}

static bool
is_among(const Bitmapset *reads, ArrayType *unknown)
{
	int16	   *attnums = (int16 *) ARR_DATA_PTR(unknown);

	for (int i = 0; i < ArrayGetNItems(ARR_NDIM(unknown), ARR_DIMS(unknown)); i++)
		if (bms_is_member(attnums[i], reads))
			return true;
	return false;
}

/* The log does not say what was shipped, and there are differences. */
static void
refuse_doubt(const Verify *v, bool extra)
{
	if (v->doubtful || (extra && v->doubtful_beside))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source and target of link \"%s\" differ, but the log does not tell which changes are pending", v->link->name),
				 errdetail("Rows of the source came, went or changed without an event since the last push: TRUNCATE, a rewritten table, a partition, or a disabled trigger."),
				 errhint("Push, then verify.")));
}

/* Hands on a row of a query's result. */
static void
put_row(Verify *v, HeapTuple tuple, TupleDesc desc, bool extra)
{
	const TsLink *link = v->link;
	int			n = link->ncolumns;
	bool	   *shown = palloc0(sizeof(bool) * (n + 1));
	bool	   *differs = palloc0(sizeof(bool) * (n + 1));
	Oid		   *types = palloc0(sizeof(Oid) * (n + 1));
	Datum	   *values = palloc(sizeof(Datum) * (2 * n + 2));
	bool	   *nulls = palloc(sizeof(bool) * (2 * n + 2));
	bool		isnull;
	bool		missing = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
	Datum		unknown = SPI_getbinval(tuple, desc, 2, &isnull);
	TsFinding	finding = {.kind = extra ? TS_ONLY_TARGET : missing ? TS_ONLY_SOURCE : TS_DIFFERS};

	refuse_doubt(v, extra);
	for (int i = 0; i < 2 * n; i++)
		values[i] = SPI_getbinval(tuple, desc, i + 3, &nulls[i]);
	for (int i = 0; i < n; i++)
	{
		const TsColumn *col = &link->columns[i];

		types[i] = SPI_gettypeid(desc, (extra ? n : 0) + i + 3);
		shown[i] = (col->is_key || ts_checksum_has(col)) && (isnull || !is_among(col->reads, DatumGetArrayTypeP(unknown)));
		differs[i] = finding.kind == TS_DIFFERS && shown[i] && ts_checksum_has(col) &&
			(nulls[i] != nulls[n + i] || (!nulls[i] && !datum_image_eq(values[i], values[n + i], TupleDescAttr(desc, i + 2)->attbyval,
																	   TupleDescAttr(desc, i + 2)->attlen)));
	}
	finding.shown = shown;
	finding.differs = differs;
	finding.types = types;
	finding.source = values;
	finding.source_nulls = nulls;
	finding.target = values + n;
	finding.target_nulls = nulls + n;
	v->put(v->arg, link, &finding);
}

static void
run(Verify *v, const char *sql, bool extra)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync finding", ALLOCSET_DEFAULT_SIZES);
	Portal		portal;

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	for (;;)
	{
		SPITupleTable *rows;
		uint64		n;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			put_row(v, rows->vals[i], rows->tupdesc, extra);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
		SPI_freetuptable(rows);
		if (n == 0)
			break;
	}
	SPI_cursor_close(portal);
	(void) SPI_freeplan(plan);
	MemoryContextDelete(context);
}

/* Without the rows in quarantine, which the target may not be able to hold: they are out before anything is cast. */
static char *
without_quarantined(const Verify *v, const char *rows)
{
	StringInfoData sql;

	if (v->quarantined == NIL)
		return pstrdup(rows);
	initStringInfo(&sql);
	appendStringInfo(&sql, "(SELECT s.* FROM %s AS s WHERE true", rows);
	ts_diff_append_keys(&sql, v->link, "s", v->quarantined, false);
	appendStringInfoString(&sql, " OFFSET 0)");
	return sql.data;
}

/* What the target should hold, as far as all of it is known: SQL, in FROM. */
static char *
known_rows(const Verify *v)
{
	StringInfoData names;

	if (v->old == NULL)
		return v->same;
	initStringInfo(&names);
	for (int i = 0; i < v->link->ncolumns; i++)
		appendStringInfo(&names, "%ss.%s", i ? ", " : "", quote_identifier(v->link->columns[i].target_name));
	return psprintf("(SELECT %s FROM %s AS s UNION ALL SELECT %s FROM %s AS s WHERE s." TS_FLIGHT_UNKNOWN " IS NULL AND s." TS_FLIGHT_SURE ")",
					names.data, v->same, names.data, v->old);
}

/* The rows of another server that may be other than they should be; false: there are none. */
static bool
fetch(Verify *v)
{
	char	   *also = v->old == NULL || !v->flight.unknown ? NULL :
		psprintf("(SELECT s.* FROM %s AS s WHERE s." TS_FLIGHT_UNKNOWN " IS NOT NULL)", v->old);

	if (ts_checksum_narrow(v->link, v->source, known_rows(v), also))
		return false;
	v->fetched = ts_fetch_target(v->link, v->link->narrow_there, &v->store);
	return true;
}

static void
need_state(const TsLink *link, Relation target)
{
	if (target != NULL && link->state == TS_STATE_ACTIVE)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(link->state == TS_STATE_RESYNC ? "link \"%s\" is to be compared by its next push" : "link \"%s\" has never been pushed", link->name),
			 errdetail("What its target should hold is not known."),
			 errhint("Push, then verify.")));
}

void
ts_verify_link(TsLink *link, Relation source, Relation target, Snapshot snapshot, TsFindingFunction put, void *arg)
{
	Verify		v = {.link = link, .source = source, .snapshot = snapshot, .put = put, .arg = arg};
	ListCell   *lc;

	need_state(link, target);
	v.quarantined = ts_plan_quarantined(link);
	if (!link->by_diff)
	{
		v.doubtful = ts_storage_compare(link->storage, ts_source_storage(link->source)) != TS_STORAGE_SAME;
		ts_inflight_begin(&v.flight, link, source, snapshot);
		v.doubtful |= v.flight.doubtful;
	}
	v.same = without_quarantined(&v, ts_inflight_same(&v.flight, link, source));
	v.old = v.flight.name != NULL ? ts_inflight_old(&v.flight, link) : NULL;
	if (link->server == NULL || fetch(&v))
	{
		run(&v, same_query(&v), false);
		if (v.old != NULL)
		{
			run(&v, old_query(&v), false);
			run(&v, new_query(&v), true);
		}
		run(&v, extra_query(&v), true);
	}
	if (v.fetched != NULL)
		ts_fetch_end(v.fetched, v.store);
	ts_inflight_end(&v.flight);
	foreach(lc, v.beside)
		ts_inflight_end(lfirst(lc));
}
