/* ledger.c: what a target's server has written down of a link's pushes. */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "link/ledger.h"
#include "link/remote.h"
#include "log/tracked.h"

static const char *const ddl[] = {
	"CREATE SCHEMA IF NOT EXISTS tracksync_target",
	"CREATE TABLE IF NOT EXISTS tracksync_target.position (system_identifier pg_catalog.text NOT NULL, database pg_catalog.text NOT NULL, "
	"link pg_catalog.text NOT NULL, timeline pg_catalog.int4 NOT NULL, target pg_catalog.text NOT NULL, generation pg_catalog.int8 NOT NULL, "
	"txid pg_catalog.text NOT NULL, table_oid pg_catalog.text NOT NULL, push pg_catalog.int8 NOT NULL, position pg_catalog.text NOT NULL, state pg_catalog.text NOT NULL, "
	"pushed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(), PRIMARY KEY (system_identifier, database, link), UNIQUE (link, target))",
};

/* The row of the link, of this source or of another one. */
typedef struct Row
{
	bool		found;
	bool		ours;
	int64		generation;
	int			timeline;
	uint64		txid;
	int64		push;
	char	   *state;
	char	   *system;
	char	   *database;
	char	   *target;
	char	   *table;			/* its OID there */
} Row;

/* What a row of this source's is found by. */
typedef struct Identity
{
	char	   *system;
	char	   *database;
	char	   *timeline;
	char	   *target;
} Identity;

static Identity
identity_of(const TsLink *link)
{
	Identity	id;

	id.system = ts_system_identity();
	id.database = strchr(id.system, '/');
	*id.database++ = '\0';
	id.timeline = psprintf("%u", ts_timeline());
	id.target = ts_link_target(link);
	return id;
}

static void
take_row(void *arg, int n, char *const *v)
{
	Row		   *row = arg;
	bool		ours = v[0][0] == 't';

	/* one of another source says more than that of our own */
	if (row->found && ours)
		return;
	row->found = true;
	row->ours = ours;
	row->generation = strtoll(v[1], NULL, 10);
	row->timeline = (int) strtol(v[2], NULL, 10);
	row->txid = strtoull(v[3], NULL, 10);
	row->push = strtoll(v[4], NULL, 10);
	row->state = pstrdup(v[5]);
	row->system = pstrdup(v[6]);
	row->database = pstrdup(v[7]);
	row->target = pstrdup(v[8]);
	row->table = pstrdup(v[9]);
}

static void
take_flag(void *arg, int n, char *const *v)
{
	*(bool *) arg = v[0][0] == 't';
}

static TsConnection *
connection_of(const TsLink *link)
{
	return link->remote->connection;
}

static bool
has_table(const TsLink *link)
{
	bool		there = false;

	ts_remote_execute(connection_of(link), "ts_ledger_exists", "SELECT pg_catalog.to_regclass('tracksync_target.position') IS NOT NULL", 0, NULL,
					  take_flag, &there);
	return there;
}

static Row
read_row(const TsLink *link, const Identity *id, bool lock)
{
	const char *values[] = {id->system, id->database, link->name, id->target};
	Row			row = {0};

	ts_remote_execute(connection_of(link), lock ? "ts_ledger_lock" : "ts_ledger_read",
					  psprintf("SELECT p.system_identifier = $1 AND p.database = $2, p.generation, p.timeline, p.txid, p.push, p.state, "
							   "p.system_identifier, p.database, p.target, p.table_oid FROM tracksync_target.position p WHERE p.link = $3 AND "
							   "(p.target = $4 OR (p.system_identifier = $1 AND p.database = $2))%s", lock ? " FOR UPDATE" : ""),
					  4, values, take_row, &row);
	return row;
}

static void
make_table(void *arg)
{
	const TsLink *link = arg;

	for (int i = 0; i < lengthof(ddl); i++)
		ts_remote_run(connection_of(link), ddl[i]);
}

static void
need_table(TsLink *link)
{
	ErrorData  *error;

	if (has_table(link))
		return;
	/*
	 * Somebody else's first push may make it meanwhile, and 23505 is what is said then. That server may not see at once what it had to wait
	 * for: it looks up names in a cache, which the next attempt brings up to date.
	 */
	for (int tries = 0;; tries++)
	{
		error = ts_attempt(make_table, link, false);
		if (error == NULL || (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && has_table(link)))
			return;
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || tries == 2)
			break;
	}
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		error->hint = psprintf("Let somebody who may make it: %s; %s; GRANT USAGE ON SCHEMA tracksync_target, and SELECT, INSERT, UPDATE, DELETE "
							   "ON tracksync_target.position, to the role of the user mapping.", ddl[0], ddl[1]);
	error->context = psprintf("making the table in which server \"%s\" keeps the positions of links%s%s", link->server,
							  error->context ? "\n" : "", error->context ? error->context : "");
	ReThrowError(error);
}

