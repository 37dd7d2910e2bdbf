/* queue.c: the statements under way on a connection, and waiting for them. */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "remote/error.h"
#include "remote/prepared.h"
#include "remote/queue.h"

/* So many bytes may wait in libpq while the caller makes the next statement. */
#define UNSENT_LIMIT (4 * 1024 * 1024)
/* So much of a statement is in the context of its error. */
#define SHOWN_SQL 500

TsRequest *
ts_queue_new(TsConnection *connection, const char *sql)
{
	int			size = strlen(sql);
	int			shown = size <= SHOWN_SQL ? size : pg_mbcliplen(sql, size, SHOWN_SQL);
	TsRequest  *request = MemoryContextAllocZero(connection->context, sizeof(TsRequest) + shown + 1);

	request->connection = connection;
	request->sql = (char *) (request + 1);
	memcpy(request->sql, sql, shown);
	request->nest = GetCurrentTransactionNestLevel();
	dlist_push_tail(&connection->requests, &request->node);
	return request;
}

void
ts_queue_free(TsRequest *request)
{
	if (request->connection->copy == request)
		request->connection->copy = NULL;
	PQclear(request->result);
	dlist_delete(&request->node);
	pfree(request);
}

bool
ts_queue_gone(const TsConnection *connection)
{
	return connection->conn == NULL || connection->lost || PQstatus(connection->conn) == CONNECTION_BAD;
}

static bool
pipelined(const TsConnection *connection)
{
#ifdef LIBPQ_HAS_PIPELINING
	return PQpipelineStatus(connection->conn) != PQ_PIPELINE_OFF;
#else
	return false;
#endif
}

bool
ts_queue_sync(TsConnection *connection)
{
#ifdef LIBPQ_HAS_PIPELINING
	if (pipelined(connection))
		return PQpipelineSync(connection->conn) == 1;
#endif
	return true;
}

static void
leave_pipeline(TsConnection *connection)
{
	ts_queue_drain(connection);
#ifdef LIBPQ_HAS_PIPELINING
	if (pipelined(connection) && PQexitPipelineMode(connection->conn) != 1)
		elog(ERROR, "cannot leave pipeline mode: %s", pchomp(PQerrorMessage(connection->conn)));
#endif
}

static void
enter_pipeline(TsConnection *connection)
{
#ifdef LIBPQ_HAS_PIPELINING
	if (!pipelined(connection) && PQenterPipelineMode(connection->conn) != 1)
		elog(ERROR, "cannot enter pipeline mode: %s", pchomp(PQerrorMessage(connection->conn)));
#endif
}

/* The first one under way is done. */
static void
finish(TsConnection *connection)
{
	TsRequest  *request = connection->first;

	connection->first = request->next;
	if (connection->first == NULL)
		connection->last = NULL;
	request->next = NULL;
	request->done = true;
	if (request->statement != 0)
		ts_prepared_settle(connection, request);
	if (request->ours)
		ts_queue_free(request);
}

static void
take(TsConnection *connection, PGresult *result)
{
	TsRequest  *request = connection->first;

	switch (PQresultStatus(result))
	{
#ifdef LIBPQ_HAS_PIPELINING
		case PGRES_PIPELINE_SYNC:
			PQclear(result);
			finish(connection);
			break;
		case PGRES_PIPELINE_ABORTED:
			request->failed = true;
			PQclear(result);
			break;
#endif
		case PGRES_FATAL_ERROR:
		case PGRES_BAD_RESPONSE:
			request->failed = true;
			ts_prepared_doubt(connection, request, result);
			ts_error_keep(connection, request, result);
			break;
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
			connection->copying = PQresultStatus(result) == PGRES_COPY_IN ? TS_COPY_IN : TS_COPY_OUT;
			request->result = result;
			finish(connection);
			break;
		default:
			PQclear(request->result);
			request->result = result;
			break;
	}
}

void
ts_queue_fail(TsConnection *connection)
{
	connection->lost = true;
	ts_error_keep(connection, connection->first, NULL);
	connection->failure.lost = true;
	while (connection->first != NULL)
	{
		connection->first->failed = true;
		finish(connection);
	}
}

void
ts_queue_absorb(TsConnection *connection)
{
	int			nothing = 0;

	while (connection->first != NULL && connection->copying == TS_COPY_NONE)
	{
		bool		dead = PQstatus(connection->conn) == CONNECTION_BAD;
		PGresult   *result;

		if (PQisBusy(connection->conn) && !dead)
			break;
		result = PQgetResult(connection->conn);
		if (result != NULL)
		{
			nothing = 0;
			take(connection, result);
		}
		else if (dead || nothing > 2)
			break;
		else if (pipelined(connection))
			nothing++;
		else
			finish(connection);
	}
	if (connection->copying != TS_COPY_NONE)
		return;
	/* what the server said before it went away was taken */
	if (connection->first != NULL && (nothing > 2 || ts_queue_gone(connection)))
		ts_queue_fail(connection);
	/* tells libpq that nothing more is wanted: it is idle then */
	else if (connection->first == NULL && pipelined(connection) && !PQisBusy(connection->conn))
		PQclear(PQgetResult(connection->conn));
}

