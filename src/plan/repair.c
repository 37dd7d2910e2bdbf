/* repair.c: the log and a comparison, merged by key. */
#include "postgres.h"

#include "access/nbtree.h"
#include "utils/lsyscache.h"

#include "plan/change.h"

/* One of the two, and its change at hand. */
typedef struct Side
{
	TsChangeSource *source;		/* NULL: at its end */
	TsChange	change;
	bool		ready;
} Side;

typedef struct RepairSource
{
	TsChangeSource base;
	Side		log;
	Side		diff;
	FmgrInfo   *order;			/* per key column; the source's key index's */
	Oid		   *collation;
} RepairSource;

/* Has the side a change? */
static bool
look(RepairSource *repair, Side *side)
{
	if (side->ready || side->source == NULL)
		return side->ready;
	side->ready = side->source->next(side->source, &side->change);
	if (!side->ready)
	{
		repair->base.broken |= side->source->broken;
		side->source->end(side->source);
		side->source = NULL;
	}
	return side->ready;
}

/* The order of the two changes' keys, the source's. */
static int
compare(const RepairSource *repair)
{
	for (int i = 0; i < repair->base.link->tracked->nkeys; i++)
	{
		int			order = DatumGetInt32(FunctionCall2Coll(&repair->order[i], repair->collation[i],
														repair->log.change.order[i], repair->diff.change.order[i]));

		if (order != 0)
			return order;
	}
	return 0;
}

static void
hand_over(const RepairSource *repair, Side *side, TsChange *to)
{
	int			n = repair->base.link->ncolumns;

	to->op = side->change.op;
	to->maybe = side->change.maybe;
	memcpy(to->mask, side->change.mask, n);
	memcpy(to->new_values, side->change.new_values, sizeof(Datum) * n);
	memcpy(to->new_nulls, side->change.new_nulls, sizeof(bool) * n);
	memcpy(to->old_values, side->change.old_values, sizeof(Datum) * n);
	memcpy(to->old_nulls, side->change.old_nulls, sizeof(bool) * n);
	side->ready = false;
}

/* Only the keys of a DELETE are told: what the row held may have been rewritten before it went. */
static void
make_delete(const TsLink *link, TsChange *change)
{
	change->op = TS_CHANGE_DELETE;
	change->backfill = change->moved = change->in_circle = false;
	for (int i = 0; i < link->ncolumns; i++)
		change->mask[i] = link->columns[i].is_key ? TS_COLUMN_KNOWN : 0;
}

static bool
repair_next(TsChangeSource *base, TsChange *change)
{
	RepairSource *repair = (RepairSource *) base;

	for (;;)
	{
		bool		log = look(repair, &repair->log);
		bool		diff = look(repair, &repair->diff);
		int			order;

		if (base->broken || (!log && !diff))
			return false;
		order = !log ? 1 : !diff ? -1 : compare(repair);
		/* of the key that an expression gave before only the log knows */
		if (order <= 0 && repair->log.change.op == TS_CHANGE_UPDATE && repair->log.change.moved)
		{
			hand_over(repair, &repair->log, change);
			make_delete(base->link, change);
			return true;
		}
		if (order < 0)
		{
			/* what else the log says of a row, the comparison has found, or found done */
			if (repair->log.change.op == TS_CHANGE_DELETE)
			{
				hand_over(repair, &repair->log, change);
				make_delete(base->link, change);
				return true;
			}
			repair->log.ready = false;
			continue;
		}
		hand_over(repair, &repair->diff, change);
		change->backfill = order > 0 && change->op == TS_CHANGE_UPDATE && base->link->repair == TS_REPAIR_NONE;
		if (order == 0)
			repair->log.ready = false;
		return true;
	}
}

static void
repair_end(TsChangeSource *base)
{
	RepairSource *repair = (RepairSource *) base;

	if (repair->log.source != NULL)
		repair->log.source->end(repair->log.source);
	if (repair->diff.source != NULL)
		repair->diff.source->end(repair->diff.source);
}

TsChangeSource *
ts_repair_source(const TsLink *link, Relation source, Relation target, TsChangeSource *log)
{
	RepairSource *repair = palloc0(sizeof(RepairSource));
	int			nkeys = link->tracked->nkeys;
	TsKeyIndex *index = ts_key_index_find(source, nkeys, link->tracked->keys);

	repair->base.link = link;
	repair->base.text_keys = false;	/* its deletes come from the log */
	repair->base.next = repair_next;
	repair->base.end = repair_end;
	repair->log.source = log;
	repair->diff.source = ts_diff_rewritten_source(link);
	ts_change_init(&repair->log.change, link->ncolumns);
	ts_change_init(&repair->diff.change, link->ncolumns);
	ts_key_index_reorder(index, nkeys, link->tracked->keys);
	repair->order = palloc0(sizeof(FmgrInfo) * nkeys);
	repair->collation = palloc(sizeof(Oid) * nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		const TsKeyColumn *col = &index->columns[i];

		fmgr_info(get_opfamily_proc(col->opfamily, col->opcintype, col->opcintype, BTORDER_PROC), &repair->order[i]);
		repair->collation[i] = col->collation;
	}
	return &repair->base;
}
