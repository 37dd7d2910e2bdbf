/*
 * push_all.c: SQL function push_all: starts the workers, reads what they say, waits.
 *
 * However the call ends, its workers have ended before.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/jobs.h"
#include "api/worker.h"
#include "base/srf.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(tracksync_push_all);

/* A place for a worker; another one may take it when the first has ended. */
typedef struct Slot
{
	BackgroundWorkerHandle *handle; /* NULL: none is there */
	shm_mq_handle *queue;
	int			unit;			/* that its messages are about; -1: none yet */
} Slot;

typedef struct Leader
{
	const TsUnits *units;
	TsJobs	   *jobs;
	int			n;
	Slot	   *slots;
	int			live;			/* workers that have not ended */
	ErrorData **errors;			/* per unit, NULL: none */
	ErrorData  *early;			/* of a worker before its first unit */
	TimestampTz looked;			/* for deadlocks */
} Leader;

static void
refuse_transaction(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("push_all cannot run in a transaction %s", problem),
			 errdetail("Its workers commit by themselves, do not see what is not committed, and would wait for this transaction's locks."),
			 errhint("Call it as a statement of its own, or push inside of the transaction with tracksync.push.")));
}

/* Whoever calls, workers connect as the session's user. */
static void
check_login(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!may)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" is not permitted to log in", GetUserNameFromId(role, true)),
				 errdetail("The workers of push_all connect as the session's user."),
				 errhint("Use SET ROLE in the place of SET SESSION AUTHORIZATION.")));
}

static void
check_caller(void)
{
	if (XactReadOnly)
		PreventCommandIfReadOnly("push_all()");
	if (IsTransactionBlock())
		refuse_transaction("block");
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		refuse_transaction("that has written something");
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call push_all within security-restricted operation"),
				 errhint("Do not call it in the function of an index, a materialized view or a trigger of a target.")));
	check_login(GetSessionUserId());
}

static TsCaller
caller_now(void)
{
	TsCaller	caller = {.proc = MyProc, .database = MyDatabaseId, .session_user = GetSessionUserId(), .role = GetCurrentRoleId()};

	GetUserIdAndSecContext(&caller.user, &caller.context);
	return caller;
}

/* False: there is no worker to be had. */
static bool
start_worker(Leader *leader, int i)
{
	Slot	   *slot = &leader->slots[i];
	BackgroundWorkerHandle *handle;
	shm_mq	   *queue = ts_jobs_make_queue(leader->jobs, i);

	if (!ts_worker_register(leader->jobs->segment, i, &handle))
		return false;
	slot->handle = handle;
	slot->queue = shm_mq_attach(queue, leader->jobs->segment, handle);
	slot->unit = -1;
	leader->live++;
	return true;
}

static void
end_slot(Leader *leader, Slot *slot)
{
	shm_mq_detach(slot->queue);
	pfree(slot->handle);
	slot->handle = NULL;
	slot->queue = NULL;
	leader->live--;
}

/* After an error, or when this session ends: what is under way is rolled back; nothing goes on after this. */
static void
stop_all(int code, Datum arg)
{
	Leader	   *leader = (Leader *) DatumGetPointer(arg);

	HOLD_INTERRUPTS();
	ts_jobs_stop(leader->jobs);
	for (int i = 0; i < leader->n; i++)
		if (leader->slots[i].handle != NULL)
		{
			/* who has yet something to say must not wait for a reader */
			shm_mq_detach(leader->slots[i].queue);
			TerminateBackgroundWorker(leader->slots[i].handle);
		}
	for (int i = 0; i < leader->n; i++)
		if (leader->slots[i].handle != NULL)
		{
			(void) WaitForBackgroundWorkerShutdown(leader->slots[i].handle);
			leader->slots[i].handle = NULL;
		}
	RESUME_INTERRUPTS();
}

static void
add_context(ErrorData *error, const char *name)
{
	char	   *own = psprintf("push_all, worker for \"%s\"", name);

	error->context = error->context ? psprintf("%s\n%s", error->context, own) : own;
}

