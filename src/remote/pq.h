/*
 * pq.h: libpq, loaded when it is first needed. Include this in the place of libpq-fe.h.
 *
 * Most sessions only write to tracked tables. With the module linked to libpq, each of these would load it: a third of what the first row that
 * is written costs.
 */
#ifndef TS_PQ_H
#define TS_PQ_H

#include "libpq-fe.h"

/* What is used of it. */
#define TS_PQ_BASE(F) \
	F(PQcancel) F(PQclear) F(PQcmdStatus) F(PQcmdTuples) F(PQconndefaults) F(PQconnectPoll) F(PQconnectStartParams) \
	F(PQconnectionUsedPassword) F(PQconsumeInput) F(PQerrorMessage) F(PQfinish) F(PQflush) F(PQfreeCancel) F(PQfreemem) \
	F(PQgetCancel) F(PQgetCopyData) F(PQgetResult) F(PQgetisnull) F(PQgetvalue) F(PQisBusy) F(PQnfields) F(PQntuples) \
	F(PQparameterStatus) F(PQprotocolVersion) F(PQputCopyData) F(PQputCopyEnd) F(PQresultErrorField) F(PQresultErrorMessage) \
	F(PQresultStatus) F(PQsendPrepare) F(PQsendQuery) F(PQsendQueryParams) F(PQsendQueryPrepared) F(PQserverVersion) \
	F(PQsetNoticeReceiver) F(PQsetnonblocking) F(PQsocket) F(PQstatus) F(PQtransactionStatus)

#ifdef LIBPQ_HAS_PIPELINING
#define TS_PQ_PIPELINE(F) \
	F(PQenterPipelineMode) F(PQexitPipelineMode) F(PQpipelineStatus) F(PQpipelineSync)
#else
#define TS_PQ_PIPELINE(F)
#endif

#define TS_PQ_MEMBER(name) __typeof__(name) *name;
typedef struct TsPq
{
	TS_PQ_BASE(TS_PQ_MEMBER)
	TS_PQ_PIPELINE(TS_PQ_MEMBER)
} TsPq;

/* libpq; loads it with the first call. 42883 if it lacks something. */
extern const TsPq *ts_pq(void);

/* TS_PQ_NAMES: where they are looked up the names are just names */
#ifndef TS_PQ_NAMES
#define PQcancel (ts_pq()->PQcancel)
#define PQclear (ts_pq()->PQclear)
#define PQcmdStatus (ts_pq()->PQcmdStatus)
#define PQcmdTuples (ts_pq()->PQcmdTuples)
#define PQconndefaults (ts_pq()->PQconndefaults)
#define PQconnectPoll (ts_pq()->PQconnectPoll)
#define PQconnectStartParams (ts_pq()->PQconnectStartParams)
#define PQconnectionUsedPassword (ts_pq()->PQconnectionUsedPassword)
#define PQconsumeInput (ts_pq()->PQconsumeInput)
#define PQenterPipelineMode (ts_pq()->PQenterPipelineMode)
#define PQerrorMessage (ts_pq()->PQerrorMessage)
#define PQexitPipelineMode (ts_pq()->PQexitPipelineMode)
#define PQfinish (ts_pq()->PQfinish)
#define PQflush (ts_pq()->PQflush)
#define PQfreeCancel (ts_pq()->PQfreeCancel)
#define PQfreemem (ts_pq()->PQfreemem)
#define PQgetCancel (ts_pq()->PQgetCancel)
#define PQgetCopyData (ts_pq()->PQgetCopyData)
#define PQgetResult (ts_pq()->PQgetResult)
#define PQgetisnull (ts_pq()->PQgetisnull)
#define PQgetvalue (ts_pq()->PQgetvalue)
#define PQisBusy (ts_pq()->PQisBusy)
#define PQnfields (ts_pq()->PQnfields)
#define PQntuples (ts_pq()->PQntuples)
#define PQparameterStatus (ts_pq()->PQparameterStatus)
#define PQpipelineStatus (ts_pq()->PQpipelineStatus)
#define PQpipelineSync (ts_pq()->PQpipelineSync)
#define PQprotocolVersion (ts_pq()->PQprotocolVersion)
#define PQputCopyData (ts_pq()->PQputCopyData)
#define PQputCopyEnd (ts_pq()->PQputCopyEnd)
#define PQresultErrorField (ts_pq()->PQresultErrorField)
#define PQresultErrorMessage (ts_pq()->PQresultErrorMessage)
#define PQresultStatus (ts_pq()->PQresultStatus)
#define PQsendPrepare (ts_pq()->PQsendPrepare)
#define PQsendQuery (ts_pq()->PQsendQuery)
#define PQsendQueryParams (ts_pq()->PQsendQueryParams)
#define PQsendQueryPrepared (ts_pq()->PQsendQueryPrepared)
#define PQserverVersion (ts_pq()->PQserverVersion)
#define PQsetNoticeReceiver (ts_pq()->PQsetNoticeReceiver)
#define PQsetnonblocking (ts_pq()->PQsetnonblocking)
#define PQsocket (ts_pq()->PQsocket)
#define PQstatus (ts_pq()->PQstatus)
#define PQtransactionStatus (ts_pq()->PQtransactionStatus)
#endif

#endif
