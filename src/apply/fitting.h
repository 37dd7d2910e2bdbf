/* fitting.h: rows' values as the target's columns hold them. */
#ifndef TS_FITTING_H
#define TS_FITTING_H

#include "link/fit.h"
#include "plan/change.h"

/* How the column's values are fitted, in the current context. */
extern TsFit *ts_fitting_create(const TsLink *link, int column);
/*
 * The old or new values of one column of n chosen rows, in the current context. A new value that the target does not hold, or (on_cast =>
 * 'error', keys) not exactly, is an error of class 22 that names the row. An old value that it cannot hold is NULL: it never did.
 */
extern void ts_fitting_column(const TsLink *link, TsFit *fit, int column, bool old, const TsChange *rows, int n, const int *chosen,
							  Datum *values, bool *nulls);
/* A value that the target may hold; NULL if it cannot. */
extern Datum ts_fitting_value(const TsLink *link, int column, Datum value, bool *isnull);
/* Checks the new values of a row that is not to go through a statement; mask: those that are changed; NULL: all. */
extern void ts_fitting_check(const TsLink *link, const TsChange *row, const unsigned char *mask);

#endif
