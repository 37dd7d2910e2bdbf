/*
 * push.h: running a plan in one transaction, and moving the link's position in that same transaction.
 */
#ifndef TS_PUSH_H
#define TS_PUSH_H

#include "plan/plan.h"

typedef struct TsDone
{
	const TsStep *step;
	int64		rows;
	int64		microseconds;
} TsDone;

typedef struct TsPushed
{
	TsPlan	   *plan;
	int			n;
	TsDone	   *done;
	int64		microseconds;
} TsPushed;

/*
 * Runs the plan. The caller has become the link's owner and is connected to SPI; source is open and locked. With dry_run
 * everything is executed, then rolled back; sequences are left alone. An error leaves everything as it was and names link,
 * step, table and key.
 */
extern TsPushed *ts_push_run(TsPlan *plan, Relation source, bool dry_run);

/* Writes the new position and the history; to be called after ts_push_run, as the extension's owner takes over. */
extern void ts_push_record(const TsPushed *pushed, bool dry_run);

/* Moves the sequences: not transactional, hence the very last thing. As the link's owner. */
extern void ts_push_sequences(const TsPushed *pushed);

#endif
