/* fetch.h: the rows of a target on another server, as a table that queries here can name. */
#ifndef TS_FETCH_H
#define TS_FETCH_H

#include "link/link.h"

/*
 * Fetches the target's rows t for which the condition (SQL there; NULL: all) holds into a tuplestore, which goes to disk if it is large,
 * and registers them with the SPI connection. Returns the name (SQL): columns as the target has them now, in their base types,
 * and one more, of which it is known that no row has it NULL.
 */
extern char *ts_fetch_target(const TsLink *link, const char *condition, struct Tuplestorestate **store);
/* Are these columns of the target, attribute numbers, among those that are fetched, or is it here? */
extern bool ts_fetch_has(const TsLink *link, const Bitmapset *attnums);
/* Lets go of them, once no query is open that reads them. */
extern void ts_fetch_end(const char *name, struct Tuplestorestate *store);

/* SQL: t has a row. */
extern const char *ts_fetch_there(const TsLink *link);

#endif
