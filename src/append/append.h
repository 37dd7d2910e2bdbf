/*
 * append.h: the rows of a query into a table, with a rule for duplicates.
 *
 * A key that comes twice is one row: the incoming rows are sorted by the key, and by their order within it, before the first is written.
 * So rows are written in key order, each key once, and two that append at the same time do not wait for each other in a circle.
 */
#ifndef TS_APPEND_H
#define TS_APPEND_H

#include "executor/spi.h"
#include "utils/rel.h"

#include "log/tracked.h"

typedef enum TsDuplicates
{
	TS_DUPLICATES_ERROR,		/* nothing is appended */
	TS_DUPLICATES_LAST,			/* the incoming row wins, the later one of two that come */
	TS_DUPLICATES_FIRST,		/* the row that is there wins, the earlier one of two that come */
	TS_DUPLICATES_ALL			/* there are none */
} TsDuplicates;

typedef struct TsAppend
{
	Relation	target;
	TsDuplicates policy;
	SPIPlanPtr	query;
	TupleDesc	incoming_desc;	/* the query's columns */
	bool	   *literal;		/* per column of the query: a constant of no type but text */
	int			ncolumns;
	AttrNumber *attnums;		/* of the target, per column of the query */
	TupleDesc	desc;			/* the columns in the target's types, and the row's number in the query */
	TsKeyIndex *key;			/* NULL with TS_DUPLICATES_ALL */
	int		   *positions;		/* per column of the key: among the query's */
	bool		nulls_equal;	/* NULLS NOT DISTINCT */
	int64		incoming;
	int64		inserted;
	int64		updated;		/* the others were skipped */
} TsAppend;

/*
 * Prepares the query and finds its columns in the target. SPI is connected, the target locked (ACCESS SHARE at least). Errors: 42601
 * not one statement, or one without rows; 42703, 42701 a column that is unknown or comes twice; 428C9 a generated column; 42P10 no key;
 * 55000 a key that forbids TS_DUPLICATES_ALL.
 */
extern void ts_append_prepare(TsAppend *append, const char *query, List *key, bool explicitly);

/* Does it: locks the target, runs the query, writes, counts. 23505 lists duplicate keys. */
extern void ts_append_run(TsAppend *append);

#endif