static void
read_message(Leader *leader, Slot *slot, StringInfo message)
{
	char		type = pq_getmsgbyte(message);
	ErrorData	error;

	switch (type)
	{
		case TS_WORKER_UNIT:
			slot->unit = pq_getmsgint(message, 4);
			break;
		case 'E':
			pq_parse_errornotice(message, &error);
			if (slot->unit < 0)
				leader->early = memcpy(palloc(sizeof(error)), &error, sizeof(error));
			else
				leader->errors[slot->unit] = memcpy(palloc(sizeof(error)), &error, sizeof(error));
			break;
		case 'N':
			pq_parse_errornotice(message, &error);
			if (error.elevel >= ERROR)
				break;
			if (slot->unit >= 0)
				add_context(&error, leader->units->units[slot->unit].name);
			ThrowErrorData(&error);
			break;
		default:
			break;
	}
}

/* What its worker has said so far. */
static void
read_messages(Leader *leader, Slot *slot)
{
	Size		size;
	void	   *data;

	while (shm_mq_receive(slot->queue, &size, &data, true) == SHM_MQ_SUCCESS)
	{
		StringInfoData message;

		initStringInfo(&message);
		appendBinaryStringInfo(&message, data, size);
		read_message(leader, slot, &message);
		pfree(message.data);
	}
}

/* A worker has ended: by itself when there was nothing left, or in the middle of a unit. */
static void
reap(Leader *leader, int i)
{
	Slot	   *slot = &leader->slots[i];
	int			unit;
	bool		began;

	read_messages(leader, slot);
	began = slot->unit >= 0;
	end_slot(leader, slot);
	unit = ts_jobs_running(leader->jobs, i);
	if (unit >= 0)
	{
		leader->jobs->jobs[unit].ended = GetCurrentTimestamp();
		ts_jobs_finish(leader->jobs, unit, TS_JOB_FAILED);
	}
	/* one that did not come so far as to begin would not the next time either */
	if (began && ts_jobs_waiting(leader->jobs) > 0)
		(void) start_worker(leader, i);
}

/* Does the process wait for a lock that this one has, be it through others? */
static bool
waits_for_me(int pid)
{
	List	   *found = list_make1_int(pid);

	for (int i = 0; i < list_length(found); i++)
	{
		Datum		pids = OidFunctionCall1(F_PG_BLOCKING_PIDS, Int32GetDatum(list_nth_int(found, i)));
		Datum	   *elems;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(pids), INT4OID, sizeof(int32), true, TYPALIGN_INT, &elems, NULL, &n);
		for (int k = 0; k < n; k++)
		{
			if (DatumGetInt32(elems[k]) == MyProcPid)
				return true;
			if (DatumGetInt32(elems[k]) > 0)
				found = list_append_unique_int(found, DatumGetInt32(elems[k]));
		}
	}
	return false;
}

/* The server does not see one in which this session waits for a worker: no lock is waited for. */
static void
look_for_deadlock(Leader *leader)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(leader->looked, now, DeadlockTimeout))
		return;
	leader->looked = now;
	for (int i = 0; i < leader->n; i++)
	{
		pid_t		pid;
		int			unit = ts_jobs_running(leader->jobs, i);

		if (unit < 0 || leader->slots[i].handle == NULL ||
			GetBackgroundWorkerPid(leader->slots[i].handle, &pid) != BGWH_STARTED || !waits_for_me(pid))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected"),
				 errdetail("The worker that pushes \"%s\" waits for a lock of the transaction that called push_all.", leader->units->units[unit].name),
				 errhint("Call push_all as a statement of its own, which reads and locks no other table.")));
	}
}

static void
wait_for_workers(Leader *leader)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync deadlocks", ALLOCSET_SMALL_SIZES);

	while (leader->live > 0)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < leader->n; i++)
		{
			Slot	   *slot = &leader->slots[i];
			pid_t		pid;

			if (slot->handle == NULL)
				continue;
			/* what it said before it ended is all there when it has */
			if (GetBackgroundWorkerPid(slot->handle, &pid) == BGWH_STOPPED)
				reap(leader, i);
			else
				read_messages(leader, slot);
		}
		if (leader->live == 0)
			break;
		old = MemoryContextSwitchTo(context);
		look_for_deadlock(leader);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, DeadlockTimeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	MemoryContextDelete(context);
}

