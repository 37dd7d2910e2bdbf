/*
 * checksum.c: which rows of a source and its target on another server may differ, without sending them.
 *
 * Both servers run the same query, at the same time:
 *   SELECT b, count(*), sum(h(r, 1)), sum(h(r, 2)) FROM (SELECT h(key, 0) & mask AS b, ARRAY[record_send(ROW(a, b, …))] AS r FROM …) GROUP BY b
 * h is hash_array_extended: of an array of one bytea it is the server's 64-bit hash of all its bytes. So a row's hash is one of all its values
 * at once, in the binary form in which they are sent (a NULL has the length -1), in the link's order of columns: which row holds what is in
 * it, and sums over rows lose nothing of that. Values whose binary form depends on a server's own numbers, versions or encoding go as text, in
 * this database's encoding. That two sides call a value otherwise costs time: its bucket is read, and the rows compared.
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
#define BUCKET_ROWS 512
#define MAX_BUCKETS 65536
/* Of more than so many buckets that differ, parts are asked for. */
#define FEW 16
#define PARTS 32
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

/* SQL: the value as its bytes are taken. */
static char *
form(const TsColumn *col, char *value)
{
	if (col->opaque == NULL)
		switch (col->target_base)
		{
			case BOOLOID:
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case FLOAT4OID:
			case FLOAT8OID:
			case NUMERICOID:
			case DATEOID:
			case TIMEOID:
			case TIMETZOID:
			case TIMESTAMPOID:
			case TIMESTAMPTZOID:
			case INTERVALOID:
			case UUIDOID:
			case BYTEAOID:
				return value;
			case BPCHAROID:
				/* the cast to text takes blanks away */
				value = psprintf("pg_catalog.textin(pg_catalog.bpcharout(%s))", value);
				break;
			default:
				break;
		}
	/* text is sent in the client's encoding; there that is this database's */
	if (pg_get_client_encoding() == GetDatabaseEncoding())
		return psprintf("(%s)::pg_catalog.text", value);
	return psprintf("pg_catalog.convert_to((%s)::pg_catalog.text, %s)", value, quote_literal_cstr(GetDatabaseEncodingName()));
}

/* SQL: a column's value of the source's row s, or the target's t where that is. */
static char *
value_of(const TsLink *link, const TsColumn *col, bool there)
{
	if (!there && col->opaque == NULL && !ts_diff_is_cast(col))
		return form(col, psprintf("(s.%s)::%s", quote_identifier(col->target_name), ts_quote_type(col->target_base, -1)));
	if (!there)
		return form(col, ts_diff_source_value(col, "s"));
	return form(col, psprintf("t.%s::%s", quote_identifier(col->now_name ? col->now_name : col->target_name), ts_target_type(link, col, true)));
}

/* SQL: record_send(ROW(a, b, …)) of the key, or of all columns that are compared. */
static char *
sent(const TsLink *link, bool key, bool there)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
		if (key ? link->columns[i].is_key : ts_checksum_has(&link->columns[i]))
			appendStringInfo(&sql, "%s%s", sql.len ? ", " : "pg_catalog.record_send(ROW(", value_of(link, &link->columns[i], there));
	appendStringInfoString(&sql, "))");
	return sql.data;
}

/* Does the server there have the fast hash? Both must use the same. */
static bool
is_fast(const TsLink *link)
{
	return ts_connection_version(link->remote->connection) >= FAST_SINCE;
}

/* SQL: what is hashed, given its bytes; and its hash. */
static char *
hashable(const TsLink *link, char *bytes)
{
	return is_fast(link) ? psprintf("ARRAY[%s]::pg_catalog.bytea[]", bytes) : psprintf("pg_catalog.md5(%s)", bytes);
}

static char *
hash(const TsLink *link, const char *what, int number)
{
	if (is_fast(link))
		return psprintf("pg_catalog.hash_array_extended(%s, %d)", what, number);
	return psprintf("pg_catalog.concat('x', pg_catalog.substr(%s, %d, 16))::pg_catalog.bit(64)::pg_catalog.int8", what, number == 1 ? 1 : 17);
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* SQL: a hash of the key, if it is of integers: several times as fast as that of its bytes. Else NULL. */
static char *
integer_hash(const TsLink *link, bool there)
{
	StringInfoData sql;

	if (!is_fast(link))
		return NULL;
	initStringInfo(&sql);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		if (!is_integer(col->target_base))
			return NULL;
		appendStringInfo(&sql, "%spg_catalog.hashint8extended((%s)::pg_catalog.int8, %d)", i ? " OPERATOR(pg_catalog.#) " : "",
						 value_of(link, col, there), i);
	}
	return psprintf("(%s)", sql.data);
}

/* SQL: the bucket of the row s or t. */
static char *
bucket(const TsLink *link, int n, bool there)
{
	char	   *integers = integer_hash(link, there);

	if (integers != NULL)
		return psprintf("(%s OPERATOR(pg_catalog.&) %d)", integers, n - 1);
	return psprintf("(%s OPERATOR(pg_catalog.&) %d)", hash(link, hashable(link, sent(link, true, there)), 0), n - 1);
}

/* rows: what stands in FROM, with a condition or "true" behind WHERE */
static char *
sums_query(const TsLink *link, int n, const char *rows, bool there)
{
	return psprintf("SELECT x.b, pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(%s), ' ', pg_catalog.sum(%s)) FROM "
					"(SELECT %s AS b, %s AS r FROM %s OFFSET 0) AS x GROUP BY x.b",
					hash(link, "x.r", 1), hash(link, "x.r", 2), bucket(link, n, there), hashable(link, sent(link, false, there)), rows);
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
	/* most of the rows are read faster without asking which */
	if (wanted > n / 2)
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
