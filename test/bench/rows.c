/*
 * rows.c: a client that sends single rows by prepared statements and waits for each, in one transaction, for "remote".
 *
 * rows CONNECTION <CHANGES
 * A line is a change, its fields separated by tabs: d and the key, u with key and amount, or i with the eight columns. Prints how many
 * microseconds it took, connecting, preparing and reading the changes not included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define COLUMNS 8

typedef struct Change
{
	char		kind[2];		/* the statement's name */
	int			nvalues;
	char	   *values[COLUMNS];
} Change;

static PGconn *connection;

static void
check(PGresult *result, ExecStatusType expected)
{
	if (PQresultStatus(result) != expected)
	{
		fprintf(stderr, "rows: %s", PQerrorMessage(connection));
		exit(1);
	}
	PQclear(result);
}

static void *
grow(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		abort();
	return memory;
}

static Change *
read_changes(int *count)
{
	Change	   *changes = NULL;
	int			size = 0;
	char		line[1024];

	for (*count = 0; fgets(line, sizeof(line), stdin) != NULL; ++*count)
	{
		Change	   *c;
		char	   *field;

		if (*count == size)
			changes = grow(changes, (size = 2 * size + 1000) * sizeof(Change));
		c = &changes[*count];
		c->kind[0] = line[0];
		c->kind[1] = '\0';
		c->nvalues = 0;
		strtok(line, "\t\n");
		while ((field = strtok(NULL, "\t\n")) != NULL && c->nvalues < COLUMNS)
			c->values[c->nvalues++] = strdup(field);
	}
	return changes;
}

int
main(int argc, char **argv)
{
	int			count;
	Change	   *changes = read_changes(&count);
	struct timespec from;
	struct timespec to;

	connection = PQconnectdb(argc > 1 ? argv[1] : "");
	if (PQstatus(connection) != CONNECTION_OK)
	{
		fprintf(stderr, "rows: %s", PQerrorMessage(connection));
		return 1;
	}
	check(PQprepare(connection, "d", "DELETE FROM bench.items WHERE id = $1", 0, NULL), PGRES_COMMAND_OK);
	check(PQprepare(connection, "u", "UPDATE bench.items SET amount = $2 WHERE id = $1", 0, NULL), PGRES_COMMAND_OK);
	check(PQprepare(connection, "i", "INSERT INTO bench.items VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", 0, NULL), PGRES_COMMAND_OK);

	clock_gettime(CLOCK_MONOTONIC, &from);
	check(PQexec(connection, "BEGIN"), PGRES_COMMAND_OK);
	for (int i = 0; i < count; i++)
		check(PQexecPrepared(connection, changes[i].kind, changes[i].nvalues, (const char *const *) changes[i].values, NULL, NULL, 0),
			  PGRES_COMMAND_OK);
	check(PQexec(connection, "COMMIT"), PGRES_COMMAND_OK);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.0f\n", (to.tv_sec - from.tv_sec) * 1e6 + (to.tv_nsec - from.tv_nsec) / 1e3);
	PQfinish(connection);
	return 0;
}
