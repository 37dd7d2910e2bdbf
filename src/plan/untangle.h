/* untangle.h: in which order rows can be written that wait for each other's values. */
#ifndef TS_UNTANGLE_H
#define TS_UNTANGLE_H

/* Row "from" cannot be written before row "to" was, or was put aside. */
typedef struct TsWait
{
	int			from;
	int			to;
} TsWait;

typedef struct TsUntangled
{
	int		   *order;			/* the rows, each after those that it waits for, but for the ones put aside; rows of a knot are neighbours */
	bool	   *aside;			/* per row: it is part of a circle and has to be put aside first */
	int		   *knot;			/* per row: the same number for rows that wait for each other, at last */
} TsUntangled;

/*
 * Puts aside one row of each circle; where circles share rows perhaps more than need be. Takes time and memory in proportion to rows and
 * waits. In the current context. (Tarjan, Depth-first search and linear graph algorithms, 1972.)
 */
extern TsUntangled ts_untangle(int nrows, int nwaits, const TsWait *waits);

#endif