static void
run(Leader *leader)
{
	for (int i = 0; i < leader->n; i++)
		if (!start_worker(leader, i))
			break;
	if (leader->live == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there is no background worker left for push_all"),
				 errdetail("The server may run %d of them, and all are in use.", max_worker_processes),
				 errhint("Try again later, raise max_worker_processes, or use tracksync.push.")));
	wait_for_workers(leader);
	/* not one came so far as to begin */
	if (leader->early != NULL && ts_jobs_waiting(leader->jobs) == leader->units->n)
		ereport(ERROR,
				(errcode(leader->early->sqlerrcode),
				 errmsg("the workers of push_all could not start: %s", leader->early->message),
				 leader->early->detail ? errdetail("%s", leader->early->detail) : 0,
				 leader->early->hint ? errhint("%s", leader->early->hint) : 0));
}

static Datum
text_of(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

/* Where there was no message. */
static const ErrorData ended = {.sqlerrcode = ERRCODE_ADMIN_SHUTDOWN, .message = "the worker ended"};
static const ErrorData none_left = {.sqlerrcode = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, .message = "no background worker was left",
.hint = "Call push_all again."};

static void
put_error(const ErrorData *error, Datum *values, bool *nulls)
{
	values[0] = text_of(unpack_sql_state(error->sqlerrcode), &nulls[0]);
	values[1] = text_of(error->message, &nulls[1]);
	values[2] = text_of(error->detail, &nulls[2]);
	values[3] = text_of(error->hint, &nulls[3]);
	values[4] = text_of(error->context, &nulls[4]);
}

static void
put_result(TsResult *result, const TsUnit *unit, const TsJob *job, const ErrorData *error)
{
	Datum		values[14];
	bool		nulls[14] = {false};
	Interval   *elapsed = palloc0(sizeof(Interval));
	bool		done = job->state == TS_JOB_DONE;

	elapsed->time = job->ended - job->started;
	values[0] = CStringGetTextDatum(unit->name);
	values[1] = CStringGetTextDatum(unit->group ? "group" : "link");
	values[2] = CStringGetTextDatum(done ? "done" : "failed");
	values[3] = Int64GetDatum(done ? job->deletes + job->updates + job->inserts : 0);
	values[4] = Int64GetDatum(done ? job->deletes : 0);
	values[5] = Int64GetDatum(done ? job->updates : 0);
	values[6] = Int64GetDatum(done ? job->inserts : 0);
	values[7] = TimestampTzGetDatum(job->started);
	values[8] = IntervalPGetDatum(elapsed);
	nulls[7] = job->started == 0;
	nulls[8] = job->started == 0 || job->ended == 0;
	if (done)
		memset(nulls + 9, true, 5);
	else
		put_error(error ? error : job->started != 0 ? &ended : &none_left, values + 9, nulls + 9);
	ts_result_put(result, values, nulls);
}

/* push_all(jobs, names) */
Datum
tracksync_push_all(PG_FUNCTION_ARGS)
{
	Leader		leader = {0};
	TsResult	result;
	TsCaller	caller = caller_now();
	int64	   *costs;

	ts_need_arg(fcinfo, 0, "jobs");
	if (PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jobs must be at least 1"),
				 errhint("Give the number of pushes that may run at the same time.")));
	check_caller();
	result = ts_result_begin(fcinfo);
	leader.units = ts_units_load(PG_ARGISNULL(1), ts_names_arg(fcinfo, 1));
	if (leader.units->n == 0)
		PG_RETURN_NULL();
	costs = palloc(sizeof(int64) * leader.units->n);
	for (int i = 0; i < leader.units->n; i++)
		costs[i] = leader.units->units[i].cost;
	leader.n = Min(PG_GETARG_INT32(0), leader.units->n);
	leader.n = Min(leader.n, max_worker_processes);
	leader.slots = palloc0(sizeof(Slot) * Max(leader.n, 1));
	leader.errors = palloc0(sizeof(ErrorData *) * leader.units->n);
	leader.looked = GetCurrentTimestamp();
	leader.jobs = ts_jobs_create(leader.units, ts_schedule_make(leader.units->n, costs, leader.units->naccesses, leader.units->accesses), &caller,
								 leader.n);
	PG_ENSURE_ERROR_CLEANUP(stop_all, PointerGetDatum(&leader));
	{
		run(&leader);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_all, PointerGetDatum(&leader));
	for (int i = 0; i < leader.units->n; i++)
		put_result(&result, &leader.units->units[i], &leader.jobs->jobs[i], leader.errors[i]);
	dsm_detach(leader.jobs->segment);
	PG_RETURN_NULL();
}
