/* tracked.c: tracked tables. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
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

/* The columns of tracked_table (sql/tables.sql). */
enum
{
	BOOKS_SOURCE = 1,
	BOOKS_LOG,
	BOOKS_SPARE,
	BOOKS_IN_SPARE,
	BOOKS_SEQ,
	BOOKS_KEYS,
	BOOKS_KEY_TYPES,
	BOOKS_KEY_INDEX,
	BOOKS_IMAGES,
	BOOKS_IGNORED,
	BOOKS_EXPLICITLY,
	BOOKS_SHAPE,
	BOOKS_SYSTEM_IDENTITY
};

static Oid *
type_oids(Datum value)
{
	Datum	   *elems;
	int			n;
	Oid		   *result;

	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &elems, NULL, &n);
	result = palloc(sizeof(Oid) * (n + 1));
	for (int i = 0; i < n; i++)
		result[i] = DatumGetObjectId(elems[i]);
	return result;
}

static AttrNumber *
attnums(Datum value, int *n)
{
	Datum	   *elems;
	AttrNumber *result;

	deconstruct_array(DatumGetArrayTypeP(value), INT2OID, 2, true, TYPALIGN_SHORT, &elems, NULL, n);
	result = palloc(sizeof(AttrNumber) * (*n + 1));
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

	/* once only, or numbers would move twice: another session may have done it meanwhile */
	if (ts_sql(MOVED_COLUMNS
			   "UPDATE tracksync.link l SET system_identity = $2, state = CASE l.state WHEN 'initial' THEN l.state ELSE 'resync' END, "
			   "position = pg_current_snapshot(), own_txid = NULL, own_seq = 0, "
			   "target_attnums = array_fill(0::smallint, ARRAY[cardinality(target_columns)]), "
			   "keys = CASE WHEN l.keys IS NOT NULL THEN " MOVED("l.keys") " END, source_attnums = " MOVED("l.source_attnums") ", "
			   "read_attnums = " MOVED("l.read_attnums") " WHERE l.source OPERATOR(pg_catalog.=) $1 AND l.system_identity <> $2",
			   SPI_OK_UPDATE, 2, types, values, NULL) > 0)
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

/* Has another session taken over the books while this one waited for their row? */
static bool
is_adopted(Oid source)
{
	static const Oid types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(source), CStringGetTextDatum(ts_system_identity())};

	return ts_sql("SELECT FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1 AND system_identity = $2", SPI_OK_SELECT, 2, types,
				  values, NULL) == 1;
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
			   "WHERE t.source OPERATOR(pg_catalog.=) $1 AND t.system_identity <> $2 AND cardinality(t.keys) = "
			   "(SELECT count(*) FROM unnest(t.keys) k JOIN m ON m.was = k)", SPI_OK_UPDATE, 2, types, values, NULL) != 1)
	{
		if (is_adopted(source))
			return true;
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

static TsTracked *
read_row(TupleDesc desc, HeapTuple row)
{
	TsTracked  *tracked = palloc0(sizeof(TsTracked));
	Datum		values[BOOKS_SYSTEM_IDENTITY + 1];
	bool		isnull;

	for (int i = BOOKS_SOURCE; i <= BOOKS_SYSTEM_IDENTITY; i++)
		values[i] = heap_getattr(row, i, desc, &isnull);
	tracked->source = DatumGetObjectId(values[BOOKS_SOURCE]);
	tracked->log = tracked->halves[0] = DatumGetObjectId(values[BOOKS_LOG]);
	tracked->halves[1] = DatumGetObjectId(values[BOOKS_SPARE]);
	tracked->written = DatumGetBool(values[BOOKS_IN_SPARE]) ? 1 : 0;
	tracked->seq = DatumGetObjectId(values[BOOKS_SEQ]);
	tracked->keys = attnums(values[BOOKS_KEYS], &tracked->nkeys);
	tracked->key_types = type_oids(values[BOOKS_KEY_TYPES]);
	tracked->images = strcmp(TextDatumGetCString(values[BOOKS_IMAGES]), "changed") == 0;
	tracked->ignored = attnums(values[BOOKS_IGNORED], &tracked->nignored);
	tracked->explicitly = DatumGetBool(values[BOOKS_EXPLICITLY]);
	tracked->shape = DatumGetInt32(values[BOOKS_SHAPE]);
	tracked->from_elsewhere = strcmp(TextDatumGetCString(values[BOOKS_SYSTEM_IDENTITY]), ts_system_identity()) != 0;
	mind_keys(tracked);
	return tracked;
}

/*
 * By the index, without a statement: the first row that a session writes to a tracked table comes here, and parsing and planning would take it
 * longer than all the rest.
 */
static TsTracked *
find(Oid source, bool newest)
{
	Oid			schema = get_namespace_oid("tracksync", false);
	Relation	books = table_open(get_relname_relid("tracked_table", schema), AccessShareLock);
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	TsTracked  *tracked = NULL;

	if (!newest)
		CommandCounterIncrement();
	snapshot = RegisterSnapshot(newest ? GetLatestSnapshot() : GetTransactionSnapshot());
	ScanKeyInit(&key, BOOKS_SOURCE, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(source));
	scan = systable_beginscan(books, get_relname_relid("tracked_table_pkey", schema), true, snapshot, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		tracked = read_row(RelationGetDescr(books), row);
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(books, NoLock);
	return tracked;
}

/* Books that come from another database are taken over; newest: NULL if that cannot be done. */
static TsTracked *
load(Oid source, bool newest)
{
	TsTracked  *tracked = find(source, newest);
	TsCatalog	cat;
	bool		adopted;

	if (tracked == NULL || !tracked->from_elsewhere)
		return tracked;
	ts_catalog_enter(&cat);
	adopted = adopt(source, tracked->halves, !newest);
	ts_catalog_leave(&cat);
	CommandCounterIncrement();
	return adopted ? find(source, newest) : NULL;
}

TsTracked *
ts_tracked_load(Oid source)
{
	return load(source, false);
}

TsTracked *
ts_tracked_load_newest(Oid source)
{
	return load(source, true);
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
