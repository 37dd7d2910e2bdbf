/*
 * spool.c: all changes of a source, kept.
 *
 * A store for each kind of change, and a byte per change that says which one's turn it is.
 */
#include "postgres.h"

#include "plan/spool.h"

#define BACKFILL TS_CHANGE_OPS
#define MOVES (TS_CHANGE_OPS + 1)
#define KINDS (TS_CHANGE_OPS + 2)

struct TsSpool
{
	TsStore    *stores[KINDS];
	StringInfoData order;
	int			at;				/* -1: not begun to be read */
};

TsSpool *
ts_spool_begin(const TsLink *link, bool text_keys)
{
	TsSpool    *spool = palloc0(sizeof(TsSpool));

	for (int kind = 0; kind < KINDS; kind++)
		spool->stores[kind] = ts_store_begin(link, kind < TS_CHANGE_OPS ? (TsChangeOp) kind : TS_CHANGE_UPDATE, text_keys, true, true);
	initStringInfo(&spool->order);
	spool->at = -1;
	return spool;
}

void
ts_spool_put(TsSpool *spool, const TsChange *change)
{
	int			kind = change->moved ? MOVES : change->backfill ? BACKFILL : (int) change->op;

	ts_store_put(spool->stores[kind], change);
	appendStringInfoChar(&spool->order, (char) kind);
}

bool
ts_spool_next(TsSpool *spool, TsChange *change)
{
	Size		bytes;
	int			kind;

	for (kind = 0; spool->at < 0 && kind < KINDS; kind++)
		ts_store_rewind(spool->stores[kind]);
	if (spool->at < 0)
		spool->at = 0;
	if (spool->at == spool->order.len)
		return false;
	kind = spool->order.data[spool->at++];
	if (!ts_store_next(spool->stores[kind], change, &bytes))
		elog(ERROR, "a change that was kept is gone");
	change->backfill = kind == BACKFILL;
	return true;
}

void
ts_spool_end(TsSpool *spool)
{
	for (int kind = 0; kind < KINDS; kind++)
		ts_store_end(spool->stores[kind]);
}
