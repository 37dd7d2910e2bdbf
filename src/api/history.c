/* history.c: one row taken back in time. */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "api/history.h"
#include "log/event.h"

TsRowState
ts_history_new_state(int natts)
{
	TsRowState	state = {0};

	state.known = palloc0(sizeof(bool) * (natts + 1));
	state.types = palloc0(sizeof(Oid) * (natts + 1));
	state.values = palloc0(sizeof(Datum) * (natts + 1));
	state.nulls = palloc0(sizeof(bool) * (natts + 1));
	return state;
}

void
ts_history_set_value(TsRowState *state, int i, Oid type, Datum value, bool isnull)
{
	state->known[i] = get_typisdefined(type);
	state->types[i] = type;
	state->values[i] = value;
	state->nulls[i] = isnull;
}

void
ts_history_undo(const TsPast *e, TsRowState *state, int natts)
{
	switch (e->op)
	{
		case TS_OP_INSERT:
			state->exists = false;
			memset(state->known, 0, natts);
			return;
		case TS_OP_DELETE:
			state->exists = true;
			memset(state->known, 0, natts);
			break;
		default:
			break;
	}
	if (e->image.shape == NULL)
		return;
	for (int i = 0; i < natts && i < e->image.natts; i++)
	{
		if (!e->image.changed[i])
			continue;
		state->known[i] = false;
		if (e->image.flags & TS_IMAGE_VALUES)
			ts_history_set_value(state, i, e->image.shape->atts[i].type, e->image.values[i], e->image.nulls[i]);
	}
}

TsRowState
ts_history_copy_state(const TsRowState *from, int natts)
{
	TsRowState	to = ts_history_new_state(natts);

	to.exists = from->exists;
	memcpy(to.known, from->known, sizeof(bool) * natts);
	memcpy(to.types, from->types, sizeof(Oid) * natts);
	memcpy(to.values, from->values, sizeof(Datum) * natts);
	memcpy(to.nulls, from->nulls, sizeof(bool) * natts);
	return to;
}

/* A stable insertion sort: events out of order stand close to where they belong. */
void
ts_history_order_events(TsPast *events, int n)
{
	CommandId	highest = 0;

	for (int i = 0; i < n; i++)
	{
		TsPast		e = events[i];
		int			j = i;

		if (i > 0 && events[i - 1].txid != e.txid)
			highest = 0;
		e.order = e.cid != TS_NO_COMMAND ? e.cid : highest;
		highest = Max(highest, e.order);
		while (j > 0 && events[j - 1].txid == e.txid && events[j - 1].order > e.order)
		{
			events[j] = events[j - 1];
			j--;
		}
		events[j] = e;
	}
}
