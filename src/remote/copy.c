/* copy.c: many rows from and to another server, by COPY. */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "remote/copy.h"
#include "remote/error.h"
#include "remote/queue.h"
#include "remote/transaction.h"

/* libpq sends by itself what fills its buffer; so often we see whether it could. */
#define PUSH_BYTES (64 * 1024)

static TsRequest *
start(TsConnection *connection, const char *sql, TsCopying direction)
{
	TsRequest  *request;

	ts_transaction_reach(connection);
	request = ts_queue_new(connection, sql);
	ts_queue_send(request, TS_SEND_SIMPLE, sql, 0, NULL, NULL);
	if (request->failed)
		ts_error_raise(connection);
	if (connection->copying != direction)
		elog(ERROR, "server \"%s\" did not start to copy", connection->server);
	connection->copy = request;
	return request;
}

/* The rows have all gone one way: what comes now is the statement's outcome. */
static uint64
end(TsConnection *connection)
{
	TsRequest  *request = connection->copy;

	connection->copying = TS_COPY_NONE;
	request->done = false;
	ts_queue_expect(request);
	return ts_request_wait(request, NULL, NULL);
}

pg_noreturn static void
fail(TsConnection *connection)
{
	ts_queue_fail(connection);
	ts_error_raise(connection);
}

void
ts_copy_in_begin(TsConnection *connection, const char *sql)
{
	(void) start(connection, sql, TS_COPY_IN);
}

void
ts_copy_in_data(TsConnection *connection, const char *data, int size)
{
	int			rc;

	Assert(connection->copying == TS_COPY_IN);
	while ((rc = PQputCopyData(connection->conn, data, size)) == 0)
		ts_queue_wait_more(connection, true, -1);
	if (rc < 0)
		fail(connection);
	connection->unsent += size;
	CHECK_FOR_INTERRUPTS();
	if (connection->unsent < PUSH_BYTES)
		return;
	ts_queue_push(connection);
	if (ts_queue_gone(connection))
		fail(connection);
}

uint64
ts_copy_in_end(TsConnection *connection)
{
	int			rc;

	Assert(connection->copying == TS_COPY_IN);
	while ((rc = PQputCopyEnd(connection->conn, NULL)) == 0)
		ts_queue_wait_more(connection, true, -1);
	if (rc < 0)
		fail(connection);
	return end(connection);
}

/* What stands for the character after a backslash. */
static char
unescaped(char c)
{
	switch (c)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'v':
			return '\v';
		default:
			return c;
	}
}

/* Splits a line of COPY's text format, in place; values has room for max. Returns how many columns it has. */
static int
split_line(char *line, int max, char **values)
{
	char	   *in = line;
	char	   *out = line;
	int			n = 0;

	while (n < max)
	{
		char		end;

		values[n] = out;
		if (in[0] == '\\' && in[1] == 'N' && (in[2] == '\t' || in[2] == '\0'))
		{
			values[n] = NULL;
			in += 2;
		}
		for (; *in != '\t' && *in != '\0'; in++)
		{
			if (*in == '\\' && in[1] != '\0')
				*out++ = unescaped(*++in);
			else
				*out++ = *in;
		}
		end = *in;
		*out++ = '\0';
		n++;
		if (end == '\0')
			break;
		in++;
	}
	return n;
}

void
ts_remote_rows(TsConnection *connection, const char *query, TsRowFunction row, void *arg)
{
	char	   *sql = psprintf("COPY (%s) TO STDOUT", query);
	TsRequest  *request = start(connection, sql, TS_COPY_OUT);
	int			ncolumns = PQnfields(request->result);
	char	  **values = palloc(sizeof(char *) * (ncolumns + 1));
	StringInfoData line;
	char	   *data;
	int			size;

	initStringInfo(&line);
	while ((size = PQgetCopyData(connection->conn, &data, 1)) >= 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (size == 0)
		{
			if (ts_queue_gone(connection))
				fail(connection);
			ts_queue_wait_more(connection, false, -1);
			continue;
		}
		/* ours first: the row's function may fail */
		resetStringInfo(&line);
		enlargeStringInfo(&line, size);
		memcpy(line.data, data, size);
		PQfreemem(data);
		line.data[line.data[size - 1] == '\n' ? size - 1 : size] = '\0';
		if (ncolumns > 0 && split_line(line.data, ncolumns, values) != ncolumns)
			elog(ERROR, "server \"%s\" sent a line of %d columns with fewer", connection->server, ncolumns);
		row(arg, ncolumns, values);
	}
	(void) end(connection);
	pfree(line.data);
	pfree(values);
	pfree(sql);
}
