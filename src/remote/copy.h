/* copy.h: many rows from and to another server, by COPY; see connection.h. */
#ifndef TS_COPY_H
#define TS_COPY_H

#include "base/row.h"
#include "remote/connection.h"

/* COPY … FROM STDIN: begin, data in COPY's text format (any cut), end: the rows that were copied. Nothing else may be sent meanwhile. */
extern void ts_copy_in_begin(TsConnection *connection, const char *sql);
extern void ts_copy_in_data(TsConnection *connection, const char *data, int size);
extern uint64 ts_copy_in_end(TsConnection *connection);
/*
 * A query's rows, all of them, one at a time, as text: by COPY (query) TO STDOUT, so that they are never all in memory. row is called with
 * each; it may send nothing.
 */
extern void ts_remote_rows(TsConnection *connection, const char *query, TsRowFunction row, void *arg);

#endif
