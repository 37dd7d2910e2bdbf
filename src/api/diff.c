/*
 * diff.c: the SQL function diff.
 *
 * Rows come as they are found where the server can take them one by one, in a SELECT's list. They are made in batches, which begin with
 * one row: settings are pinned once for each.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "api/args.h"
#include "api/rights.h"
#include "base/catalog.h"
#include "base/srf.h"
#include "verify/diff.h"

#define BATCH_ROWS 1024
#define BATCH_BYTES (1024 * 1024)

PG_FUNCTION_INFO_V1(tracksync_diff);

enum {OUT_KIND, OUT_KEY, OUT_A, OUT_B, OUT_COLUMNS, NOUT};

typedef struct Output
{
	TsSides    *sides;
	TsDiff	   *diff;
	TupleDesc	desc;
	TsJsonRow  *row[TS_SIDES];
	TsJsonRow  *key[TS_SIDES];
	Datum	   *values;
	bool	   *nulls;
	MemoryContext batch;		/* rows that were made already */
	HeapTuple  *rows;
	int			nrows;
	int			at;
	int			size;			/* of the next batch */
	bool		done;
} Output;

static TsJsonRow *
json_row(const TsSides *sides, int side, bool key_only)
{
	char	  **names = palloc(sizeof(char *) * (sides->ncolumns + 1));
	Oid		   *types = palloc(sizeof(Oid) * (sides->ncolumns + 1));
	int			n = 0;

	for (int i = 0; i < sides->ncolumns; i++)
		if (!key_only || sides->columns[i].is_key)
		{
			names[n] = sides->columns[i].name;
			types[n++] = sides->columns[i].type[side];
		}
	return ts_json_row(n, names, types);
}

static Datum
json_of(Output *out, TsJsonRow *json, TupleTableSlot *row, int side, bool key_only)
{
	const TsSides *sides = out->sides;
	int			n = 0;

	for (int i = 0; i < sides->ncolumns; i++)
		if (!key_only || sides->columns[i].is_key)
		{
			out->values[n] = slot_getattr(row, sides->columns[i].raw[side], &out->nulls[n]);
			n++;
		}
	return ts_json_row_of(json, out->values, out->nulls);
}

static Datum
differing_columns(const TsSides *sides, const bool *differs)
{
	Datum	   *names = palloc(sizeof(Datum) * sides->ncolumns);
	int			n = 0;

	for (int i = 0; i < sides->ncolumns; i++)
		if (differs[i])
			names[n++] = CStringGetTextDatum(sides->columns[i].name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static HeapTuple
make_row(Output *out, const TsDifference *difference)
{
	static const char *const kinds[] = {"only_a", "only_b", "differs"};
	Datum		values[NOUT];
	bool		nulls[NOUT] = {false};
	int			first = difference->row[0] ? 0 : 1;

	values[OUT_KIND] = CStringGetTextDatum(kinds[difference->kind]);
	values[OUT_KEY] = json_of(out, out->key[first], difference->row[first], first, true);
	for (int s = 0; s < TS_SIDES; s++)
	{
		nulls[OUT_A + s] = difference->row[s] == NULL;
		if (!nulls[OUT_A + s])
			values[OUT_A + s] = json_of(out, out->row[s], difference->row[s], s, false);
	}
	nulls[OUT_COLUMNS] = difference->kind != TS_DIFF_DIFFERS;
	if (!nulls[OUT_COLUMNS])
		values[OUT_COLUMNS] = differing_columns(out->sides, difference->differs);
	return heap_form_tuple(out->desc, values, nulls);
}

/* The caller, with settings pinned but for his own search_path, which functions below a view may need. */
static void
become_caller(TsIdentity *identity)
{
	ts_become(identity, GetUserId(), false, pstrdup(namespace_search_path));
}

static void
make_batch(Output *out)
{
	TsIdentity	identity;
	TsDifference difference;
	Size		bytes = 0;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "tracksync diff", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	MemoryContextReset(out->batch);
	out->nrows = out->at = 0;
	become_caller(&identity);
	ts_diff_resume(out->diff);
	while (!out->done && out->nrows < out->size && bytes < BATCH_BYTES)
	{
		HeapTuple	row;

		out->done = !ts_diff_next(out->diff, &difference);
		if (out->done)
			break;
		row = make_row(out, &difference);
		MemoryContextSwitchTo(out->batch);
		out->rows[out->nrows++] = heap_copytuple(row);
		MemoryContextSwitchTo(scratch);
		bytes += row->t_len;
		MemoryContextReset(scratch);
	}
	ts_diff_pause(out->diff);
	ts_unbecome(&identity);
	out->size = Min(out->size * 2, BATCH_ROWS);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

static Output *
begin_output(FunctionCallInfo fcinfo)
{
	Output	   *out = palloc0(sizeof(Output));
	TsIdentity	identity;

	ts_need_arg(fcinfo, 0, "a");
	ts_need_arg(fcinfo, 1, "b");
	if (get_call_result_type(fcinfo, NULL, &out->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	out->desc = BlessTupleDesc(out->desc);
	become_caller(&identity);
	out->sides = ts_sides_open(PG_GETARG_OID(0), PG_GETARG_OID(1), ts_names_arg(fcinfo, 2), !PG_ARGISNULL(2));
	for (int s = 0; s < TS_SIDES; s++)
	{
		ts_refuse_hidden_rows(out->sides->relid[s]);
		out->row[s] = json_row(out->sides, s, false);
		out->key[s] = json_row(out->sides, s, true);
	}
	out->diff = ts_diff_begin(out->sides);
	ts_unbecome(&identity);
	out->values = palloc(sizeof(Datum) * (out->sides->ncolumns + 1));
	out->nulls = palloc(sizeof(bool) * (out->sides->ncolumns + 1));
	out->batch = AllocSetContextCreate(CurrentMemoryContext, "tracksync diff batch", ALLOCSET_DEFAULT_SIZES);
	out->rows = palloc(sizeof(HeapTuple) * BATCH_ROWS);
	out->size = 1;
	return out;
}

/* Nobody wants the rest. Not called after an error: then all that is open goes with the query's resources. */
static void
end_output(Datum arg)
{
	ts_diff_end(((Output *) DatumGetPointer(arg))->diff);
}

/* diff(a, b, key) */
Datum
tracksync_diff(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Output	   *out;
	ExprContext *econtext;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		call = SRF_FIRSTCALL_INIT();
		econtext = ((ReturnSetInfo *) fcinfo->resultinfo)->econtext;
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = out = begin_output(fcinfo);
		MemoryContextSwitchTo(old);
		/* called before the one that deletes the memory: the last one registered comes first */
		RegisterExprContextCallback(econtext, end_output, PointerGetDatum(out));
	}
	call = SRF_PERCALL_SETUP();
	out = call->user_fctx;
	if (out->at == out->nrows && !out->done)
		make_batch(out);
	if (out->at < out->nrows)
		SRF_RETURN_NEXT(call, HeapTupleGetDatum(out->rows[out->at++]));
	econtext = ((ReturnSetInfo *) fcinfo->resultinfo)->econtext;
	UnregisterExprContextCallback(econtext, end_output, PointerGetDatum(out));
	end_output(PointerGetDatum(out));
	SRF_RETURN_DONE(call);
}
