/*
 * push.h: running plans in one transaction, and moving the links' positions in that same transaction.
 */
#ifndef TS_PUSH_H
#define TS_PUSH_H

#include "plan/merge.h"

typedef struct TsDone
{
	int64		rows;
	int64		microseconds;
} TsDone;

typedef struct TsPushed
{
	TsMerged   *merged;
	int64		id;				/* in push_record */
	const char *group;			/* NULL: a single link */
	TsDone	   *done;			/* per merged step */
	List	  **bad;			/* per plan: rows that were left out */
	List	   *reached;		/* of reached.h: links whose targets were changed as well */
	int64		microseconds;
} TsPushed;

/*
 * Runs the plans, all or nothing. The caller has become the links' owner and is connected to SPI; the sources, one per plan, are open
 * and locked. With dry_run everything is executed, then rolled back; sequences are left alone. An error leaves everything as it was
 * and names link, step, table and key.
 */
extern TsPushed *ts_push_run(TsMerged *merged, const char *group, Relation *sources, bool dry_run);

/* A number for push_record: of the push, which is that of its first link, and of each further link. */
extern int64 ts_push_next_id(void);

/* Writes the new positions and the history; to be called after ts_push_run, as the extension's owner takes over. */
extern void ts_push_record(const TsPushed *pushed, bool dry_run);

/* Moves the sequences: not transactional, hence the very last thing. As the link's owner. */
extern void ts_push_sequences(const TsPushed *pushed);

#endif
