/*
 * worker.h: a background worker of push_all.
 *
 * It takes on the session that called (database, roles, settings, libraries), and pushes one unit after the other, each in a transaction of
 * its own. Messages go to the caller by the slot's queue, as the server sends them to a client: TS_WORKER_UNIT with a unit's number (int32),
 * then the errors and notices that belong to it. SIGINT cancels the unit, SIGTERM ends the worker.
 */
#ifndef TS_WORKER_H
#define TS_WORKER_H

#include "postmaster/bgworker.h"
#include "storage/dsm.h"

#define TS_WORKER_UNIT 'u'

/* Registers one; false: max_worker_processes allows no more. This process is told when it starts and stops. */
extern bool ts_worker_register(dsm_segment *segment, int slot, BackgroundWorkerHandle **handle);

/* Its main function. */
extern PGDLLEXPORT void ts_worker_main(Datum arg);

#endif
