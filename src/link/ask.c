/* ask.c: queries about a link's target, wherever it is. */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "link/ask.h"
#include "link/remote.h"

typedef struct Answer
{
	List	   *rows;
	MemoryContext context;
} Answer;

static void
take_row(void *arg, int n, char *const *values)
{
	Answer	   *answer = arg;
	MemoryContext old = MemoryContextSwitchTo(answer->context);
	char	  **row = palloc(sizeof(char *) * (n + 1));

	for (int i = 0; i < n; i++)
		row[i] = values[i] ? pstrdup(values[i]) : NULL;
	answer->rows = lappend(answer->rows, row);
	MemoryContextSwitchTo(old);
}

static void
ask_here(Answer *answer, const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls, bool reading)
{
	SPI_connect();
	if (SPI_execute_with_args(sql, nargs, (Oid *) types, (Datum *) values, nulls, reading, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int			n = SPI_tuptable->tupdesc->natts;
		char	  **row = palloc(sizeof(char *) * (n + 1));

		for (int j = 0; j < n; j++)
			row[j] = ts_sql_text(i, j + 1);
		take_row(answer, n, row);
	}
	SPI_finish();
}

List *
ts_target_ask(const TsLink *link, const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls, bool reading)
{
	Answer		answer = {.context = CurrentMemoryContext};
	const char **texts;

	if (link->server == NULL)
	{
		ask_here(&answer, sql, nargs, types, values, nulls, reading);
		return answer.rows;
	}
	texts = palloc0(sizeof(char *) * (nargs + 1));
	for (int i = 0; i < nargs; i++)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(types[i], &output, &varlena);
		texts[i] = nulls != NULL && nulls[i] == 'n' ? NULL : OidOutputFunctionCall(output, values[i]);
	}
	ts_remote_execute(link->remote->connection, NULL, sql, nargs, texts, take_row, &answer);
	return answer.rows;
}
