/* jobs.c: the units of a push_all in shared memory. */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_toc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "api/jobs.h"

#define MAGIC UINT64CONST(0x74736a6f62730001)

enum
{
	KEY_HEAD,
	KEY_JOBS,
	KEY_FIRST,
	KEY_FOLLOWERS,
	KEY_PICKS,
	KEY_NAMES,
	KEY_SETTINGS,
	KEY_LIBRARIES,
	KEY_QUEUES,
	KEYS
};

/* An error with its texts, or some; what is longer waits for the caller to read. */
#define QUEUE_SIZE ((Size) 16384)

static TsJobs *
view(dsm_segment *segment, shm_toc *toc)
{
	TsJobs	   *jobs = palloc0(sizeof(TsJobs));

	jobs->segment = segment;
	jobs->head = shm_toc_lookup(toc, KEY_HEAD, false);
	jobs->jobs = shm_toc_lookup(toc, KEY_JOBS, false);
	jobs->first = shm_toc_lookup(toc, KEY_FIRST, false);
	jobs->followers = shm_toc_lookup(toc, KEY_FOLLOWERS, false);
	jobs->picks = shm_toc_lookup(toc, KEY_PICKS, false);
	jobs->names = shm_toc_lookup(toc, KEY_NAMES, false);
	jobs->settings = shm_toc_lookup(toc, KEY_SETTINGS, false);
	jobs->libraries = shm_toc_lookup(toc, KEY_LIBRARIES, false);
	jobs->queues = shm_toc_lookup(toc, KEY_QUEUES, false);
	return jobs;
}

static void
fill(TsJobs *jobs, const TsUnits *units, const TsSchedule *schedule, const TsCaller *caller)
{
	Size		at = 0;

	SpinLockInit(&jobs->head->mutex);
	ConditionVariableInit(&jobs->head->changed);
	jobs->head->caller = *caller;
	jobs->head->stop = false;
	jobs->head->taken = 0;
	jobs->head->n = jobs->head->waiting = units->n;
	for (int i = 0; i < units->n; i++)
	{
		TsJob	   *job = &jobs->jobs[i];

		memset(job, 0, sizeof(*job));
		job->waits = schedule->waits[i];
		job->slot = -1;
		job->name = at;
		strcpy(jobs->names + at, units->units[i].name);
		at += strlen(units->units[i].name) + 1;
	}
	memcpy(jobs->first, schedule->first, sizeof(int) * (units->n + 1));
	memcpy(jobs->followers, schedule->followers, sizeof(int) * schedule->first[units->n]);
	memcpy(jobs->picks, schedule->picks, sizeof(int) * units->n);
}

TsJobs *
ts_jobs_create(const TsUnits *units, const TsSchedule *schedule, const TsCaller *caller, int slots)
{
	Size		sizes[KEYS] = {
		[KEY_HEAD] = sizeof(TsJobsHead),
		[KEY_JOBS] = mul_size(sizeof(TsJob), units->n),
		[KEY_FIRST] = mul_size(sizeof(int), units->n + 1),
		[KEY_FOLLOWERS] = mul_size(sizeof(int), schedule->first[units->n] + 1),
		[KEY_PICKS] = mul_size(sizeof(int), units->n),
		[KEY_SETTINGS] = EstimateGUCStateSpace(),
		[KEY_LIBRARIES] = EstimateLibraryStateSpace(),
		[KEY_QUEUES] = mul_size(QUEUE_SIZE, slots)
	};
	shm_toc_estimator e;
	dsm_segment *segment;
	shm_toc    *toc;
	TsJobs	   *jobs;
	Size		size;

	for (int i = 0; i < units->n; i++)
		sizes[KEY_NAMES] += strlen(units->units[i].name) + 1;
	shm_toc_initialize_estimator(&e);
	shm_toc_estimate_keys(&e, KEYS);
	for (int i = 0; i < KEYS; i++)
		shm_toc_estimate_chunk(&e, sizes[i]);
	size = shm_toc_estimate(&e);
	segment = dsm_create(size, 0);
	toc = shm_toc_create(MAGIC, dsm_segment_address(segment), size);
	for (int i = 0; i < KEYS; i++)
		shm_toc_insert(toc, i, shm_toc_allocate(toc, sizes[i]));
	jobs = view(segment, toc);
	fill(jobs, units, schedule, caller);
	SerializeGUCState(sizes[KEY_SETTINGS], jobs->settings);
	SerializeLibraryState(sizes[KEY_LIBRARIES], jobs->libraries);
	return jobs;
}

