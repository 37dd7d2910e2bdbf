/* references.h: foreign keys between the tables that a push writes. */
#ifndef TS_REFERENCES_H
#define TS_REFERENCES_H

#include "nodes/execnodes.h"

/*
 * To be called before AfterTriggerEndQuery, with the executor state that it gets: foreign keys from one of these tables to another do not
 * cascade, set NULL or restrict; like those with NO ACTION they only check, when all rows are there. What the source's foreign keys did
 * to its rows is written already, and keys may have been used again: a cascade would take the new rows for the former ones.
 */
extern void ts_only_check(EState *estate, int n, const Oid *tables);

/* Have these tables foreign keys that act on others? */
extern bool ts_acts_outside(int n, const Oid *tables);

#endif