bool
ts_queue_wait_socket(PGconn *conn, int events, long timeout)
{
	int			rc = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events | (timeout >= 0 ? WL_TIMEOUT : 0),
									   PQsocket(conn), timeout, PG_WAIT_EXTENSION);

	if (rc & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return (rc & events) != 0;
}

long
ts_queue_left(TimestampTz deadline)
{
	return deadline == 0 ? -1 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

void
ts_queue_wait_more(TsConnection *connection, bool sending, long timeout)
{
	if (ts_queue_gone(connection))
		return;
	(void) ts_queue_wait_socket(connection->conn, WL_SOCKET_READABLE | (sending ? WL_SOCKET_WRITEABLE : 0), timeout);
	if (PQconsumeInput(connection->conn) != 1)
	{
		/* it says less later */
		connection->lost = true;
		strlcpy(connection->why, PQerrorMessage(connection->conn), sizeof(connection->why));
	}
}

void
ts_queue_push(TsConnection *connection)
{
	for (;;)
	{
		int			waiting = PQflush(connection->conn);

		if (waiting != 1)
		{
			connection->unsent = 0;
			break;
		}
		if (connection->unsent <= UNSENT_LIMIT)
			break;
		ts_queue_wait_more(connection, true, -1);
		/* a server that cannot get rid of its replies takes nothing more */
		ts_queue_absorb(connection);
		if (ts_queue_gone(connection))
			break;
	}
}

bool
ts_queue_wait(TsConnection *connection, const TsRequest *request, TimestampTz deadline)
{
	for (;;)
	{
		int			unsent;
		long		left;

		/* done by the end of its connection, perhaps */
		if (request ? request->done : connection->first == NULL)
			return true;
		unsent = PQflush(connection->conn);
		ts_queue_absorb(connection);
		if (request ? request->done : connection->first == NULL)
			return true;
		left = ts_queue_left(deadline);
		if (left == 0)
			return false;
		ts_queue_wait_more(connection, unsent == 1, left);
	}
}

void
ts_queue_drain(TsConnection *connection)
{
	(void) ts_queue_wait(connection, NULL, 0);
	ts_error_check(connection);
}

void
ts_queue_expect(TsRequest *request)
{
	TsConnection *connection = request->connection;

	request->sent = true;
	if (connection->last)
		connection->last->next = request;
	else
		connection->first = request;
	connection->last = request;
}

static int
hand_to_libpq(TsRequest *request, TsSending how, const char *sql, int nparams, const char *const *values, const int *lengths)
{
	PGconn	   *conn = request->connection->conn;
	char		name[32];
	int		   *formats = NULL;
	int			rc = 0;

	if (lengths != NULL)
		formats = palloc(sizeof(int) * (nparams + 1));
	for (int i = 0; lengths != NULL && i < nparams; i++)
		formats[i] = lengths[i] >= 0;
	snprintf(name, sizeof(name), "tracksync_%u", request->statement);
	switch (how)
	{
		case TS_SEND_SIMPLE:
			rc = PQsendQuery(conn, sql);
			break;
		case TS_SEND_QUERY:
			rc = PQsendQueryParams(conn, sql, nparams, NULL, values, lengths, formats, 0);
			break;
		case TS_SEND_PREPARE:
			rc = PQsendPrepare(conn, name, sql, 0, NULL);
			break;
		case TS_SEND_PREPARED:
			rc = PQsendQueryPrepared(conn, name, nparams, values, lengths, formats, 0);
			break;
	}
	if (formats != NULL)
		pfree(formats);
	return rc;
}

/* False if it could not be sent: then the connection is lost. */
static bool
try_to_send(TsRequest *request, TsSending how, const char *sql, int nparams, const char *const *values, const int *lengths)
{
	TsConnection *connection = request->connection;

	if (how == TS_SEND_SIMPLE)
		leave_pipeline(connection);
	else
		enter_pipeline(connection);
	if (hand_to_libpq(request, how, sql, nparams, values, lengths) != 1 || !ts_queue_sync(connection))
	{
		/* half a message cannot be taken back */
		ts_queue_expect(request);
		ts_queue_fail(connection);
		return false;
	}
	ts_queue_expect(request);
	connection->unsent += strlen(sql);
	for (int i = 0; i < nparams; i++)
		connection->unsent += values[i] == NULL ? 0 : lengths != NULL && lengths[i] >= 0 ? lengths[i] : strlen(values[i]);
	/* all before it is done then; it may free itself. COMMIT is waited for by who sent it, not for ever. */
	if (!pipelined(connection) && !connection->committing)
		(void) ts_queue_wait(connection, NULL, 0);
	return true;
}

void
ts_queue_send(TsRequest *request, TsSending how, const char *sql, int nparams, const char *const *values, const int *lengths)
{
	TsConnection *connection = request->connection;

	if (!try_to_send(request, how, sql, nparams, values, lengths))
		ts_error_raise(connection);
}

bool
ts_queue_command(TsConnection *connection, const char *sql, int nparams, const char *const *values)
{
	TsRequest  *request = ts_queue_new(connection, sql);

	request->ours = true;
	return try_to_send(request, TS_SEND_QUERY, sql, nparams, values, NULL);
}