TsJobs *
ts_jobs_attach(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	shm_toc    *toc;

	if (segment == NULL)
		return NULL;
	toc = shm_toc_attach(MAGIC, dsm_segment_address(segment));
	if (toc == NULL)
		elog(ERROR, "shared memory segment of push_all has another format");
	return view(segment, toc);
}

shm_mq *
ts_jobs_queue(const TsJobs *jobs, int slot)
{
	return (shm_mq *) (jobs->queues + QUEUE_SIZE * slot);
}

shm_mq *
ts_jobs_make_queue(TsJobs *jobs, int slot)
{
	shm_mq	   *queue = shm_mq_create(ts_jobs_queue(jobs, slot), QUEUE_SIZE);

	shm_mq_set_receiver(queue, MyProc);
	return queue;
}

/* Under the lock. */
static int
find_ready(TsJobs *jobs)
{
	TsJobsHead *head = jobs->head;

	while (head->taken < head->n && jobs->jobs[jobs->picks[head->taken]].state != TS_JOB_WAITING)
		head->taken++;
	for (int i = head->taken; i < head->n; i++)
	{
		const TsJob *job = &jobs->jobs[jobs->picks[i]];

		if (job->state == TS_JOB_WAITING && job->waits == 0)
			return jobs->picks[i];
	}
	return -1;
}

int
ts_jobs_take(TsJobs *jobs, int slot)
{
	TsJobsHead *head = jobs->head;
	int			unit;

	ConditionVariablePrepareToSleep(&head->changed);
	for (;;)
	{
		bool		wait;

		SpinLockAcquire(&head->mutex);
		unit = head->stop ? -1 : find_ready(jobs);
		wait = unit < 0 && !head->stop && head->waiting > 0;
		if (unit >= 0)
		{
			jobs->jobs[unit].state = TS_JOB_RUNNING;
			jobs->jobs[unit].slot = slot;
			head->waiting--;
		}
		SpinLockRelease(&head->mutex);
		if (!wait)
			break;
		ConditionVariableSleep(&head->changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return unit;
}

void
ts_jobs_finish(TsJobs *jobs, int unit, TsJobState state)
{
	TsJobsHead *head = jobs->head;

	SpinLockAcquire(&head->mutex);
	if (jobs->jobs[unit].state == TS_JOB_WAITING)
		head->waiting--;
	jobs->jobs[unit].state = state;
	for (int i = jobs->first[unit]; i < jobs->first[unit + 1]; i++)
		jobs->jobs[jobs->followers[i]].waits--;
	SpinLockRelease(&head->mutex);
	ConditionVariableBroadcast(&head->changed);
	SetLatch(&head->caller.proc->procLatch);
}

void
ts_jobs_stop(TsJobs *jobs)
{
	SpinLockAcquire(&jobs->head->mutex);
	jobs->head->stop = true;
	SpinLockRelease(&jobs->head->mutex);
	ConditionVariableBroadcast(&jobs->head->changed);
}

int
ts_jobs_running(TsJobs *jobs, int slot)
{
	int			unit = -1;

	SpinLockAcquire(&jobs->head->mutex);
	for (int i = 0; i < jobs->head->n; i++)
		if (jobs->jobs[i].state == TS_JOB_RUNNING && jobs->jobs[i].slot == slot)
			unit = i;
	SpinLockRelease(&jobs->head->mutex);
	return unit;
}

int
ts_jobs_waiting(TsJobs *jobs)
{
	int			n;

	SpinLockAcquire(&jobs->head->mutex);
	n = jobs->head->waiting;
	SpinLockRelease(&jobs->head->mutex);
	return n;
}
