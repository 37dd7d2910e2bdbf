/* args.h: arguments of the SQL functions, and what all functions that read a link have in common. */
#ifndef TS_ARGS_H
#define TS_ARGS_H

#include "base/catalog.h"
#include "fmgr.h"
#include "link/link.h"
#include "nodes/pg_list.h"

/* A text[] argument as a list of C strings. */
extern List *ts_names_arg(FunctionCallInfo fcinfo, int n);

/* A link with its relations, locked. */
typedef struct TsOpened
{
	TsLink	   *link;
	Relation	source;
	Relation	target;			/* NULL: does not exist yet */
} TsOpened;

typedef enum TsOpenFor
{
	TS_OPEN_READ,
	TS_OPEN_VERIFY,				/* the same, with one snapshot on each other server, taken before the one here */
	TS_OPEN_TRY,				/* a dry run: as a push, but for what is written down on other servers */
	TS_OPEN_PUSH
} TsOpenFor;

/* The links that a name stands for, opened for reading or pushing: snapshot active, identity the owner's, SPI connected. */
typedef struct TsOpening
{
	char	   *name;
	bool		group;
	TsOpenFor	purpose;
	bool		stale;			/* to verify: a push came in between, nothing is resolved; to be closed, and opened again */
	bool		split;			/* each server's targets are written in a transaction of their own */
	int			n;
	TsOpened   *links;			/* by name */
	Snapshot	snapshot;
	TsIdentity	identity;
	MemoryContext context;		/* of the caller */
} TsOpening;

/* Is it for writing? */
static inline bool
ts_open_writes(TsOpenFor purpose)
{
	return purpose == TS_OPEN_TRY || purpose == TS_OPEN_PUSH;
}

/* Writes what the transaction buffered, checks rights, and opens. To push: locks the links' rows, and the targets for writing. */
extern void ts_open(TsOpening *opening, const char *name, TsOpenFor purpose);
extern void ts_close(TsOpening *opening);

#endif
