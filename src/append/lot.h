/* lot.h: incoming rows that are dealt with together, and the statements that do it. */
#ifndef TS_LOT_H
#define TS_LOT_H

#include "utils/tuplestore.h"

#include "append/classify.h"

typedef enum TsAppendStatement
{
	TS_APPEND_INSERT,
	TS_APPEND_INSERT_FREE,		/* what has no conflict */
	TS_APPEND_UPDATE,
	TS_APPEND_LOOK
} TsAppendStatement;

typedef struct TsLot
{
	TsAppend   *append;
	struct EphemeralNamedRelationData *relation;	/* as which statements find the rows of a store */
	SPIPlanPtr	plans[TS_APPEND_LOOK + 1];
	MemoryContext home;			/* of all lots */
	MemoryContext context;		/* of this one */
	TsClassified *rows;
	int			limit;			/* a trigger may change the setting */
	int			n;
	Size		bytes;
	TupleTableSlot *slot;
} TsLot;

extern void ts_lot_init(TsLot *lot, TsAppend *append);
extern void ts_lot_end(TsLot *lot);

/* Adds a row; true if the lot is full. */
extern bool ts_lot_add(TsLot *lot, TupleTableSlot *row, TsClass class);
/* One of its rows, good until the next. */
extern TupleTableSlot *ts_lot_row(TsLot *lot, int i);
extern void ts_lot_empty(TsLot *lot);
/* Sets the classes of its rows: which of their keys are there? */
extern void ts_lot_look(TsLot *lot);

/* A store for rows; the whole lot in one. */
extern Tuplestorestate *ts_lot_begin_store(MemoryContext context);
extern Tuplestorestate *ts_lot_store(TsLot *lot);

/* Plans a statement, which running it does, too. */
extern void ts_lot_prepare(TsLot *lot, TsAppendStatement statement);
/* Runs a statement over the rows of a store; returns how many it wrote or found. SPI_tuptable is the caller's to free. */
extern uint64 ts_lot_run(TsLot *lot, TsAppendStatement statement, Tuplestorestate *store);

#endif
