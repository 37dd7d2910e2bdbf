/* srf.c: functions that return rows. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/srf.h"

TsResult
ts_result_begin(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TsResult	result;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || (rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	result.context = rsinfo->econtext->ecxt_per_query_memory;
	old = MemoryContextSwitchTo(result.context);
	if (get_call_result_type(fcinfo, NULL, &result.desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result.desc = CreateTupleDescCopy(result.desc);
	result.store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = result.store;
	rsinfo->setDesc = result.desc;
	MemoryContextSwitchTo(old);
	return result;
}

void
ts_result_put(TsResult *result, Datum *values, bool *nulls)
{
	tuplestore_putvalues(result->store, result->desc, values, nulls);
}

void
ts_result_append(TsResult *result, Tuplestorestate *more)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(result->desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(more);
	while (tuplestore_gettupleslot(more, true, false, slot))
		tuplestore_puttupleslot(result->store, slot);
	ExecDropSingleTupleTableSlot(slot);
}

void
ts_need_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name),
				 errhint("Leave optional arguments out to get their defaults.")));
}

char *
ts_text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

TsJsonRow *
ts_json_row(int n, char *const *names, const Oid *types)
{
	TsJsonRow  *row = palloc0(sizeof(TsJsonRow));

	row->desc = CreateTemplateTupleDesc(n);
	for (int i = 0; i < n; i++)
		TupleDescInitEntry(row->desc, i + 1, names[i], types[i], -1, 0);
	row->desc = BlessTupleDesc(row->desc);
	/* to_jsonb(anyelement) asks the call's expression for the type of its argument */
	fmgr_info(F_TO_JSONB, &row->to_jsonb);
	row->to_jsonb.fn_expr = (Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(makeNullConst(RECORDOID, -1, InvalidOid)),
												  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	return row;
}

Datum
ts_json_row_of(TsJsonRow *row, const Datum *values, const bool *nulls)
{
	return FunctionCall1(&row->to_jsonb, HeapTupleGetDatum(heap_form_tuple(row->desc, (Datum *) values, (bool *) nulls)));
}

Datum
ts_to_jsonb(int n, char *const *names, const Oid *types, const Datum *values, const bool *nulls, const bool *include)
{
	char	  **some_names = palloc(sizeof(char *) * (n + 1));
	Oid		   *some_types = palloc(sizeof(Oid) * (n + 1));
	Datum	   *v = palloc(sizeof(Datum) * (n + 1));
	bool	   *isnull = palloc(sizeof(bool) * (n + 1));
	int			m = 0;

	for (int i = 0; i < n; i++)
	{
		if (include != NULL && !include[i])
			continue;
		some_names[m] = names[i];
		some_types[m] = types[i];
		v[m] = values[i];
		isnull[m] = nulls[i];
		m++;
	}
	return ts_json_row_of(ts_json_row(m, some_names, some_types), v, isnull);
}

char *
ts_to_json_text(int n, char *const *names, const Oid *types, const Datum *values, const bool *nulls,
				const bool *include, int limit)
{
	Jsonb	   *jb = DatumGetJsonbP(ts_to_jsonb(n, names, types, values, nulls, include));
	char	   *text = JsonbToCString(NULL, &jb->root, VARSIZE(jb));
	int			len = strlen(text);

	if (len > limit)
	{
		len = pg_mbcliplen(text, len, limit);
		strcpy(text + len, "…");
	}
	return text;
}
