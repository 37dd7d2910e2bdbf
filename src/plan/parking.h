/* parking.h: values for rows that have to be put aside. */
#ifndef TS_PARKING_H
#define TS_PARKING_H

#include "link/link.h"

/*
 * SQL for a value that is in nobody's way, for a column of unique or exclusion constraints: NULL if the column and they take it, else what
 * overlaps with nothing, else a value that no row of the target has. NULL: the type is none for which one is known. number: SQL, the
 * number of the row in its batch, from 0 to less than TS_PARKING_ROOM. Needs link->uniques.
 */
extern char *ts_parking_vacant(const TsLink *link, int column, const char *number);
#define TS_PARKING_ROOM 1000

#endif
