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
	int64		count[TS_CONFLICT_KINDS];	/* those that nothing resolves */
	int64		total;
	List	   *listed;			/* char *: kind, key and both sides, for the error */
} TsConflicts;

extern const char *ts_conflict_name(TsConflictKind kind);
/* A conflict that was resolved. key, source and target are JSON text; source and target may be NULL. */
extern void ts_conflict_record(const TsLink *link, TsConflictKind kind, const char *key, const char *source, const char *target,
							   const char *resolution);
/* One that was not. What has to last is kept in "keep". */
extern void ts_conflict_refuse(TsConflicts *conflicts, TsConflictKind kind, const char *key, const char *source, const char *target,
							   MemoryContext keep);
/* 40001 with counts and the first keys, if there were any that were not resolved. */
extern void ts_conflict_raise(const TsConflicts *conflicts, const TsLink *link);

#endif
