/* log.c: the log's net changes, mapped to a link's columns and filtered. */
#include "postgres.h"

#include "access/nbtree.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "netchange/netchange.h"
#include "plan/change.h"
#include "plan/mapper.h"

typedef struct LogSource
{
	TsChangeSource base;
	TsNetStream *stream;
	TsMapper   *mapper;
	Bitmapset  *keys;			/* the source's key columns */
	Bitmapset  *ignored;
	bool		vague;			/* a key that is equal may be written otherwise, and give the expressions another value */
	bool	   *known;			/* of the change at hand, per attribute: the old value is */
	bool		rewritten;		/* old values may have been rewritten since they were shipped: whether a row passed they do not tell */
	bool		passed;			/* of the change at hand: the row is known to have passed before */
} LogSource;

/* The row as it was, as far as it is known. */
static TupleTableSlot *
read_old(LogSource *source, const TsNetChange *net)
{
	const TsTracked *tracked = source->base.link->tracked;
	TupleTableSlot *old = ts_mapper_old(source->mapper, &source->known);
	bool	   *known = source->known;

	for (int i = 0; i < old->tts_tupleDescriptor->natts; i++)
	{
		bool		unchanged = net->op == TS_NET_UPDATE && !net->changed[i];

		known[i] = unchanged || net->old_known[i];
		old->tts_values[i] = unchanged ? net->live->tts_values[i] : net->old_values[i];
		old->tts_isnull[i] = unchanged ? net->live->tts_isnull[i] : net->old_nulls[i];
	}
	/* the key is known, though of a row that stays perhaps not how it was written */
	for (int k = 0; k < tracked->nkeys; k++)
	{
		int			i = tracked->keys[k] - 1;

		if (known[i])
			continue;
		known[i] = net->op == TS_NET_DELETE || net->moved;
		old->tts_values[i] = net->moved ? net->old_keys[k] : net->keys[k];
		old->tts_isnull[i] = false;
	}
	return old;
}

/* Might the row have been another link's for a while, which took it over, and then deleted it? */
static bool
may_have_left(const LogSource *source, const TsNetChange *net)
{
	const TsLink *link = source->base.link;
	int			attnum = -1;

	if (link->shared == TS_SHARED_NOT || net->op != TS_NET_UPDATE)
		return false;
	while ((attnum = bms_next_member(link->condition_reads, attnum)) >= 0)
		if (net->touched[attnum - 1])
			return true;
	return net->moved;
}

/* What is the change for the link, whose rows are those that pass the filter? False: none. */
static bool
filter(LogSource *source, const TsNetChange *net, TupleTableSlot *old, TsChange *change)
{
	TsPasses	before = old == NULL ? TS_PASSES_NOT : ts_mapper_passes(source->mapper, old);
	TsPasses	now = net->live == NULL ? TS_PASSES_NOT : ts_mapper_passes(source->mapper, net->live);

	if (source->rewritten && old != NULL && source->base.link->condition != NULL)
		before = TS_PASSES_UNKNOWN;
	source->passed = before == TS_PASSES;
	change->maybe = before == TS_PASSES_UNKNOWN || may_have_left(source, net);
	if (before == TS_PASSES_NOT && now == TS_PASSES_NOT)
		return false;
	change->op = before == TS_PASSES_NOT ? TS_CHANGE_INSERT : now == TS_PASSES_NOT ? TS_CHANGE_DELETE : TS_CHANGE_UPDATE;
	return true;
}

/*
 * Is the column's old value known? Of a row that did not pass an expression may not even have one. What the target holds of ignored columns
 * no log tells.
 */
static bool
knows_old(const LogSource *source, int i)
{
	const TsColumn *col = &source->base.link->columns[i];

	if (col->value == NULL)
		return source->known[col->attnum - 1];
	return source->passed && !bms_overlap(col->reads, source->ignored) && ts_mapper_knows(source->mapper, i);
}

