/* detect.h: a link that reads its source's log comes to compare, and the other way round. */
#ifndef TS_DETECT_H
#define TS_DETECT_H

#include "link/create.h"
#include "link/link.h"

/*
 * What alter_link's option "detect" asks for, all but the option itself; true if it is not what the link does now. From here on the link
 * is the other kind; the source is tracked if need be, with the right of its owner. The next push compares in any case. Errors: 22023,
 * 55000, and those of tracking.
 */
extern bool ts_link_switch_detection(TsLink *link, const TsLinkOptions *options);
/* A source that is tracked for its links only is untracked once none of them reads its log. */
extern void ts_link_let_go(Oid source);

#endif
