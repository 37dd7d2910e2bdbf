/* alter.h: a push's steps on the target's columns, and its deferrable constraints. */
#ifndef TS_APPLY_ALTER_H
#define TS_APPLY_ALTER_H

#include "apply/batch.h"

/*
 * The statement that lets deferrable constraints on the target be checked when the data steps end, or with immediate = false sets back
 * those that are deferred initially; NULL if there are none.
 */
extern char *ts_alter_constraints(const TsLink *link, bool immediate);
/* Runs one step that creates the target or alters it, as far as it comes before the rows. */
extern void ts_alter_before(TsWriter *writer, const TsStep *step);
/* All these steps have run, if there were any: the link's columns are resolved anew. */
extern void ts_alter_done(TsWriter *writer, Relation source, bool altered);
/* What can be said of the columns only when their values are there. */
extern void ts_alter_after(TsWriter *writer, const TsStep *step);

#endif
