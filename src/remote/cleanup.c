/* cleanup.c: undoing what was done on other servers. */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#include "remote/cleanup.h"
#include "remote/error.h"
#include "remote/open.h"
#include "remote/queue.h"

/* Milliseconds: for a whole transaction, that can as well be dropped; for a savepoint; when somebody cannot wait; for a sign of life. */
#define ROLLBACK_TIME 1500
#define SAVEPOINT_TIME 2000
#define HURRIED_TIME 1000
#define PROBE_TIME 1000

/* The first packet that a server answers, whatever it thinks of us: may we use SSL? */
#define SSL_REQUEST 80877103

typedef struct Time
{
	TimestampTz end;
	TimestampTz hurried;
} Time;

static Time
time_from_now(int ms)
{
	TimestampTz now = GetCurrentTimestamp();
	Time		time = {TimestampTzPlusMilliseconds(now, ms), TimestampTzPlusMilliseconds(now, Min(ms, HURRIED_TIME))};

	return time;
}

/* Waits for events of a socket; false: not in time. */
static bool
wait_for(int sock, short events, const Time *time)
{
	struct pollfd fd = {.fd = sock, .events = events};

	for (;;)
	{
		/* a second cancellation, or the end of the session: cannot wait */
		bool		hurried = ProcDiePending || QueryCancelPending;
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), hurried ? time->hurried : time->end);
		int			rc;

		if (left <= 0 || sock < 0)
			return false;
		/* a signal may come just before */
		rc = poll(&fd, 1, Min(left, 200));
		if (rc > 0)
			return true;
		if (rc < 0 && errno != EINTR)
			return false;
	}
}

/* Does the server still answer? PQcancel would wait for one that is stopped, or behind a broken line, for ever. */
static bool
answers(PGconn *conn)
{
	struct sockaddr_storage address;
	socklen_t	size = sizeof(address);
	uint32		packet[2] = {pg_hton32(8), pg_hton32(SSL_REQUEST)};
	Time		time = time_from_now(PROBE_TIME);
	char		answer;
	bool		ok;
	int			sock;

	if (getpeername(PQsocket(conn), (struct sockaddr *) &address, &size) != 0)
		return false;
	sock = socket(address.ss_family, SOCK_STREAM, 0);
	if (sock < 0)
		return false;
	ok = fcntl(sock, F_SETFL, O_NONBLOCK) == 0 &&
		(connect(sock, (struct sockaddr *) &address, size) == 0 || errno == EINPROGRESS || errno == EINTR) &&
		wait_for(sock, POLLOUT, &time) &&
		send(sock, packet, sizeof(packet), MSG_NOSIGNAL) == sizeof(packet) &&
		wait_for(sock, POLLIN, &time) &&
		recv(sock, &answer, 1, 0) == 1;
	close(sock);
	return ok;
}

/* Stops what the server does; false: it cannot be reached. */
static bool
send_cancel(TsConnection *connection)
{
	PGcancel   *cancel;
	char		message[256];
	bool		ok;

	if (ts_queue_gone(connection) || !answers(connection->conn))
		return false;
	cancel = PQgetCancel(connection->conn);
	if (cancel == NULL)
		return false;
	ok = PQcancel(cancel, message, sizeof(message)) == 1;
	PQfreeCancel(cancel);
	return ok;
}

/* Waits for more to come; false: not in time. */
static bool
step(TsConnection *connection, const Time *time)
{
	bool		sending = PQflush(connection->conn) == 1;

	if (ts_queue_gone(connection) || !wait_for(PQsocket(connection->conn), POLLIN | (sending ? POLLOUT : 0), time))
		return false;
	if (PQconsumeInput(connection->conn) != 1)
		connection->lost = true;
	return true;
}

/* Waits until nothing of this nest level or a deeper one (or nothing of an outer one) is under way. */
static bool
drain(TsConnection *connection, int nest, bool outer, const Time *time)
{
	for (;;)
	{
		ts_queue_absorb(connection);
		if (connection->first == NULL || (outer && connection->first->nest >= nest))
			return !ts_queue_gone(connection);
		if (!step(connection, time))
			return false;
	}
}

