/* reverse.h: a link the other way round. */
#ifndef TS_REVERSE_H
#define TS_REVERSE_H

#include "link/link.h"

/*
 * The link that brings the target's rows back into the source, resolved, of the same name and owner; in the current context. Its columns are
 * those of the link, but for generated ones of the source. It compares, its source is right. What its source's rows are is for the caller to
 * say (link->rows). The link is resolved, both relations are open and locked. 0A000 if a column of the link is an expression; 42501.
 */
extern TsLink *ts_link_reversed(const TsLink *link, Relation source, Relation target);

#endif
