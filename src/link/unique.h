/* unique.h: the unique and exclusion constraints of a target: values that only one row at a time can have. */
#ifndef TS_UNIQUE_H
#define TS_UNIQUE_H

#include "link/link.h"

/* One part of such a constraint: a column or an expression. SQL is over the target's columns, not qualified. */
typedef struct TsUniquePart
{
	char	   *sql;
	char	   *operator;		/* OPERATOR(schema.=): two rows for which all parts' operators hold cannot be */
	const char *collate;		/* COLLATE …, or nothing */
} TsUniquePart;

typedef struct TsUnique
{
	char	   *name;
	bool		exclusion;
	bool		nulls_equal;	/* NULLS NOT DISTINCT */
	int			nparts;
	TsUniquePart *parts;
	char	   *predicate;		/* SQL; NULL = all rows */
	bool	   *touches;		/* per column of the link: does it matter? */
	char	   *plain;			/* per column of the link: is it a part by itself, and how are values compared? */
} TsUnique;

#define TS_PLAIN_EQUAL '='
#define TS_PLAIN_OVERLAPS '&'		/* of ranges, which may be empty */
#define TS_PLAIN_OTHER '?'

/* Sets the columns' "referred", too. Of the target as it is now: those that are checked at once, and the key's; in the order of their names; in the current context. */
extern List *ts_unique_constraints(TsLink *link);
/* The one with this name; NULL = none. */
extern TsUnique *ts_unique_find(const TsLink *link, const char *name);
/* What a stored generated column is made of: SQL, as above; NULL: it is none. */
extern char *ts_unique_generated(Relation rel, AttrNumber attnum);

#endif
