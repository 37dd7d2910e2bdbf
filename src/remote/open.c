/* open.c: opening and closing a connection. */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "remote/error.h"
#include "remote/open.h"
#include "remote/prepared.h"
#include "remote/queue.h"

/*
 * What must not depend on how the server or the role there is set up. Engines that only speak the protocol may lack some: those that
 * change no value are left out there.
 */
static const struct
{
	const char *name;			/* as pg_settings spells it */
	const char *value;
	bool		needed;
}			pinned[] =
{
	{"search_path", "pg_catalog", true},
	{"TimeZone", "UTC", true},
	{"DateStyle", "ISO, MDY", true},
	{"IntervalStyle", "postgres", true},
	{"extra_float_digits", "3", true},
	{"bytea_output", "hex", true},
	{"standard_conforming_strings", "on", true},
	{"lc_monetary", "C", false},
	{"xmloption", "content", false},
	{"xmlbinary", "base64", false},
	{"array_nulls", "on", false},
	{"quote_all_identifiers", "off", false},
	{"transform_null_equals", "off", false},
	{"row_security", "off", false},
	{"jit", "off", false},
	{"plan_cache_mode", "force_generic_plan", false},
	{"default_transaction_isolation", "read committed", false},
	{"default_transaction_read_only", "off", false},
	{"default_transaction_deferrable", "off", false},
	{"statement_timeout", "0", false},
	{"lock_timeout", "0", false},
	{"transaction_timeout", "0", false},
	{"idle_in_transaction_session_timeout", "0", false},
};

void
ts_remote_close(TsConnection *connection)
{
	bool		quiet = ts_error_quiet;

	if (connection->conn == NULL)
		return;
	ts_error_quiet = true;
	if (connection->first != NULL)
		ts_queue_fail(connection);
	ts_error_quiet = quiet;
	PQfinish(connection->conn);
	ReleaseExternalFD();
	connection->conn = NULL;
	connection->copying = TS_COPY_NONE;
	connection->lost = false;
	connection->why[0] = '\0';
	connection->unsent = 0;
	connection->outdated = false;
	ts_prepared_forget(connection);
}

pg_noreturn static void
refuse(TsConnection *connection, const char *why)
{
	/* who gave a wrong password is not helped by another attempt */
	if (connection->conn == NULL || !PQconnectionUsedPassword(connection->conn))
		ts_error_note_passing();
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not connect to server \"%s\"", connection->server),
			 errdetail_internal("%s", why),
			 errhint("Check that the server runs, and the options of the foreign server and of the user mapping.")));
}

/* libpq's connecting, with waits that can be cancelled. */
static void
poll_until_connected(TsConnection *connection, TimestampTz deadline)
{
	PGconn	   *conn = connection->conn;
	PostgresPollingStatusType status = PQstatus(conn) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;

	while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING)
	{
		long		left = ts_queue_left(deadline);

		if (left == 0)
			refuse(connection, "timeout expired (tracksync.connect_timeout)");
		if (ts_queue_wait_socket(conn, status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_CONNECTED, left))
			status = PQconnectPoll(conn);
	}
	if (status != PGRES_POLLING_OK)
		refuse(connection, pchomp(PQerrorMessage(conn)));
}

static void
check_server(TsConnection *connection, const UserMapping *mapping)
{
	PGconn	   *conn = connection->conn;

	connection->own_password = PQconnectionUsedPassword(conn);
	if (ts_conninfo_password_required(mapping, connection->role) && !connection->own_password)
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("password is required"),
				 errdetail("Role \"%s\" is no superuser, and server \"%s\" did not ask for the password of its user mapping.",
						   GetUserNameFromId(connection->role, false), connection->server),
				 errhint("Change the authentication method there, or have a superuser set password_required 'false' in the user mapping.")));
	connection->version = PQserverVersion(conn);
	if (PQprotocolVersion(conn) < 3 || connection->version < 100000)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("server \"%s\" is too old", connection->server),
				 errdetail("Its version is %s.", PQparameterStatus(conn, "server_version") ? PQparameterStatus(conn, "server_version") : "not known"),
				 errhint("A target must be PostgreSQL 10 or newer.")));
}

