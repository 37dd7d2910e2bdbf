/*
 * prepared.h: the statements that a connection has prepared.
 *
 * There they have names that are never used again (tracksync_1, …): what failed, or was forgotten here, stands in nobody's way.
 */
#ifndef TS_PREPARED_H
#define TS_PREPARED_H

#include "remote/state.h"

/* The number of the statement known by this name, prepared if need be. */
extern uint32 ts_prepared_number(TsConnection *connection, const char *name, const char *sql);
/* The request that prepares or runs one is done: forgets it if preparing failed. Raises nothing. */
extern void ts_prepared_settle(TsConnection *connection, const TsRequest *request);
/* An error: forgets the statement if it can be its fault. Raises nothing. */
extern void ts_prepared_doubt(TsConnection *connection, TsRequest *request, const PGresult *error);
/* The connection is gone. */
extern void ts_prepared_forget(TsConnection *connection);

#endif
