/* verify.c: SQL function verify. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "base/srf.h"
#include "verify/verify.h"

PG_FUNCTION_INFO_V1(tracksync_verify);

/* So often it is tried to see both servers as of one push; the waits between come to some seconds. */
#define TRIES 30

/* Some columns of one side, under the target's names. */
static Datum
side(const TsLink *link, const TsFinding *finding, bool target, const bool *include)
{
	char	  **names = palloc(sizeof(char *) * (link->ncolumns + 1));

	for (int i = 0; i < link->ncolumns; i++)
		names[i] = link->columns[i].target_name;
	return ts_to_jsonb(link->ncolumns, names, finding->types, target ? finding->target : finding->source,
					   target ? finding->target_nulls : finding->source_nulls, include);
}

static void
put_finding(void *result, const TsLink *link, const TsFinding *finding)
{
	static const char *const kinds[] = {[TS_ONLY_SOURCE] = "only_source", [TS_ONLY_TARGET] = "only_target", [TS_DIFFERS] = "differs"};
	bool	   *key = palloc0(sizeof(bool) * (link->ncolumns + 1));
	Datum	   *names = palloc(sizeof(Datum) * (link->ncolumns + 1));
	int			n = 0;
	Datum		values[6];
	bool		nulls[6] = {false};

	for (int i = 0; i < link->ncolumns; i++)
	{
		key[i] = link->columns[i].is_key;
		if (finding->differs[i])
			names[n++] = CStringGetTextDatum(link->columns[i].target_name);
	}
	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(kinds[finding->kind]);
	values[2] = side(link, finding, finding->kind == TS_ONLY_TARGET, key);
	nulls[3] = finding->kind == TS_ONLY_TARGET;
	if (!nulls[3])
		values[3] = side(link, finding, false, finding->shown);
	nulls[4] = finding->kind == TS_ONLY_SOURCE;
	if (!nulls[4])
		values[4] = side(link, finding, true, finding->shown);
	nulls[5] = finding->kind != TS_DIFFERS;
	if (!nulls[5])
		values[5] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	ts_result_put(result, values, nulls);
}

static void
wait_a_little(int tries)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(1L << tries, 200L), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Opens the links so that what is seen on other servers belongs to a position that is known here. */
static void
open_in_step(TsOpening *opening, const char *name)
{
	for (int tries = 0; tries < TRIES; tries++)
	{
		ts_open(opening, name, TS_OPEN_VERIFY);
		if (!opening->stale)
			return;
		ts_close(opening);
		if (IsolationUsesXactSnapshot())
			break;
		wait_a_little(tries);
	}
	/* a push that failed here after it committed there, or a target that was set back: so a plan sees it */
	ts_open(opening, name, TS_OPEN_READ);
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see both sides of %s \"%s\" at one time", opening->group ? "group" : "link", name),
				 errdetail("A push committed after this transaction's snapshot was taken."),
				 errhint("Try again in a new transaction.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("could not see both sides of %s \"%s\" at one time", opening->group ? "group" : "link", name),
			 errdetail("What is written down on the target's server about its last push is not what is known here."),
			 errhint("Push, then verify.")));
}

Datum
tracksync_verify(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;

	ts_need_arg(fcinfo, 0, "name");
	result = ts_result_begin(fcinfo);
	open_in_step(&opening, ts_text_arg(fcinfo, 0));
	for (int i = 0; i < opening.n; i++)
	{
		TsOpened   *opened = &opening.links[i];

		ts_verify_link(opened->link, opened->source, opened->target, opening.snapshot, put_finding, &result);
	}
	ts_close(&opening);
	PG_RETURN_NULL();
}
