/* request.h: statements sent to another server; see connection.h. */
#ifndef TS_REQUEST_H
#define TS_REQUEST_H

#include "base/row.h"
#include "remote/connection.h"

typedef struct TsRequest TsRequest;

/*
 * Sends a statement with parameters as text (NULL: null; types are the server's to infer). name: it is prepared under this name the first
 * time, and known by it as long as the connection lasts and the text is the same; NULL: it is not prepared. Parameters are copied.
 */
extern TsRequest *ts_request_send(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values);
/*
 * Waits until it is done, and frees it: rows returned or written; those of its result go to row, which may be NULL. Raises its error, or
 * the one before it that made it fail. What was never waited for is before the (sub)transaction commits, and raises its error then.
 */
extern uint64 ts_request_wait(TsRequest *request, TsRowFunction row, void *arg);
/* The same with parameters of these lengths, in binary format; where the length is -1 as text. */
extern TsRequest *ts_request_send_binary(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values,
										 const int *lengths);
/* Is there an answer yet? As far as was read. */
extern bool ts_request_is_done(const TsRequest *request);
/* Both. */
extern uint64 ts_remote_execute(TsConnection *connection, const char *name, const char *sql, int nparams, const char *const *values,
								TsRowFunction row, void *arg);
/* Without parameters, perhaps several statements: DDL. */
extern void ts_remote_run(TsConnection *connection, const char *sql);

#endif
