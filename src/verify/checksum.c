/*
 * checksum.c: which rows of a source and its target on another server may differ, without sending them.
 *
 * Both servers run the same query, at the same time:
 *   SELECT b, count(*), sum(h(r, k0)), sum(h(r, k1)), sum(h(r, k2)) FROM
 *     (SELECT bucket of the key AS b, seeds made of the key AS k0, k1, k2, ARRAY[int4send(a), textsend(b), …] AS r FROM …) GROUP BY b
 * h is hash_array_extended: 64 bits of all bytes of all elements, by place and seed; a NULL is no element's value. The seed being made of the
 * key, sums over rows tell which row holds what. Of columns of one row that change their values it loses some bits (up to eleven with 64
 * columns: places are powers of 31), hence a third sum. Values go in the binary form in which they are sent; those whose form depends on a
 * server's own numbers, labels or versions as text, in this database's encoding. That two sides write a value otherwise costs time: its bucket
 * is read, and the rows compared. Servers before 11 have no such function: md5 then, of the whole row.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "link/remote.h"
#include "plan/diff.h"
#include "verify/checksum.h"

/* Smaller tables are read whole. */
#define SMALL 2000
#define BUCKET_ROWS 4096
#define MAX_BUCKETS 65536
/* Of more than so many buckets that differ, parts are asked for. */
#define FEW 4
#define PARTS 32
#define SUMS 3
/* hash_array_extended */
#define FAST_SINCE 110000

typedef struct Bucket
{
	char	   *sums[2];		/* here, there: rows and sums as text; NULL: no rows */
	bool		wanted;
} Bucket;

/* The buckets of one reading: all of them, or the parts of those that differed in the reading before. */
typedef struct Sums
{
	int			n;				/* a bucket's number is less than this, a power of two */
	int			whole;			/* its lower bits, below this, are those of the bucket that it is a part of */
	int		   *places;			/* of these: where their parts are; NULL: they are no parts */
	int			nbuckets;
	Bucket	   *buckets;
	int			side;
} Sums;

bool
ts_checksum_has(const TsColumn *col)
{
	return !col->ignored && col->future == NULL && !col->retyped && !col->emptied;
}

/* What makes bytes of a value, if they are the same everywhere; "": it is bytes; NULL: its text does. */
static const char *
send_function(const TsColumn *col)
{
	static const struct
	{
		Oid			type;
		const char *function;
	}			functions[] =
	{
		{BOOLOID, "pg_catalog.boolsend"}, {INT2OID, "pg_catalog.int2send"}, {INT4OID, "pg_catalog.int4send"},
		{INT8OID, "pg_catalog.int8send"}, {FLOAT4OID, "pg_catalog.float4send"}, {FLOAT8OID, "pg_catalog.float8send"},
		{NUMERICOID, "pg_catalog.numeric_send"}, {DATEOID, "pg_catalog.date_send"}, {TIMEOID, "pg_catalog.time_send"},
		{TIMETZOID, "pg_catalog.timetz_send"}, {TIMESTAMPOID, "pg_catalog.timestamp_send"},
		{TIMESTAMPTZOID, "pg_catalog.timestamptz_send"}, {INTERVALOID, "pg_catalog.interval_send"},
		{UUIDOID, "pg_catalog.uuid_send"}, {BYTEAOID, ""},
	};

	for (int i = 0; col->opaque == NULL && i < lengthof(functions); i++)
		if (functions[i].type == col->target_base)
			return functions[i].function;
	return NULL;
}

/* SQL: the value's bytes. */
static char *
bytes_of(const TsColumn *col, char *value, bool there)
{
	const char *function = send_function(col);

	if (function != NULL)
		return psprintf("%s(%s)", function, value);
	/* the cast to text takes blanks away */
	if (col->opaque == NULL && col->target_base == BPCHAROID)
		value = psprintf("pg_catalog.textin(pg_catalog.bpcharout(%s))", value);
	/* text is sent in the client's encoding; there that is this database's */
	if (there || pg_get_client_encoding() == GetDatabaseEncoding())
		return psprintf("pg_catalog.textsend((%s)::pg_catalog.text)", value);
	return psprintf("pg_catalog.convert_to((%s)::pg_catalog.text, %s)", value, quote_literal_cstr(GetDatabaseEncodingName()));
}

/* SQL: a column's value of the source's row s, or the target's t where that is, as the target holds it. */
static char *
value_of(const TsLink *link, const TsColumn *col, bool there)
{
	if (there)
		return psprintf("t.%s::%s", quote_identifier(col->now_name ? col->now_name : col->target_name), ts_target_type(link, col, true));
	if (col->opaque == NULL && !ts_diff_is_cast(col))
		return psprintf("(s.%s)::%s", quote_identifier(col->target_name), ts_quote_type(col->target_base, -1));
	return ts_diff_source_value(col, "s");
}

