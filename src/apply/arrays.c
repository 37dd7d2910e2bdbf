/* arrays.c: rows as the array parameters of a statement. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "apply/arrays.h"
#include "apply/fitting.h"
#include "base/catalog.h"

/* One column's values as the target holds them. */
typedef struct Fitted
{
	Datum	   *values;
	bool	   *nulls;
} Fitted;

static Fitted
fit_column(const TsLink *link, const TsStatement *stmt, int column, bool old, const TsChange *rows, int n, const int *chosen)
{
	Fitted		fitted = {palloc(sizeof(Datum) * (n + 1)), palloc(sizeof(bool) * (n + 1))};

	if (stmt->fits[column] == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(GetMemoryChunkContext(stmt->fits));

		stmt->fits[column] = ts_fitting_create(link, column);
		MemoryContextSwitchTo(context);
	}
	ts_fitting_column(link, stmt->fits[column], column, old, rows, n, chosen, fitted.values, fitted.nulls);
	return fitted;
}

/* An array of one column's values. */
static Datum
build_column(const TsParam *param, const Fitted *fitted, const TsChange *rows, int n, const int *chosen)
{
	Datum	   *elems = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);
	int			dims[1] = {n};
	int			lbs[1] = {1};
	Oid			output = InvalidOid;
	bool		varlena;
	TsValueType type = param->type;

	if (type.as_text)
	{
		if (!type.is_text)
			getTypeOutputInfo(type.type, &output, &varlena);
		type = (TsValueType) {TEXTOID, -1, false, TYPALIGN_INT, false, false};
	}
	for (int i = 0; i < n; i++)
	{
		const TsChange *row = &rows[chosen[i]];

		elems[i] = fitted ? fitted->values[i] : param->old ? row->old_values[param->column] : row->new_values[param->column];
		nulls[i] = fitted ? fitted->nulls[i] : param->old ? row->old_nulls[param->column] : row->new_nulls[param->column];
		if (!nulls[i] && OidIsValid(output))
			elems[i] = CStringGetTextDatum(OidOutputFunctionCall(output, elems[i]));
	}
	return PointerGetDatum(construct_md_array(elems, nulls, 1, dims, lbs, param->element, type.len, type.byval, type.align));
}

/* An array of rows of the target's type, with the columns that the statement uses. */
static Datum
build_rows(const TsLink *link, const TsStatement *stmt, const TsParam *param, const TsChange *rows, int n, const int *chosen)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(param->element, -1);
	Datum	   *elems = palloc(sizeof(Datum) * n);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	Fitted	   *fitted = palloc0(sizeof(Fitted) * (link->ncolumns + 1));

	for (int c = 0; c < link->ncolumns; c++)
		if (stmt->aliases[param->old][c] != 0 && link->columns[c].bridge != TS_BRIDGE_NONE)
			fitted[c] = fit_column(link, stmt, c, param->old, rows, n, chosen);
	memset(nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < n; i++)
	{
		const TsChange *row = &rows[chosen[i]];

		for (int c = 0; c < link->ncolumns; c++)
			if (stmt->aliases[param->old][c] != 0)
			{
				int			at = link->columns[c].target_attnum - 1;

				values[at] = fitted[c].values ? fitted[c].values[i] : param->old ? row->old_values[c] : row->new_values[c];
				nulls[at] = fitted[c].values ? fitted[c].nulls[i] : param->old ? row->old_nulls[c] : row->new_nulls[c];
			}
		elems[i] = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	}
	ReleaseTupleDesc(desc);
	return PointerGetDatum(construct_array(elems, n, param->element, -1, false, TYPALIGN_DOUBLE));
}

static Datum
build_numbers(int n, const int *chosen)
{
	Datum	   *elems = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(chosen[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum *
ts_arrays_build(const TsLink *link, const TsStatement *stmt, const TsChange *rows, int n, const int *chosen)
{
	Datum	   *arrays = palloc(sizeof(Datum) * (stmt->nparams + 1));
	Fitted	   *fitted = palloc0(sizeof(Fitted) * (stmt->nparams + 1));
	int			level;

	/* casts run under the settings that comparisons run under */
	for (int i = 0; i < stmt->nparams; i++)
		if (stmt->params[i].kind == TS_PARAM_COLUMN && stmt->params[i].fitted)
			fitted[i] = fit_column(link, stmt, stmt->params[i].column, stmt->params[i].old, rows, n, chosen);
	level = link->server ? ts_texts_enter() : 0;
	for (int i = 0; i < stmt->nparams; i++)
	{
		const TsParam *param = &stmt->params[i];

		switch (param->kind)
		{
			case TS_PARAM_COLUMN:
				arrays[i] = build_column(param, fitted[i].values ? &fitted[i] : NULL, rows, n, chosen);
				break;
			case TS_PARAM_ROWS:
				arrays[i] = build_rows(link, stmt, param, rows, n, chosen);
				break;
			case TS_PARAM_NUMBER:
				arrays[i] = build_numbers(n, chosen);
				break;
		}
	}
	if (link->server)
		ts_texts_leave(level);
	return arrays;
}
