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
	bool	   *plain;			/* per column of the link: is it a part by itself? */
} TsUnique;

/* Of the target as it is now: those that are checked at once, and the key's; in the order of their names; in the current context. */
extern List *ts_unique_constraints(const TsLink *link);

#endif
