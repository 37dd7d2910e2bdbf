/* request.c: statements sent to another server. */
#include "postgres.h"

#include "miscadmin.h"

#include "remote/error.h"
#include "remote/prepared.h"
#include "remote/queue.h"
#include "remote/transaction.h"

TsRequest *
ts_request_send(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values)
{
	return ts_request_send_binary(connection, name, sql, nparams, values, NULL);
}

TsRequest *
ts_request_send_binary(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values, const int *lengths)
{
	TsRequest  *request;
	uint32		number;

	CHECK_FOR_INTERRUPTS();
	ts_transaction_reach(connection);
	number = name ? ts_prepared_number(connection, name, sql) : 0;
	request = ts_queue_new(connection, sql);
	request->statement = number;
	ts_queue_send(request, name ? TS_SEND_PREPARED : TS_SEND_QUERY, sql, nparams, values, lengths);
	ts_queue_push(connection);
	return request;
}

/* Rows returned or written; hands on those of the result. */
static uint64
read_result(const PGresult *result, TsRowFunction row, void *arg)
{
	int			ntuples = PQntuples(result);
	int			ncolumns = PQnfields(result);
	const char *count = PQcmdTuples((PGresult *) result);

	if (row != NULL && ntuples > 0)
	{
		char	  **values = palloc(sizeof(char *) * (ncolumns + 1));

		for (int i = 0; i < ntuples; i++)
		{
			for (int j = 0; j < ncolumns; j++)
				values[j] = PQgetisnull(result, i, j) ? NULL : PQgetvalue(result, i, j);
			row(arg, ncolumns, values);
		}
		pfree(values);
	}
	return count[0] != '\0' ? strtoull(count, NULL, 10) : ntuples;
}

bool
ts_request_is_done(const TsRequest *request)
{
	return request->done;
}

uint64
ts_request_wait(TsRequest *request, TsRowFunction row, void *arg)
{
	TsConnection *connection = request->connection;
	uint64		n = 0;

	(void) ts_queue_wait(connection, request, 0);
	if (request->failed)
		ts_error_raise(connection);
	/* until it is freed it belongs to the transaction, should row fail */
	if (request->result != NULL)
		n = read_result(request->result, row, arg);
	ts_queue_free(request);
	return n;
}

uint64
ts_remote_execute(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values, TsRowFunction row,
				  void *arg)
{
	return ts_request_wait(ts_request_send(connection, name, sql, nparams, values), row, arg);
}

void
ts_remote_run(TsConnection *connection, const char *sql)
{
	TsRequest  *request;

	ts_transaction_reach(connection);
	request = ts_queue_new(connection, sql);
	ts_queue_send(request, TS_SEND_SIMPLE, sql, 0, NULL, NULL);
	(void) ts_request_wait(request, NULL, NULL);
}
