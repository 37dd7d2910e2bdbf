/* parking.h: values that no row of the target has, for rows that have to be put aside. */
#ifndef TS_PARKING_H
#define TS_PARKING_H

#include "link/link.h"

/*
 * SQL for a value that no row of the target has in the column; NULL: the type is none that this is known of. number: SQL, the number of
 * the row in its batch, from 0 to less than TS_PARKING_ROOM.
 */
extern char *ts_parking_value(const TsLink *link, const TsColumn *col, const char *number);
#define TS_PARKING_ROOM 1000
/* The same for a column that is part of unique or exclusion constraints; or something that they take any number of times. */
extern char *ts_parking_vacant(const TsLink *link, int column, const char *number);
/* The key column, an index into link->columns, that such a value can be given; -1 if there is none. */
extern int	ts_parking_column(const TsLink *link);

#endif