/* A first push that is still under way, of a session that is gone, say, is waited for: its row is there already. */
static void
need_row(const TsLink *link, const Identity *id)
{
	const char *values[] = {id->system, id->database, link->name, id->timeline, id->target};

	ts_remote_execute(connection_of(link), "ts_ledger_make",
					  "INSERT INTO tracksync_target.position (system_identifier, database, link, timeline, target, generation, txid, table_oid, push, position, state) "
					  "VALUES ($1, $2, $3, $4, $5, 0, '0', '', 0, '', '') ON CONFLICT (system_identifier, database, link) DO NOTHING",
					  5, values, NULL, NULL);
}

static void
refuse(const TsLink *link, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("another source has pushed to table %s on server \"%s\" under the name of link \"%s\"", ts_link_target(link), link->server, link->name),
			 errdetail_internal("%s", detail),
			 errhint("If this source is to take its place: SELECT tracksync.take_over(%s). The next push compares. If both are to push: give the links "
					 "different names.", quote_literal_cstr(link->name))));
}

static char *
transaction_status(uint64 txid)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(psprintf(UINT64_FORMAT, txid))};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *status;

	ts_catalog_enter(&cat);
	ts_sql("SELECT coalesce(pg_xact_status($1::xid8), 'forgotten')", SPI_OK_SELECT, 1, types, values, NULL);
	status = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return status;
}

/* A number that was never given out here is of a copy's. */
static bool
is_known_push(int64 push)
{
	TsCatalog	cat;
	bool		isnull;
	int64		last;

	ts_catalog_enter(&cat);
	ts_sql("SELECT last_value FROM tracksync.push_record_id_seq", SPI_OK_SELECT, 0, NULL, NULL, NULL);
	last = DatumGetInt64(ts_sql_value(0, 1, &isnull));
	ts_catalog_leave(&cat);
	return push <= last;
}

/* Was it a push of ours, whose transaction failed here after it had committed there? Else it was not ours. */
static void
check_ours(const TsLink *link, const Row *row)
{
	if (row->txid >= U64FromFullTransactionId(ReadNextFullTransactionId()) || !is_known_push(row->push))
		refuse(link, "Its last push comes from a time that this source has not reached: it is a copy of this one, or this one was set back.");
	if (strcmp(transaction_status(row->txid), "aborted") != 0)
		refuse(link, psprintf("Its last push was not made here, though a transaction of its number, " UINT64_FORMAT ", is known: it is a copy of this source.",
							  row->txid));
}

/*
 * A plan need not wait for a push that is about to commit here, or has done so since the plan's snapshot was taken, or the transaction's if
 * that is an older one.
 */
static bool
is_just_committing(const TsLink *link, const Row *row)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(link->name), Int64GetDatum(row->generation)};
	TsCatalog	cat;
	bool		done;

	if (row->txid >= U64FromFullTransactionId(ReadNextFullTransactionId()))
		return false;
	ts_catalog_enter(&cat);
	/* as of now, not of the transaction's snapshot */
	PushActiveSnapshot(GetLatestSnapshot());
	done = ts_sql_reading("SELECT FROM tracksync.link WHERE name = $1 AND generation >= $2", 2, types, values, NULL) > 0;
	PopActiveSnapshot();
	ts_catalog_leave(&cat);
	return done || strcmp(transaction_status(row->txid), "in progress") == 0;
}

