/*
 * fold.h: one key's events, folded one after the other into a state of fixed size. Pure: no SPI, no settings.
 *
 * Order within a row is by the version chain. Events come in seq order; among those of one transaction the command ids tell the
 * order: an old value of a later command gives way to that of an earlier one.
 */
#ifndef TS_FOLD_H
#define TS_FOLD_H

#include "access/tupdesc.h"
#include "log/image.h"
#include "netchange/netchange.h"

typedef struct TsFold
{
	TupleDesc	desc;			/* the source's row as it is now */
	const bool *ignored;		/* per attribute: a change of this one alone is none */
	MemoryContext context;		/* of the old values; reset per key */
	int64		inserts;
	int64		deletes;
	bool	   *touched;		/* an event says the column changed, or may have */
	bool	   *known;			/* the old value is known */
	Datum	   *values;
	bool	   *nulls;
	uint64	   *known_txid;		/* of the event it is known from */
	CommandId  *known_cid;
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
