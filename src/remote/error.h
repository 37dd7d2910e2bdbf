/* error.h: errors of other servers. */
#ifndef TS_ERROR_H
#define TS_ERROR_H

#include "base/compat.h"
#include "remote/state.h"

/* Keeps the error of the request as its connection's first, unless there is one; result (NULL: the connection was lost) is freed. */
extern void ts_error_keep(TsConnection *connection, const TsRequest *request, PGresult *result);
/* Raises the connection's first error. */
pg_noreturn extern void ts_error_raise(TsConnection *connection);
/* Forgets it. */
extern void ts_error_clear(TsConnection *connection);
/* Forgets it as if it had never been. */
extern void ts_error_forgive(TsConnection *connection);
/* Raises it if there is one, or if the connection cannot be used. */
extern void ts_error_check(TsConnection *connection);
/* An error that may pass was seen. */
extern void ts_error_note_passing(void);
/* libpq's PQnoticeReceiver */
extern void ts_error_notice(void *connection, const PGresult *result);

/* COMMIT was sent to some server in this transaction: errors do not pass any more. */
extern bool ts_error_final;
/* In cleanup, where nothing may be raised. */
extern bool ts_error_quiet;

#endif