/* May what the push wrote down be taken over? Not if it changed columns: what else it wrote here about them is lost. */
static bool
is_as_it_was(const TsLink *link, const Row *row)
{
	static const Oid types[] = {TEXTOID, TEXTOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(link->name), CStringGetTextDatum(row->state), Int32GetDatum(link->shape)};
	TsCatalog	cat;
	bool		same;

	ts_catalog_enter(&cat);
	same = ts_sql("SELECT FROM tracksync.link l, LATERAL (SELECT $2::jsonb AS j) x WHERE l.name = $1 AND (j ->> 'shape')::int = $3 AND "
				  "to_jsonb(l.source_attnums) = j -> 'source_attnums' AND to_jsonb(l.target_columns) = j -> 'target_columns' "
				  "AND to_jsonb(l.expressions) = j -> 'expressions' AND l.filter IS NOT DISTINCT FROM j ->> 'filter'",
				  SPI_OK_SELECT, 3, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	return same;
}

/* The push counts, but both tables are to be compared. */
static void
take_over_number(TsLink *link, const Row *row, TsLedgerUse use, bool resync)
{
	static const Oid types[] = {TEXTOID, INT8OID, BOOLOID};
	Datum		values[] = {CStringGetTextDatum(link->name), Int64GetDatum(row->generation), BoolGetDatum(resync)};
	TsCatalog	cat;

	link->generation = row->generation;
	link->state = resync ? TS_STATE_RESYNC : link->state;
	if (use == TS_LEDGER_READ)
		return;
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET state = CASE WHEN $3 THEN 'resync' ELSE state END, generation = $2 WHERE name = $1", SPI_OK_UPDATE,
		   3, types, values, NULL);
	ts_catalog_leave(&cat);
}

