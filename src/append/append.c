/* append.c: the rows of a query into a table. */
#include "postgres.h"

#include "append/append.h"
#include "append/rows.h"
#include "append/write.h"

void
ts_append_run(TsAppend *append)
{
	/* the lock comes before the snapshot that the query is run under */
	TsAppender   *writer = ts_append_begin(append);
	TsRows	   *rows = ts_rows_begin(append);
	TupleTableSlot *row;
	bool		differing;

	while ((row = ts_rows_next(rows, &differing)) != NULL)
		ts_append_put(writer, row, differing);
	ts_append_end(writer);
	ts_rows_end(rows);
}
