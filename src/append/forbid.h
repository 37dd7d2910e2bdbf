/* forbid.h: does a constraint of a table forbid that rows are appended whatever their keys? */
#ifndef TS_FORBID_H
#define TS_FORBID_H

#include "append/append.h"

/* 55000 if a unique or exclusion constraint may find one of the rows to be a duplicate. */
extern void ts_forbid_duplicates(const TsAppend *append);

#endif
