/* worker.c: a background worker of push_all. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "api/jobs.h"
#include "api/worker.h"
#include "link/priority.h"
#include "remote/connection.h"

bool
ts_worker_register(dsm_segment *segment, int slot, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &slot, sizeof(slot));
	strlcpy(worker.bgw_name, "tracksync push_all worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "tracksync push_all", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "tracksync", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "ts_worker_main", BGW_MAXLEN);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* As a session of the caller's has it. Text goes to the caller as it is in the database. */
static void
take_on(const TsJobs *jobs)
{
	const TsCaller *caller = &jobs->head->caller;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	RestoreLibraryState(jobs->libraries);
	RestoreGUCState(jobs->settings);
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_USERSET, PGC_S_SESSION);
	CommitTransactionCommand();
	/* the superuser's right to be anybody is not handed on: the role is all that there is to go back to */
	StartTransactionCommand();
	SetCurrentRoleId(caller->role, superuser_arg(OidIsValid(caller->role) ? caller->role : caller->session_user));
	CommitTransactionCommand();
}

/* Counts the rows of the steps that it returned, as push_history does. */
static void
count_rows(TsJob *job)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int32		priority = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		int64		rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));

		if (priority == TS_PRIORITY_DELETE)
			job->deletes += rows;
		if (priority == TS_PRIORITY_UPDATE)
			job->updates += rows;
		if (priority == TS_PRIORITY_INSERT)
			job->inserts += rows;
	}
}

/* In a transaction of its own; an error leaves it open. */
static void
push(const TsJobs *jobs, int unit)
{
	static Oid	types[] = {TEXTOID};
	const TsCaller *caller = &jobs->head->caller;
	TsJob	   *job = &jobs->jobs[unit];
	Datum		values[] = {CStringGetTextDatum(jobs->names + job->name)};
	Oid			user;
	int			context;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(caller->user, caller->context);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_with_args("SELECT priority, rows FROM tracksync.push($1)", 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of tracksync.push");
	count_rows(job);
	PopActiveSnapshot();
	SPI_finish();
	/* as after a function of another owner: what comes with COMMIT is the session's */
	SetUserIdAndSecContext(user, context);
	CommitTransactionCommand();
}

/* The same and what became of it. */
static void
push_unit(TsJobs *jobs, int unit)
{
	TsJob	   *job = &jobs->jobs[unit];
	const char *name = jobs->names + job->name;
	char	   *sql = psprintf("SELECT * FROM tracksync.push(%s)", quote_literal_cstr(name));
	volatile TsJobState state = TS_JOB_FAILED;
	StringInfoData message;

	job->started = GetCurrentTimestamp();
	pq_beginmessage(&message, TS_WORKER_UNIT);
	pq_sendint32(&message, unit);
	pq_endmessage(&message);
	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	PG_TRY();
	{
		push(jobs, unit);
		/* nothing may come between: what is committed is done, also if the worker ends now */
		state = TS_JOB_DONE;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		EmitErrorReport();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		job->deletes = job->updates = job->inserts = 0;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	job->ended = GetCurrentTimestamp();
	ts_jobs_finish(jobs, unit, state);
	debug_query_string = NULL;
	(void) pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
ts_worker_main(Datum arg)
{
	int			slot,
				unit;
	TsJobs	   *jobs;
	shm_mq	   *queue;
	MemoryContext context;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&slot, MyBgworkerEntry->bgw_extra, sizeof(slot));
	jobs = ts_jobs_attach(DatumGetUInt32(arg));
	if (jobs == NULL)
		proc_exit(0);
	queue = ts_jobs_queue(jobs, slot);
	shm_mq_set_sender(queue, MyProc);
	/* errors from now on, also those of connecting, are the caller's to read */
	pq_redirect_to_shm_mq(jobs->segment, shm_mq_attach(queue, jobs->segment, NULL));
	BackgroundWorkerInitializeConnectionByOid(jobs->head->caller.database, jobs->head->caller.session_user, 0);
	take_on(jobs);
	context = AllocSetContextCreate(TopMemoryContext, "tracksync unit", ALLOCSET_DEFAULT_SIZES);
	while ((unit = ts_jobs_take(jobs, slot)) >= 0)
	{
		MemoryContextSwitchTo(context);
		push_unit(jobs, unit);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	(void) ts_connection_close(NULL);
	proc_exit(0);
}
