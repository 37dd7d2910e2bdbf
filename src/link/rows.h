/* rows.h: the source's rows as a link maps them, for queries. */
#ifndef TS_ROWS_H
#define TS_ROWS_H

#include "link/link.h"

/* Of a link whose order_apart is set: the source's own key columns, too, from 1. */
#define TS_SOURCE_KEY "tracksync, key %d"
/* Where all rows are asked for: does it pass the filter? */
#define TS_SOURCE_PASSES "tracksync, passes"

/* SQL: a column's value, over the source's row with this alias: the source's column, or the expression. In the source's type. */
extern char *ts_source_value(const TsLink *link, const TsColumn *col, const char *alias);
/*
 * SQL: what stands in FROM for the source: (SELECT …), the rows that pass the filter, with the link's columns under the target's names
 * (TsColumn.target_name), values in the source's types (TsColumn.source_type, or a domain over it). The planner sees through it. The
 * link's columns are resolved.
 */
extern char *ts_source_rows(const TsLink *link);
/* The same of rows s of the source for which the condition holds, too. */
extern char *ts_source_rows_where(const TsLink *link, const char *condition);
/* The same, also of rows that do not pass the filter, and whether they do. Of those that do not expressions are NULL, but for the key's. */
extern char *ts_source_all_rows(const TsLink *link);
/* The names of the other links that write to the link's target. */
extern List *ts_links_beside(const TsLink *link);
/*
 * Another link of the same target, its source locked, the columns that it reads and target_condition resolved; NULL if it has lost its
 * source, or columns of it.
 */
extern TsLink *ts_source_of(const char *name, const TsLink *link);
/* SQL: AND t is a row that the link's filter maps to; "" if that may be any row. */
extern const char *ts_target_rows_condition(const TsLink *link);

#endif
