/*
 * back.h: both directions: links that bring a target's changes back to the source.
 *
 * A link ships nothing of its source's log that came from its own target (TsPosition.echo). So two tables can be linked there and back;
 * of pushes in the two directions only one runs at a time, since each must see what the other one made of rows that both sides changed.
 *
 * Whoever writes to a link's source what the target holds, a pull, marks it (capture/origin.h) with link->position->echo, which is the
 * identity of the target: then the link does not ship it. With a link of his own making, the other way round, that identity goes into
 * TsLink.origin, and the statements of a local target mark themselves.
 */
#ifndef TS_BACK_H
#define TS_BACK_H

#include "link/link.h"
#include "nodes/pg_list.h"

typedef enum TsBack
{
	TS_BACK_NONE,				/* there is no such link */
	TS_BACK_IDLE,
	TS_BACK_PENDING,			/* one that does not compare has changes to ship, or rows in quarantine */
	TS_BACK_COMPARES			/* what one has to ship only a comparison tells: it brings nothing that is there already */
} TsBack;

/* Which table a link's changes come from: what is written to the target says so. */
extern char *ts_link_origin(const TsLink *link);
/* The links of a table of this database to the table of this identity. As of now; to be called with nothing buffered. */
extern TsBack ts_back_of(Oid source, const char *identity);
/* The links that bring the target's changes to the link's source, wherever the target is; of one on a server as it was described. */
extern TsBack ts_link_back(const TsLink *link);
/* Is the target tracked, wherever it is? Then its log tells what a push brought, and what was decided about a conflict. */
extern bool ts_link_target_is_tracked(const TsLink *link);

/* As text, for SQL: none is NULL. */
extern const char *ts_back_name(TsBack back);
extern TsBack ts_back_read(const char *name);

/* The names of the links found by ts_back_of, and without asking what is pending. */
extern List *ts_back_links(Oid source, const char *identity);
/* Does one of them that has shipped all that there was bring every row? */
extern bool ts_back_is_whole(Oid source, const char *identity);

#endif
