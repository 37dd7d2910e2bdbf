/* retype.h: changes of a column's type, nullability and default. */
#ifndef TS_RETYPE_H
#define TS_RETYPE_H

#include "link/link.h"
#include "log/shape.h"

/* Adds the step, if one is needed, and says what the column's values will be until they are written. was may be NULL. */
extern void ts_link_follow_type(TsLink *link, TsColumn *col, const TsShapeAtt *was, const TsShapeAtt *is, Relation target);
/*
 * 42501 if casting values of the type could run code of a role that the link's owner has no reason to trust: one that is neither he
 * himself, nor a superuser, nor the owner of the target.
 */
extern void ts_check_type_owner(const TsLink *link, const char *column, Oid declared);
/*
 * May the default be set on the target? There it runs with the rights of whoever inserts: a call only if the source belongs to the
 * link's owner or a superuser (the server's own functions can run any SQL, too), and none of what does not come with the server.
 */
extern bool ts_default_is_safe(const TsLink *link, const TsShapeAtt *att);
/* Does the column's default make sense on the target? One that draws from a sequence of the source does not. */
extern bool ts_default_travels(const TsShapeAtt *att);

#endif
