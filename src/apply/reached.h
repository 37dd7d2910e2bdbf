/*
 * reached.h: other links' targets that a push changes, because a foreign key of theirs has CASCADE, SET NULL or SET DEFAULT.
 *
 * At the source the same may have happened, or not. What those targets' rows hold is known only after a comparison; the links are noted
 * for one.
 */
#ifndef TS_REACHED_H
#define TS_REACHED_H

#include "link/link.h"
#include "nodes/pg_list.h"

typedef struct TsReached
{
	char	   *link;
	int64		writes;			/* rows of its target updated and deleted so far in this transaction */
} TsReached;

/* Active links, but for these n, whose targets these targets' foreign keys can change; in the current context. */
extern List *ts_reached_links(int n, const Oid *targets, char *const *links);
/* Those of "before" whose targets were written to since. */
extern List *ts_reached_changed(List *before, int n, const Oid *targets, char *const *links);
/* Notes them, with a WARNING each. Inside ts_catalog_enter. */
extern void ts_reached_record(List *reached);

/*
 * Of a push that deleted rows of a target on another server, or changed their keys: the links, but for those of the push, whose targets there
 * foreign keys may have changed with it.
 */
extern List *ts_reached_there(const TsLink *link, int n, char *const *links);

#endif
