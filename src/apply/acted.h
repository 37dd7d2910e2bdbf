/*
 * acted.h: rows of a push's targets on other servers that foreign keys changed, not the push.
 *
 * Here, foreign keys between the targets of a push do nothing but check (references.c): what they did at the source is among the changes.
 * There, nothing keeps them from acting. The order of the steps leaves them little to do; but what they do may be what the source did not.
 * The server counts what is done to a table: if that is more than what the push did, the table is compared.
 */
#ifndef TS_ACTED_H
#define TS_ACTED_H

#include "apply/settle.h"

/* Begins to count for these writers' targets, if need be; before their data steps, in each attempt. */
extern void ts_acted_begin(int n, TsWriter **writers);
/* What they changed is no conflict: the old values of such columns are not compared. */
extern void ts_acted_forget(const TsWriter *writer, TsBatch *batch);
/*
 * Compares those that more was done to. 09000 if rows are not as the source has them. Returns the names of links of which that cannot be told,
 * because rows were left as they were on purpose.
 */
extern List *ts_acted_check(int n, TsWriter **writers);

#endif
