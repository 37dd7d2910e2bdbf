/*
 * cleanup.h: undoing what was done on other servers, when a (sub)transaction is rolled back.
 *
 * Nothing here raises an error, allocates or waits for long: libpq and poll() only. A connection that cannot be brought to rest in time is
 * closed.
 */
#ifndef TS_CLEANUP_H
#define TS_CLEANUP_H

#include "remote/state.h"

/* Rolls back the transaction there; false: the connection was closed instead. */
extern bool ts_cleanup_rollback(TsConnection *connection);
/* Rolls back to the savepoint of this nest level, and releases it; false: the same. */
extern bool ts_cleanup_rollback_to(TsConnection *connection, int nest);

#endif
