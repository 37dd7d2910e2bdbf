/* ask.h: queries about a link's target, wherever it is. */
#ifndef TS_ASK_H
#define TS_ASK_H

#include "link/link.h"
#include "nodes/pg_list.h"

/*
 * Runs a query where the target is and returns its rows, each a char ** with a text (NULL: null) per column, in the current context. nulls
 * as for SPI, NULL: none. Parameters should be cast in the text: another server is told nothing of their types. reading: here, under the
 * active snapshot. Needs no SPI connection.
 */
extern List *ts_target_ask(const TsLink *link, const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls, bool reading);

#endif
