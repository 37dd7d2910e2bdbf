/*
 * fold.h: one key's events, folded one after the other into a state of fixed size. Pure: no SPI, no settings.
 *
 * Order within a row is by the version chain. Events come in seq order; among those of one transaction the command ids tell the
 * order: an old value of a later command gives way to that of an earlier one. An event that changed a column without telling its
 * old value makes it unknown for good: what a later one tells is not the value at the position. So does an INSERT: what follows
 * it is another row. (Under a deferrable key its seq may be lower than that of the DELETE that it waited for.)
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
} TsFold;

/* Memory of a key that has more events than this must not grow with them: their values are copied only where they are taken. */
#define TS_FOLD_KEEP 16

extern TsFold *ts_fold_create(TupleDesc desc, const bool *ignored);
extern void ts_fold_reset(TsFold *fold);
/*
 * image: the decoded image, or one without a shape. kept: its values live in fold->context and need not be copied.
 */
extern void ts_fold_event(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image, bool kept);
/* The net operation, given the live row (NULL = none); fills in changed (per attribute) for an UPDATE. */
extern TsNetOp ts_fold_result(TsFold *fold, TupleTableSlot *live, bool *changed);

#endif
