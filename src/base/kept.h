/*
 * kept.h: plans of statements on the extension's own tables and the server's catalogs, kept for the session.
 *
 * Planning one takes ten to a hundred times as long as running it, and a group of a thousand links runs the same few dozen for each.
 */
#ifndef TS_KEPT_H
#define TS_KEPT_H

#include "executor/spi.h"

/* The plan of a statement whose text is one of a few: no names or values spliced in. Under SPI, inside ts_catalog_enter. */
extern SPIPlanPtr ts_kept_plan(const char *sql, int nargs, const Oid *types);

/* Whose functions the statements name: an extension that was made anew has others. */
extern void ts_kept_for(Oid extension);

#endif
