/*
 * reader.h: the rows of a query, one by one, for as long as the caller wants them.
 *
 * An executor of its own, as a SQL function has that returns its rows as they come: no cursor that a user could close, no connection of
 * SPI. It belongs to the resource owner and the snapshot of the query that asks; an error leaves its end to them.
 */
#ifndef TS_READER_H
#define TS_READER_H

#include "executor/tuptable.h"
#include "utils/snapshot.h"

typedef struct TsReader TsReader;

/* Plans the query, in the current context, which locks all that it reads. table: of a table, not of a view. */
extern TsReader *ts_reader_plan(char *sql, bool table);
/*
 * Begins to read, under a snapshot that is newer than the locks. In a transaction whose snapshot is older: 40001 if a table was truncated
 * or rewritten meanwhile, which would seem to be empty.
 */
extern void ts_reader_begin(TsReader *reader, Snapshot snapshot);
/* The next row, valid until the one after it is asked for; NULL at the end. The reader's snapshot has to be the active one. */
extern TupleTableSlot *ts_reader_next(TsReader *reader);
extern void ts_reader_end(TsReader *reader);

#endif
