/* mapping.h: what making and altering a link have in common. */
#ifndef TS_LINK_MAPPING_H
#define TS_LINK_MAPPING_H

#include "link/create.h"
#include "link/link.h"

/* Splits the target's name into the link; its schema is looked up if the name has none. */
extern void ts_link_resolve_target_name(const char *text, TsLink *link);
/* Tracks the source of a link that reads its log, if need be. */
extern void ts_link_track(Oid source, const TsLinkOptions *options);
/* 42P17 if data would go round in a circle. */
extern void ts_link_check_cycle(const TsLink *link);
/*
 * Maps the link by the options (columns; NULL: those that both sides share; filter, target_filter) and checks it against both relations,
 * which stay locked until the transaction ends. tracked: as it is or would be.
 */
extern void ts_link_map(TsLink *link, const TsLinkOptions *options, TsTracked *tracked);

/* Only the filters; what the link's expressions are called is put right with them. */
extern void ts_link_map_filters(TsLink *link, const TsLinkOptions *options);
/* An expression or filter of the link that was kept, under the names of now. */
extern char *ts_link_read_text(const TsLink *link, Relation source, const char *kept);

/* A mapping as it is stored. */
typedef struct TsStoredColumns
{
	Datum		attnums;		/* the source's attribute numbers, 0 of expressions, */
	Datum		names;			/* the target's columns, */
	Datum		target_attnums; /* and their attribute numbers; 0: not known */
	Datum		expressions;	/* NULL elements: none */
	Datum		read_names;		/* what the filter and the expressions call the source's columns */
	Datum		read_attnums;
	Datum		keys;			/* of a source that no log is kept of; 0 */
} TsStoredColumns;

extern TsStoredColumns ts_link_stored_columns(const TsLink *link);

#endif
