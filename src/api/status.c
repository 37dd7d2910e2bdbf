/* status.c: SQL functions has_changes, summary, and what the views status and operation are made of. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "api/rights.h"
#include "api/schema.h"
#include "base/srf.h"
#include "capture/buffer.h"
#include "capture/operation.h"
#include "link/create.h"
#include "log/logtable.h"
#include "log/shape.h"
#include "netchange/netchange.h"
#include "netchange/scan.h"

PG_FUNCTION_INFO_V1(tracksync_has_changes);
PG_FUNCTION_INFO_V1(tracksync_summary);
PG_FUNCTION_INFO_V1(tracksync_link_pending);
PG_FUNCTION_INFO_V1(tracksync_operations);

/* Position and shape of the links of a source, oldest position first. */
static List *
positions_of(Oid source, int32 *oldest_shape)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	MemoryContext context = CurrentMemoryContext;
	List	   *positions = NIL;
	TsCatalog	cat;
	bool		isnull;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT position::text, own_txid::text, own_seq, shape FROM tracksync.link "
					   "WHERE source OPERATOR(pg_catalog.=) $1 AND detect = 'log' "
					   "ORDER BY pg_snapshot_xmax(position)::text::numeric, pg_snapshot_xmin(position)::text::numeric, name",
					   1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *own = ts_sql_text(i, 2);
		MemoryContext old = MemoryContextSwitchTo(context);

		positions = lappend(positions, ts_position_parse(ts_sql_text(i, 1), own ? strtoull(own, NULL, 10) : 0,
														 DatumGetInt64(ts_sql_value(i, 3, &isnull))));
		if (i == 0)
			*oldest_shape = DatumGetInt32(ts_sql_value(i, 4, &isnull));
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return positions;
}

static Oid
source_arg(FunctionCallInfo fcinfo)
{
	ts_need_arg(fcinfo, 0, "source");
	if (get_rel_name(PG_GETARG_OID(0)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(0))));
	return PG_GETARG_OID(0);
}

static bool
is_pending(const TsTracked *tracked, const TsPosition *position)
{
	TsPending	pending = ts_log_pending(tracked, GetActiveSnapshot(), position, true);

	return pending.rows > 0 || pending.schema_changes > 0;
}

/* has_changes(source): is anything in the log that a link has not shipped? */
Datum
tracksync_has_changes(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo);
	TsTracked  *tracked = ts_tracked_need(source);
	List	   *links;
	ListCell   *lc;
	bool		found = false,
				any = false;

	(void) ts_readable_columns(source);
	ts_buffer_flush();
	PushActiveSnapshot(GetTransactionSnapshot());
	links = ts_links_of(source);
	foreach(lc, links)
	{
		const TsLink *link = ts_link_load_any(lfirst(lc));

		/* one that compares has nothing to do with the log */
		if (found || link == NULL || link->by_diff)
			continue;
		any = true;
		found = is_pending(tracked, link->position);
	}
	if (!any)
		found = is_pending(tracked, NULL);
	PopActiveSnapshot();
	PG_RETURN_BOOL(found);
}

/* Net rows by kind since the oldest position; NULL where a TRUNCATE or a gap hides them. */
static void
count_rows(Oid source, const TsTracked *tracked, const TsPosition *oldest, Datum *values, bool *nulls)
{
	Relation	rel = relation_open(source, AccessShareLock);
	Snapshot	snapshot;
	TsNetStream *stream;
	TsNetChange change;
	TsPending	pending;
	int64		counts[TS_NET_BROKEN + 1] = {0};

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		(void) find_all_inheritors(source, AccessShareLock, NULL);
	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = RegisterSnapshot(GetActiveSnapshot());
	SPI_connect();
	stream = ts_net_begin(rel, tracked, snapshot, oldest, true, NULL, &pending);
	while (ts_net_next(stream, &change))
		counts[change.op]++;
	ts_net_end(stream);
	SPI_finish();
	UnregisterSnapshot(snapshot);
	PopActiveSnapshot();
	relation_close(rel, NoLock);
	for (int i = 0; i < 3; i++)
	{
		static const TsNetOp ops[] = {TS_NET_INSERT, TS_NET_UPDATE, TS_NET_DELETE};

		values[i] = Int64GetDatum(counts[ops[i]]);
		nulls[i] = pending.wholesale || pending.rows_came || counts[TS_NET_BROKEN] > 0;
	}
}

