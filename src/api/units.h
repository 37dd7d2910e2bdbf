/* units.h: what push_all pushes: the groups, and the links that are in none. */
#ifndef TS_UNITS_H
#define TS_UNITS_H

#include "api/schedule.h"
#include "nodes/pg_list.h"

typedef struct TsUnit
{
	char	   *name;
	bool		group;			/* or a link */
	int64		cost;			/* microseconds that its last push took */
} TsUnit;

typedef struct TsUnits
{
	int			n;
	TsUnit	   *units;			/* by name */
	int			naccesses;
	TsAccess   *accesses;		/* in no order */
} TsUnits;

/*
 * Those that the current user may push; of all, or of these names. 42704 if there is no link or group of a name, 42501 if he may not use
 * it. Nothing is locked.
 */
extern TsUnits *ts_units_load(bool all, List *names);

#endif
