/* args.h: arguments of the SQL functions, and what all functions that read a link have in common. */
#ifndef TS_ARGS_H
#define TS_ARGS_H

#include "base/catalog.h"
#include "fmgr.h"
#include "link/link.h"
#include "nodes/pg_list.h"

/* A text[] argument as a list of C strings. */
extern List *ts_names_arg(FunctionCallInfo fcinfo, int n);

/* A link opened for reading or pushing: relations locked, snapshot active, identity the owner's, SPI connected. */
typedef struct TsOpened
{
	TsLink	   *link;
	Relation	source;
	Relation	target;			/* NULL: does not exist yet */
	Snapshot	snapshot;
	TsIdentity	identity;
	MemoryContext context;		/* of the caller */
} TsOpened;

/* Writes what the transaction buffered, checks rights, and opens. "push": locks the link's row, and the target for writing. */
extern void ts_open_link(TsOpened *opened, const char *name, bool push);
extern void ts_close_link(TsOpened *opened);

#endif
