/* link.c: SQL functions create_link, alter_link, drop_link, track, untrack, prune, version. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "base/compat.h"
#include "base/srf.h"
#include "capture/buffer.h"
#include "capture/track.h"
#include "link/create.h"
#include "log/prune.h"
#include "log/reclaim.h"

PG_FUNCTION_INFO_V1(tracksync_track);
PG_FUNCTION_INFO_V1(tracksync_untrack);
PG_FUNCTION_INFO_V1(tracksync_prune);
PG_FUNCTION_INFO_V1(tracksync_create_link);
PG_FUNCTION_INFO_V1(tracksync_alter_link);
PG_FUNCTION_INFO_V1(tracksync_drop_link);
PG_FUNCTION_INFO_V1(tracksync_set_merge_rule);
PG_FUNCTION_INFO_V1(tracksync_take_over);

/* A relation argument that exists. */
static Oid
source_arg(FunctionCallInfo fcinfo, int n, const char *name)
{
	Oid			relid;

	ts_need_arg(fcinfo, n, name);
	relid = PG_GETARG_OID(n);
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return relid;
}

static void
need_owner(Oid relid)
{
	if (!ts_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
}

/* track(source, key, images, ignore) */
Datum
tracksync_track(PG_FUNCTION_ARGS)
{
	TsTrackOptions options = {.explicitly = true};
	Oid			source = source_arg(fcinfo, 0, "source");

	ts_need_arg(fcinfo, 2, "images");
	options.has_key = !PG_ARGISNULL(1);
	options.key = ts_names_arg(fcinfo, 1);
	options.images = ts_text_arg(fcinfo, 2);
	options.has_ignore = !PG_ARGISNULL(3);
	options.ignore = ts_names_arg(fcinfo, 3);
	ts_track(source, &options);
	PG_RETURN_VOID();
}

/* untrack(source, cascade) */
Datum
tracksync_untrack(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo, 0, "source");
	List	   *links;
	ListCell   *lc;

	ts_need_arg(fcinfo, 1, "cascade");
	need_owner(source);
	(void) ts_tracked_need(source);
	links = ts_links_of(source);
	if (links != NIL && !PG_GETARG_BOOL(1))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is the source of %d link%s", get_rel_name(source), list_length(links),
						list_length(links) == 1 ? "" : "s"),
				 errdetail("Link \"%s\" reads its changes.", (char *) linitial(links)),
				 errhint("Drop the links first, or use cascade => true.")));
	ts_buffer_flush();
	foreach(lc, links)
		ts_link_drop(lfirst(lc));
	/* the last link takes a table with it that was tracked for its links only */
	if (ts_tracked_load(source) != NULL)
		ts_untrack(source);
	PG_RETURN_VOID();
}

/* prune(source) */
Datum
tracksync_prune(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo, 0, "source");
	TsTracked  *tracked;

	need_owner(source);
	tracked = ts_tracked_need(source);
	ts_buffer_flush();
	ts_log_reclaim(tracked);
	PG_RETURN_INT64(ts_log_prune(source, true, NULL));
}

/* The options from argument "first" on, in create_link's order from "server". */
static TsLinkOptions
link_options(FunctionCallInfo fcinfo, int first)
{
	TsLinkOptions o = {0};

	o.server = PG_ARGISNULL(first) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(first)));
	o.columns = PG_ARGISNULL(first + 1) ? NULL : PG_GETARG_JSONB_P(first + 1);
	o.filter = ts_text_arg(fcinfo, first + 2);
	o.has_key = !PG_ARGISNULL(first + 3);
	o.key = ts_names_arg(fcinfo, first + 3);
	o.initial = ts_text_arg(fcinfo, first + 4);
	o.on_conflict = ts_text_arg(fcinfo, first + 5);
	o.on_error = ts_text_arg(fcinfo, first + 6);
	o.schema_policy = ts_text_arg(fcinfo, first + 7);
	o.detect = ts_text_arg(fcinfo, first + 8);
	o.create_target = !PG_ARGISNULL(first + 9) && PG_GETARG_BOOL(first + 9);
	o.target_filter = ts_text_arg(fcinfo, first + 10);
	o.on_cast = ts_text_arg(fcinfo, first + 11);
	return o;
}

/* create_link(name, source, target, server, columns, filter, key, initial, on_conflict, on_error, schema_policy, detect, create_target, target_filter, on_cast) */
Datum
tracksync_create_link(PG_FUNCTION_ARGS)
{
	static const char *const options[] = {"initial", "on_conflict", "on_error", "schema_policy", "detect", "create_target"};
	TsLinkOptions o;
	Oid			source;

	ts_need_arg(fcinfo, 0, "name");
	source = source_arg(fcinfo, 1, "source");
	ts_need_arg(fcinfo, 2, "target");
	for (int i = 0; i < (int) lengthof(options); i++)
		ts_need_arg(fcinfo, 7 + i, options[i]);
	ts_need_arg(fcinfo, 14, "on_cast");
	o = link_options(fcinfo, 3);
	o.target = ts_text_arg(fcinfo, 2);
	ts_link_create(ts_text_arg(fcinfo, 0), source, &o);
	PG_RETURN_VOID();
}

/* alter_link(name, target, server, columns, …): NULL = keep */
Datum
tracksync_alter_link(PG_FUNCTION_ARGS)
{
	TsLinkOptions o;

	ts_need_arg(fcinfo, 0, "name");
	o = link_options(fcinfo, 2);
	o.target = ts_text_arg(fcinfo, 1);
	ts_link_alter(ts_text_arg(fcinfo, 0), &o);
	PG_RETURN_VOID();
}

Datum
tracksync_drop_link(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_link_drop(ts_text_arg(fcinfo, 0));
	PG_RETURN_VOID();
}

/* take_over(name) */
Datum
tracksync_take_over(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_link_take_over(ts_text_arg(fcinfo, 0));
	PG_RETURN_VOID();
}

/* set_merge_rule(name, column_name, rule) */
Datum
tracksync_set_merge_rule(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "column_name");
	ts_need_arg(fcinfo, 2, "rule");
	ts_link_set_merge_rule(ts_text_arg(fcinfo, 0), ts_text_arg(fcinfo, 1), ts_text_arg(fcinfo, 2));
	PG_RETURN_VOID();
}
