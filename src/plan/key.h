/* key.h: keys of a link's rows: read from JSON, compared as the source's key index does. */
#ifndef TS_PLAN_KEY_H
#define TS_PLAN_KEY_H

#include "fmgr.h"
#include "link/link.h"

typedef struct TsKeySet
{
	const TsLink *link;
	int			n;
	Datum	  **keys;			/* in the source's types, in the link's key order */
	FmgrInfo   *order;
	Oid		   *collation;
	Oid		   *equal;			/* the index's operators */
} TsKeySet;

/* An empty set, in the current context; 42P10 if the source has no index on the key any more. */
extern TsKeySet *ts_key_set_create(const TsLink *link, Relation source);
/* Adds keys that are JSON texts, by the target's column names. 55000 if one has no value for a column. Needs an SPI connection. */
extern void ts_key_set_read(TsKeySet *set, List *keys);
/* Adds the key among the values of the link's columns, in the source's types, unless it is there. */
extern void ts_key_set_add(TsKeySet *set, const Datum *values);
/* Is it one of the keys? values: of the link's columns; of_key: of the key's columns only, in their order. */
extern bool ts_key_set_has(const TsKeySet *set, const Datum *values, bool of_key);

/* A text as a value of the source's type. */
extern Datum ts_key_source_datum(const TsColumn *col, char *text);
/* or the target's, without domain. */
extern Datum ts_key_target_datum(const TsColumn *col, char *text);

#endif
