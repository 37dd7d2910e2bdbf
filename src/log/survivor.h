/*
 * survivor.h: unlogged tables that no crash has emptied.
 *
 * A crash empties unlogged tables without an event. Each one that is tracked, partitions included, has a row in an unlogged table
 * of ours, tracksync_log.survivor, which goes with them; its mark is part of what links remember of the source (ts_source_storage).
 */
#ifndef TS_SURVIVOR_H
#define TS_SURVIVOR_H

#include "postgres_ext.h"

/* Gives each unlogged leaf of the source that has none its row, with a mark of its own. */
extern void ts_survivors_note(Oid source);
/* Takes the rows of the source's leaves away. */
extern void ts_survivors_forget(Oid source);

#endif
