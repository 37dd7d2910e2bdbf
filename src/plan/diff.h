/* diff.h: what queries that compare a link's source and target have in common. The source's rows are s (rows.h), those of the target t. */
#ifndef TS_PLAN_DIFF_H
#define TS_PLAN_DIFF_H

#include "lib/stringinfo.h"
#include "plan/change.h"

/* SQL: a column of the source's rows, as the target would hold it, without domain. */
extern char *ts_diff_source_value(const TsColumn *col, const char *alias);
/* SQL: the same of a key column, whole; name: what it is called among the rows. */
extern char *ts_diff_key_value(const TsColumn *col, const char *alias, const char *name);
/* Appends that t is the row of the key that the row of "alias" has. */
extern void ts_diff_append_key_match(StringInfo sql, const TsLink *link, const char *alias);
/* AND t is no row that another link's source puts there. */
extern void ts_diff_append_other_sources(StringInfo sql, const TsLink *link);
/* The same for other rows of these links than those of their sources; NULL: none. SQL, to stand in FROM, as ts_source_rows. */
typedef char *(*TsRowsOf) (void *arg, TsLink *other);
extern void ts_diff_append_other_rows(StringInfo sql, const TsLink *link, TsRowsOf rows_of, void *arg);
/* AND the row of "alias" has one of the keys (JSON, by the target's column names), or, if not "has", none; nothing if there are no keys. */
extern void ts_diff_append_keys(StringInfo sql, const TsLink *link, const char *alias, List *keys, bool has);
/* SQL: what stands for the target: the rows that were fetched (fetch.h), or the table. */
extern char *ts_diff_target_rows(const TsLink *link, const char *fetched);
/*
 * SQL: does t hold the value of a column that is cast? By a function, which takes a value that the target cannot hold for one that it does
 * not: it is for the push to say which one it is.
 */
extern char *ts_diff_holds(const TsLink *link, const TsColumn *col, const char *alias);
/* Is the source's value cast, which may fail? */
extern bool ts_diff_is_cast(const TsColumn *col);

#endif
