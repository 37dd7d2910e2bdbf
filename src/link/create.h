/* create.h: making, altering and dropping links. */
#ifndef TS_LINK_CREATE_H
#define TS_LINK_CREATE_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* NULL = not given (create: the default; alter: keep). */
typedef struct TsLinkOptions
{
	char	   *target;
	char	   *server;
	Jsonb	   *columns;
	char	   *filter;			/* "": none */
	char	   *target_filter;	/* "": what follows from the filter */
	bool		has_key;
	List	   *key;
	char	   *initial;
	char	   *on_conflict;
	char	   *on_error;
	char	   *schema_policy;
	char	   *detect;
	bool		create_target;
	char	   *on_cast;
} TsLinkOptions;

/* A function's name in the options is made a qualified one. */
extern void ts_link_create(const char *name, Oid source, TsLinkOptions *options);
extern void ts_link_alter(const char *name, TsLinkOptions *options);
/* How "merge" decides about a column that both sides changed: source, target, greatest, least or add. */
extern void ts_link_set_merge_rule(const char *name, const char *column, const char *rule);
/* A link to a target on a server forgets who pushed there under its name, and compares. 55000 if it has none. */
extern void ts_link_take_over(const char *name);
/* Drops the link; a source that is tracked for its links only is untracked with the last of them. */
extern void ts_link_drop(const char *name);
/* The names of the links that read a source's log. */
extern List *ts_links_of(Oid source);

#endif
