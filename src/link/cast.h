/* cast.h: can the values that the target has be cast to another type? */
#ifndef TS_CAST_H
#define TS_CAST_H

#include "link/link.h"

/* Casts all values of a column of the target, as the link's owner; culprit: the first one that cannot be, as SQL text. */
extern bool ts_cast_holds(const TsLink *link, const char *column, const char *type, char **culprit);
/* Does another link write to the target, too? */
extern bool ts_cast_is_shared(const TsLink *link);
extern TsSharing ts_cast_sharing(const TsLink *link);
/* Is there a value of the target's column that is another one when it is cast? As the link's owner. */
extern bool ts_cast_changes(const TsLink *link, const char *column, const char *type);
/*
 * How many rows of the target has the source not? With "harmed": such whose value in the lossy column would be lost or changed. The
 * link is resolved; as its owner, in SPI.
 */
extern int64 ts_cast_rows_besides(const TsLink *link, const TsColumn *lossy, bool harmed);
/* 42846: what is not the link's to fill in is not its to empty. */
extern void ts_cast_refuse(const TsLink *link, const char *column, const char *type);

#endif
