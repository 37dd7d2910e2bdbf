/* group.c: SQL functions create_group, group_add, group_remove, drop_group, add_step, drop_step. */
#include "postgres.h"

#include "fmgr.h"

#include "api/args.h"
#include "base/srf.h"
#include "link/group.h"
#include "link/step.h"

PG_FUNCTION_INFO_V1(tracksync_create_group);
PG_FUNCTION_INFO_V1(tracksync_group_add);
PG_FUNCTION_INFO_V1(tracksync_group_remove);
PG_FUNCTION_INFO_V1(tracksync_drop_group);
PG_FUNCTION_INFO_V1(tracksync_add_step);
PG_FUNCTION_INFO_V1(tracksync_drop_step);

Datum
tracksync_create_group(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "links");
	ts_need_arg(fcinfo, 2, "transactions");
	ts_group_create(ts_text_arg(fcinfo, 0), ts_names_arg(fcinfo, 1), ts_text_arg(fcinfo, 2));
	PG_RETURN_VOID();
}

Datum
tracksync_group_add(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "link");
	ts_group_add(ts_text_arg(fcinfo, 0), ts_text_arg(fcinfo, 1));
	PG_RETURN_VOID();
}

Datum
tracksync_group_remove(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "link");
	ts_group_remove(ts_text_arg(fcinfo, 0), ts_text_arg(fcinfo, 1));
	PG_RETURN_VOID();
}

Datum
tracksync_drop_group(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_group_drop(ts_text_arg(fcinfo, 0));
	PG_RETURN_VOID();
}

/* add_step(name, priority, fn) */
Datum
tracksync_add_step(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "priority");
	ts_need_arg(fcinfo, 2, "fn");
	ts_step_add(ts_text_arg(fcinfo, 0), PG_GETARG_INT32(1), PG_GETARG_OID(2));
	PG_RETURN_VOID();
}

/* drop_step(name, fn) */
Datum
tracksync_drop_step(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "fn");
	ts_step_drop(ts_text_arg(fcinfo, 0), PG_GETARG_OID(1));
	PG_RETURN_VOID();
}
