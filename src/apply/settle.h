/*
 * settle.h: a batch of rows, and what is done about those of them that were not as expected.
 *
 * They are looked at and locked one by one, and it is decided what each of them is; conflicts are told, and what the link's policy lets
 * win is written.
 */
#ifndef TS_SETTLE_H
#define TS_SETTLE_H

#include "apply/batch.h"

/* What looking at a row of a batch found. */
typedef struct TsFound
{
	bool		there;
	bool		done;			/* written at the first attempt */
	bool		holds_new;
	bool		holds_old;
	TsWhose		whose;			/* of a target that several links share */
	char	   *row;			/* jsonb text, */
	char	   *text;			/* and the row's own, exactly */
} TsFound;

typedef struct TsBatch
{
	TsChangeOp	op;
	const unsigned char *mask;	/* all rows have the same */
	int			n;
	TsChange   *rows;
	TsFound    *found;
} TsBatch;

/* Rows that are not "done" yet; all is 0, 1, 2, … */
extern void ts_settle(TsWriter *writer, TsBatch *batch, const int *all);
/*
 * Rows that should have got another key are not there under the old one. Perhaps they have the new one already; if another row has it,
 * or none, they are missing.
 */
extern void ts_settle_moved(TsWriter *writer, const TsBatch *batch, int n, const int *lost);

/* 40001: the target did not take all of the rows that were to be inserted, and said nothing. */
extern void ts_settle_refused(const TsWriter *writer, int64 rows, int64 done);
/* Writes rows whatever they hold. Each of them was seen and locked, or seen to be missing. */
extern void ts_settle_anyway(TsWriter *writer, const TsBatch *batch, TsStatementKind kind, TsChangeOp op, int n, const int *chosen);

/* Writes the batch, and settles what was not as expected. */
extern void ts_batch_write(TsWriter *writer, TsBatch *batch);
/* The statement that a batch is tried with first. */
extern TsStatement *ts_batch_fast(TsWriter *writer, const TsBatch *batch);
/* Says what is written now, for the context of an error. */
extern void ts_batch_announce(TsWriter *writer, const TsBatch *batch);
/* The key of a change that a comparison found, JSON. */
extern char *ts_batch_describe_key(TsWriter *writer, const TsChange *change);
/* 0 … n - 1 */
extern int *ts_batch_all(int n);
/* A change in the current context. */
extern TsChange ts_batch_copy(const TsWriter *writer, TsChangeOp op, const TsChange *from);
/* batch.c's, for settling: a statement for such rows, */
extern TsStatement *ts_batch_statement(TsWriter *writer, TsStatementKind kind, TsChangeOp op, const unsigned char *mask);
/* run for n chosen rows of a batch, */
extern uint64 ts_batch_execute(TsWriter *writer, TsStatement *stmt, const TsBatch *batch, int n, const int *chosen, TsRowFunction row,
							   void *arg);

typedef enum TsDescribed
{
	DESCRIBE_KEY,
	DESCRIBE_OLD_KEY,			/* of a row that gets another one */
	DESCRIBE_ROW,				/* what is written; of a delete what is known of the old row */
	DESCRIBE_OLD,				/* the old values that are known */
	DESCRIBE_BEFORE,			/* what is known of the row before the change: old values, and those that it leaves alone */
	DESCRIBE_WHOLE,				/* the new row, also the columns that an update leaves alone */
	DESCRIBE_CAST				/* what is written to a column of another type, or a more narrow one */
} TsDescribed;

/* and a row as JSON, NULL if it would be empty. */
extern char *ts_batch_describe(TsWriter *writer, const TsChange *row, TsChangeOp op, TsDescribed what, int limit);

#endif
