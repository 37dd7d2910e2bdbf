/* fit.c: SQL function holds. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "base/attempt.h"
#include "link/fit.h"

PG_FUNCTION_INFO_V1(tracksync_holds);

/* Kept for the calls of a query. */
typedef struct Holds
{
	TsFit	   *fit;
	int16		len;
	bool		byval;
	/* of the call at hand */
	Datum		value;
	bool		exactly;
	Datum		held;
	bool		isnull;
} Holds;

static Holds *
prepare(FunctionCallInfo fcinfo)
{
	Oid			target = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			source = get_fn_expr_argtype(fcinfo->flinfo, 1);
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Holds	   *holds = palloc0(sizeof(Holds));

	if (!OidIsValid(target) || !OidIsValid(source))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("the types of the values are not known"),
				 errhint("Cast them.")));
	get_typlenbyval(target, &holds->len, &holds->byval);
	holds->fit = ts_fit_create(getBaseType(source), target, PG_ARGISNULL(2) ? -1 : PG_GETARG_INT32(2));
	MemoryContextSwitchTo(old);
	return holds;
}

static void
cast_value(void *arg)
{
	Holds	   *h = arg;

	h->held = ts_fit_cast(h->fit, h->value, &h->isnull);
	if (!h->isnull && h->exactly && !ts_fit_is_exact(h->fit, h->value, h->held))
		h->isnull = true;
}

/* holds(target, source, typmod, exactly) */
Datum
tracksync_holds(PG_FUNCTION_ARGS)
{
	Holds	   *h = fcinfo->flinfo->fn_extra;
	ErrorData  *error;

	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(PG_ARGISNULL(0));
	if (h == NULL)
		h = fcinfo->flinfo->fn_extra = prepare(fcinfo);
	h->value = PG_GETARG_DATUM(1);
	h->exactly = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	error = ts_attempt(cast_value, h, false);
	if (error != NULL && !ts_fit_is_about_value(error->sqlerrcode))
		ReThrowError(error);
	PG_RETURN_BOOL(error == NULL && !h->isnull && !PG_ARGISNULL(0) && datum_image_eq(PG_GETARG_DATUM(0), h->held, h->byval, h->len));
}
