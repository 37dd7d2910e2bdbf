/*
 * merge.h: the plans of several links as one: all steps by priority, then by the order of the targets' foreign keys (deletes children
 * first, all else parents first), then by the links' names.
 */
#ifndef TS_MERGE_H
#define TS_MERGE_H

#include "plan/plan.h"

typedef struct TsMergedStep
{
	int			plan;			/* which plan, */
	int			step;			/* and which of its steps */
} TsMergedStep;

typedef struct TsMerged
{
	int			nplans;
	TsPlan	  **plans;			/* in the order of the links' names */
	int			nsteps;
	TsMergedStep *steps;
	int		   *rank;			/* per plan: its target's place, parents first; plans of one target have one */
	bool	   *refers;			/* refers[child * nplans + parent]: has the target of the one a foreign key to that of the other? */
} TsMerged;

/* Under the active snapshot. */
extern TsMerged *ts_merge_plans(int n, TsPlan **plans);
extern const TsStep *ts_merged_step(const TsMerged *merged, int i);
/* Of all plans: 32 hexadecimal digits. */
extern char *ts_merged_fingerprint(const TsMerged *merged);

#endif
