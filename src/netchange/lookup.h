/*
 * lookup.h: rows of a plain table by their key, through its unique index; made for many keys in ascending order.
 *
 * Where the keys lie close together, the index is walked from one to the next instead of being searched from its root: from some
 * four keys on a leaf page upward it is taken for faster. Whether it is, is tried now and then.
 */
#ifndef TS_LOOKUP_H
#define TS_LOOKUP_H

#include "executor/tuptable.h"
#include "log/tracked.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

typedef struct TsLookup TsLookup;

/*
 * rel is open and locked; the index's columns are in the order the keys come in. to_write: the rows are to be updated or deleted. Lives in
 * the current context.
 */
extern TsLookup *ts_lookup_begin(Relation rel, const TsKeyIndex *index, Snapshot snapshot, bool to_write);
/* The row that the snapshot sees, or NULL; valid until the next call. Any order of keys is right, only slower. */
extern TupleTableSlot *ts_lookup_row(TsLookup *lookup, const Datum *keys);

/* How many keys can be looked for at once? At least 1, at most: */
#define TS_LOOKUP_AHEAD 32
extern int	ts_lookup_can_ahead(const TsLookup *lookup);
/* Looks for so many keys, if that is more than 1; holds their rows' pages until the next call, or the end. */
extern void ts_lookup_ahead(TsLookup *lookup, int n, const Datum *const *keys);
/* The row of the nth of them, counted from 0, or NULL; valid until the next call. */
extern TupleTableSlot *ts_lookup_nth(TsLookup *lookup, int n);
extern void ts_lookup_end(TsLookup *lookup);

#endif
