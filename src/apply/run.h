/* run.h: a push on its way; for push.c and steps.c. */
#ifndef TS_RUN_H
#define TS_RUN_H

#include "apply/batch.h"
#include "apply/push.h"
#include "apply/tangle.h"

/* One attempt at a link. */
typedef struct TsLinkRun
{
	TsPlan	   *plan;
	Relation	source;
	TsTarget   *target;
	TsWriter   *writer;
	Oid			existing;		/* the target before the push, */
	struct TsRemote *described;	/* and how it was described, on another server */
	char	   *deferred;		/* sets its constraints back */
	bool		careful;
	bool		probing;
	bool		moves_wait;		/* keys are taken by rows of other links, perhaps */
	int64		single_from;
	bool		altered;
	bool		begun;			/* the first attempt was */
	List	   *refused;		/* TsBad: rows that break rules */
} TsLinkRun;

typedef struct TsRun
{
	TsPushed   *pushed;
	int			n;
	TsLinkRun  *links;
	TsLinkRun  *at;				/* the one being worked on; NULL: all */
	bool		parents_first;	/* as order.h says */
	bool		references;		/* look for rows that wait with rows in quarantine */
	TsTangle   *tangle;			/* of the attempt */
} TsRun;

/* Raised when all has to be done once more without rows that were found just now. */
#define ERRCODE_ONCE_MORE MAKE_SQLSTATE('T', 'S', '0', '0', '1')

/* All steps of all links, and the checks at their end. */
extern void ts_run_steps(TsRun *run);

#endif
