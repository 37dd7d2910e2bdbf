/* position.c: positions as snapshots. */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/snapmgr.h"

#include "log/position.h"

static uint64
number(const char **p, char stop)
{
	char	   *end;
	uint64		value = strtoull(*p, &end, 10);

	if (end == *p || (*end != stop && *end != '\0'))
		elog(ERROR, "malformed position");
	*p = *end == '\0' ? end : end + 1;
	return value;
}

TsPosition *
ts_position_parse(const char *text, uint64 own_txid, int64 own_seq)
{
	TsPosition *pos = palloc0(sizeof(TsPosition));
	const char *p = text;
	int			commas = 1;

	for (const char *c = text; *c; c++)
		commas += *c == ',';
	pos->xip = palloc(sizeof(uint64) * commas);
	pos->xmin = number(&p, ':');
	pos->xmax = number(&p, ':');
	while (*p)
		pos->xip[pos->nxip++] = number(&p, ',');
	pos->own_txid = own_txid;
	pos->own_seq = own_seq;
	return pos;
}

uint64
ts_own_txid(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
}

/* The 64-bit id of a transaction near "next". */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int
compare(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a,
				y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

char *
ts_position_of_snapshot(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	uint64		own = ts_own_txid();
	uint64		xmin = widen(snapshot->xmin, next);
	uint64		xmax = widen(snapshot->xmax, next);
	uint64	   *xip = palloc(sizeof(uint64) * (snapshot->xcnt + 1));
	int			n = 0;
	StringInfoData buf;

	for (uint32 i = 0; i < snapshot->xcnt; i++)
		xip[n++] = widen(snapshot->xip[i], next);
	if (own != 0 && own < xmax)
	{
		xip[n++] = own;
		xmin = Min(xmin, own);
	}
	qsort(xip, n, sizeof(uint64), compare);
	initStringInfo(&buf);
	appendStringInfo(&buf, UINT64_FORMAT ":" UINT64_FORMAT ":", xmin, xmax);
	for (int i = 0; i < n; i++)
		if (i == 0 || xip[i] != xip[i - 1])
			appendStringInfo(&buf, "%s" UINT64_FORMAT, i == 0 ? "" : ",", xip[i]);
	return buf.data;
}

static bool
runs(Snapshot snapshot, uint64 txid, FullTransactionId next)
{
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (widen(snapshot->xip[i], next) == txid)
			return true;
	return false;
}

uint64
ts_position_least(const TsPosition *pos, Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();

	for (int i = 0; i < pos->nxip; i++)
		if (pos->xip[i] >= pos->xmin && !runs(snapshot, pos->xip[i], next))
			return Min(pos->xip[i], pos->xmax);
	return pos->xmax;
}

bool
ts_position_is_ahead(const TsPosition *pos)
{
	return pos->xmax > U64FromFullTransactionId(ReadNextFullTransactionId());
}
