/*
 * batch.h: writing one step's rows to a target, a batch at a time.
 */
#ifndef TS_BATCH_H
#define TS_BATCH_H

#include "apply/conflict.h"
#include "apply/target.h"
#include "plan/plan.h"

typedef struct TsWriter
{
	TsLink	   *link;
	TsTarget   *target;
	bool		text_keys;
	bool		compared;
	TsConflicts conflicts;
	List	   *statements;		/* TsStatement with its mask, built so far */
	MemoryContext context;		/* lives as long as the writer */
	MemoryContext batch_context;
	/* where it is, for the context of an error */
	const char *step;			/* kind; NULL outside of steps */
	int			number;			/* of the step in the plan, from 1 */
	char	   *first_key;		/* of the batch, JSON; NULL outside of batches */
	char	   *last_key;
	char	   *cast;			/* JSON: of a batch of one row the values that are cast on their way; NULL = none */
	int			batch_size;
	TsChange	row;			/* its first one */
	int64		batch;			/* how many batches were begun */
	bool		probing;		/* rows that the target does not take are looked for, batch by batch, and left out */
	List	   *bad;			/* TsBad: those found */
	List	   *excluded;		/* TsBad: left out before they are tried */
	bool		deciding;		/* a policy is at work: what fails is not the target's row */
	List	   *disputed;		/* rows in quarantine that somebody else wrote to meanwhile: see images.h */
	bool		back;			/* a link brings the target's changes back: agreement is told, too */
	bool		tracked;		/* the target's log tells what came from the source, and what is the target's own */
	List	   *kept;			/* rows that a policy made, JSON text, to be written over those there when the batch is settled, */
	List	   *kept_over;		/* over these rows, as text; empty: as they are then; */
	List	   *kept_new;		/* and those that were missing */
	char	   *merge;			/* the query of policy 'merge'; NULL = not built yet */
	bool	   *adds;			/* per column: its rule is 'add'; NULL = not asked yet */
	bool		moves_wait;		/* rows that change their keys are waiting in the tangle: others may have to wait for them */
	struct TsTangle *tangle;	/* where rows go whose unique values are taken */
	/* of flight.h: */
	List	   *flights;		/* batches that are on their way, */
	int64		streamed;		/* rows of the stream that is under way, 0 = none, */
	int64		stream_from;	/* since this batch, */
	char	   *stream_key;		/* the first one's key, */
	char	   *stream_last;	/* and the last one's */
	bool	   *acted;			/* of acted.h: per column: foreign keys may have changed it in this push; NULL: none */
	bool		counted;		/* what is done to the target is, */
	int64		counted_before; /* and so far */
	bool		disturbs;		/* the plan updates or deletes rows */
	bool		takes_away;		/* rows were deleted, or got another key */
	bool		whole;			/* rows of the target refer to each other: a step's are written by as few statements as can be */
	bool		uniques_known;	/* link->uniques is right */
	TsChangeOp	op;				/* of the step */
	bool		altering;		/* a schema step was begun */
	bool		careful;		/* keys to be inserted may be there */
	/* find the failing row: from this batch on, one row at a time; -1 = never */
	int64		single_from;
} TsWriter;

extern TsWriter *ts_writer_begin(TsPlan *plan, TsTarget *target, bool careful, bool probing, int64 single_from);
/* Writes a data step; returns the rows that were brought about, those that were there already included. */
extern int64 ts_writer_step(TsWriter *writer, const TsStep *step);

#endif