/* SQL: the bytes of the key's values, or of all that are compared, as an array. */
static char *
array_of(const TsLink *link, bool key, bool there)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].is_key || (!key && ts_checksum_has(&link->columns[i])))
			appendStringInfo(&sql, "%s%s", sql.len ? ", " : "ARRAY[", bytes_of(&link->columns[i], value_of(link, &link->columns[i], there), there));
	appendStringInfoString(&sql, "]::pg_catalog.bytea[]");
	return sql.data;
}

/* Does the server there have the fast hash? Both must use the same. */
static bool
is_fast(const TsLink *link)
{
	return ts_connection_version(link->remote->connection) >= FAST_SINCE;
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* SQL: the key, if it is one integer, as int8; a row of the target may have none. Else NULL. */
static char *
integer_key(const TsLink *link, bool there)
{
	const TsColumn *col = &link->columns[link->keys[0]];

	if (link->nkeys != 1 || !is_integer(col->target_base))
		return NULL;
	return psprintf("COALESCE((%s)::pg_catalog.int8, 0)", value_of(link, col, there));
}

/* SQL: half of an md5, as int8. */
static char *
half(const char *md5, int first)
{
	return psprintf("pg_catalog.concat('x', pg_catalog.substr(%s, %d, 16))::pg_catalog.bit(64)::pg_catalog.int8", md5, first);
}

/* SQL: the i-th seed of the row s or t. */
static char *
seed(const TsLink *link, int i, bool there)
{
	static const char *const masks[SUMS] = {"0", "6364136223846793005", "2862933555777941757"};
	char	   *key = integer_key(link, there);

	/* another one for each key, which a hash of the key may not be */
	if (key != NULL)
		return psprintf("(%s OPERATOR(pg_catalog.#) %s)", key, masks[i]);
	return psprintf("pg_catalog.hash_array_extended(%s, %d)", array_of(link, true, there), i + 1);
}

/* SQL: the bucket of the row s or t. */
static char *
bucket(const TsLink *link, int n, bool there)
{
	char	   *key = integer_key(link, there);
	char	   *hash;

	if (!is_fast(link))
		hash = half(psprintf("pg_catalog.md5(pg_catalog.array_send(%s))", array_of(link, true, there)), 1);
	else if (key != NULL)
		hash = psprintf("pg_catalog.hashint8extended(%s, 0)", key);
	else
		hash = seed(link, 0, there);
	return psprintf("(%s OPERATOR(pg_catalog.&) %d)", hash, n - 1);
}

/* rows: what stands in FROM, with a condition or "true" behind WHERE */
static char *
sums_query(const TsLink *link, int n, const char *rows, bool there)
{
	StringInfoData seeds;
	const char *b = bucket(link, n, there);
	const char *all = array_of(link, false, there);

	if (!is_fast(link))
		return psprintf("SELECT x.b, pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(%s), ' ', pg_catalog.sum(%s)) FROM "
						"(SELECT %s AS b, pg_catalog.md5(pg_catalog.array_send(%s)) AS r FROM %s OFFSET 0) AS x GROUP BY x.b",
						half("x.r", 1), half("x.r", 17), b, all, rows);
	initStringInfo(&seeds);
	for (int i = 0; i < SUMS; i++)
		appendStringInfo(&seeds, "%s AS k%d, ", seed(link, i, there), i);
	return psprintf("SELECT x.b, pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(pg_catalog.hash_array_extended(x.r, x.k0)), ' ', "
					"pg_catalog.sum(pg_catalog.hash_array_extended(x.r, x.k1)), ' ', pg_catalog.sum(pg_catalog.hash_array_extended(x.r, x.k2))) FROM "
					"(SELECT %s AS b, %s%s AS r FROM %s OFFSET 0) AS x GROUP BY x.b", b, seeds.data, all, rows);
}

static Bucket *
bucket_of(const Sums *sums, const char *number)
{
	int64		b = strtoll(number, NULL, 10);
	int			place;

	if (b < 0 || b >= sums->n)
		elog(ERROR, "a row is in bucket %s of %d", number, sums->n);
	if (sums->places == NULL)
		return &sums->buckets[b];
	place = sums->places[b & (sums->whole - 1)];
	if (place < 0)
		elog(ERROR, "a row is in bucket %s, which was not asked for", number);
	return &sums->buckets[place + b / sums->whole];
}

static void
take_sums(void *arg, int ncolumns, char *const *values)
{
	Sums	   *sums = arg;

	bucket_of(sums, values[0])->sums[sums->side] = pstrdup(values[1]);
}

/* Runs a query here, and hands on its rows. */
static void
run_here(const char *sql, TsRowFunction row, void *arg)
{
	MemoryContext context = CurrentMemoryContext;

	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *values[2];
		MemoryContext old;

		for (int j = 0; j < SPI_tuptable->tupdesc->natts; j++)
			values[j] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, j + 1);
		old = MemoryContextSwitchTo(context);
		row(arg, SPI_tuptable->tupdesc->natts, values);
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
want_bucket(void *arg, int ncolumns, char *const *values)
{
	bucket_of(arg, values[0])->wanted = true;
}

/* About how many rows has the source? */
static double
estimate_rows(Relation source)
{
	double		rows = 0;
	ListCell   *lc;

	if (source->rd_rel->relkind != RELKIND_RELATION && source->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
		source->rd_rel->relkind != RELKIND_MATVIEW)
		return 200 * BUCKET_ROWS;
	foreach(lc, find_all_inheritors(RelationGetRelid(source), AccessShareLock, NULL))
	{
		Relation	leaf = table_open(lfirst_oid(lc), NoLock);
		BlockNumber pages;
		double		tuples = 0,
					visible;

		if (leaf->rd_rel->relkind == RELKIND_RELATION || leaf->rd_rel->relkind == RELKIND_MATVIEW)
			estimate_rel_size(leaf, NULL, &pages, &tuples, &visible);
		rows += tuples;
		table_close(leaf, NoLock);
	}
	return rows;
}

static int
count_buckets(Relation source)
{
	double		rows = estimate_rows(source);
	int			n = 16;

	if (rows < SMALL)
		return 0;
	while (n < MAX_BUCKETS && n * (double) BUCKET_ROWS < rows)
		n *= 2;
	return n;
}

/* SQL: the row is in one of the buckets that are wanted */
static char *
is_wanted(const TsLink *link, const Sums *sums, bool there)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int b = 0; b < sums->n; b++)
	{
		int			place = sums->places ? sums->places[b & (sums->whole - 1)] : 0;

		if (place >= 0 && sums->buckets[sums->places ? place + b / sums->whole : b].wanted)
			appendStringInfo(&list, "%s%d", list.len ? "," : "", b);
	}
	return psprintf("EXISTS (SELECT FROM pg_catalog.unnest('{%s}'::pg_catalog.int8[]) AS u(b) WHERE u.b OPERATOR(pg_catalog.=) %s)", list.data,
					bucket(link, sums->n, there));
}

