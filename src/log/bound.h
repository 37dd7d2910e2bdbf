/*
 * bound.h: where in a log what cannot be, so that its tail can be read without the rest.
 *
 * A half of a log only grows at its end: writers take the last pages or new ones (ts_log_aim), never space that became free before
 * them. So if a half had N pages and X was the next transaction id after that, no row of transaction X or a later one lies before page
 * N - TS_LOG_SLACK: that transaction got its id first, and then looked where the half ends. Such a pair is a bound, a row of
 * tracksync.log_bound; pushes write them, one for every TS_LOG_STRETCH pages. Writers know nothing of them. They look again only when they
 * have an id TS_LOG_AIMED higher than the last time, and a bound is for ids by as much higher than X.
 *
 * It would be wrong as soon as the half were cut off before N, by VACUUM or by us, and had grown again. So to each bound belongs an
 * anchor, a row of the log itself without events, that lies behind what the bound says (or the bound is moved before it): while it is
 * there, nothing has been cut off before it. A bound counts only if its anchor is found where it was put, in the same file, under a lock
 * on the half. So it does not matter what a dump, a copy, VACUUM FULL or a rollback makes of bounds and anchors.
 */
#ifndef TS_BOUND_H
#define TS_BOUND_H

#include "access/tableam.h"
#include "storage/block.h"
#include "utils/relcache.h"

/* How far from its end a half may be written to: each session goes on filling its own page. */
#define TS_LOG_SLACK 32
/* For so many transaction ids a session need not look where the end is again. */
#define TS_LOG_AIMED 8
/* The pages between two bounds. */
#define TS_LOG_STRETCH 128

/* What log rows are inserted with, after ts_log_aim. A log is not decoded: it is nobody's to replicate. */
#define TS_LOG_INSERT (TABLE_INSERT_SKIP_FSM | TABLE_INSERT_NO_LOGICAL)

/* When a session last looked where a half ends. Zero: never. */
typedef struct TsLogAim
{
	Oid			half;
	uint64		txid;
} TsLogAim;

/* Where a half ended at a moment. */
typedef struct TsLogNote
{
	Oid			half;			/* InvalidOid: not noted */
	uint64		txid;			/* those from here on got their id, and looked where it ends, after its pages were counted */
	BlockNumber pages;
	uint64		cuts;
} TsLogNote;

/* A bound as it is stored. */
typedef struct TsBound
{
	uint64		txid;
	BlockNumber block;
	uint64		frontier;		/* of the first one: up to where the log was pruned; 0: it was not */
} TsBound;

/* To be called before rows are inserted into a half: it must not go into a page that was the last one long ago. Takes a transaction id. */
extern void ts_log_aim(Relation half, TsLogAim *aim);
/* Notes where a half ends; it stays locked (AccessShare) until the transaction ends, so that nobody else cuts it off. */
extern void ts_log_note(TsLogNote *note, Oid half);
/* This session has cut a half off: what it noted does not count any more. */
extern void ts_log_was_cut(void);

/* Makes a bound of what was noted, unless there is one nearby. Inside ts_catalog_enter. */
extern void ts_bound_add(const TsLogNote *note);
/* Rows of that transaction and later ones begin here or after it. The half is locked and stays so. */
extern BlockNumber ts_bound_find(Relation half, uint64 txid);
/*
 * The first bound, if it holds: nothing is left before it that was to be pruned. Inside ts_catalog_enter, with the row of tracked_table
 * locked, like the following.
 */
extern bool ts_bound_first(Relation half, TsBound *bound);
/* The half is pruned: nothing of transactions before txid is left. The frontier is kept for the next time. */
extern void ts_bound_pruned(Oid half, uint64 txid, uint64 frontier);
/* The half is empty, and begins anew. */
extern void ts_bound_forget(Oid half);

#endif
