/*
 * mapper.h: rows of the source as a link maps them: expressions and the filter, run on the row as it is and on the row as it was.
 *
 * Of the row as it was, not all may be known; what depends on the rest is not known either. As the link's owner.
 */
#ifndef TS_MAPPER_H
#define TS_MAPPER_H

#include "executor/tuptable.h"
#include "link/link.h"
#include "utils/relcache.h"

typedef struct TsMapper TsMapper;

typedef enum TsPasses
{
	TS_PASSES_NOT,
	TS_PASSES,
	TS_PASSES_UNKNOWN
} TsPasses;

/* In the current context. The link is resolved. */
extern TsMapper *ts_mapper_create(const TsLink *link, Relation source);
extern void ts_mapper_end(TsMapper *mapper);
/* Forgets the row before. */
extern void ts_mapper_reset(TsMapper *mapper);
/* The row as it was, to be filled in: per attribute, values are in the slot; known: which of them are. */
extern TupleTableSlot *ts_mapper_old(TsMapper *mapper, bool **known);
/* A column's value in a row; lives until the reset. */
extern Datum ts_mapper_value(TsMapper *mapper, int column, TupleTableSlot *row, bool *isnull);
/* Does what is known of the row as it was tell the column's value? */
extern bool ts_mapper_knows(const TsMapper *mapper, int column);
/* Does the row pass the filter? */
extern TsPasses ts_mapper_passes(TsMapper *mapper, TupleTableSlot *row);

#endif
