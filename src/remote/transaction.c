/*
 * transaction.c: the transactions on other servers follow the local one.
 *
 * connection->depth says how far they do: 0, no transaction; n, the transaction and the savepoints s2 … sn of the nest levels 2 … n.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "remote/cleanup.h"
#include "remote/conninfo.h"
#include "remote/error.h"
#include "remote/open.h"
#include "remote/queue.h"
#include "remote/transaction.h"

#define START "START TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE"
#define START_STEADY "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

/* The local transaction is past the point where one can begin elsewhere. */
static bool ending = false;

static TsConnection *
connection_of(dlist_node *node)
{
	return dlist_container(TsConnection, node, node);
}

static const char *
start_of(const TsConnection *connection)
{
	return connection->steady ? START_STEADY : START;
}

static bool
send_name(TsConnection *connection)
{
	const char *values[] = {connection->wanted_name};

	if (strcmp(connection->name, connection->wanted_name) == 0)
		return true;
	strlcpy(connection->name, connection->wanted_name, NAMEDATALEN);
	return ts_queue_command(connection, "SELECT pg_catalog.set_config('application_name', $1, false)", 1, values);
}

/* Begins on a connection that was idle for some time; false: it has gone. */
static bool
begin_on_kept(TsConnection *connection)
{
	TimestampTz deadline = 0;

	if (ts_connect_timeout > 0)
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) ts_connect_timeout * 1000);
	if (!send_name(connection) || !ts_queue_command(connection, start_of(connection), 0, NULL) ||
		!ts_queue_wait(connection, NULL, deadline) || ts_queue_gone(connection))
		return false;
	if (connection->failure.set && connection->failure.counted)
		return false;
	ts_error_check(connection);
	return true;
}

static void
begin(TsConnection *connection, int nest)
{
	connection->depth = 1;
	connection->begun = nest;
	if (connection->conn != NULL && !connection->fresh && !begin_on_kept(connection))
	{
		ts_remote_close(connection);
		ts_error_forgive(connection);
	}
	else if (connection->conn != NULL && !connection->fresh)
		return;
	if (connection->conn == NULL)
	{
		ForeignServer *server = GetForeignServer(connection->serverid);

		connection->depth = 0;
		ts_remote_open(connection, server, ts_conninfo_mapping(server, connection->role));
		connection->depth = 1;
	}
	connection->fresh = false;
	if (!send_name(connection) || !ts_queue_command(connection, start_of(connection), 0, NULL))
		ts_error_raise(connection);
}

void
ts_transaction_reach(TsConnection *connection)
{
	int			nest = GetCurrentTransactionNestLevel();
	char		sql[64];

	if (ending)
		elog(ERROR, "statement for server \"%s\" at the end of the transaction", connection->server);
	ts_error_check(connection);
	if (connection->copying != TS_COPY_NONE)
		elog(ERROR, "statement for server \"%s\" during COPY", connection->server);
	if (connection->depth == 0)
		begin(connection, nest);
	else if (!send_name(connection))
		ts_error_raise(connection);
	while (connection->depth < nest)
	{
		/* first the note: rolling back to a savepoint that is not there does no harm */
		connection->depth++;
		snprintf(sql, sizeof(sql), "SAVEPOINT s%d", connection->depth);
		if (!ts_queue_command(connection, sql, 0, NULL))
			ts_error_raise(connection);
	}
}

void
ts_connection_writes(TsConnection *connection)
{
	int			nest = GetCurrentTransactionNestLevel();

	if (connection->steady)
		elog(ERROR, "statements for server \"%s\" must not write now", connection->server);
	connection->writes = connection->writes > 0 ? Min(connection->writes, nest) : nest;
}

void
ts_connection_origin(TsConnection *connection, const char *origin)
{
	const char *values[] = {origin};

	if (strcmp(connection->origin, origin) == 0)
		return;
	ts_transaction_reach(connection);
	strlcpy(connection->origin, origin, sizeof(connection->origin));
	if (!ts_queue_command(connection, "SELECT pg_catalog.set_config('tracksync.origin', $1, true)", 1, values))
		ts_error_raise(connection);
}

/* The transaction there has ended. */
static void
reset(TsConnection *connection)
{
	connection->origin[0] = '\0';
	connection->depth = 0;
	connection->begun = 0;
	connection->writes = 0;
	connection->steady = false;
	connection->broken = false;
	connection->committing = false;
	ts_error_clear(connection);
}

/* Forgets the requests of this nest level and deeper. */
static void
forget_requests(TsConnection *connection, int nest)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connection->requests)
	{
		TsRequest  *request = dlist_container(TsRequest, node, iter.cur);

		if (request->nest >= nest && (request->done || !request->sent))
			ts_queue_free(request);
	}
}

/* Rolls back the whole transaction there. */
static void
roll_back(TsConnection *connection)
{
	if (connection->conn != NULL)
		(void) ts_cleanup_rollback(connection);
	connection->name[0] = '\0';
	reset(connection);
}

void
ts_connection_snapshot(TsConnection *connection)
{
	if (connection->writes > 0 || connection->steady)
		return;
	ts_queue_drain(connection);
	if (connection->depth > 0)
		roll_back(connection);
	connection->steady = true;
}

void
ts_connection_snapshot_end(TsConnection *connection)
{
	if (!connection->steady)
		return;
	ts_queue_drain(connection);
	if (connection->depth > 0)
		roll_back(connection);
	connection->steady = false;
}

