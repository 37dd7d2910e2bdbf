/*
 * survivor.h: unlogged tables that no crash has emptied.
 *
 * A crash empties unlogged tables without an event. Each one that is tracked, partitions included, has a row in an unlogged table
 * of ours, tracksync_log.survivor, which goes with them.
 */
#ifndef TS_SURVIVOR_H
#define TS_SURVIVOR_H

#include "postgres_ext.h"

/* Has an unlogged leaf of the source no such row? Then it may have been emptied. */
extern bool ts_survivors_missing(Oid source);
/* Gives each unlogged leaf of the source its row. */
extern void ts_survivors_note(Oid source);
/* Takes the rows of the source's leaves away. */
extern void ts_survivors_forget(Oid source);

#endif
