/*
 * schedule.h: in which order, and which of them at the same time, units of work run that read and write tables.
 *
 * Two units that both access a table, of which one writes it, never run at the same time. Who reads what another one writes comes after
 * it; where that goes round in a circle, and among those that write one table, they go by their numbers. Pure: decides, and does nothing.
 */
#ifndef TS_SCHEDULE_H
#define TS_SCHEDULE_H

/* A unit's access to a table: of this database, or (InvalidOid) of a name that stands for one. */
typedef struct TsAccess
{
	int			unit;
	bool		writes;			/* or reads */
	Oid			rel;
	const char *place;
} TsAccess;

typedef struct TsSchedule
{
	int			n;
	int		   *waits;			/* per unit: how many followers entries name it */
	int		   *first;			/* n + 1: those that wait for unit i are followers[first[i]] … followers[first[i + 1] - 1] */
	int		   *followers;
	int		   *picks;			/* the units in the order in which they are to be taken, of those that need not wait */
} TsSchedule;

/* Of n units, which are expected to take so long each. The accesses are sorted. */
extern TsSchedule *ts_schedule_make(int n, const int64 *costs, int naccesses, TsAccess *accesses);

#endif
