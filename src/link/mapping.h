/* mapping.h: what making and altering a link have in common. */
#ifndef TS_LINK_MAPPING_H
#define TS_LINK_MAPPING_H

#include "link/create.h"
#include "link/link.h"

/* Splits the target's name into the link; its schema is looked up if the name has none. */
extern void ts_link_resolve_target_name(const char *text, TsLink *link);
/* 42P17 if data would go round in a circle. */
extern void ts_link_check_cycle(const TsLink *link);
/* Maps and checks the link against both relations, which stay locked; tracked may be NULL: as it would be. */
extern void ts_link_map(TsLink *link, const TsLinkOptions *options, const TsTracked *tracked);
/* The mapping as it is stored: the source's attribute numbers, the target's names and attribute numbers. */
extern Datum ts_link_column_arrays(const TsLink *link, Datum *names, Datum *target_attnums);

#endif