/* A connection that nobody needs: closes one that is not up to date, and frees one that is closed. */
static void
tidy(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &ts_connections)
	{
		TsConnection *connection = connection_of(iter.cur);

		connection->steady = false;
		forget_requests(connection, 0);
		if (connection->outdated)
			ts_remote_close(connection);
		if (connection->conn == NULL)
		{
			ts_error_clear(connection);
			dlist_delete(&connection->node);
			MemoryContextDelete(connection->context);
		}
	}
}

/* Commits; from the moment COMMIT is sent, what became of it is known from its reply only. */
static void
commit(TsConnection *connection)
{
	TsRequest  *request = ts_queue_new(connection, "COMMIT");
	TimestampTz deadline = 0;
	const char *tag;

	connection->committing = true;
	ts_error_final = true;
	ts_queue_send(request, TS_SEND_QUERY, "COMMIT", 0, NULL, NULL);
	/* the server has stopped the clock by now, if COMMIT comes with the statement's end */
	if (StatementTimeout > 0)
		deadline = TimestampTzPlusMilliseconds(GetCurrentStatementStartTimestamp(), StatementTimeout);
	if (!ts_queue_wait(connection, request, deadline))
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to statement timeout"),
				 errdetail("Server \"%s\" has not answered COMMIT; whether it committed is not known.", connection->server),
				 errhint("The next push finds out.")));
	if (request->failed)
		ts_error_raise(connection);
	tag = request->result ? PQcmdStatus(request->result) : "";
	if (strcmp(tag, "COMMIT") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("server \"%s\" rolled the transaction back", connection->server),
				 errdetail("It answered COMMIT with %s.", *tag ? tag : "nothing"),
				 errhint("Try the whole transaction again.")));
	reset(connection);
}

/* Commits where something was written; all that can fail, and can be undone everywhere, comes first. */
static void
commit_all(void)
{
	dlist_iter	iter;
	bool		writes = false;

	dlist_foreach(iter, &ts_connections)
		if (connection_of(iter.cur)->depth > 0 && connection_of(iter.cur)->writes > 0)
		{
			ts_queue_drain(connection_of(iter.cur));
			writes = true;
		}
	/*
	 * What was seen here and is committed there must not be lost by a crash here, with synchronous_commit off say: the transactions'
	 * numbers would be given out again, and what is committed under them then would pass for shipped. Our own last record came after it.
	 */
	if (writes && !XLogRecPtrIsInvalid(XactLastRecEnd))
		XLogFlush(XactLastRecEnd);
	dlist_foreach(iter, &ts_connections)
		if (connection_of(iter.cur)->depth > 0 && connection_of(iter.cur)->writes == 0)
			roll_back(connection_of(iter.cur));
	dlist_foreach(iter, &ts_connections)
		if (connection_of(iter.cur)->depth > 0)
			commit(connection_of(iter.cur));
	ending = true;
}

void
ts_connection_drop(const char *server, Oid role)
{
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = connection_of(iter.cur);

		if (strcmp(connection->server, server) != 0 || connection->role != role || connection->writes > 0)
			continue;
		forget_requests(connection, 0);
		ts_remote_close(connection);
		reset(connection);
	}
}

static void
refuse_prepare(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = connection_of(iter.cur);

		if (connection->depth > 0 && connection->writes > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has written to server \"%s\"", connection->server),
					 errhint("Use COMMIT.")));
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	dlist_iter	iter;

	if (dlist_is_empty(&ts_connections))
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			commit_all();
			break;
		case XACT_EVENT_PRE_COMMIT:
			commit_all();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			dlist_foreach(iter, &ts_connections)
				if (connection_of(iter.cur)->depth > 0)
					roll_back(connection_of(iter.cur));
			ending = false;
			ts_error_final = false;
			tidy();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
release_savepoint(TsConnection *connection, int nest)
{
	char		sql[64];

	ts_queue_drain(connection);
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT s%d", nest);
	if (!ts_queue_command(connection, sql, 0, NULL))
		ts_error_raise(connection);
	connection->depth = nest - 1;
}

/* What was the subtransaction's is its parent's. */
static void
subxact_commit(TsConnection *connection, int nest)
{
	dlist_iter	iter;

	connection->begun = Min(connection->begun, nest - 1);
	connection->writes = Min(connection->writes, nest - 1);
	dlist_foreach(iter, &connection->requests)
	{
		TsRequest  *request = dlist_container(TsRequest, node, iter.cur);

		request->nest = Min(request->nest, nest - 1);
	}
}

static void
subxact_abort(TsConnection *connection, int nest)
{
	if (connection->writes >= nest)
		connection->writes = 0;
	if (connection->depth == 0)
		connection->steady = false;
	if (connection->depth > 0 && connection->begun >= nest)
		roll_back(connection);
	else if (connection->depth >= nest)
	{
		connection->depth = nest - 1;
		connection->name[0] = '\0';
		strlcpy(connection->origin, "?", sizeof(connection->origin));
		/* after an error before the savepoint only the level of that one can be rolled back to */
		if (!connection->broken && !(connection->failure.set && connection->failure.nest < nest))
			connection->broken = !ts_cleanup_rollback_to(connection, nest);
	}
	forget_requests(connection, nest);
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	int			nest = GetCurrentTransactionNestLevel();
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = connection_of(iter.cur);

		switch (event)
		{
			case SUBXACT_EVENT_PRE_COMMIT_SUB:
				if (connection->depth >= nest && !connection->broken)
					release_savepoint(connection, nest);
				break;
			case SUBXACT_EVENT_COMMIT_SUB:
				subxact_commit(connection, nest);
				break;
			case SUBXACT_EVENT_ABORT_SUB:
				subxact_abort(connection, nest);
				break;
			case SUBXACT_EVENT_START_SUB:
				break;
		}
	}
}

void
ts_transaction_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
