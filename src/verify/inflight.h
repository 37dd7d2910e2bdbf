/*
 * inflight.h: what a link has not shipped yet, as rows: what the source held at the link's position.
 *
 * For each key with a net change since the position there is the row of before: today's with the old values of the log put back. Where the
 * log does not know an old value (images => 'none') the column is unknown, and says so. Of a key that was inserted since there was no row:
 * it is marked.
 */
#ifndef TS_INFLIGHT_H
#define TS_INFLIGHT_H

#include "link/link.h"
#include "utils/snapshot.h"

typedef struct TsInFlight
{
	char	   *name;			/* SQL: the rows, in the source's columns; NULL: there are none */
	struct Tuplestorestate *store;
	int64		rows;
	bool		unknown;		/* of some rows not all is known */
	bool		doubtful;		/* the log does not tell all that happened since the position */
} TsInFlight;

/* In E_OLD rows, besides the link's columns: */
#define TS_FLIGHT_UNKNOWN "\"tracksync, unknown\""	/* int2[]: the source's columns whose values are not known; NULL: all are */
#define TS_FLIGHT_SURE "\"tracksync, sure\""	/* it is known that the row passed the filter */

/* Reads the log; the rows are registered with the SPI connection. The link is active and has one. */
extern void ts_inflight_begin(TsInFlight *flight, const TsLink *link, Relation source, Snapshot snapshot);
extern void ts_inflight_end(TsInFlight *flight);

/* SQL, to stand in FROM, as ts_source_rows: today's rows of keys without a net change, */
extern char *ts_inflight_same(const TsInFlight *flight, const TsLink *link, Relation source);
/* today's rows of keys with one, and */
extern char *ts_inflight_new(const TsInFlight *flight, const TsLink *link, Relation source);
/* the rows of before of keys with one; only where there are some. */
extern char *ts_inflight_old(const TsInFlight *flight, const TsLink *link);
/* SQL: of such a row s, one of these columns of the source is not known. */
extern char *ts_inflight_is_unknown(const Bitmapset *reads);

#endif
