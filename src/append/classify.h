/* classify.h: incoming rows held against those that are there. */
#ifndef TS_CLASSIFY_H
#define TS_CLASSIFY_H

#include "append/append.h"
#include "base/compat.h"

/* So many duplicates are named. */
#define TS_DUPLICATES_NAMED 10

typedef enum TsClass
{
	TS_CLASS_NEW,				/* its key is not there */
	TS_CLASS_SAME,				/* nothing to do */
	TS_CLASS_DIFFERS			/* its key is there, or came twice, with other values */
} TsClass;

typedef struct TsClassified
{
	MinimalTuple row;
	TsClass		class;
} TsClassified;

/* Is a column's value in an incoming row, as it is stored, that of a column (from 1) of another row? */
extern bool ts_classify_same(const TsAppend *append, int column, TupleTableSlot *row, TupleTableSlot *other, int other_column);
/* Sets the classes of n rows from what ts_append_look found. */
extern void ts_classify(const TsAppend *append, TsClassified *batch, int n, SPITupleTable *found, uint64 nfound);
/* Sets the classes of those that ts_append_update wrote: the same now. */
extern void ts_classify_done(const TsAppend *append, TsClassified *batch, int n, SPITupleTable *updated, uint64 nupdated);
/* The row's key, for messages. */
extern char *ts_classify_key(const TsAppend *append, TupleTableSlot *row);
/* 23505 for duplicates, of which these are the first. */
pg_noreturn extern void ts_classify_refuse(const TsAppend *append, int64 duplicates, List *first);

#endif