static Datum
text_array(List *names)
{
	Datum	   *elems = palloc(sizeof(Datum) * (list_length(names) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, names)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* What became of the columns between two shapes, by attribute number. */
static void
compare_shapes(const TsShape *then, const TsShape *now, Datum *values)
{
	List	   *added = NIL,
			   *dropped = NIL,
			   *retyped = NIL;
	JsonbParseState *state = NULL;
	JsonbValue *renamed = pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);

	for (int i = 0; i < Max(then->natts, now->natts); i++)
	{
		const TsShapeAtt *a = i < then->natts && !then->atts[i].dropped ? &then->atts[i] : NULL;
		const TsShapeAtt *b = i < now->natts && !now->atts[i].dropped ? &now->atts[i] : NULL;

		if (a == NULL && b != NULL)
			added = lappend(added, b->name);
		if (a != NULL && b == NULL)
			dropped = lappend(dropped, a->name);
		if (a == NULL || b == NULL)
			continue;
		if (a->type != b->type || a->typmod != b->typmod || a->collation != b->collation)
			retyped = lappend(retyped, b->name);
		if (strcmp(a->name, b->name) != 0)
		{
			JsonbValue	key = {.type = jbvString},
						value = {.type = jbvString};

			key.val.string.val = a->name;
			key.val.string.len = strlen(a->name);
			value.val.string.val = b->name;
			value.val.string.len = strlen(b->name);
			pushJsonbValue(&state, WJB_KEY, &key);
			pushJsonbValue(&state, WJB_VALUE, &value);
		}
	}
	renamed = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	values[0] = text_array(added);
	values[1] = text_array(dropped);
	values[2] = JsonbPGetDatum(JsonbValueToJsonb(renamed));
	values[3] = text_array(retyped);
}

/* summary(source) */
Datum
tracksync_summary(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo);
	TsTracked  *tracked = ts_tracked_need(source);
	TsResult	result = ts_result_begin(fcinfo);
	int32		shape = tracked->shape;
	List	   *positions;
	Relation	rel;
	Datum		values[7];
	bool		nulls[7] = {false};

	(void) ts_readable_columns(source);
	ts_refuse_hidden_rows(source);
	ts_buffer_flush();
	PushActiveSnapshot(GetTransactionSnapshot());
	positions = positions_of(source, &shape);
	PopActiveSnapshot();
	count_rows(source, tracked, positions ? linitial(positions) : NULL, values, nulls);
	rel = relation_open(source, AccessShareLock);
	compare_shapes(ts_shape_get(shape), ts_shape_now(rel), values + 3);
	relation_close(rel, NoLock);
	ts_result_put(&result, values, nulls);
	PG_RETURN_NULL();
}

