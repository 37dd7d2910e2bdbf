/*
 * plan.h: the ordered steps that bring a link's target up to date. Building a plan changes nothing.
 */
#ifndef TS_PLAN_H
#define TS_PLAN_H

#include "link/priority.h"
#include "plan/change.h"
#include "plan/rules.h"
#include "plan/store.h"

typedef struct TsStep
{
	TsPriority	priority;
	const char *kind;
	int64		rows;
	bool		destructive;
	char	   *description;
	char	   *sql;
	const char *dropped;		/* the column that it drops; NULL = none */
	const char *before;			/* of a schema step: what is run before the rows are written, */
	const char *after;			/* and afterwards; NULL = nothing */
	TsChangeOp	op;				/* of the data steps */
	TsStore    *store;			/* their rows, if they are kept */
	const char *function;		/* of a user's step: qualified name; NULL = none */
	const char *owner;			/* the link or group that it belongs to */
	Oid			sequence;		/* of a sequence step, */
	const char *remote_sequence;	/* or its name on the target's server, */
	int64		value;			/* and how far it must go */
} TsStep;

typedef struct TsPlan
{
	TsLink	   *link;
	int			nsteps;
	TsStep	   *steps;
	bool		text_keys;
	bool		compared;		/* made by comparing, not from the log */
	int64		pending;		/* events in the log that this plan ships */
	char	   *position;		/* the link's position once it is pushed */
	int64		own_seq;		/* of the running transaction's own changes, 0 = none */
	char	   *storage;
	uint64		fingerprint[2];
	List	   *rules;			/* of TsRule, if they were asked; NIL: there are none */
	TsRefused	refused;		/* rows that break them */
} TsPlan;

#define TS_PLAN_KEEP 0x01		/* keep the rows, to be applied */
#define TS_PLAN_FINGERPRINT 0x02
#define TS_PLAN_RULES 0x04		/* rows that break the link's rules are noted (plan->refused), and not kept */

/*
 * Builds the plan in the current context. The relations are open and locked (target NULL: does not exist), the snapshot is
 * active and registered, the link is resolved, the caller has become the link's owner and is connected to SPI.
 */
extern TsPlan *ts_plan_build(TsLink *link, Relation source, Relation target, Snapshot snapshot, int flags);
extern void ts_plan_end(TsPlan *plan);
/* Adds the users' steps of a link or group. */
extern void ts_plan_add_user_steps(TsPlan *plan, const char *name);

/* 128 bits as 32 hexadecimal digits. */
extern char *ts_plan_fingerprint(const TsPlan *plan);
/* The link's rules, resolved; NIL: none. */
extern List *ts_plan_rules(const TsLink *link);

/*
 * Opens the change source that a plan is made from: the log, unless it cannot tell or is distrusted, else a comparison
 * (*compared). pending: the log's rows that the link has not shipped.
 */
extern TsChangeSource *ts_plan_source(TsLink *link, Relation source, Relation target, Snapshot snapshot, bool distrust,
									  bool *compared, TsPending *pending);
/* The keys of the link's rows in quarantine, JSON by the target's column names. */
extern List *ts_plan_quarantined(const TsLink *link);

#endif
