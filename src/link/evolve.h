/*
 * evolve.h: what ALTER TABLE did to a link's source since its last push, and what it takes to do the same to the target.
 *
 * Columns are followed by attribute number, so that a rename is a rename, and a chain of changes is one.
 */
#ifndef TS_EVOLVE_H
#define TS_EVOLVE_H

#include "link/link.h"

/*
 * Brings the link's columns up to date with the source, and fills in link->schema, as the link's policy says. target: NULL if
 * it does not exist. Errors: 55000 a change that the policy or the target's state forbids, 42701 a name taken on the target.
 */
extern void ts_link_evolve(TsLink *link, Relation source, Relation target);

#endif
