/* change.c: changes in a link's columns, and the log as their source. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/rel.h"

#include "netchange/netchange.h"
#include "plan/change.h"

void
ts_change_init(TsChange *change, int ncolumns)
{
	int			n = ncolumns + 1;

	change->backfill = false;
	change->moved = false;
	change->in_circle = false;
	change->violations = NIL;
	change->mask = palloc0(n);
	change->new_values = palloc0(sizeof(Datum) * n);
	change->new_nulls = palloc0(sizeof(bool) * n);
	change->old_values = palloc0(sizeof(Datum) * n);
	change->old_nulls = palloc0(sizeof(bool) * n);
}

bool
ts_change_has_unknown(const TsLink *link, const unsigned char *mask)
{
	for (int i = 0; i < link->ncolumns; i++)
		if ((mask[i] & (TS_COLUMN_CHANGED | TS_COLUMN_KNOWN)) == TS_COLUMN_CHANGED)
			return true;
	return false;
}

bool
ts_change_moves(const TsLink *link, const unsigned char *mask)
{
	return (mask[link->keys[0]] & TS_COLUMN_MOVED) != 0;
}

TsValueType
ts_value_type(const TsLink *link, int column, TsChangeOp op, bool text_keys)
{
	const TsColumn *col = &link->columns[column];

	if (op == TS_CHANGE_DELETE && text_keys)
		return (TsValueType) {TEXTOID, -1, false, TYPALIGN_INT, true, true};
	return (TsValueType) {col->source_type, col->len, col->byval, col->align, col->as_text, false};
}

typedef struct LogSource
{
	TsChangeSource base;
	TsNetStream *stream;
} LogSource;

/* Copies what the net change says of the link's columns; false if it says nothing of them. */
static bool
map_change(const TsLink *link, const TsNetChange *net, TsChange *change)
{
	bool		matters = net->op != TS_NET_UPDATE || net->moved;

	change->moved = net->moved;
	change->in_circle = net->in_circle;
	memset(change->mask, 0, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		int			att = col->attnum - 1;

		if (net->live != NULL)
			change->new_values[i] = slot_getattr(net->live, col->attnum, &change->new_nulls[i]);
		if (net->op == TS_NET_INSERT)
			continue;
		change->old_values[i] = net->old_values[att];
		change->old_nulls[i] = net->old_nulls[att];
		/* ignored columns go along with any update, and never make a conflict */
		if (net->old_known[att] && !col->ignored && !col->converted)
			change->mask[i] |= TS_COLUMN_KNOWN;
		if (net->op == TS_NET_UPDATE && (net->changed[att] || col->ignored))
		{
			change->mask[i] |= TS_COLUMN_CHANGED;
			matters |= net->changed[att] && !col->ignored;
		}
		else if (net->op == TS_NET_UPDATE)
			change->mask[i] = 0;
	}
	for (int i = 0; (net->op == TS_NET_DELETE || net->moved) && i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		if (net->moved)
			change->mask[k] |= TS_COLUMN_MOVED | TS_COLUMN_CHANGED;
		if (change->mask[k] & TS_COLUMN_KNOWN)
			continue;
		change->mask[k] |= TS_COLUMN_KNOWN;
		change->old_values[k] = net->moved ? net->old_keys[i] : net->keys[i];
		change->old_nulls[k] = false;
	}
	return matters;
}

static bool
log_next(TsChangeSource *base, TsChange *change)
{
	LogSource  *source = (LogSource *) base;
	TsNetChange net;

	while (ts_net_next(source->stream, &net))
	{
		switch (net.op)
		{
			case TS_NET_BROKEN:
				base->broken = true;
				return false;
			case TS_NET_INSERT:
				change->op = TS_CHANGE_INSERT;
				break;
			case TS_NET_UPDATE:
				change->op = TS_CHANGE_UPDATE;
				break;
			case TS_NET_DELETE:
				change->op = TS_CHANGE_DELETE;
				break;
			case TS_NET_NOTHING:
				continue;
		}
		if (map_change(base->link, &net, change))
			return true;
	}
	return false;
}

static void
log_end(TsChangeSource *base)
{
	ts_net_end(((LogSource *) base)->stream);
}

TsChangeSource *
ts_log_source(const TsLink *link, Relation source, Snapshot snapshot, bool follow_keys, TsPending *pending)
{
	LogSource  *result = palloc0(sizeof(LogSource));

	result->base.link = link;
	result->base.next = log_next;
	result->base.end = log_end;
	result->stream = ts_net_begin(source, link->tracked, snapshot, link->position, follow_keys, pending);
	if (!pending->wholesale)
		return &result->base;
	ts_net_end(result->stream);
	return NULL;
}