/* link_pending(name) → (pending, oldest_pending): for the view status, which shows only the caller's own links. */
Datum
tracksync_link_pending(PG_FUNCTION_ARGS)
{
	TsResult	result = ts_result_begin(fcinfo);
	TsLink	   *link;
	TsTracked  *tracked;
	TsPending	pending = {0};
	Datum		values[2];
	bool		nulls[2] = {false, true};

	ts_need_arg(fcinfo, 0, "name");
	ts_buffer_flush();
	PushActiveSnapshot(GetTransactionSnapshot());
	link = ts_link_load_any(ts_text_arg(fcinfo, 0));
	/* the view asks for the caller's own links only; nobody else's are told either */
	if (link != NULL && !has_privs_of_role(GetUserId(), link->owner))
		link = NULL;
	/* of one that compares nothing is known before it does */
	nulls[0] = link != NULL && link->by_diff;
	tracked = link && !link->by_diff && get_rel_name(link->source) ? ts_tracked_load(link->source) : NULL;
	if (tracked != NULL && get_rel_name(tracked->log) != NULL)
	{
		TsLogScan  *scan;
		const TsLogged *logged;

		scan = ts_log_scan_begin(tracked, GetActiveSnapshot(), link->position);
		while ((logged = ts_log_scan_next(scan)) != NULL)
		{
			TsOperation op;

			ts_pending_add(&pending, logged);
			/* the time is in the transaction's operation record; a transaction that still runs has none */
			if (logged->event.op != TS_OP_OPERATION || logged->echo)
				continue;
			ts_operation_read(&logged->event, &op);
			if (nulls[1] || op.logged < DatumGetInt64(values[1]))
				values[1] = Int64GetDatum(op.logged);
			nulls[1] = false;
		}
		nulls[1] |= pending.rows == 0;
		ts_log_scan_end(scan);
	}
	PopActiveSnapshot();
	values[0] = Int64GetDatum(pending.rows);
	ts_result_put(&result, values, nulls);
	PG_RETURN_NULL();
}

static void
put_operations(TsResult *result, const TsTracked *tracked)
{
	TsLogScan  *scan = ts_log_scan_begin(tracked, GetActiveSnapshot(), NULL);
	const TsLogged *logged;

	while ((logged = ts_log_scan_next(scan)) != NULL)
	{
		TsOperation op;
		Datum		values[13];
		bool		nulls[13] = {false};

		if (logged->event.op != TS_OP_OPERATION)
			continue;
		ts_operation_read(&logged->event, &op);
		values[0] = UInt64GetDatum(logged->txid);
		values[1] = ObjectIdGetDatum(tracked->source);
		values[2] = DirectFunctionCall1(namein, CStringGetDatum(op.user));
		values[3] = CStringGetTextDatum(op.application);
		nulls[4] = op.context == NULL;
		values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(op.context);
		values[5] = Int64GetDatum(op.started);
		values[6] = Int64GetDatum(op.logged);
		values[7] = ts_operation_commands(op.count.tags);
		values[8] = Int64GetDatum(op.count.inserts);
		values[9] = Int64GetDatum(op.count.updates);
		values[10] = Int64GetDatum(op.count.deletes);
		values[11] = Int64GetDatum(op.count.truncates);
		values[12] = ts_schema_actions(op.count.schema.before, op.count.schema.after);
		ts_result_put(result, values, nulls);
	}
	ts_log_scan_end(scan);
}

/* operations(): the operation records of all tables that the caller may read. */
Datum
tracksync_operations(PG_FUNCTION_ARGS)
{
	TsResult	result = ts_result_begin(fcinfo);
	MemoryContext context = CurrentMemoryContext;
	Oid			user = GetUserId();
	List	   *sources = NIL;
	ListCell   *lc;
	TsCatalog	cat;
	uint64		n;

	PushActiveSnapshot(GetTransactionSnapshot());
	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT source::oid FROM tracksync.tracked_table ORDER BY source::oid", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Oid			source = DatumGetObjectId(ts_sql_value(i, 1, &isnull));
		MemoryContext old = MemoryContextSwitchTo(context);

		sources = lappend_oid(sources, source);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	foreach(lc, sources)
	{
		TsTracked  *tracked;

		if (get_rel_name(lfirst_oid(lc)) == NULL || pg_class_aclcheck(lfirst_oid(lc), user, ACL_SELECT) != ACLCHECK_OK)
			continue;
		tracked = ts_tracked_load(lfirst_oid(lc));
		if (tracked != NULL)
			put_operations(&result, tracked);
	}
	PopActiveSnapshot();
	PG_RETURN_NULL();
}
