/* cast.h: can the values that the target has be cast to another type? */
#ifndef TS_CAST_H
#define TS_CAST_H

#include "link/link.h"

/* Casts all values of a column of the target, as the link's owner; culprit: the first one that cannot be, as SQL text. */
extern bool ts_cast_holds(const TsLink *link, const char *column, const char *type, char **culprit);
/*
 * Does somebody else than this link write to the target, or has it rows with a value in the column that the source does not have?
 * As the link's owner.
 */
extern bool ts_cast_has_others(const TsLink *link, Relation source, Relation target, const char *column);

#endif