static void
note_pinned(void *arg, int ncolumns, char *const *values)
{
	bool	   *done = arg;

	for (int i = 0; i < lengthof(pinned); i++)
		if (ncolumns > 0 && values[0] != NULL && strcmp(pinned[i].name, values[0]) == 0)
			done[i] = true;
}

/* SELECT v.name, set_config(v.name, v.value, false) FROM (VALUES ('search_path', 'pg_catalog'), …) AS v (name, value) JOIN pg_settings … */
static void
pin_settings(TsConnection *connection, TimestampTz deadline)
{
	bool		done[lengthof(pinned)] = {false};
	StringInfoData sql;
	TsRequest  *request;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT v.name, pg_catalog.set_config(v.name, v.value, false) FROM (VALUES ");
	for (int i = 0; i < lengthof(pinned); i++)
		appendStringInfo(&sql, "%s('%s', '%s')", i ? ", " : "", pinned[i].name, pinned[i].value);
	/* what is committed there must not be lost by a crash there; how many others have to know of it is not ours to say */
	appendStringInfoString(&sql, ", ('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
						   "ELSE pg_catalog.current_setting('synchronous_commit') END)");
	appendStringInfoString(&sql, ") AS v (name, value) JOIN pg_catalog.pg_settings AS s ON s.name OPERATOR(pg_catalog.=) v.name");
	request = ts_queue_new(connection, sql.data);
	ts_queue_send(request, TS_SEND_QUERY, sql.data, 0, NULL, NULL);
	if (!ts_queue_wait(connection, request, deadline))
		refuse(connection, "timeout expired (tracksync.connect_timeout)");
	(void) ts_request_wait(request, note_pinned, done);
	for (int i = 0; i < lengthof(pinned); i++)
		if (pinned[i].needed && !done[i])
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("server \"%s\" does not have the setting \"%s\"", connection->server, pinned[i].name),
					 errhint("A target must be PostgreSQL 10 or newer, or an engine that has its settings.")));
}

static void
open_and_check(TsConnection *connection, const UserMapping *mapping, const TsConninfo *info)
{
	TimestampTz deadline = 0;

	if (info->timeout > 0)
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) info->timeout * 1000);
	poll_until_connected(connection, deadline);
	check_server(connection, mapping);
	(void) PQsetNoticeReceiver(connection->conn, ts_error_notice, connection);
	if (PQsetnonblocking(connection->conn, 1) != 0)
		refuse(connection, pchomp(PQerrorMessage(connection->conn)));
	pin_settings(connection, deadline);
}

void
ts_remote_open(TsConnection *connection, const ForeignServer *server, const UserMapping *mapping)
{
	TsConninfo	info = ts_conninfo_build(server, mapping, connection->role, connection->wanted_name);

	Assert(connection->conn == NULL && connection->depth == 0);
	ts_error_clear(connection);
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not connect to server \"%s\"", connection->server),
				 errdetail("There are too many open files on the local server."),
				 errhint("Raise the server's max_files_per_process and/or \"ulimit -n\" limits.")));
	connection->conn = PQconnectStartParams(info.keywords, info.values, false);
	if (connection->conn == NULL)
	{
		ReleaseExternalFD();
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	connection->outdated = false;
	connection->mapping = mapping->umid;
	connection->server_hash = GetSysCacheHashValue1(FOREIGNSERVEROID, ObjectIdGetDatum(server->serverid));
	connection->mapping_hash = GetSysCacheHashValue1(USERMAPPINGOID, ObjectIdGetDatum(mapping->umid));
	PG_TRY();
	{
		open_and_check(connection, mapping, &info);
	}
	PG_CATCH();
	{
		ts_remote_close(connection);
		ts_error_clear(connection);
		PG_RE_THROW();
	}
	PG_END_TRY();
	strlcpy(connection->name, connection->wanted_name, NAMEDATALEN);
	connection->fresh = true;
}
