/*
 * diff.h: how two relations differ, row by row, in the order of their key.
 *
 * Both are read in that order and merged. No row is left out: one whose key another row of its side has, too, is an error (21000), and so
 * are rows that come out of order. NULL in a key is a value, equal to NULL.
 */
#ifndef TS_DIFF_H
#define TS_DIFF_H

#include "executor/tuptable.h"
#include "verify/sides.h"

typedef enum TsDiffKind
{
	TS_DIFF_ONLY_A,
	TS_DIFF_ONLY_B,
	TS_DIFF_DIFFERS
} TsDiffKind;

/* Valid until the next one is asked for. */
typedef struct TsDifference
{
	TsDiffKind	kind;
	TupleTableSlot *row[TS_SIDES];	/* columns: TsSharedColumn.raw; NULL: not there */
	const bool *differs;		/* per shared column, if both are there */
} TsDifference;

typedef struct TsDiff TsDiff;

/* In the current context, which has to live as long; errors as ts_sides_open, and what planning and reading may raise. */
extern TsDiff *ts_diff_begin(TsSides *sides);
/* Calls of ts_diff_next stand between these two, which may be repeated. */
extern void ts_diff_resume(TsDiff *diff);
extern void ts_diff_pause(TsDiff *diff);
/* The next difference; false at the end. */
extern bool ts_diff_next(TsDiff *diff, TsDifference *difference);
extern void ts_diff_end(TsDiff *diff);

#endif
