/* trust.h: what of another role's link may run with the rights of this one's owner. */
#ifndef TS_TRUST_H
#define TS_TRUST_H

#include "link/link.h"

/*
 * A comparison asks which rows of the target another link puts there, as the link's owner. 55000 if code of somebody else's would run
 * then: functions of a view, or of a filter or an expression. The other link's columns are resolved.
 */
extern void ts_trust_source(const TsLink *link, const TsLink *other);
/* The same for what tells which rows of the target are the other link's; may be NULL. */
extern void ts_trust_condition(const TsLink *link, const TsLink *other, Node *condition);

#endif