static bool
is_same(const TsChange *change, const TsColumn *col, int i)
{
	return change->old_nulls[i] == change->new_nulls[i] &&
		(change->new_nulls[i] || datum_image_eq(change->old_values[i], change->new_values[i], col->byval, col->len));
}

/* Did what the column's value is made of change? */
static bool
is_touched(const LogSource *source, const TsNetChange *net, const TsColumn *col)
{
	int			attnum = -1;

	if (net->moved && bms_overlap(col->reads, source->keys))
		return true;
	while ((attnum = bms_next_member(col->reads, attnum)) >= 0)
		if (net->changed[attnum - 1])
			return true;
	return false;
}

/* An UPDATE's column: to be written? What may have changed, but gives what it gave before, is not. */
static bool
is_changed(const LogSource *source, const TsNetChange *net, const TsChange *change, int i, bool known)
{
	const TsColumn *col = &source->base.link->columns[i];

	if (col->value == NULL && net->changed[col->attnum - 1])
		return true;
	if (!is_touched(source, net, col))
		return false;
	return !known || !is_same(change, col, i);
}

/* The column's old and new value, and what the change says of it; true if it matters. */
static bool
map_column(LogSource *source, const TsNetChange *net, TupleTableSlot *old, TsChange *change, int i)
{
	const TsColumn *col = &source->base.link->columns[i];
	bool		known;
	bool		changed;

	change->mask[i] = 0;
	if (change->op != TS_CHANGE_DELETE)
		change->new_values[i] = ts_mapper_value(source->mapper, i, net->live, &change->new_nulls[i]);
	/* most columns of most changes, not to be looked at any further */
	if (change->op == TS_CHANGE_INSERT)
		return true;
	if (change->op == TS_CHANGE_UPDATE && col->value == NULL && !net->changed[col->attnum - 1] && !col->ignored && !net->moved && !change->maybe)
		return false;
	known = old != NULL && knows_old(source, i);
	if (known)
		change->old_values[i] = ts_mapper_value(source->mapper, i, old, &change->old_nulls[i]);
	/* ignored columns go along with any update, and never make a conflict */
	if (known && !col->ignored && !col->converted && !col->fickle)
		change->mask[i] = TS_COLUMN_KNOWN;
	if (change->op == TS_CHANGE_DELETE)
		return true;
	/* what is there may be another link's row, which has not followed the source so far */
	if (change->maybe && source->base.link->shared != TS_SHARED_NOT)
	{
		change->mask[i] = TS_COLUMN_CHANGED;
		return true;
	}
	changed = is_changed(source, net, change, i, known);
	if (changed || col->ignored || (col->value != NULL && bms_overlap(col->reads, source->ignored)))
		change->mask[i] |= TS_COLUMN_CHANGED;
	else
		change->mask[i] = 0;
	return changed && !col->ignored;
}

/* Has a row that stays another key in the target? Of expressions that does not follow from what the source's key does. */
static bool
key_changed(LogSource *source, const TsNetChange *net, TupleTableSlot *old, TsChange *change)
{
	const TsLink *link = source->base.link;
	bool		changed = false;

	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];
		const TsColumn *col = &link->columns[k];

		if (!is_touched(source, net, col) || (col->value == NULL && !net->moved))
			continue;
		if (!ts_mapper_knows(source->mapper, k))
		{
			source->base.broken = true;
			return false;
		}
		change->old_values[k] = ts_mapper_value(source->mapper, k, old, &change->old_nulls[k]);
		changed |= !is_same(change, col, k);
	}
	return changed;
}

