/*
 * queue.h: the statements under way on a connection, and waiting for them.
 *
 * Replies come in the order of the statements. In pipeline mode each statement has a sync of its own, so that libpq tells them apart.
 */
#ifndef TS_QUEUE_H
#define TS_QUEUE_H

#include "datatype/timestamp.h"

#include "remote/state.h"

typedef enum TsSending
{
	TS_SEND_SIMPLE,				/* simple protocol: only outside of pipeline mode */
	TS_SEND_QUERY,				/* with parameters */
	TS_SEND_PREPARE,			/* the statement of the request */
	TS_SEND_PREPARED,			/* runs it */
} TsSending;

/* A request of the running (sub)transaction, not sent yet; sql is copied in part. */
extern TsRequest *ts_queue_new(TsConnection *connection, const char *sql);
extern void ts_queue_free(TsRequest *request);
/*
 * Sends it. Without pipelining, and in simple protocol, waits until it is done. Raises the connection's first error if it could not be
 * sent; its own is for who waits for it.
 */
extern void ts_queue_send(TsRequest *request, TsSending how, const char *sql, int nparams, const char *const *values,
						  const int *lengths);
/* A command of ours, with parameters: nobody waits for it. */
extern bool ts_queue_command(TsConnection *connection, const char *sql, int nparams, const char *const *values);
/* Adds a request whose statement was sent: its replies come next. */
extern void ts_queue_expect(TsRequest *request);
/* Sees to it that not much waits in libpq to be sent. */
extern void ts_queue_push(TsConnection *connection);
/* Waits until the request (NULL: all) is done; false: it was not in time (0: no limit). Raises nothing but cancellation. */
extern bool ts_queue_wait(TsConnection *connection, const TsRequest *request, TimestampTz deadline);
/* Waits for all, raises the connection's first error. */
extern void ts_queue_drain(TsConnection *connection);
/* Waits until something came, or, if sending, can be sent, and reads it. */
extern void ts_queue_wait_more(TsConnection *connection, bool sending, long timeout);
/* Waits for the socket, for at most so many milliseconds (-1: no limit); false: nothing came. */
extern bool ts_queue_wait_socket(PGconn *conn, int events, long timeout);
/* How many milliseconds are left. */
extern long ts_queue_left(TimestampTz deadline);

/* All of these raise nothing. */

/* Takes the replies that came. */
extern void ts_queue_absorb(TsConnection *connection);
/* All that is under way has failed: the connection is gone. */
extern void ts_queue_fail(TsConnection *connection);
/* Did it go away, as far as is known? */
extern bool ts_queue_gone(const TsConnection *connection);
/* Ends the statement's messages in pipeline mode. */
extern bool ts_queue_sync(TsConnection *connection);


#endif
