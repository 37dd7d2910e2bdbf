/* convert.h: the rows of a query as those of a table, by assignment casts. */
#ifndef TS_CONVERT_H
#define TS_CONVERT_H

#include "append/append.h"

typedef struct TsConvert TsConvert;

/* 42804 if there is no assignment cast from a column's type to that of the target's column. */
extern TsConvert *ts_convert_begin(const TsAppend *append);
/* A row; it is good until the next one. */
extern TupleTableSlot *ts_convert_row(TsConvert *convert, TupleTableSlot *row, int64 number);
extern void ts_convert_end(TsConvert *convert);

#endif