/* Takes over what the push wrote down; for a plan in memory only. That the link is in doubt may be news since. */
static void
take_over_push(TsLink *link, const Row *row, TsLedgerUse use)
{
	static const Oid types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(link->name), CStringGetTextDatum(row->state), Int64GetDatum(row->generation)};
	MemoryContext context = CurrentMemoryContext;
	TsPosition *position_before;
	TsCatalog	cat;
	bool		isnull;

	ts_catalog_enter(&cat);
	if (use == TS_LEDGER_READ)
	{
		char	   *position,
				   *storage;

		ts_sql("SELECT j ->> 'position', j ->> 'storage', EXISTS (SELECT FROM tracksync.quarantine_record WHERE link = $1) "
			   "OR jsonb_typeof(j -> 'quarantine') = 'array' FROM (SELECT $2::jsonb AS j) x", SPI_OK_SELECT, 2, types, values, NULL);
		position = ts_keep(context, ts_sql_text(0, 1));
		storage = ts_keep(context, ts_sql_text(0, 2));
		link->doubted |= DatumGetBool(ts_sql_value(0, 3, &isnull));
		ts_catalog_leave(&cat);
		link->state = TS_STATE_ACTIVE;
		position_before = link->position;
		link->position = ts_position_parse(position, 0, 0);
		link->position->echo = position_before->echo;
		link->storage = storage;
		link->generation = row->generation;
		return;
	}
	ts_sql("UPDATE tracksync.link l SET state = 'active', position = (j ->> 'position')::pg_snapshot, own_txid = NULL, own_seq = 0, "
		   "storage = j ->> 'storage', followed = (j ->> 'followed')::int, create_target = false, generation = $3, "
		   "target_attnums = ARRAY(SELECT jsonb_array_elements_text(j -> 'target_attnums')::smallint) "
		   "FROM (SELECT $2::jsonb AS j) x WHERE l.name = $1", SPI_OK_UPDATE, 3, types, values, NULL);
	ts_sql("DELETE FROM tracksync.quarantine_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("INSERT INTO tracksync.quarantine_record SELECT (jsonb_populate_record(NULL::tracksync.quarantine_record, "
		   "e || jsonb_build_object('link', $1))).* FROM jsonb_array_elements(CASE WHEN jsonb_typeof($2::jsonb -> 'quarantine') = 'array' "
		   "THEN $2::jsonb -> 'quarantine' ELSE '[]' END) e", SPI_OK_INSERT, 2, types, values, NULL);
	ts_catalog_leave(&cat);
}

/* The target does not hold what was pushed. One that is not there will be created, or missed. */
static void
compare(TsLink *link)
{
	if (link->state == TS_STATE_ACTIVE && link->remote->exists)
		ereport(WARNING,
				(errmsg("table %s on server \"%s\" was set back to an earlier time, or made anew", ts_link_target(link), link->server),
				 errdetail("It does not hold what link \"%s\" has pushed.", link->name),
				 errhint("The next push of the link compares both tables, and repairs.")));
	if (link->state == TS_STATE_ACTIVE)
		link->state = TS_STATE_RESYNC;
}

bool
ts_ledger_open(TsLink *link, TsLedgerUse use)
{
	Identity	id = identity_of(link);
	Row			row = {0};
	bool		here,
				anew;

	if (use == TS_LEDGER_PUSH)
	{
		ts_connection_writes(connection_of(link));
		need_table(link);
		row = read_row(link, &id, true);
		if (!row.found)
		{
			need_row(link, &id);
			row = read_row(link, &id, true);
		}
	}
	else if (has_table(link))
		row = read_row(link, &id, false);
	if (row.found && !row.ours)
		refuse(link, psprintf("It is database %s of system %s; this is database %s of system %s.", row.database, row.system, id.database, id.system));
	if (row.generation > 0 && row.timeline != (int) strtol(id.timeline, NULL, 10))
		refuse(link, psprintf("It was this system on timeline %d, which is on timeline %s now.", row.timeline, id.timeline));
	here = row.found && strcmp(row.target, id.target) == 0;
	anew = here && (!link->remote->exists || strcmp(row.table, link->remote->oid) != 0);
	if (row.generation < link->generation || (row.generation > 0 && anew))
		compare(link);
	if (row.generation <= link->generation)
		return false;
	if (use == TS_LEDGER_PUSH || !is_just_committing(link, &row))
		check_ours(link, &row);
	/* what it wrote it may have written to another table: the link was altered since */
	if (!here)
		take_over_number(link, &row, use, false);
	/* a link that was altered, or found wanting, since the push compares all the same */
	else if (link->state == TS_STATE_RESYNC || anew || !is_as_it_was(link, &row))
		take_over_number(link, &row, use, true);
	else
		take_over_push(link, &row, use);
	return use == TS_LEDGER_PUSH;
}

bool
ts_ledger_agrees(const TsLink *link)
{
	Identity	id = identity_of(link);
	Row			row = {0};

	if (has_table(link))
		row = read_row(link, &id, false);
	return row.generation == link->generation;
}

void
ts_ledger_write(TsLink *link, int64 push)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	Identity	id = identity_of(link);
	MemoryContext context = CurrentMemoryContext;
	/* what is known here is never less than what is there: a target that was set back must not reach it again without a push */
	int64		generation = link->generation + 1;
	Datum		local[] = {CStringGetTextDatum(link->name), Int64GetDatum(generation)};
	const char *values[12];
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET generation = $2 WHERE name = $1", SPI_OK_UPDATE, 2, types, local, NULL);
	ts_sql("SELECT position::text, jsonb_build_object('position', position::text, 'storage', storage, 'shape', shape, 'followed', followed, "
		   "'source_attnums', source_attnums, 'target_columns', target_columns, 'target_attnums', target_attnums, 'expressions', expressions, 'filter', filter, 'quarantine', "
		   "(SELECT jsonb_agg(to_jsonb(q) - 'link') FROM tracksync.quarantine_record q WHERE q.link = l.name))::text "
		   "FROM tracksync.link l WHERE name = $1", SPI_OK_SELECT, 1, types, local, NULL);
	values[8] = ts_keep(context, ts_sql_text(0, 1));
	values[9] = ts_keep(context, ts_sql_text(0, 2));
	ts_catalog_leave(&cat);
	values[0] = id.system;
	values[1] = id.database;
	values[2] = link->name;
	values[3] = id.timeline;
	values[4] = id.target;
	values[5] = psprintf(INT64_FORMAT, generation);
	values[6] = psprintf(UINT64_FORMAT, ts_own_txid());
	values[7] = psprintf(INT64_FORMAT, push);
	values[10] = link->remote->oid;
	if (ts_remote_execute(connection_of(link), "ts_ledger_write",
						  "UPDATE tracksync_target.position SET timeline = $4, target = $5, generation = $6, txid = $7, push = $8, position = $9, state = $10, "
						  "table_oid = $11, pushed_at = pg_catalog.now() WHERE system_identifier = $1 AND database = $2 AND link = $3", 11, values, NULL, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the position of link \"%s\" on server \"%s\" is gone", link->name, link->server),
				 errhint("Push again.")));
	link->generation = generation;
}

int64
ts_ledger_generation(const TsLink *link)
{
	Identity	id = identity_of(link);
	Row			row = {0};

	/* waits for a push that was killed, and commits there nevertheless */
	if (has_table(link))
		row = read_row(link, &id, true);
	return row.ours ? row.generation : 0;
}

void
ts_ledger_forget(TsLink *link)
{
	Identity	id = identity_of(link);
	const char *values[] = {id.system, id.database, link->name, id.target};

	if (!has_table(link))
		return;
	ts_connection_writes(connection_of(link));
	ts_remote_execute(connection_of(link), NULL, "DELETE FROM tracksync_target.position WHERE link = $3 AND (target = $4 OR (system_identifier = $1 "
					  "AND database = $2))", 4, values, NULL, NULL);
}