/* What stands in FROM there: the target's rows that may be the link's, if that can be said there; of those "wanted", if it is not NULL. */
static char *
rows_there(const TsLink *link, const char *wanted)
{
	return psprintf("%s%s AS t WHERE %s AND %s", link->target_partitioned ? "" : "ONLY ", ts_link_target(link),
					link->condition_travels ? psprintf("(%s)", link->target_condition) : "true", wanted ? wanted : "true");
}

/* Asks both sides, at the same time, and says how many buckets are wanted. before: the reading in whose wanted buckets the rows are. */
static int
read_sums(const TsLink *link, Sums *sums, const Sums *before, const char *rows, const char *also)
{
	const char *here = before ? is_wanted(link, before, false) : "true";
	TsRequest  *request;
	int			wanted = 0;

	sums->buckets = palloc0(sizeof(Bucket) * (sums->nbuckets + 1));
	request = ts_request_send(link->remote->connection, NULL,
							  sums_query(link, sums->n, rows_there(link, before ? is_wanted(link, before, true) : NULL), true), 0, NULL);
	run_here(sums_query(link, sums->n, psprintf("%s AS s WHERE %s", rows, here), false), take_sums, sums);
	if (also != NULL)
		run_here(psprintf("SELECT DISTINCT %s FROM %s AS s", bucket(link, sums->n, false), also), want_bucket, sums);
	sums->side = 1;
	(void) ts_request_wait(request, take_sums, sums);
	for (int i = 0; i < sums->nbuckets; i++)
	{
		Bucket	   *b = &sums->buckets[i];

		b->wanted |= (b->sums[0] == NULL) != (b->sums[1] == NULL) || (b->sums[0] != NULL && strcmp(b->sums[0], b->sums[1]) != 0);
		wanted += b->wanted;
	}
	ereport(DEBUG1, (errmsg_internal("tracksync: %d of %d buckets of link \"%s\" differ", wanted, sums->nbuckets, link->name)));
	return wanted;
}

/* The parts of the buckets that are wanted. */
static Sums
parts_of(const Sums *whole)
{
	Sums		parts = {.n = whole->n * PARTS, .whole = whole->n};

	parts.places = palloc(sizeof(int) * whole->n);
	for (int i = 0; i < whole->n; i++)
	{
		parts.places[i] = whole->buckets[i].wanted ? parts.nbuckets : -1;
		if (whole->buckets[i].wanted)
			parts.nbuckets += PARTS;
	}
	return parts;
}

bool
ts_checksum_narrow(TsLink *link, Relation source, const char *rows, const char *also)
{
	int			n = count_buckets(source);
	Sums		sums = {.n = n, .nbuckets = n};
	Sums		parts;
	const Sums *last = &sums;
	int			wanted;

	link->narrow_here = link->narrow_there = NULL;
	if (n == 0)
		return false;
	wanted = read_sums(link, &sums, NULL, rows, also);
	if (wanted == 0)
		return true;
	/* where rows differ all over the table it is read as it is */
	if (wanted == n || wanted > n - n / 64)
		return false;
	/* few are read as they are, of many only those of the parts that differ */
	if (wanted > FEW)
	{
		parts = parts_of(&sums);
		(void) read_sums(link, &parts, &sums, rows, also);
		last = &parts;
	}
	link->narrow_here = is_wanted(link, last, false);
	link->narrow_there = is_wanted(link, last, true);
	return false;
}
