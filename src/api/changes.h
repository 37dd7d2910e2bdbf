/* changes.h: the events of a table as rows, as tracksync.changes returns them. */
#ifndef TS_API_CHANGES_H
#define TS_API_CHANGES_H

#include "base/srf.h"
#include "executor/tuptable.h"
#include "log/position.h"
#include "utils/snapshot.h"

/* Is the event (netchange/scan.h) of a key that is wanted? */
typedef bool (*TsWanted) (void *arg, TupleTableSlot *event);

/*
 * Adds the events that the snapshot sees and the position (NULL: none) has not passed, ordered by seq: those of all keys, or with
 * "wanted" of some; those of the whole table anyway. As the current user: 42501 if he may not read the key. The snapshot is active.
 */
extern void ts_changes_read(const TsResult *result, Oid source, Snapshot snapshot, const TsPosition *position, TsWanted wanted, void *arg);

#endif
