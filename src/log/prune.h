/* prune.h: removing what nobody needs any more from a change log. */
#ifndef TS_PRUNE_H
#define TS_PRUNE_H

#include "log/bound.h"

/*
 * Deletes the log rows that every link of the source has passed; with everything also the rest of a log without links.
 * Does nothing, and waits for nobody, if another session prunes or makes a link just now, or under REPEATABLE READ (whose
 * snapshot is too old to judge). A log whose keys are of a former type takes to the new one when it can. Returns the events deleted, operation records included.
 * note: where the log ended before the push's snapshot, or NULL; a bound is made of it.
 */
extern int64 ts_log_prune(Oid source, bool everything, const TsLogNote *note);

/* Deletes everything that is in a log now. */
extern void ts_log_empty(const Oid *halves);

#endif
