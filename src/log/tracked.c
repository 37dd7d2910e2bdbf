/* tracked.c: tracked tables. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "log/logtable.h"
#include "log/prune.h"
#include "log/shape.h"
#include "log/tracked.h"

static Oid *
type_oids(MemoryContext context, int column)
{
	bool		isnull;
	Datum		value = ts_sql_value(0, column, &isnull);
	Datum	   *elems;
	int			n;
	Oid		   *result;

	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &elems, NULL, &n);
	result = MemoryContextAlloc(context, sizeof(Oid) * (n + 1));
	for (int i = 0; i < n; i++)
		result[i] = DatumGetObjectId(elems[i]);
	return result;
}

static AttrNumber *
attnums(MemoryContext context, int column, int *n)
{
	bool		isnull;
	Datum		value = ts_sql_value(0, column, &isnull);
	Datum	   *elems;
	AttrNumber *result;

	deconstruct_array(DatumGetArrayTypeP(value), INT2OID, 2, true, TYPALIGN_SHORT, &elems, NULL, n);
	result = MemoryContextAlloc(context, sizeof(AttrNumber) * (*n + 1));
	for (int i = 0; i < *n; i++)
		result[i] = DatumGetInt16(elems[i]);
	return result;
}

char *
ts_system_identity(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

void
ts_tracked_renew_keys(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};

	ts_sql("WITH RECURSIVE b AS (SELECT k.ord, a.atttypid AS type FROM tracksync.tracked_table t, "
		   "unnest(t.keys) WITH ORDINALITY k(n, ord) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.n "
		   "WHERE t.source OPERATOR(pg_catalog.=) $1 "
		   "UNION ALL SELECT b.ord, p.typbasetype FROM b JOIN pg_type p ON p.oid = b.type WHERE p.typtype = 'd') "
		   "UPDATE tracksync.tracked_table t SET key_types = (SELECT array_agg(b.type ORDER BY b.ord) FROM b JOIN pg_type p "
		   "ON p.oid = b.type WHERE p.typtype <> 'd') WHERE t.source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 1, types, values, NULL);
	/* writers look again */
	CacheInvalidateRelcacheByRelid(source);
}

/* The newest shape of table $1 that is known from there, and m: what its column numbers were and what they are, by the names. */
#define MOVED_COLUMNS \
	"WITH s AS (SELECT names FROM tracksync.table_shape WHERE source OPERATOR(pg_catalog.=) $1 ORDER BY shape DESC LIMIT 1), " \
	"m AS (SELECT u.n AS was, a.attnum AS is FROM s, unnest(s.names) WITH ORDINALITY u(name, n) JOIN pg_attribute a " \
	"ON a.attrelid = $1 AND a.attname = u.name AND a.attnum > 0 AND NOT a.attisdropped) "
#define MOVED(array) \
	"(SELECT coalesce(array_agg(coalesce(m.is, 0) ORDER BY k.ord), '{}') FROM unnest(" array ") WITH ORDINALITY k(n, ord) LEFT JOIN m ON m.was = k.n)"

void
ts_tracked_adopt_links(Oid source)
{
	static const Oid types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(source), CStringGetTextDatum(ts_system_identity())};
	static const Oid shape_types[] = {OIDOID, INT4OID};
	Datum		shape[2];
	int32		newest;
	bool		isnull;

	ts_sql(MOVED_COLUMNS
		   "UPDATE tracksync.link l SET system_identity = $2, state = CASE l.state WHEN 'initial' THEN l.state ELSE 'resync' END, "
		   "position = pg_current_snapshot(), own_txid = NULL, own_seq = 0, "
		   "target_attnums = array_fill(0::smallint, ARRAY[cardinality(target_columns)]), "
		   "keys = CASE WHEN l.keys IS NOT NULL THEN " MOVED("l.keys") " END, source_attnums = " MOVED("l.source_attnums") ", "
		   "read_attnums = " MOVED("l.read_attnums") " WHERE l.source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 2, types, values, NULL);
	ts_sql(MOVED_COLUMNS
		   "UPDATE tracksync.merge_rule r SET attnum = m.is FROM m, tracksync.link l WHERE m.was = r.attnum AND r.attnum > 0 AND m.was <> m.is AND l.name = r.link "
		   "AND l.source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 1, types, values, NULL);
	/* where the newest shape is still the one of now, as in a copy, numbers mean what they did: what is pending stays so */
	ts_sql("SELECT max(shape) FROM tracksync.table_shape WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_SELECT, 1, types, values, NULL);
	newest = DatumGetInt32(ts_sql_value(0, 1, &isnull));
	shape[0] = values[0];
	shape[1] = Int32GetDatum(ts_shape_of(source));
	if (isnull || newest != DatumGetInt32(shape[1]))
		ts_sql("UPDATE tracksync.link SET shape = $2, followed = $2 WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 2, shape_types,
			   shape, NULL);
}

/*
 * The books come from another database: a dump was restored, or this database is a copy. Column numbers may have changed, and
 * what the log and the positions say means nothing here: columns are found by name, the log is emptied, the links compare.
 */
static bool
adopt(Oid source, const Oid *halves, bool strict)
{
	static const Oid types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(source), CStringGetTextDatum(ts_system_identity())};

	if (ts_sql(MOVED_COLUMNS
			   "UPDATE tracksync.tracked_table t SET system_identity = $2, keys = " MOVED("t.keys") ", "
			   "ignored = (SELECT coalesce(array_agg(m.is ORDER BY k.ord), '{}') FROM unnest(t.ignored) WITH ORDINALITY k(n, ord) JOIN m ON m.was = k.n) "
			   "WHERE t.source OPERATOR(pg_catalog.=) $1 AND cardinality(t.keys) = "
			   "(SELECT count(*) FROM unnest(t.keys) k JOIN m ON m.was = k)", SPI_OK_UPDATE, 2, types, values, NULL) != 1)
	{
		if (!strict)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of tracked table \"%s\" was not found after a restore", get_rel_name(source)),
				 errhint("Call tracksync.untrack with cascade => true, and make the links anew.")));
	}
	ts_tracked_renew_keys(source);
	ts_tracked_adopt_links(source);
	ts_log_empty(halves);
	return true;
}

