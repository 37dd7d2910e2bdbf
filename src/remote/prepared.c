/* prepared.c: the statements that a connection has prepared. */
#include "postgres.h"

#include "base/compat.h"
#include "remote/prepared.h"
#include "remote/queue.h"

#define LIMIT 500

typedef struct Statement
{
	char		name[NAMEDATALEN];	/* key */
	uint32		number;
	char	   *sql;
} Statement;

void
ts_prepared_forget(TsConnection *connection)
{
	HASH_SEQ_STATUS scan;
	Statement  *statement;

	if (connection->statements == NULL)
		return;
	hash_seq_init(&scan, connection->statements);
	while ((statement = hash_seq_search(&scan)) != NULL)
		pfree(statement->sql);
	hash_destroy(connection->statements);
	connection->statements = NULL;
}

static void
forget_number(TsConnection *connection, uint32 number)
{
	HASH_SEQ_STATUS scan;
	Statement  *statement;

	if (connection->statements == NULL)
		return;
	hash_seq_init(&scan, connection->statements);
	while ((statement = hash_seq_search(&scan)) != NULL)
		if (statement->number == number)
		{
			hash_seq_term(&scan);
			pfree(statement->sql);
			(void) hash_search(connection->statements, statement->name, HASH_REMOVE, NULL);
			break;
		}
}

void
ts_prepared_settle(TsConnection *connection, const TsRequest *request)
{
	if (request->prepares && request->failed)
		forget_number(connection, request->statement);
}

void
ts_prepared_doubt(TsConnection *connection, TsRequest *request, const PGresult *error)
{
	const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);

	/* "cached plan must not change result type"; no such statement: somebody else discarded it */
	if (request->statement != 0 && state != NULL && (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0))
		forget_number(connection, request->statement);
}

static void
make_table(TsConnection *connection)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(Statement);
	ctl.hcxt = connection->context;
	connection->statements = hash_create("tracksync remote statements", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

uint32
ts_prepared_number(TsConnection *connection, const char *name, const char *sql)
{
	Statement  *statement;
	TsRequest  *request;
	char	   *copy;
	char		command[64];

	Assert(strlen(name) < NAMEDATALEN);
	statement = connection->statements ? hash_search(connection->statements, name, HASH_FIND, NULL) : NULL;
	if (statement != NULL && strcmp(statement->sql, sql) == 0)
		return statement->number;
	if (statement != NULL)
	{
		snprintf(command, sizeof(command), "DEALLOCATE tracksync_%u", statement->number);
		forget_number(connection, statement->number);
		(void) ts_queue_command(connection, command, 0, NULL);
	}
	else if (connection->statements != NULL && hash_get_num_entries(connection->statements) >= LIMIT)
	{
		ts_prepared_forget(connection);
		(void) ts_queue_command(connection, "DEALLOCATE ALL", 0, NULL);
	}
	if (connection->statements == NULL)
		make_table(connection);
	request = ts_queue_new(connection, sql);
	request->ours = true;
	request->prepares = true;
	request->statement = ++connection->nstatements;
	/* known from now on: if it fails, so does what runs it, and it is forgotten with the reply */
	copy = MemoryContextStrdup(connection->context, sql);
	statement = hash_search(connection->statements, name, HASH_ENTER, NULL);
	statement->number = connection->nstatements;
	statement->sql = copy;
	ts_queue_send(request, TS_SEND_PREPARE, sql, 0, NULL, NULL);
	return connection->nstatements;
}
