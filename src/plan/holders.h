/* holders.h: statements about unique values, and about the rows that have them. */
#ifndef TS_HOLDERS_H
#define TS_HOLDERS_H

#include "link/unique.h"
#include "plan/builder.h"

/* Does a change with this mask matter to the constraint? */
extern bool ts_holders_matter(const TsLink *link, const TsUnique *unique, TsChangeOp op, const unsigned char *mask);
extern void ts_holders_build(TsBuilder *b);
extern void ts_holders_build_identify(TsBuilder *b);
extern void ts_holders_build_vacate(TsBuilder *b, bool anyway);

#endif
