/* spared.h: rows that a comparison leaves alone because another link has them. */
#ifndef TS_PLAN_SPARED_H
#define TS_PLAN_SPARED_H

#include "link/link.h"

/*
 * Where all rows of the target are to be in the source, because a link brings them back: an error if the target has one that the source
 * does not, and that a comparison would leave alone because another link's source has it. It would never come back: the link back has
 * shipped it long ago.
 */
extern void ts_spared_refuse(const TsLink *link);

#endif