/* The replies of what was sent last come to this. */
static TsRequest *
expect(TsConnection *connection, int nest)
{
	TsRequest  *request = &connection->cleaning;

	memset(request, 0, sizeof(TsRequest));
	request->connection = connection;
	request->nest = nest;
	ts_queue_expect(request);
	return request;
}

static bool
end_copy(TsConnection *connection, int nest, const Time *time)
{
	char	   *data;
	int			size;

	if (connection->copying == TS_COPY_IN)
	{
		int			rc;

		while ((rc = PQputCopyEnd(connection->conn, "the transaction was rolled back")) == 0)
			if (!step(connection, time))
				return false;
		if (rc < 0)
			return false;
	}
	else
		while ((size = PQgetCopyData(connection->conn, &data, 1)) >= 0)
		{
			if (size > 0)
				PQfreemem(data);
			else if (!step(connection, time))
				return false;
		}
	connection->copying = TS_COPY_NONE;
	(void) expect(connection, nest);
	return true;
}

/* Brings the connection to rest: nothing is under way. What belongs to outer nest levels is left to be done. */
static bool
settle(TsConnection *connection, int nest, const Time *time)
{
	bool		copying = connection->copying != TS_COPY_NONE;

	if (ts_queue_gone(connection))
		return false;
	if (!copying && !drain(connection, nest, true, time))
		return false;
	/* after an error all else fails at once, and so do rows that come in; what else goes on is stopped */
	if ((connection->copying == TS_COPY_OUT || (connection->first != NULL && !connection->failure.set)) && !send_cancel(connection))
		return false;
	if (copying && !end_copy(connection, nest, time))
		return false;
	return drain(connection, nest, false, time);
}

/* Runs a command; the connection's first error tells what went wrong. */
static bool
command(TsConnection *connection, const char *sql, int nest, const Time *time)
{
	TsRequest  *request;

	ts_error_clear(connection);
	if (PQsendQueryParams(connection->conn, sql, 0, NULL, NULL, NULL, NULL, 0) != 1 || !ts_queue_sync(connection))
		return false;
	request = expect(connection, nest);
	return drain(connection, nest, false, time) && !request->failed;
}

static bool
was_cancelled(const TsConnection *connection)
{
	const char *state = connection->failure.result ? PQresultErrorField(connection->failure.result, PG_DIAG_SQLSTATE) : NULL;

	return state != NULL && strcmp(state, "57014") == 0;
}

/* The same; a cancellation that came late may hit it. */
static bool
command_again(TsConnection *connection, const char *sql, int nest, const Time *time)
{
	return command(connection, sql, nest, time) ||
		(was_cancelled(connection) && command(connection, sql, nest, time));
}

/* Ends the cleaning: closes the connection if it went wrong. */
static bool
end(TsConnection *connection, bool ok)
{
	if (!ok)
		ts_remote_close(connection);
	ts_error_clear(connection);
	ts_error_quiet = false;
	return ok;
}

bool
ts_cleanup_rollback(TsConnection *connection)
{
	Time		time = time_from_now(ROLLBACK_TIME);
	bool		ok;

	ts_error_quiet = true;
	ok = settle(connection, 0, &time);
	/* a COMMIT that failed leaves none */
	if (ok && PQtransactionStatus(connection->conn) != PQTRANS_IDLE)
		ok = command_again(connection, "ROLLBACK", 0, &time) && PQtransactionStatus(connection->conn) == PQTRANS_IDLE;
	return end(connection, ok);
}

bool
ts_cleanup_rollback_to(TsConnection *connection, int nest)
{
	Time		time = time_from_now(SAVEPOINT_TIME);
	char		undo[64];
	char		release[64];
	bool		ok;

	snprintf(undo, sizeof(undo), "ROLLBACK TO SAVEPOINT s%d", nest);
	snprintf(release, sizeof(release), "RELEASE SAVEPOINT s%d", nest);
	ts_error_quiet = true;
	ok = settle(connection, nest, &time) &&
		command_again(connection, undo, nest, &time) &&
		command_again(connection, release, nest, &time);
	return end(connection, ok);
}
