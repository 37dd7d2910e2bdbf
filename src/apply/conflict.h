/*
 * conflict.h: rows of the target that are not as the plan expects them.
 */
#ifndef TS_CONFLICT_H
#define TS_CONFLICT_H

#include "link/link.h"

typedef enum TsConflictKind
{
	TS_INSERT_EXISTS,
	TS_UPDATE_MISSING,
	TS_UPDATE_DIFFERS,
	TS_DELETE_MISSING,
	TS_DELETE_DIFFERS
} TsConflictKind;

#define TS_CONFLICT_KINDS 5

/* The first so many are listed in the error. */
#define TS_CONFLICTS_LISTED 10

typedef struct TsConflicts
{
	int64		count[TS_CONFLICT_KINDS];
	int64		total;
	List	   *listed;			/* char *: kind, key and both sides, for the error */
} TsConflicts;

/* key, source and target are JSON text; source and target may be NULL. */
/* What has to last is kept in "keep". */
extern void ts_conflict_add(TsConflicts *conflicts, const TsLink *link, TsConflictKind kind, const char *key,
							const char *source, const char *target, MemoryContext keep);
/* Under policy 'error': 40001 with counts and the first keys, if there were any. */
extern void ts_conflict_raise(const TsConflicts *conflicts, const TsLink *link);

#endif
