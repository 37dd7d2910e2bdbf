/* netchange.h: a change as a row, as tracksync.net_changes returns it. */
#ifndef TS_API_NETCHANGE_H
#define TS_API_NETCHANGE_H

#include "plan/change.h"

#define TS_NET_CHANGE_COLUMNS 6

/* link, op, key, old, new, changed, under the source's column names, in the current context. */
extern void ts_net_change_row(const TsLink *link, const TsChange *change, bool text_keys, Datum *values, bool *nulls);

#endif
