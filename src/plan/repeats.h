/*
 * repeats.h: keys that are there twice in a source without a unique index on them. Two rows for one of the target: which would it be?
 */
#ifndef TS_REPEATS_H
#define TS_REPEATS_H

#include "executor/spi.h"
#include "link/link.h"

/* A column that no target has: is the row's key that of another row, too? */
#define TS_REPEATED "\"tracksync, repeated\""

/* Does nothing but a look at the rows tell that no two of them have the same key? The source is locked. */
extern bool ts_keys_may_repeat(const TsLink *link);
/* SQL: what stands in FROM for the source (link/rows.h), with that column; true for all rows of a key but one. */
extern char *ts_repeats_rows(const TsLink *link);
/* 21000: names the key of a comparison's row, whose columns are: one, one for each of the link's columns, and the values of these. */
extern void ts_repeats_refuse(const TsLink *link, HeapTuple tuple, TupleDesc desc);

#endif
