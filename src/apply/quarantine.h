/*
 * quarantine.h: rows that the target does not take.
 *
 * When a push fails and a link has on_error => 'quarantine', all is rolled back and repeated, trying each batch first, in a subtransaction
 * that is rolled back. One that fails is bisected until just the rows that fail are known; they are left out, and recorded when the push
 * has succeeded without them.
 */
#ifndef TS_QUARANTINE_H
#define TS_QUARANTINE_H

#include "apply/settle.h"

/* One row, and what the target said. */
typedef struct TsBad
{
	TsChangeOp	op;
	char	   *key;			/* JSON */
	char	   *row;			/* NULL for a DELETE */
	char	   *sqlstate;
	char	   *message;
	char	   *constraint;		/* NULL = none */
	char	   *before;			/* what is known of the source's row before the change, JSON; NULL = nothing */
	char	   *image;			/* the row as the target should hold it until the change is taken, JSON; NULL = none */
	bool		asked;			/* of those left out before they are tried: were others with its values looked for? */
} TsBad;

/* As ts_tangle_take; rows of which it cannot be told stay in the batch. */
extern void ts_quarantine_take(TsWriter *writer, TsBatch *batch);
/* Writes those rows of the batch that the target takes; returns their number. */
extern int	ts_quarantine_write(TsWriter *writer, TsBatch *batch);
/* Does the work, and undoes it; the error if there was one that is about rows. Others are thrown. */
extern ErrorData *ts_quarantine_trial(TsWriter *writer, void (*work) (void *), void *arg);
/* Why the row is known not to go; NULL: it is not. */
extern ErrorData *ts_quarantine_excluded(TsWriter *writer, TsChangeOp op, const TsChange *row);
/* The row is left out. */
extern void ts_quarantine_note(TsWriter *writer, TsChangeOp op, const TsChange *row, const ErrorData *error);
/* The rows that a plan leaves out because they break rules, TsBad. */
extern List *ts_quarantine_refused(TsWriter *writer, const TsPlan *plan);
/* Leaves the row with this key out from now on; false if it is already. */
extern bool ts_quarantine_exclude(TsWriter *writer, const char *key, int sqlstate, const char *constraint, const char *why);
/*
 * All rows are written. Rows with values that only one row may have, by one of these rules, and which a row that was left out has still,
 * wait: they are added to the writer's excluded rows. True if there are any that were not.
 */
extern bool ts_quarantine_soles(TsWriter *writer, List *rules);
/*
 * All rows are written; now foreign keys would be checked. Rows that refer to none, and those whose going they would not survive, wait:
 * they are added to the writers' excluded rows. True if there are any that were not: then everything has to be done once more.
 */
extern bool ts_quarantine_references(int n, TsWriter **writers);
/* The link's rows in quarantine are from now on those left out by this push. Inside ts_catalog_enter. */
extern void ts_quarantine_record(const TsLink *link, List *bad);

#endif
