/*
 * sides.h: two relations to be compared: the columns they share, what tells rows apart, and a query for the rows of each.
 *
 * Three values are read of a column: as it is, what is compared (the image; the same on both sides exactly if the columns are), and, of
 * a key's column, what is matched, in the order of which the rows come. Mostly all three are the column itself.
 */
#ifndef TS_SIDES_H
#define TS_SIDES_H

#include "access/attnum.h"
#include "nodes/pg_list.h"

#define TS_SIDES 2

typedef struct TsSharedColumn
{
	char	   *name;
	bool		is_key;
	int16		len;			/* of what is compared */
	bool		byval;
	/* per side */
	AttrNumber	attnum[TS_SIDES];
	Oid			type[TS_SIDES];
	AttrNumber	raw[TS_SIDES];	/* columns of the query's rows, from 1 */
	AttrNumber	image[TS_SIDES];
} TsSharedColumn;

typedef struct TsSharedKey
{
	int			column;			/* among the shared ones */
	Oid			order;			/* the "<" of what is matched */
	Oid			collation;
	int16		len;
	bool		byval;
	AttrNumber	match[TS_SIDES];
} TsSharedKey;

typedef struct TsSides
{
	Oid			relid[TS_SIDES];
	char	   *query[TS_SIDES];
	int			ncolumns;
	TsSharedColumn *columns;	/* in the order of side 0 */
	int			nkeys;
	TsSharedKey *keys;			/* in the order of the rows */
} TsSides;

/*
 * Locks both (ACCESS SHARE), finds out what they share and what their key is: an explicit list of names, else an index of side 0, else
 * one of side 1. Errors: 42P01, 42809 not a relation with rows, 42703 and 42701 in the key given, 42P10 no usable key, 42501.
 */
extern TsSides *ts_sides_open(Oid a, Oid b, List *key, bool explicitly);
/* table "x", view "y" */
extern char *ts_sides_name(const TsSides *sides, int side);

#endif
