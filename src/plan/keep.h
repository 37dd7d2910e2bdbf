/* keep.h: statements that write rows which are JSON, as a conflict policy made them. */
#ifndef TS_KEEP_H
#define TS_KEEP_H

#include "plan/statement.h"

/*
 * Updates the rows that are there, and returns their numbers, from 1. Parameters, text[]: objects with columns of the target; and rows of
 * the target as text: what the other columns of the link get, the text '' leaves them as they are.
 */
extern TsStatement *ts_keep_update(const TsLink *link);
/* Inserts all. */
extern TsStatement *ts_keep_insert(const TsLink *link);

/*
 * Tells the log of a target that is tracked that the table of this identity has no rows of these keys, as it has none itself. The one parameter
 * is text[]: objects with the columns of the key.
 */
extern TsStatement *ts_keep_gone(const TsLink *link, const char *origin);

/* "json" (SQL), an object with the columns of the target's key, as a table q of these columns; for a statement here, or where the target is. */
extern char *ts_statement_key(const TsLink *link, const char *json, bool here);
/* The key of a row with the columns of the target's key, as the text of such an object; what it looks like may depend on settings. */
extern char *ts_statement_key_text(const TsLink *link, const char *alias);

#endif