/* A change of the key always matters. */
static void
mind_keys(TsTracked *tracked)
{
	int			n = 0;

	for (int i = 0; i < tracked->nignored; i++)
	{
		bool		is_key = false;

		for (int k = 0; k < tracked->nkeys; k++)
			is_key |= tracked->keys[k] == tracked->ignored[i];
		if (!is_key)
			tracked->ignored[n++] = tracked->ignored[i];
	}
	tracked->nignored = n;
}

/* Takes over the books of a table that come from another database; false if that cannot be done. */
static bool
adopt_if_foreign(Oid source, bool newest)
{
	static const Oid types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(source), CStringGetTextDatum(ts_system_identity())};
	const char *sql = "SELECT log::oid, spare::oid FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1 AND system_identity <> $2";
	Oid			halves[TS_LOG_HALVES];
	bool		isnull;

	if ((newest ? ts_sql_reading(sql, 2, types, values, NULL) : ts_sql(sql, SPI_OK_SELECT, 2, types, values, NULL)) != 1)
		return true;
	for (int i = 0; i < TS_LOG_HALVES; i++)
		halves[i] = DatumGetObjectId(ts_sql_value(0, i + 1, &isnull));
	return adopt(source, halves, !newest);
}

static TsTracked *
load(Oid source, bool newest)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	const char *sql = "SELECT log, seq, keys, images = 'changed', ignored, explicitly, shape, key_types, spare, in_spare FROM tracksync.tracked_table "
		"WHERE source OPERATOR(pg_catalog.=) $1";
	MemoryContext context = CurrentMemoryContext;
	TsTracked  *tracked = NULL;
	TsCatalog	cat;
	bool		isnull;

	ts_catalog_enter(&cat);
	if (adopt_if_foreign(source, newest) &&
		(newest ? ts_sql_reading(sql, 1, types, values, NULL) : ts_sql(sql, SPI_OK_SELECT, 1, types, values, NULL)) == 1)
	{
		tracked = MemoryContextAllocZero(context, sizeof(TsTracked));
		tracked->source = source;
		tracked->log = tracked->halves[0] = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
		tracked->halves[1] = DatumGetObjectId(ts_sql_value(0, 9, &isnull));
		tracked->written = DatumGetBool(ts_sql_value(0, 10, &isnull)) ? 1 : 0;
		tracked->seq = DatumGetObjectId(ts_sql_value(0, 2, &isnull));
		tracked->keys = attnums(context, 3, &tracked->nkeys);
		tracked->images = DatumGetBool(ts_sql_value(0, 4, &isnull));
		tracked->ignored = attnums(context, 5, &tracked->nignored);
		tracked->explicitly = DatumGetBool(ts_sql_value(0, 6, &isnull));
		tracked->shape = DatumGetInt32(ts_sql_value(0, 7, &isnull));
		tracked->key_types = type_oids(context, 8);
		mind_keys(tracked);
	}
	ts_catalog_leave(&cat);
	return tracked;
}

TsTracked *
ts_tracked_load(Oid source)
{
	return load(source, false);
}

TsTracked *
ts_tracked_load_newest(Oid source)
{
	TsTracked  *tracked;

	PushActiveSnapshot(GetLatestSnapshot());
	tracked = load(source, true);
	PopActiveSnapshot();
	return tracked;
}

TsTracked *
ts_tracked_need(Oid source)
{
	TsTracked  *tracked = ts_tracked_load(source);

	if (tracked == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not tracked", get_rel_name(source)),
				 errhint("Call tracksync.track or tracksync.create_link for it first.")));
	return tracked;
}

bool
ts_tracked_keys_fit(const TsTracked *tracked, TupleDesc source)
{
	for (int i = 0; i < tracked->nkeys; i++)
	{
		AttrNumber	attnum = tracked->keys[i];

		if (attnum > source->natts || TupleDescAttr(source, attnum - 1)->attisdropped ||
			getBaseType(TupleDescAttr(source, attnum - 1)->atttypid) != tracked->key_types[i])
			return false;
	}
	return true;
}

Oid
ts_topmost(Oid relid)
{
	return get_rel_relispartition(relid) ? llast_oid(get_partition_ancestors(relid)) : relid;
}

char *
ts_table_identity(Oid relid)
{
	return psprintf("%s/%u", ts_system_identity(), ts_topmost(relid));
}

Oid
ts_tracked_root(Oid relid)
{
	List	   *family = list_make1_oid(relid);
	Oid			found = InvalidOid;
	ListCell   *lc;

	if (get_rel_relispartition(relid))
		family = list_concat(family, get_partition_ancestors(relid));
	foreach(lc, family)
	{
		TsTracked  *tracked = ts_tracked_load_newest(lfirst_oid(lc));

		if (tracked != NULL)
		{
			found = tracked->source;
			break;
		}
	}
	return found;
}
