/* verify.h: what a link's target holds, beside what it should hold by what was shipped. */
#ifndef TS_VERIFY_H
#define TS_VERIFY_H

#include "link/link.h"
#include "utils/snapshot.h"

typedef enum TsFindingKind
{
	TS_ONLY_SOURCE,
	TS_ONLY_TARGET,
	TS_DIFFERS
} TsFindingKind;

/* One row that is not as it should be; arrays are per column of the link, in the types of the arrays "types"; good until the function returns. */
typedef struct TsFinding
{
	TsFindingKind kind;
	const bool *shown;			/* the column is among those compared or the key, and its value is known */
	const bool *differs;
	const Oid  *types;
	const Datum *source;		/* what it should be: the source as of the link's position */
	const bool *source_nulls;
	const Datum *target;
	const bool *target_nulls;
} TsFinding;

typedef void (*TsFindingFunction) (void *arg, const TsLink *link, const TsFinding *finding);

/*
 * Compares, under the active snapshot; put is called for each row that is not as it should be. The relations are open and locked, the link
 * is resolved, the caller has become its owner and is connected to SPI. On another server the transaction sees the rows as of a position
 * that the link has here. 55000 if it cannot be told.
 */
extern void ts_verify_link(TsLink *link, Relation source, Relation target, Snapshot snapshot, TsFindingFunction put, void *arg);

#endif