/* The row's key in the target: of a DELETE it is known, of an UPDATE it may be another one than it was. */
static void
map_key(LogSource *source, const TsNetChange *net, TupleTableSlot *old, TsChange *change)
{
	const TsLink *link = source->base.link;
	bool		moved = net->moved && change->op == TS_CHANGE_UPDATE;

	if (link->order_apart && change->op == TS_CHANGE_UPDATE)
		moved = key_changed(source, net, old, change);
	/* which key it had when it was shipped is not known */
	source->base.broken |= change->op == TS_CHANGE_DELETE && source->vague;
	change->moved = moved;
	change->in_circle = moved && net->in_circle;
	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		if (change->op != TS_CHANGE_DELETE && change->new_nulls[k])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a row of the source of link \"%s\" has no key: the expression for \"%s\" is NULL", link->name,
							link->columns[k].target_name),
					 errhint("Let it give a value for each row, or filter such rows out.")));
		if (moved)
			change->mask[k] |= TS_COLUMN_MOVED | TS_COLUMN_CHANGED;
		if (!moved && change->op != TS_CHANGE_DELETE)
			continue;
		if ((change->mask[k] & TS_COLUMN_KNOWN) == 0)
			change->old_values[k] = ts_mapper_value(source->mapper, k, old, &change->old_nulls[k]);
		change->mask[k] |= TS_COLUMN_KNOWN;
	}
}

/* What the net change says of the link's columns; false if it says nothing of them. */
static bool
map_change(LogSource *source, const TsNetChange *net, TsChange *change)
{
	const TsLink *link = source->base.link;
	TupleTableSlot *old;
	bool		matters;

	ts_mapper_reset(source->mapper);
	if (net->live != NULL)
		slot_getallattrs(net->live);
	old = net->op == TS_NET_INSERT ? NULL : read_old(source, net);
	if (!filter(source, net, old, change))
		return false;
	matters = change->op != TS_CHANGE_UPDATE || change->maybe;
	for (int i = 0; i < link->ncolumns; i++)
		matters |= map_column(source, net, old, change, i);
	map_key(source, net, old, change);
	change->order = net->keys;
	return matters || change->moved;
}

static bool
log_next(TsChangeSource *base, TsChange *change)
{
	LogSource  *source = (LogSource *) base;
	TsNetChange net;

	while (ts_net_next(source->stream, &net))
	{
		if (net.op == TS_NET_BROKEN)
		{
			base->broken = true;
			return false;
		}
		if (net.op != TS_NET_NOTHING && map_change(source, &net, change))
			return !base->broken;
		if (base->broken)
			return false;
	}
	return false;
}

void
ts_log_source_distrust(TsChangeSource *source)
{
	((LogSource *) source)->rewritten = true;
}

/* Are there keys that are equal, but not written alike: numeric, citext? Then without images it is not known how one was. */
static bool
is_vague(const TsLink *link, Relation source)
{
	TsKeyIndex *index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);
	bool		vague = false;

	for (int i = 0; index != NULL && i < index->nkeys; i++)
	{
		const TsKeyColumn *key = &index->columns[i];
		Oid			proc = get_opfamily_proc(key->opfamily, key->opcintype, key->opcintype, BTEQUALIMAGE_PROC);

		vague |= !OidIsValid(proc) || !DatumGetBool(OidFunctionCall1Coll(proc, key->collation, ObjectIdGetDatum(key->opcintype)));
	}
	return vague;
}

static void
log_end(TsChangeSource *base)
{
	ts_net_end(((LogSource *) base)->stream);
	ts_mapper_end(((LogSource *) base)->mapper);
}

TsChangeSource *
ts_log_source(const TsLink *link, Relation source, Snapshot snapshot, bool follow_keys, TsPending *pending)
{
	LogSource  *result = palloc0(sizeof(LogSource));

	result->base.link = link;
	result->base.next = log_next;
	result->base.end = log_end;
	result->stream = ts_net_begin(source, link->tracked, snapshot, link->position, follow_keys, link->shared != TS_SHARED_NOT ? link->condition_reads : NULL, pending);
	if (!pending->wholesale)
	{
		result->mapper = ts_mapper_create(link, source);
		for (int k = 0; k < link->tracked->nkeys; k++)
			result->keys = bms_add_member(result->keys, link->tracked->keys[k]);
		for (int k = 0; k < link->tracked->nignored; k++)
			result->ignored = bms_add_member(result->ignored, link->tracked->ignored[k]);
		result->vague = link->order_apart && !link->tracked->images && is_vague(link, source);
		return &result->base;
	}
	ts_net_end(result->stream);
	return NULL;
}
