/* step.h: steps of the users' own: functions that run at a place in each push. */
#ifndef TS_STEP_H
#define TS_STEP_H

#include "nodes/pg_list.h"

typedef struct TsUserStep
{
	char	   *name;			/* of the link or group that it belongs to */
	int			priority;
	char	   *function;		/* qualified */
} TsUserStep;

/* Errors: 42704 no such link or group, 42501, 22023 priority or function of another kind. A step there is gets the new priority. */
extern void ts_step_add(const char *name, int priority, Oid function);
extern void ts_step_drop(const char *name, Oid function);
/* The steps of a link or group, TsUserStep, by priority and name; 42883 if a function is gone. */
extern List *ts_steps_of(const char *name);
/* The link or group goes. Inside ts_catalog_enter. */
extern void ts_steps_forget(const char *name);

#endif
