/*
 * operation.h: who changed a table, why and how much: one record per transaction and tracked table.
 *
 * The record is the image of an O event in the table's log; operation.c has its format.
 */
#ifndef TS_OPERATION_H
#define TS_OPERATION_H

#include "log/event.h"

/* What a transaction did to one table, gathered event by event. */
typedef struct TsOperationCount
{
	int64		inserts;
	int64		updates;
	int64		deletes;
	int64		truncates;
	uint64		tags;			/* which of the known command tags took part */
	TsSchemaEvent schema;		/* the table's shape before and after; 0 = unchanged */
} TsOperationCount;

/* Counts an event; the command tag is looked up only with "command". */
extern void ts_operation_count(TsOperationCount *count, const TsEvent *event, bool command);
extern void ts_operation_add(TsOperationCount *sum, const TsOperationCount *more);
extern bool ts_operation_is_empty(const TsOperationCount *count);
/* Appends the O event's image for the running transaction. */
extern void ts_operation_pack(TsBytes *bytes, const TsOperationCount *count);

typedef struct TsOperation
{
	char	   *user;
	char	   *application;
	char	   *context;		/* NULL if none was set */
	int64		started;		/* timestamptz */
	int64		logged;			/* timestamptz: shortly before the commit */
	TsOperationCount count;
} TsOperation;

/* event is an O event; the strings are copies in the current context */
extern void ts_operation_read(const TsEvent *event, TsOperation *result);
/* What the running transaction's own record would say now. */
extern void ts_operation_current(TsOperation *result);
/* The command tags as an array of text. */
extern Datum ts_operation_commands(uint64 tags);

#endif
