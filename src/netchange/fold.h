/*
 * fold.h: one key's events, folded one after the other into a state of fixed size. Pure: no SPI, no settings.
 *
 * Order within a row is by the version chain. Events come in seq order; among those of one transaction the command ids tell the
 * order: an old value of a later command gives way to that of an earlier one. An event that changed a column without telling its
 * old value makes it unknown for good: what a later one tells is not the value at the position. So does an INSERT: what follows
 * it is another row. (Under a deferrable key its seq may be lower than that of the DELETE that it waited for.)
 *
 * An echo is a change that came from the table that the net change is for. It tells what that table holds: after an INSERT or UPDATE it
 * has the row, after a DELETE it has not, and in the columns that the echo names it has what the echo wrote. What happened before to
 * these columns is settled; other columns' changes are still pending. So it is a new beginning: what came before counts no more, what
 * comes later counts from there. That a row is gone there may be told without a DELETE, when this table had none either: whatever there is
 * by now is new.
 */
#ifndef TS_FOLD_H
#define TS_FOLD_H

#include "access/tupdesc.h"
#include "log/image.h"
#include "nodes/bitmapset.h"
#include "netchange/netchange.h"

typedef struct TsFold
{
	TupleDesc	desc;			/* the source's row as it is now */
	const bool *ignored;		/* per attribute: a change of this one alone is none */
	const bool *is_key;			/* per attribute */
	const Bitmapset *tell;		/* attribute numbers: of these, that there were changes is told even if they come to nothing */
	MemoryContext context;		/* of the old values; reset per key */
	int64		inserts;
	int64		deletes;
	bool	   *touched;		/* an event says the column changed, or may have */
	bool	   *seen;			/* an event told, or failed to tell, the old value: the first one counts */
	uint64	   *seen_txid;		/* that event's */
	CommandId  *seen_cid;
	bool	   *known;			/* it told */
	Datum	   *values;
	bool	   *nulls;
	int64		events;
	/* echoes */
	bool		settled;		/* there was one: */
	bool		has_row;		/* the other table had the row then; inserts and deletes count from there */
	bool		gone;			/* it had no row, whatever is counted here */
	bool		settled_insert;	/* that one's command put a row there; if it took one away, that was another one */
	uint64		settled_txid;	/* that one's */
	CommandId	settled_cid;
	uint64		counted_txid;	/* of the last insert or delete counted, */
	CommandId	counted_first;	/* and that transaction's first and last command that did one */
	CommandId	counted_last;
	uint64	   *echo_txid;		/* per attribute: the last echo's that named it, */
	CommandId  *echo_cid;
	uint64	   *last_txid;		/* and the last event's that touched it */
	CommandId  *last_cid;
} TsFold;

/* Memory of a key that has more events than this must not grow with them: their values are copied only where they are taken. */
#define TS_FOLD_KEEP 16

extern TsFold *ts_fold_create(TupleDesc desc, const bool *ignored, const bool *is_key);
extern void ts_fold_reset(TsFold *fold);
/*
 * image: the decoded image, or one without a shape. kept: its values live in fold->context and need not be copied.
 */
extern void ts_fold_event(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image, bool kept);
/* The same of an echo. */
extern void ts_fold_echo(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image);
/* Is nothing left but echoes? Then there is no need to look at the live row. */
extern bool ts_fold_is_settled(const TsFold *fold);
/* Was the row there at the position (0 or 1), given that it is there now? Another number: the events contradict each other. */
extern int64 ts_fold_existed(const TsFold *fold, bool live);
/* The net operation, given the live row (NULL = none); fills in changed (per attribute) for an UPDATE. */
extern TsNetOp ts_fold_result(TsFold *fold, TupleTableSlot *live, bool *changed);

#endif
