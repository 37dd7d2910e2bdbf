/*
 * connection.h: connections to other servers, their transactions, and the statements on their way.
 *
 * There is one connection per foreign server and role in a session. With the first statement of a local transaction a transaction (READ
 * COMMITTED) begins there; subtransactions are savepoints there, released and rolled back with them. It is committed when the local
 * transaction is about to commit (XACT_EVENT_PRE_COMMIT), and rolled back if that one is, or if nothing was to be written; then a
 * connection that is lost is no error. A connection whose state is in doubt is dropped. If the subtransaction in which the transaction
 * there began is rolled back, all of that one is, and the next statement begins another, on a new connection if need be.
 *
 * Statements are sent without waiting for the ones before them, in libpq's pipeline mode where libpq has it (14); without it each is
 * waited for as it is sent, to the same effect. All waits can be cancelled. See request.h and copy.h.
 *
 * Errors of the server keep their SQLSTATE, message, detail, hint and constraint; the context names server and statement. Of a connection
 * that was lost: 08006; 08007 if that was while it committed: whether it did is not known.
 */
#ifndef TS_CONNECTION_H
#define TS_CONNECTION_H

typedef struct TsConnection TsConnection;

/*
 * The connection of a role to a foreign server, for the running (sub)transaction. purpose: what it is for, "link orders": part of its
 * application_name. 42704 if there is no such server or no user mapping, 42501 if the role may not use it, 42809 if it is no server of
 * PostgreSQL, 2F003 if it would connect with a password that is not its own, 08001 if the connection cannot be made. The pointer is good
 * until the transaction ends.
 */
extern TsConnection *ts_connection_get(const char *server, Oid role, const char *purpose);
/* From now on the transaction is to be committed: what it does counts, a connection that is lost is an error. */
extern void ts_connection_writes(TsConnection *connection);
/*
 * What is written from now on in this transaction comes from there: tracksync.origin (capture/origin.h). Empty: from nowhere else. Not
 * waited for.
 */
extern void ts_connection_origin(TsConnection *connection, const char *origin);
/* Has this transaction something to commit there? server NULL: on any; role InvalidOid: of any. */
extern bool ts_connection_is_writing(const char *server, Oid role);
/* Closes the session's connections to the server, of all roles, that no transaction uses; NULL: to all servers. Returns how many. */
extern int	ts_connection_close(const char *server);
/* Closes this one, with what this transaction did there, so that the next statement begins anew. Not if it is writing. */
extern void ts_connection_drop(const char *server, Oid role);
/*
 * From now until ts_connection_snapshot_end all statements there see one snapshot, taken with the first of them: what this transaction read
 * there before is let go of. Not if it has something to commit there: then each statement sees the newest state, with that.
 */
extern void ts_connection_snapshot(TsConnection *connection);
extern void ts_connection_snapshot_end(TsConnection *connection);
/* Its server's version, as libpq has it. */
extern int	ts_connection_version(const TsConnection *connection);
/* Registers callbacks; from _PG_init. */
extern void ts_connection_init(void);

/*
 * How many errors there were so far that may pass when all is tried again: a connection lost, 40001, 40P01, 57P01 … 57P03, reported by a
 * server or on the way to it, before a COMMIT was sent. To be compared before and after.
 */
extern uint64 ts_connection_passing_errors(void);

#endif
