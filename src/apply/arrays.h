/* arrays.h: rows as the array parameters of a statement. */
#ifndef TS_ARRAYS_H
#define TS_ARRAYS_H

#include "plan/statement.h"

/* One array per parameter of the statement, with the rows whose numbers are given, in that order. */
extern Datum *ts_arrays_build(const TsLink *link, const TsStatement *stmt, const TsChange *rows, int n, const int *chosen);

#endif
