/* srf.h: functions that return rows, materialized; arguments that may not be NULL; values as jsonb. */
#ifndef TS_SRF_H
#define TS_SRF_H

#include "fmgr.h"
#include "utils/tuplestore.h"

typedef struct TsResult
{
	Tuplestorestate *store;
	TupleDesc	desc;
	MemoryContext context;		/* of the query: lives as long as the result */
} TsResult;

/* Makes the result of a set-returning function, in the query's memory. */
extern TsResult ts_result_begin(FunctionCallInfo fcinfo);
extern void ts_result_put(TsResult *result, Datum *values, bool *nulls);
/* Adds the rows of another store, in their order. */
extern void ts_result_append(TsResult *result, Tuplestorestate *more);

/* 22004 if the argument is NULL. */
extern void ts_need_arg(FunctionCallInfo fcinfo, int n, const char *name);
/* A text argument as a C string, NULL if it is NULL. */
extern char *ts_text_arg(FunctionCallInfo fcinfo, int n);

/* Rows of certain columns as jsonb, many times; lives in the context it was made in. */
typedef struct TsJsonRow
{
	TupleDesc	desc;
	FmgrInfo	to_jsonb;
} TsJsonRow;

extern TsJsonRow *ts_json_row(int n, char *const *names, const Oid *types);
/* The row, in the current context, and what else was needed to make it. */
extern Datum ts_json_row_of(TsJsonRow *row, const Datum *values, const bool *nulls);

/* {"name": value, …} of the columns with include[i] (NULL = all). */
extern Datum ts_to_jsonb(int n, char *const *names, const Oid *types, const Datum *values, const bool *nulls,
						 const bool *include);
/* The same as text, at most so many bytes, for messages. */
extern char *ts_to_json_text(int n, char *const *names, const Oid *types, const Datum *values, const bool *nulls,
							 const bool *include, int limit);

#endif
