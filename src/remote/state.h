/* state.h: what is known of a connection; for this folder only. */
#ifndef TS_STATE_H
#define TS_STATE_H

#include "lib/ilist.h"
#include "utils/hsearch.h"

#include "remote/connection.h"
#include "remote/pq.h"
#include "remote/request.h"

/* The first error of a transaction there: the ones after it are its consequences. */
typedef struct TsFailure
{
	bool		set;
	bool		lost;			/* the connection was */
	bool		committing;		/* while COMMIT was on its way */
	bool		counted;		/* among the errors that may pass */
	int			nest;			/* of the statement */
	PGresult   *result;			/* what the server said; NULL: nothing */
	char		sql[512];		/* the statement's beginning */
} TsFailure;

typedef enum TsCopying
{
	TS_COPY_NONE,
	TS_COPY_IN,
	TS_COPY_OUT,
} TsCopying;

/* A statement that was sent; freed by who waits for it, or with its (sub)transaction. */
struct TsRequest
{
	dlist_node	node;			/* among all of the connection */
	TsConnection *connection;
	TsRequest  *next;			/* of those under way, in their order */
	char	   *sql;			/* its beginning, for messages */
	PGresult   *result;
	int			nest;			/* the local transaction's nest level */
	bool		sent;
	bool		done;
	bool		failed;
	bool		ours;			/* nobody waits: goes away when it is done */
	bool		prepares;		/* the statement with this number */
	uint32		statement;		/* runs this one; 0: none */
};

struct TsConnection
{
	dlist_node	node;
	MemoryContext context;
	Oid			serverid;
	Oid			role;
	char		server[NAMEDATALEN];
	char		wanted_name[NAMEDATALEN];	/* application_name */
	char		name[NAMEDATALEN];	/* what it is there; empty: not known */
	char		origin[256];	/* tracksync.origin there, in this transaction; "?": not known */

	PGconn	   *conn;			/* NULL: closed */
	int			version;
	Oid			mapping;
	uint32		server_hash;	/* in the system caches */
	uint32		mapping_hash;
	bool		outdated;		/* server or mapping altered */
	bool		own_password;	/* connected with the mapping's password */
	bool		fresh;			/* no transaction began there yet */

	/* the transaction there */
	int			depth;			/* 0: none; else the nest level of its innermost savepoint */
	int			begun;			/* the nest level it began at */
	int			writes;			/* the nest level that is to be committed; 0: none */
	bool		steady;			/* one snapshot for all its statements, which only read */
	bool		broken;			/* its state is in doubt: cannot be used before the local transaction ends */
	bool		committing;		/* COMMIT is on its way */
	TsFailure	failure;

	/* what is under way */
	dlist_head	requests;		/* all */
	TsRequest  *first;
	TsRequest  *last;
	Size		unsent;			/* about so many bytes wait in libpq */
	TsRequest	cleaning;		/* commands of cleanup.c, which can allocate nothing */
	TsCopying	copying;
	TsRequest  *copy;			/* the statement that does */
	bool		lost;			/* seen before libpq did */
	char		why[512];		/* what libpq had to say then */

	/* prepared statements */
	HTAB	   *statements;
	uint32		nstatements;	/* numbers given so far */
};

/* All of the session. */
extern dlist_head ts_connections;

#endif
