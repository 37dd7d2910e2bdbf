/*
 * ledger.h: what a target's server has written down of a link's pushes: exactly once.
 *
 * tracksync_target.position there has one row per source (server and database) and link. A push writes it in the transaction in which it
 * writes the rows, and that commits before the one here. So it is the truth, and what tracksync.link says is a copy, which may lag behind:
 * if the commit here failed, or its server crashed, or the answer to the COMMIT was lost. The next push reads it first, and makes good.
 *
 *   there = here          nothing happened meanwhile
 *   there > here          a push that committed there only, if its transaction here is known to have failed: taken over. Else somebody else
 *                         pushed as this source: a copy of it, or the source before it was set back. Refused: 55000
 *   there < here          the target was set back, or made anew: the link compares
 *   another source, or    refused: 55000
 *   another timeline
 */
#ifndef TS_LEDGER_H
#define TS_LEDGER_H

#include "link/link.h"

typedef enum TsLedgerUse
{
	TS_LEDGER_READ,				/* for a plan or a dry run: the link is as a push would find it; nothing is written anywhere */
	TS_LEDGER_PUSH				/* the row is made if need be, and locked; what is to be taken over is written here */
} TsLedgerUse;

/*
 * Reads the row of the link, whose target is on a server and was opened. True if a push was taken over: then the link is to be loaded
 * anew. A WARNING if it has to compare.
 */
extern bool ts_ledger_open(TsLink *link, TsLedgerUse use);
/* Does what is known here belong to what is there? If not, a push is about to commit, or just did, here or there. Or it was set back. */
extern bool ts_ledger_agrees(const TsLink *link);
/* Writes the row, from what tracksync.link says by now, and counts the push there. push: its number here. */
extern void ts_ledger_write(TsLink *link, int64 push);
/* For a link just made: its former namesake may have pushed. */
extern int64 ts_ledger_generation(const TsLink *link);
/* Forgets all pushes under the link's name to its target, whoever made them. */
extern void ts_ledger_forget(TsLink *link);

#endif
