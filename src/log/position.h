/*
 * position.h: which transactions a link has shipped.
 *
 * A position is the snapshot of the last push, as text in the server's pg_snapshot form "xmin:xmax:xip,…", plus, for the
 * transaction that pushed its own changes, that transaction's id and the seq up to which they are shipped. Never a number
 * alone, never a time: transactions commit out of order.
 */
#ifndef TS_POSITION_H
#define TS_POSITION_H

#include "utils/snapshot.h"

typedef struct TsPosition
{
	uint64		xmin;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;			/* ascending */
	uint64		own_txid;		/* 0 = none */
	int64		own_seq;
	char	   *echo;			/* what came from this table is not to be shipped: it is the target; NULL: nothing is left out */
} TsPosition;

/* Parses a pg_snapshot's text into the current context. */
extern TsPosition *ts_position_parse(const char *text, uint64 own_txid, int64 own_seq);
/*
 * The active snapshot as pg_snapshot text. The calling transaction, if it has an id, is listed as in progress, since what it
 * does later must not count as shipped.
 */
extern char *ts_position_of_snapshot(void);
/* The calling transaction's top-level id, 0 if it has none. */
extern uint64 ts_own_txid(void);
/*
 * Rows that the snapshot sees and the position has not passed are of this transaction or later ones. What ran when the position was
 * taken, and runs still, is not seen yet, and not waited for.
 */
extern uint64 ts_position_least(const TsPosition *pos, Snapshot snapshot);
/* Would this server still have to reach the position? Then it comes from another server or another time. */
extern bool ts_position_is_ahead(const TsPosition *pos);

/* The same position, of all changes. */
static inline TsPosition *
ts_position_with_echoes(TsPosition *pos)
{
	pos->echo = NULL;
	return pos;
}

static inline bool
ts_position_sees(const TsPosition *pos, uint64 txid)
{
	int			low = 0,
				high = pos->nxip;

	if (txid < pos->xmin)
		return true;
	if (txid >= pos->xmax)
		return false;
	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (pos->xip[mid] == txid)
			return false;
		if (pos->xip[mid] < txid)
			low = mid + 1;
		else
			high = mid;
	}
	return true;
}

/* Is the log row (txid, seq) shipped? */
static inline bool
ts_position_passed(const TsPosition *pos, uint64 txid, int64 seq)
{
	return ts_position_sees(pos, txid) || (txid == pos->own_txid && txid != 0 && seq <= pos->own_seq);
}

#endif
