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
ts_fold_create(TupleDesc desc, const bool *ignored, const bool *is_key)
{
	TsFold	   *fold = palloc0(sizeof(TsFold));
	int			n = desc->natts + 1;

	fold->desc = desc;
	fold->ignored = ignored;
	fold->is_key = is_key;
	fold->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync fold", ALLOCSET_DEFAULT_SIZES);
	fold->touched = palloc0(sizeof(bool) * n);
	fold->known = palloc0(sizeof(bool) * n);
	fold->values = palloc0(sizeof(Datum) * n);
	fold->nulls = palloc0(sizeof(bool) * n);
	fold->seen = palloc0(sizeof(bool) * n);
	fold->seen_txid = palloc0(sizeof(uint64) * n);
	fold->seen_cid = palloc0(sizeof(CommandId) * n);
	fold->echo_txid = palloc0(sizeof(uint64) * n);
	fold->echo_cid = palloc0(sizeof(CommandId) * n);
	fold->last_txid = palloc0(sizeof(uint64) * n);
	fold->last_cid = palloc0(sizeof(CommandId) * n);
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
	if (fold->settled)
		memset(fold->echo_txid, 0, sizeof(uint64) * n);
	fold->settled = fold->gone = false;
	fold->settled_txid = fold->counted_txid = 0;
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

/* An INSERT or DELETE, unless an echo came after it. */
static void
count_row(TsFold *fold, char op, uint64 txid, CommandId cid)
{
	if (op == TS_OP_UPDATE || (fold->settled && fold->settled_txid == txid && fold->settled_cid > cid))
		return;
	fold->inserts += op == TS_OP_INSERT;
	fold->deletes += op == TS_OP_DELETE;
	if (fold->counted_txid != txid)
		fold->counted_first = cid;
	fold->counted_first = Min(fold->counted_first, cid);
	fold->counted_last = fold->counted_txid == txid ? Max(fold->counted_last, cid) : cid;
	fold->counted_txid = txid;
}

/* An UPDATE touches the columns that its image names. */
static bool
touches(const TsFold *fold, char op, const TsImage *image, int i)
{
	if (TupleDescAttr(fold->desc, i)->attisdropped)
		return false;
	return op != TS_OP_UPDATE || image->shape == NULL || (i < image->natts && image->changed[i]);
}

void
ts_fold_event(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image, bool kept)
{
	/* without one it stays where it came */
	if (cid == TS_NO_COMMAND)
		cid = 0;
	fold->events++;
	count_row(fold, op, txid, cid);
	for (int i = 0; i < fold->desc->natts; i++)
	{
		if (!touches(fold, op, image, i))
			continue;
		/* a trigger's push was told before the statement that fired it */
		if (fold->settled && fold->echo_txid[i] == txid && fold->echo_cid[i] > cid)
			continue;
		fold->touched[i] = true;
		fold->last_cid[i] = fold->last_txid[i] == txid ? Max(fold->last_cid[i], cid) : cid;
		fold->last_txid[i] = txid;
		if (!comes_first(fold, i, txid, cid))
			continue;
		if (op == TS_OP_INSERT)
			fold->known[i] = false;
		else
			take_old(fold, i, image, kept);
	}
}

/* What was counted is settled, but for what the echo's own transaction did later, whose triggers were told before. */
static void
settle_row(TsFold *fold, uint64 txid, CommandId cid)
{
	if (fold->counted_txid != txid || fold->counted_last < cid)
		fold->inserts = fold->deletes = 0;
	else if (fold->counted_first > cid)
	{
		/* the row is as the echo left it, and what was done to it then: at most one of them is left over */
		int64		net = fold->inserts - fold->deletes;

		fold->inserts = net > 0;
		fold->deletes = net < 0;
	}
	else
		fold->inserts = fold->deletes = INT32_MAX;	/* nobody can tell: broken */
}

static void
settle_column(TsFold *fold, int i, uint64 txid, CommandId cid)
{
	fold->echo_txid[i] = txid;
	fold->echo_cid[i] = cid;
	if (!fold->touched[i] || fold->last_txid[i] != txid || fold->last_cid[i] < cid)
		fold->touched[i] = fold->seen[i] = fold->known[i] = false;
	/* it was changed since; the first value told may be one of before */
	else if (fold->seen_txid[i] != txid || fold->seen_cid[i] < cid)
		fold->known[i] = false;
}

void
ts_fold_echo(TsFold *fold, char op, uint64 txid, CommandId cid, const TsImage *image)
{
	if (cid == TS_NO_COMMAND)
		cid = 0;
	/* one that its own transaction's later commands went before */
	if (fold->settled && fold->settled_txid == txid && fold->settled_cid > cid)
		return;
	fold->events++;
	settle_row(fold, txid, cid);
	fold->settled_insert = op == TS_OP_INSERT ||
		(fold->settled && fold->settled_insert && fold->settled_txid == txid && fold->settled_cid == cid);
	fold->settled = true;
	fold->gone = op == TS_OP_GONE;
	fold->has_row = !fold->gone && (op != TS_OP_DELETE || fold->settled_insert);
	fold->settled_txid = txid;
	fold->settled_cid = cid;
	for (int i = 0; i < fold->desc->natts; i++)
		if (op != TS_OP_UPDATE || (image->shape != NULL && i < image->natts && image->changed[i]) || fold->is_key[i])
			settle_column(fold, i, txid, cid);
}

bool
ts_fold_is_settled(const TsFold *fold)
{
	if (!fold->settled || fold->gone || fold->inserts != 0 || fold->deletes != 0)
		return false;
	for (int i = 0; i < fold->desc->natts; i++)
		if (fold->touched[i])
			return false;
	return true;
}

int64
ts_fold_existed(const TsFold *fold, bool live)
{
	int64		existed = (live ? 1 : 0) - fold->inserts + fold->deletes;

	if (fold->gone)
		return 0;
	return fold->settled && existed != fold->has_row ? -1 : existed;
}

TsNetOp
ts_fold_result(TsFold *fold, TupleTableSlot *live, bool *changed)
{
	int64		existed = ts_fold_existed(fold, live != NULL);
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
