/*
 * jobs.h: the units of a push_all in shared memory: a queue that its workers take from.
 *
 * One dynamic shared memory segment, made by the session that called, with a table of contents: the head, the units, the schedule, names,
 * the caller's settings and libraries, and for each worker a message queue to the caller. What changes is under the head's spinlock; a
 * unit's own fields belong to the worker that has it until its state says that it has ended.
 */
#ifndef TS_JOBS_H
#define TS_JOBS_H

#include "api/schedule.h"
#include "api/units.h"
#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "storage/spin.h"

typedef enum TsJobState
{
	TS_JOB_WAITING,
	TS_JOB_RUNNING,
	TS_JOB_DONE,				/* committed */
	TS_JOB_FAILED				/* rolled back */
} TsJobState;

typedef struct TsJob
{
	TsJobState	state;
	int			waits;			/* for so many others, still */
	int			slot;			/* of the worker that took it */
	Size		name;			/* offset */
	TimestampTz started;		/* 0: never */
	TimestampTz ended;
	int64		deletes;
	int64		updates;
	int64		inserts;
} TsJob;

/* Whose session it is: the workers take this on. */
typedef struct TsCaller
{
	struct PGPROC *proc;
	Oid			database;
	Oid			session_user;
	Oid			role;			/* set by SET ROLE, or InvalidOid */
	Oid			user;			/* whose rights count */
	int			context;		/* its security context */
} TsCaller;

typedef struct TsJobsHead
{
	slock_t		mutex;
	ConditionVariable changed;	/* one has ended, or all are to stop */
	TsCaller	caller;
	bool		stop;
	int			n;
	int			waiting;		/* in that state */
	int			taken;			/* so many of the picks, at least, are not */
} TsJobsHead;

/* A process's view of it. */
typedef struct TsJobs
{
	dsm_segment *segment;
	TsJobsHead *head;
	TsJob	   *jobs;
	int		   *first;			/* as in TsSchedule */
	int		   *followers;
	int		   *picks;
	char	   *names;
	char	   *settings;
	char	   *libraries;
	char	   *queues;
} TsJobs;

extern TsJobs *ts_jobs_create(const TsUnits *units, const TsSchedule *schedule, const TsCaller *caller, int slots);
/* NULL: the caller has gone. */
extern TsJobs *ts_jobs_attach(dsm_handle handle);

/* A new message queue from the worker of this slot to this process. */
extern shm_mq *ts_jobs_make_queue(TsJobs *jobs, int slot);
extern shm_mq *ts_jobs_queue(const TsJobs *jobs, int slot);

/* The next unit for a worker, which waits until there is one; -1: there is none left, or all are to stop. */
extern int	ts_jobs_take(TsJobs *jobs, int slot);
/* It has ended that way: others that waited for it need not any more. */
extern void ts_jobs_finish(TsJobs *jobs, int unit, TsJobState state);
/* No unit is taken any more. */
extern void ts_jobs_stop(TsJobs *jobs);
/* The unit that this slot's worker took and has not finished; -1: none. */
extern int	ts_jobs_running(TsJobs *jobs, int slot);
/* How many nobody has taken yet. */
extern int	ts_jobs_waiting(TsJobs *jobs);

#endif
