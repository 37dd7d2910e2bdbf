/*
 * probe.h: the live row of a key, under a given snapshot.
 *
 * A plain table is probed through its key index, directly; a partitioned one by one SQL statement per key, prepared once.
 * The probe checks no privilege: its caller has done so.
 */
#ifndef TS_PROBE_H
#define TS_PROBE_H

#include "executor/tuptable.h"
#include "log/tracked.h"
#include "netchange/lookup.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

typedef struct TsProbe TsProbe;

/* source is open and locked; the key columns of "tracked" need a unique index (else 55000). */
extern TsProbe *ts_probe_begin(Relation source, const TsTracked *tracked, Snapshot snapshot);
/* The row with this key (values in tracked->keys' order), or NULL. Valid until the next call; in source's row type. */
extern TupleTableSlot *ts_probe_row(TsProbe *probe, const Datum *keys);
/* The same for many: looks for the rows of n keys, at most TS_PROBE_AHEAD, which stay where they are; then each can be asked for. */
#define TS_PROBE_AHEAD TS_LOOKUP_AHEAD
extern void ts_probe_ahead(TsProbe *probe, int n, const Datum *const *keys);
extern TupleTableSlot *ts_probe_nth(TsProbe *probe, int n);
/* So many at once are worth it. */
extern int	ts_probe_can_ahead(const TsProbe *probe);
extern const TsKeyIndex *ts_probe_index(const TsProbe *probe);
extern void ts_probe_end(TsProbe *probe);

#endif
