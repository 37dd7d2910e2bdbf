/* rule.h: pushes that are stopped by rules. */
#ifndef TS_API_RULE_H
#define TS_API_RULE_H

#include "plan/merge.h"

/* 23514 if rows of the plans break rules of links that do not put them into quarantine. name: of the link or group. */
extern void ts_rules_stop(const TsMerged *merged, const char *name);

#endif
