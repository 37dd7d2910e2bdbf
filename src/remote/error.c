/* error.c: errors of other servers. */
#include "postgres.h"

#include "base/compat.h"
#include "remote/error.h"

bool		ts_error_final = false;
bool		ts_error_quiet = false;

static uint64 passing = 0;

void
ts_error_note_passing(void)
{
	if (!ts_error_final && !ts_error_quiet)
		passing++;
}

uint64
ts_connection_passing_errors(void)
{
	return passing;
}

static bool
may_pass(const char *sqlstate)
{
	static const char *const states[] = {"40001", "40P01", "57P01", "57P02", "57P03"};

	if (strncmp(sqlstate, "08", 2) == 0)
		return true;
	for (int i = 0; i < lengthof(states); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

/* Called where nothing may be raised, so that nothing is allocated either. */
void
ts_error_keep(TsConnection *connection, const TsRequest *request, PGresult *result)
{
	TsFailure  *failure = &connection->failure;
	const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	if (failure->set)
	{
		PQclear(result);
		return;
	}
	failure->set = true;
	failure->result = result;
	/* what libpq itself has to say has no SQLSTATE */
	failure->lost = sqlstate == NULL;
	failure->committing = connection->committing;
	failure->nest = request ? request->nest : 0;
	strlcpy(failure->sql, request && request->sql ? request->sql : "", sizeof(failure->sql));
	failure->counted = (failure->lost || may_pass(sqlstate)) && !ts_error_final && !ts_error_quiet;
	if (failure->counted)
		passing++;
}

void
ts_error_clear(TsConnection *connection)
{
	PQclear(connection->failure.result);
	memset(&connection->failure, 0, sizeof(TsFailure));
}

void
ts_error_forgive(TsConnection *connection)
{
	passing -= connection->failure.counted;
	ts_error_clear(connection);
}

pg_noreturn static void
raise_lost(TsConnection *connection)
{
	TsFailure  *failure = &connection->failure;
	const char *why = NULL;

	if (connection->conn != NULL && connection->why[0] != '\0')
		why = connection->why;
	else if (failure->result != NULL)
		why = PQresultErrorMessage(failure->result);
	else if (connection->conn != NULL)
		why = PQerrorMessage(connection->conn);
	if (why != NULL)
		why = *why == '\0' ? NULL : pchomp(why);
	if (failure->committing)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
				 errmsg("connection to server \"%s\" was lost while it committed", connection->server),
				 errdetail("It is not known whether the transaction there was committed.%s%s", why ? " " : "", why ? why : ""),
				 errhint("The next push finds out, and repeats nothing.")));
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to server \"%s\" was lost", connection->server),
			 why ? errdetail_internal("%s", why) : errdetail("What this transaction did there is undone."),
			 errhint("Try the whole transaction again."),
			 failure->sql[0] ? errcontext("server \"%s\", statement: %s", connection->server, failure->sql) : 0));
}

void
ts_error_raise(TsConnection *connection)
{
	const PGresult *result = connection->failure.result;
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *primary,
			   *detail,
			   *hint,
			   *context,
			   *schema,
			   *table,
			   *column,
			   *type,
			   *constraint;

	if (state == NULL || strlen(state) != 5)
		raise_lost(connection);
	primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	context = PQresultErrorField(result, PG_DIAG_CONTEXT);
	schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
	table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
	column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
	type = PQresultErrorField(result, PG_DIAG_DATATYPE_NAME);
	constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg_internal("%s", primary ? primary : "error without a message"),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
			 table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0,
			 column ? err_generic_string(PG_DIAG_COLUMN_NAME, column) : 0,
			 type ? err_generic_string(PG_DIAG_DATATYPE_NAME, type) : 0,
			 constraint ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint) : 0,
			 context ? errcontext("%s", context) : 0,
			 errcontext("server \"%s\", statement: %s", connection->server, connection->failure.sql)));
}

void
ts_error_check(TsConnection *connection)
{
	if (connection->failure.set)
		ts_error_raise(connection);
	if (connection->broken)
		raise_lost(connection);
}

/* Warnings are the user's to see; the rest would be noise here. */
void
ts_error_notice(void *connection, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	bool		warning = severity != NULL && strcmp(severity, "WARNING") == 0;

	if (ts_error_quiet || state == NULL || strlen(state) != 5 || primary == NULL)
		return;
	ereport(warning ? WARNING : DEBUG1,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg_internal("%s", primary),
			 errcontext("server \"%s\"", ((TsConnection *) connection)->server)));
}
