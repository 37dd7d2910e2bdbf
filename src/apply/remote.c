/*
 * remote.c: a target on another server.
 *
 * The same statements as for a local one. There is no query level there in which foreign keys could wait: those that
 * are deferrable are deferred while rows are written; the order of the steps has to do for the others (order.h). Unique constraints are
 * checked by each statement, deferrable or not: then it is known which row it was.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "apply/stream.h"
#include "apply/target.h"
#include "apply/wire.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "link/remote.h"

typedef struct RemoteTarget
{
	TsTarget	base;
	const TsLink *link;
	List	   *deferred;		/* char *: names of foreign keys, SQL */
	TsStream   *stream;
	int64		written;
	char	   *origin;			/* of the rows, for a table that is tracked there; NULL: it is not */
} RemoteTarget;

/* A statement on its way. */
typedef struct Sent
{
	TsRequest  *request;
	bool		writes;			/* rows that are there */
} Sent;

static TsConnection *
connection(const TsTarget *target)
{
	return ((const RemoteTarget *) target)->link->remote->connection;
}

static void
set_constraints(RemoteTarget *target, const List *names, const char *how)
{
	StringInfoData sql;
	ListCell   *lc;

	if (names == NIL)
		return;
	initStringInfo(&sql);
	foreach(lc, names)
		appendStringInfo(&sql, "%s%s", sql.len ? ", " : "SET CONSTRAINTS ", (char *) lfirst(lc));
	ts_remote_run(target->link->remote->connection, psprintf("%s %s", sql.data, how));
}

/* The capture there is told whose changes come next. */
static void
tell_origin(const TsTarget *target, bool own)
{
	const char *origin = ((const RemoteTarget *) target)->origin;

	if (origin != NULL)
		ts_connection_origin(connection(target), own ? "" : origin);
}

static void
remote_open(TsTarget *base, int n, const Oid *targets)
{
}

static void
remote_begin(TsTarget *base)
{
	RemoteTarget *target = (RemoteTarget *) base;
	List	   *immediate = NIL;
	ListCell   *lc;

	ts_connection_writes(connection(base));
	base->in_order = false;
	target->deferred = NIL;
	foreach(lc, target->link->remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		if (r->deferrable)
			target->deferred = lappend(target->deferred, r->name);
	}
	set_constraints(target, target->deferred, base->at_once ? "IMMEDIATE" : "DEFERRED");
	foreach(lc, target->link->remote->indexes)
		if (((TsRemoteIndex *) lfirst(lc))->deferrable != NULL)
			immediate = lappend(immediate, ((TsRemoteIndex *) lfirst(lc))->deferrable);
	set_constraints(target, immediate, "IMMEDIATE");
	target->stream = ts_stream_prepare(target->link);
	target->written = 0;
}

static bool
remote_stream(TsTarget *target, int n, const TsChange *rows)
{
	TsStream   *stream = ((RemoteTarget *) target)->stream;

	if (stream != NULL)
		tell_origin(target, false);
	if (stream != NULL)
		ts_stream_put(stream, n, rows);
	return stream != NULL;
}

static uint64
remote_stream_end(TsTarget *target)
{
	return ts_stream_end(((RemoteTarget *) target)->stream);
}

/* The same text has the same name: prepared statements outlive pushes, as does the plan of those that write in order. */
static const char *
statement_name(const TsTarget *target, TsStatement *stmt)
{
	if (stmt->prepared == NULL)
	{
		int			size = (int) strlen(stmt->sql);

		stmt->prepared = MemoryContextStrdup(GetMemoryChunkContext(stmt),
											 psprintf("ts_%016llx%016llx", (unsigned long long) hash_bytes_extended((unsigned char *) stmt->sql, size, 0),
													  (unsigned long long) hash_bytes_extended((unsigned char *) stmt->sql, size, 1)));
	}
	return target->in_order ? psprintf("%s_in_order", (char *) stmt->prepared) : stmt->prepared;
}

