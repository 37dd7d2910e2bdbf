/* group.h: named sets of links that are planned and pushed together. */
#ifndef TS_GROUP_H
#define TS_GROUP_H

#include "nodes/pg_list.h"

/*
 * The names of the links that a name stands for, sorted: the link's own, or those of the group (*group is set then). 42704 if there
 * is neither.
 */
extern List *ts_group_links(const char *name, bool *group);

/* Links of one owner, whom the caller is a member of. Errors: 42704, 42501, 42710 name taken, 22023 owners differ. */
extern void ts_group_create(const char *name, List *links, const char *transactions);
/* May its targets be on different servers, each written in a transaction of its own? */
extern bool ts_group_is_split(const char *name);
extern void ts_group_add(const char *name, const char *link);
extern void ts_group_remove(const char *name, const char *link);
extern void ts_group_drop(const char *name);
/* 42501 if the caller is not a member of the group's owner. */
extern void ts_group_check_owner(const char *name);

/* 42710 if a link or group has the name. From here on nobody else makes one, until the transaction ends. */
extern void ts_name_reserve(const char *name);

#endif
