/*
 * checksum.h: which rows of a source and its target on another server may differ, without sending them.
 *
 * The rows of both sides fall into buckets by a hash of their key; of each bucket both servers tell the number of rows and two sums of
 * 64-bit hashes, with different seeds, of the whole rows. Buckets in which all are equal hold equal rows.
 */
#ifndef TS_CHECKSUM_H
#define TS_CHECKSUM_H

#include "link/link.h"

/*
 * rows: SQL, what stands in FROM for the rows that the target should hold, under the target's column names (rows.h). also: the same for rows
 * whose buckets are to be read in any case; NULL: none. Sets link->narrow_here and narrow_there, to be read by who compares; true: all is
 * equal, there is nothing to be read. Under the active snapshot; needs an SPI connection.
 */
extern bool ts_checksum_narrow(TsLink *link, Relation source, const char *rows, const char *also);

/* Is the column compared? Not if it is ignored, or has still to follow the source's schema. */
extern bool ts_checksum_has(const TsColumn *col);

#endif