static Sent *
send_statement(TsTarget *target, TsStatement *stmt, Datum *arrays)
{
	const char **values = palloc(sizeof(char *) * (stmt->nparams + 1));
	int		   *lengths = palloc(sizeof(int) * (stmt->nparams + 1));
	Sent	   *sent = palloc(sizeof(Sent));
	int			level;

	tell_origin(target, stmt->own);
	level = ts_texts_enter();
	for (int i = 0; i < stmt->nparams; i++)
		values[i] = ts_wire_array(stmt->params[i].element, arrays[i], &lengths[i]);
	ts_texts_leave(level);
	sent->writes = strncmp(stmt->sql, "UPDATE", 6) == 0 || strncmp(stmt->sql, "DELETE", 6) == 0;
	sent->request = ts_request_send_binary(connection(target), statement_name(target, stmt), stmt->sql, stmt->nparams, values, lengths);
	return sent;
}

static uint64
receive(TsTarget *target, Sent *sent, TsRowFunction row, void *arg)
{
	uint64		n = ts_request_wait(sent->request, row, arg);

	if (sent->writes)
		((RemoteTarget *) target)->written += n;
	return n;
}

static int64
remote_written(TsTarget *target)
{
	return ((RemoteTarget *) target)->written;
}

static uint64
remote_execute(TsTarget *target, TsStatement *stmt, Datum *arrays, TsRowFunction row, void *arg)
{
	const TsLink *link = ((RemoteTarget *) target)->link;

	if (stmt->kind == TS_STATEMENT_LOOK && link->remote->sharded)
		ts_remote_run(connection(target), psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", ts_link_target(link)));
	return receive(target, send_statement(target, stmt, arrays), row, arg);
}

static void *
remote_send(TsTarget *target, TsStatement *stmt, Datum *arrays)
{
	return send_statement(target, stmt, arrays);
}

static bool
remote_ready(TsTarget *target, void *ticket)
{
	return ts_request_is_done(((Sent *) ticket)->request);
}

static uint64
remote_receive(TsTarget *target, void *ticket, TsRowFunction row, void *arg)
{
	return receive(target, ticket, row, arg);
}

static void
remote_run(TsTarget *target, const char *sql)
{
	ts_connection_writes(connection(target));
	ts_remote_run(connection(target), sql);
}

/* As plan_now of local.c. Where there are no such settings, there is no such planner. */
static void
remote_order(TsTarget *target, bool on)
{
	ts_remote_execute(connection(target), NULL, psprintf("SELECT pg_catalog.set_config(s.name, %s, true) FROM pg_catalog.pg_settings AS s WHERE s.name "
														 "IN ('enable_hashjoin', 'enable_mergejoin', 'enable_seqscan', 'enable_bitmapscan')",
														 on ? "'off'" : "s.reset_val"), 0, NULL, NULL, NULL);
}

static void
remote_finish(TsTarget *base)
{
	set_constraints((RemoteTarget *) base, ((RemoteTarget *) base)->deferred, "IMMEDIATE");
	tell_origin(base, true);
}

static void
remote_nothing(TsTarget *target)
{
}

TsTarget *
ts_remote_target(const TsLink *link)
{
	static const TsTargetOps ops = {
		.open = remote_open,
		.begin = remote_begin,
		.execute = remote_execute,
		.send = remote_send,
		.ready = remote_ready,
		.receive = remote_receive,
		.stream = remote_stream,
		.stream_end = remote_stream_end,
		.write = NULL,
		.written = remote_written,
		.run = remote_run,
		.order = remote_order,
		.finish = remote_finish,
		.close = remote_nothing,
		.probe = remote_nothing,
		.reset = remote_nothing,
	};
	RemoteTarget *target = palloc0(sizeof(RemoteTarget));

	target->base.ops = &ops;
	target->link = link;
	if (ts_link_target_is_tracked(link))
		target->origin = psprintf("%s %s", link->remote->top, ts_link_origin(link));
	return &target->base;
}
