/*
 * compared.h: links that compare (detect => 'diff'), and their sources, of which no log is kept: any relation with rows.
 *
 * Their TsLink.tracked has the key, and nothing else.
 */
#ifndef TS_COMPARED_H
#define TS_COMPARED_H

#include "link/create.h"
#include "link/link.h"

/* 42809 if the relation cannot be such a source. */
extern void ts_compared_check_source(Oid source);
/* 22023 for an option that means nothing without a log. on_conflict may be NULL. */
extern void ts_compared_check_policy(const char *link, const char *on_conflict);
/*
 * The key: as given; else as a table's is found for tracking, or by a unique index of a materialized view; else the target's primary
 * key, if its columns are columns of the source. The target is known as far as it exists. Errors: 42703, 42701, 42P10.
 */
extern TsTracked *ts_compared_key(const TsLink *link, const TsLinkOptions *options);
/* A source's key without a log. */
extern TsTracked *ts_compared_tracked(Oid source, int nkeys, const AttrNumber *keys);
/* 42P17 if data would go round in a circle of which a link that compares is a part: it knows no echo. */
extern void ts_compared_check_cycle(const TsLink *link);

/*
 * The relations whose rows a query of the source reads, the source among them: views are followed as far as the catalog tells, which
 * knows nothing of what their functions read.
 */
extern List *ts_source_relations(Oid source);
/* Locks them against TRUNCATE and the like until the transaction ends; the source itself is locked. */
extern void ts_source_lock(Oid source);
/* Does a query of the source read foreign tables? */
extern bool ts_source_is_foreign(Oid source);

#endif
