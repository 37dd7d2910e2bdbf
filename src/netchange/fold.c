/* fold.c: one key's events, folded. */
#include "postgres.h"

#include "parser/parse_coerce.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "log/event.h"
#include "netchange/fold.h"

TsFold *
ts_fold_create(TupleDesc desc, const bool *ignored)
{
	TsFold	   *fold = palloc0(sizeof(TsFold));
	int			n = desc->natts + 1;

	fold->desc = desc;
	fold->ignored = ignored;
	fold->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync fold", ALLOCSET_DEFAULT_SIZES);
	fold->touched = palloc0(sizeof(bool) * n);
	fold->known = palloc0(sizeof(bool) * n);
	fold->values = palloc0(sizeof(Datum) * n);
	fold->nulls = palloc0(sizeof(bool) * n);
	fold->seen = palloc0(sizeof(bool) * n);
	fold->seen_txid = palloc0(sizeof(uint64) * n);
	fold->seen_cid = palloc0(sizeof(CommandId) * n);
	return fold;
}

void
ts_fold_reset(TsFold *fold)
{
	int			n = fold->desc->natts;

	MemoryContextReset(fold->context);
	fold->inserts = fold->deletes = 0;
	fold->events = 0;
	memset(fold->touched, 0, sizeof(bool) * n);
	memset(fold->seen, 0, sizeof(bool) * n);
	memset(fold->known, 0, sizeof(bool) * n);
}

/* Is this event the first one to tell of the column, in the order of the row's versions? Then it counts. */
static bool
comes_first(TsFold *fold, int i, uint64 txid, CommandId cid)
{
	if (fold->seen[i] && !(fold->seen_txid[i] == txid && fold->seen_cid[i] > cid))
		return false;
	fold->seen[i] = true;
	fold->seen_txid[i] = txid;
	fold->seen_cid[i] = cid;
	return true;
}

/* The old value of one column; a value of another type than today's cannot be compared. */
static void
take_old(TsFold *fold, int i, const TsImage *image, bool kept)
{
	Form_pg_attribute att = TupleDescAttr(fold->desc, i);

	fold->known[i] = image->shape != NULL && i < image->natts && image->changed[i] && (image->flags & TS_IMAGE_VALUES) != 0 &&
		(image->shape->atts[i].type == att->atttypid ||
		 (get_typisdefined(image->shape->atts[i].type) && IsBinaryCoercible(image->shape->atts[i].type, att->atttypid)));
	if (!fold->known[i])
		return;
	fold->nulls[i] = image->nulls[i];
	if (kept)
		fold->values[i] = image->values[i];
	else if (!image->nulls[i])
	{
		MemoryContext old = MemoryContextSwitchTo(fold->context);

		fold->values[i] = datumCopy(image->values[i], att->attbyval, att->attlen);
		MemoryContextSwitchTo(old);
	}
}

void
ts_fold_event(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image, bool kept)
{
	/* without one it stays where it came */
	if (cid == TS_NO_COMMAND)
		cid = 0;
	fold->events++;
	fold->inserts += op == TS_OP_INSERT;
	fold->deletes += op == TS_OP_DELETE;
	for (int i = 0; i < fold->desc->natts; i++)
	{
		if (TupleDescAttr(fold->desc, i)->attisdropped)
			continue;
		/* an UPDATE touches the columns that its image names */
		if (op == TS_OP_UPDATE && image->shape != NULL && (i >= image->natts || !image->changed[i]))
			continue;
		fold->touched[i] = true;
		if (!comes_first(fold, i, txid, cid))
			continue;
		if (op == TS_OP_INSERT)
			fold->known[i] = false;
		else
			take_old(fold, i, image, kept);
	}
}

TsNetOp
ts_fold_result(TsFold *fold, TupleTableSlot *live, bool *changed)
{
	int64		existed = (live != NULL) - fold->inserts + fold->deletes;
	bool		matters = false;

	if (existed != 0 && existed != 1)
		return TS_NET_BROKEN;
	if (live == NULL)
		return existed ? TS_NET_DELETE : TS_NET_NOTHING;
	if (!existed)
		return TS_NET_INSERT;

	slot_getallattrs(live);
	for (int i = 0; i < fold->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(fold->desc, i);

		changed[i] = false;
		if (!fold->touched[i] || att->attisdropped || ts_is_virtual(att))
			continue;
		if (fold->known[i])
		{
			if (fold->nulls[i] == live->tts_isnull[i] &&
				(fold->nulls[i] || datum_image_eq(fold->values[i], live->tts_values[i], att->attbyval, att->attlen)))
				continue;
		}
		changed[i] = true;
		matters |= !fold->ignored[i];
	}
	for (int attnum = -1; !matters && (attnum = bms_next_member(fold->tell, attnum)) >= 0;)
		matters = fold->touched[attnum - 1];
	return matters ? TS_NET_UPDATE : TS_NET_NOTHING;
}
