/* statement.h: the SQL of an append. */
#ifndef TS_APPEND_STATEMENT_H
#define TS_APPEND_STATEMENT_H

#include "append/append.h"

/* The name under which statements find the rows of a batch: an ephemeral named relation. */
#define TS_APPEND_ROWS "tracksync_append_rows"

/* Inserts the batch; arbitrate: those whose keys are not there. */
extern char *ts_append_insert(const TsAppend *append, bool arbitrate);
/* Gives the columns to the rows that have the batch's keys, and not these values yet; returns their numbers. */
extern char *ts_append_update(const TsAppend *append);
/* Number, and (not with 'first') the columns, of the rows there that have the batch's keys. */
extern char *ts_append_look(const TsAppend *append);

#endif
