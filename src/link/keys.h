/* keys.h: which columns of the target identify its rows. */
#ifndef TS_KEYS_H
#define TS_KEYS_H

#include "fmgr.h"
#include "link/link.h"

/*
 * The key's columns: those that the columns of the source's key go to; or, where the target has a unique index on what is made of them by
 * immutable expressions, those. target may be NULL: does not exist. The source's side is resolved. Errors: 42P10.
 */
extern void ts_keys_resolve(TsLink *link, Relation source, Relation target);
/* The target's index on them: its operators. 42P10 if there is none. */
extern void ts_keys_resolve_target(TsLink *link, Relation source, Relation target);
/* Are two keys of the source equal if and only if they are on the target? */
extern bool ts_key_fits(const TsColumn *col, Oid target_collation);

/* How the i-th column of the key is ordered and compared: as by the source's index, of an expression as its type is. */
typedef struct TsKeyOrder
{
	FmgrInfo	compare;
	Oid			equal;			/* an operator */
	Oid			collation;
} TsKeyOrder;

/* One for each of the link's keys. 42P10 if the source has no index on the key any more, unless the link has no need of one. */
extern TsKeyOrder *ts_keys_order(const TsLink *link, Relation source);

#endif
