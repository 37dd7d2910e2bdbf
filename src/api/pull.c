/*
 * pull.c: SQL function pull: the source takes the target's state.
 *
 * A push of the link the other way round (link/reverse.h): both sides are compared, the steps are those of any push, of which the source is
 * the target. What it writes is tracked like other writes, and the link's position passes it: for this link it is no change.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "api/done.h"
#include "api/pair.h"
#include "apply/push.h"
#include "apply/reached.h"
#include "base/quote.h"
#include "base/srf.h"
#include "capture/buffer.h"
#include "link/back.h"
#include "link/fetch.h"
#include "link/group.h"
#include "link/reverse.h"
#include "link/rows.h"
#include "log/prune.h"
#include "plan/diff.h"
#include "plan/merge.h"

PG_FUNCTION_INFO_V1(tracksync_pull);

/* One link, and the same the other way round. */
typedef struct Pull
{
	TsLink	   *link;
	TsLink	   *back;
	Relation	source;
	Relation	target;
	char	   *fetched;		/* the target's rows, of one on another server */
	struct Tuplestorestate *store;
} Pull;

/* Nobody writes the sources from here on: what they would write is not known to the plan. Before the snapshot. */
static void
lock_sources(const char *name)
{
	static const AclMode modes[] = {ACL_INSERT, ACL_UPDATE, ACL_DELETE};
	bool		group;
	ListCell   *lc;

	foreach(lc, ts_group_links(name, &group))
	{
		TsLink	   *link = ts_link_load(lfirst(lc), false);

		for (int i = 0; i < lengthof(modes); i++)
			if (pg_class_aclcheck(link->source, link->owner, modes[i]) != ACLCHECK_OK)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("role \"%s\" may not write to table %s", GetUserNameFromId(link->owner, false), ts_quote_relation(link->source)),
						 errdetail("Link \"%s\" runs with the rights of its owner.", link->name),
						 errhint("Grant INSERT, UPDATE and DELETE to the owner of the link.")));
		LockRelationOid(link->source, ShareRowExclusiveLock);
	}
}

static void
refuse_pending(const TsLink *link, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("link \"%s\" has %s", link->name, what),
			 errdetail("They would be lost."),
			 errhint("Push first, or discard them: SELECT * FROM tracksync.pull(%s, discard => true).", quote_literal_cstr(link->name))));
}

/* Is there a change that the target does not have yet? */
static void
check_pending(const TsOpening *opening, TsOpened *opened)
{
	TsLink	   *link = opened->link;
	TsPending	pending;
	TsChangeSource *changes;
	TsChange	change;
	bool		any;

	if (ts_plan_quarantined(link) != NIL)
		refuse_pending(link, "rows in quarantine");
	if (link->by_diff || link->state != TS_STATE_ACTIVE ||
		ts_storage_compare(link->storage, ts_source_storage(link->source)) != TS_STORAGE_SAME)
		refuse_pending(link, "changes that the log does not tell, perhaps");
	changes = ts_log_source(link, opened->source, opening->snapshot, false, &pending);
	if (changes == NULL)
		refuse_pending(link, "changes that are not pushed");
	ts_change_init(&change, link->ncolumns);
	any = changes->next(changes, &change) || changes->broken;
	changes->end(changes);
	if (any)
		refuse_pending(link, "changes that are not pushed");
}

static void
check_state(const TsOpened *opened)
{
	const TsLink *link = opened->link;

	if (opened->target == NULL || link->state == TS_STATE_INITIAL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("link \"%s\" has never been pushed", link->name),
				 errhint("Push once; a link that is made with initial => 'none' writes nothing then.")));
	if (link->foreseen || link->schema != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the columns of the source of link \"%s\" changed", link->name),
				 errdetail("The target has not followed yet."),
				 errhint("Push first.")));
}

/* (SELECT t.b AS a, … FROM target AS t WHERE it is a row of this link) */
static char *
target_rows(const Pull *pull)
{
	const TsLink *link = pull->link;
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < pull->back->ncolumns; i++)
	{
		const TsColumn *col = &pull->back->columns[i];

		appendStringInfo(&sql, "%st.%s AS %s", i ? ", " : "(SELECT ", quote_identifier(col->source_name), quote_identifier(col->target_name));
	}
	appendStringInfo(&sql, " FROM %s AS t WHERE true", ts_diff_target_rows(link, pull->fetched));
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, " AND %s IS NOT NULL", ts_diff_target_value(&link->columns[link->keys[i]]));
	/* another link's rows are not ours, unless we have them, too; where a link goes back, all of them are to be here */
	if (ts_link_back(link) == TS_BACK_NONE && ts_links_beside(link) != NIL)
	{
		appendStringInfo(&sql, " AND (EXISTS (SELECT FROM %s AS s WHERE ", ts_source_rows(link));
		ts_diff_append_key_match(&sql, link, "s");
		appendStringInfoString(&sql, ") OR (true");
		ts_diff_append_other_sources(&sql, link);
		appendStringInfoString(&sql, "))");
	}
	/* where the target is the link's alone, a row that does not look like one of its rows is damage, and refused later */
	appendStringInfo(&sql, "%s)", link->shared != TS_SHARED_NOT || link->target_filter != NULL ? ts_target_rows_condition(link) : "");
	return sql.data;
}

static void
reverse(Pull *pull, const TsOpened *opened)
{
	pull->link = opened->link;
	pull->source = opened->source;
	pull->target = opened->target;
	pull->back = ts_link_reversed(pull->link, pull->source, pull->target);
	if (pull->link->server != NULL)
		pull->fetched = ts_fetch_target(pull->link, NULL, &pull->store);
	pull->back->rows = target_rows(pull);
}

/* Runs a query that should find nothing: its first column, NULL if it does. Sees what was written so far, and nobody else's changes. */
static char *
find_first(const TsOpening *opening, const char *sql)
{
	char	   *found;

	PushCopiedSnapshot(opening->snapshot);
	UpdateActiveSnapshotCommandId();
	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	found = SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
	PopActiveSnapshot();
	return found;
}

/* SQL: the key of a row s of the target, for messages. */
static char *
key_text(const TsLink *back)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < back->nkeys; i++)
	{
		const char *name = back->columns[back->keys[i]].target_name;

		appendStringInfo(&sql, "%s%s, s.%s", i ? ", " : "pg_catalog.jsonb_build_object(", quote_literal_cstr(name), quote_identifier(name));
	}
	return psprintf("%s)::pg_catalog.text", sql.data);
}

/* Each row of the target that has one in the source has one that passes the filter. */
static void
check_filter(const TsOpening *opening, const Pull *pull)
{
	const TsLink *back = pull->back;
	StringInfoData sql;
	char	   *key;

	if (back->target_condition == NULL)
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s FROM %s AS s JOIN %s AS t ON ", key_text(back), back->rows, ts_diff_target(back));
	ts_diff_append_key_match(&sql, back, "s");
	appendStringInfo(&sql, " WHERE (%s) IS NOT TRUE", back->target_condition);
	key = find_first(opening, sql.data);
	if (key != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source's row %s does not pass the filter of link \"%s\"", key, pull->link->name),
				 errdetail("The target has a row of this key, so that the source would hold what the link does not bring there."),
				 errhint("Mend the target's row, delete it, or alter the link's filter.")));
}

/* What was cast on its way is the same when it is cast back. */
static void
check_casts(const TsOpening *opening, const Pull *pull)
{
	const TsLink *back = pull->back;

	for (int i = 0; i < back->ncolumns; i++)
	{
		const TsColumn *col = &back->columns[i];
		char	   *value = psprintf("s.%s", quote_identifier(col->target_name));
		char	   *row;

		if (!ts_diff_is_cast(col) || col->ignored)
			continue;
		row = find_first(opening, psprintf("SELECT pg_catalog.concat(%s, ', column ', %s, ', value ', %s) FROM %s AS s WHERE NOT "
										   "pg_catalog.record_image_eq(ROW((%s)::%s), ROW((%s)::%s))", key_text(back), quote_literal_cstr(quote_identifier(col->source_name)),
										   value, back->rows, ts_diff_source_value(col, "s"), ts_quote_type(col->source_type, col->source_typmod),
										   value, ts_quote_type(col->source_type, col->source_typmod)));
		if (row != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("the source of link \"%s\" cannot hold a value of the target: row %s", pull->link->name, row),
					 errdetail("Column %s of the source is of type %s; another value would come back.", quote_identifier(col->target_name),
							   ts_show_type(col->target_base, col->target_typmod)),
					 errhint("Mend the value at the target, or give the source's column a type that holds it.")));
	}
}

/* What was rounded or cut on its way there is in step, and would come back as it is there. */
static void
check_rounded(const TsOpening *opening, const Pull *pull)
{
	const TsLink *link = pull->link;

	for (int i = 0; i < pull->back->ncolumns && link->lossy; i++)
	{
		const TsColumn *back = &pull->back->columns[i];
		const TsColumn *there = NULL;
		StringInfoData sql;
		char	   *key;

		for (int j = 0; j < link->ncolumns; j++)
			if (link->columns[j].attnum == back->target_attnum)
				there = &link->columns[j];
		if (there == NULL || there->is_key || there->ignored || !ts_diff_is_cast(there))
			continue;
		initStringInfo(&sql);
		appendStringInfo(&sql, "SELECT %s FROM %s AS s JOIN %s AS t ON ", key_text(link), ts_source_rows(link), ts_diff_target_rows(link, pull->fetched));
		ts_diff_append_key_match(&sql, link, "s");
		appendStringInfo(&sql, ", LATERAL (SELECT %s AS %s) AS b WHERE %s AND NOT pg_catalog.record_image_eq(ROW(s.%s), ROW(%s))", ts_diff_target_value(there),
						 quote_identifier(back->target_name), ts_diff_holds(link, there, "s"), quote_identifier(there->target_name),
						 ts_diff_source_value(back, "b"));
		key = find_first(opening, sql.data);
		if (key != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("link \"%s\" cannot be pulled: column %s of its source would be rounded or cut: row %s", link->name,
							quote_identifier(back->target_name), key),
					 errdetail("The target holds of the value what its type holds."),
					 errhint("Write to the source by hand what the target's rows are to bring.")));
	}
}

/* The source holds what the target does. */
static void
check_done(const TsOpening *opening, const Pull *pull)
{
	TsLink	   *back = pull->back;
	TsChangeSource *changes;
	TsChange	change;
	bool		any;
	StringInfoData kept;

	check_filter(opening, pull);
	check_casts(opening, pull);
	PushCopiedSnapshot(opening->snapshot);
	UpdateActiveSnapshotCommandId();
	changes = ts_diff_source(back, pull->source, true);
	ts_change_init(&change, back->ncolumns);
	any = changes->next(changes, &change);
	changes->end(changes);
	PopActiveSnapshot();
	/* a row that another link brings is not deleted here */
	initStringInfo(&kept);
	appendStringInfo(&kept, "SELECT 'kept' FROM %s AS s WHERE NOT EXISTS (SELECT FROM %s AS t WHERE ", ts_source_rows(pull->link),
					 ts_diff_target_rows(pull->link, pull->fetched));
	ts_diff_append_key_match(&kept, pull->link, "s");
	appendStringInfoChar(&kept, ')');
	if (any || find_first(opening, kept.data) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source of link \"%s\" would not hold what its target holds", pull->link->name),
				 errdetail("A row is not what was written: a trigger of the source changed it, or other links write to the source."),
				 errhint("See what differs with tracksync.diff.")));
}

/* The link has shipped all that this transaction sees, what was written just now included. */
static void
record(const TsOpening *opening, const Pull *pull, const TsPlan *plan, const TsPushed *pushed, int64 id)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, INT8OID, INT8OID};
	static const Oid record_types[] = {INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID};
	const TsLink *link = pull->link;
	int64		rows[3] = {0};
	int64		own_seq = plan->own_seq;
	Datum		values[8];
	TsCatalog	cat;

	for (int i = 0; i < pushed->merged->nsteps; i++)
		if (pushed->merged->plans[pushed->merged->steps[i].plan] == plan && ts_merged_step(pushed->merged, i)->store != NULL)
			rows[ts_merged_step(pushed->merged, i)->op] += pushed->done[i].rows;
	if (!link->by_diff)
	{
		TsPending	pending;

		PushCopiedSnapshot(opening->snapshot);
		UpdateActiveSnapshotCommandId();
		pending = ts_log_pending(link->tracked, GetActiveSnapshot(), link->position, false);
		own_seq = Max(own_seq, pending.last_seq);
		PopActiveSnapshot();
	}
	ts_catalog_enter(&cat);
	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(plan->position);
	values[2] = CStringGetTextDatum(psprintf(UINT64_FORMAT, own_seq ? ts_own_txid() : 0));
	values[3] = Int64GetDatum(own_seq);
	values[4] = CStringGetTextDatum(ts_source_storage(link->source));
	values[5] = CStringGetTextDatum(ts_system_identity());
	values[6] = Int64GetDatum(rows[0] + rows[1] + rows[2]);
	values[7] = Int64GetDatum(pushed->microseconds);
	ts_sql("UPDATE tracksync.link SET state = 'active', position = $2::pg_snapshot, own_txid = nullif($3, '0')::xid8, own_seq = $4, storage = $5, "
		   "system_identity = $6, doubted = false, last_push = clock_timestamp(), last_rows = $7, last_elapsed = $8 * interval '1 microsecond' "
		   "WHERE name = $1", SPI_OK_UPDATE, 8, types, values, NULL);
	ts_sql("DELETE FROM tracksync.quarantine_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(link->name);
	values[2] = Int64GetDatum(pushed->microseconds);
	for (int op = 0; op < TS_CHANGE_OPS; op++)
		values[3 + op] = Int64GetDatum(rows[op]);
	ts_sql("INSERT INTO tracksync.push_record (id, link, started, elapsed, deletes, updates, inserts, outcome) OVERRIDING SYSTEM VALUE "
		   "SELECT $1, $2, clock_timestamp() - $3 * interval '1 microsecond', $3 * interval '1 microsecond', $4, $5, $6, 'pulled'",
		   SPI_OK_INSERT, 6, record_types, values, NULL);
	ts_catalog_leave(&cat);
}

static void
add_context(void *arg)
{
	errcontext("pull of link \"%s\", comparing the target's values, cast to the types of the source", (const char *) arg);
}

static TsPushed *
run(TsOpening *opening, Pull *pulls)
{
	TsPlan	  **plans = palloc(sizeof(TsPlan *) * (opening->n + 1));
	Relation   *sources = palloc(sizeof(Relation) * (opening->n + 1));
	TsPushed   *pushed;
	TsCatalog	cat;

	for (int i = 0; i < opening->n; i++)
	{
		ErrorContextCallback callback = {.callback = add_context, .arg = pulls[i].link->name, .previous = error_context_stack};

		error_context_stack = &callback;
		plans[i] = ts_plan_build(pulls[i].back, pulls[i].target, pulls[i].source, opening->snapshot, TS_PLAN_KEEP);
		error_context_stack = callback.previous;
		sources[i] = pulls[i].target;
	}
	pushed = ts_push_run(ts_merge_plans(opening->n, plans), opening->group ? opening->name : NULL, sources, false);
	ts_buffer_flush();
	CommandCounterIncrement();
	for (int i = 0; i < opening->n; i++)
	{
		check_done(opening, &pulls[i]);
		record(opening, &pulls[i], plans[i], pushed, i == 0 ? pushed->id : ts_push_next_id());
	}
	ts_catalog_enter(&cat);
	ts_reached_record(pushed->reached);
	ts_catalog_leave(&cat);
	for (int i = 0; i < opening->n; i++)
		if (!pulls[i].link->by_diff)
			(void) ts_log_prune(pulls[i].link->source, false, NULL);
	ts_push_sequences(pushed);
	return pushed;
}

Datum
tracksync_pull(PG_FUNCTION_ARGS)
{
	TsResult	result;
	TsOpening	opening;
	Pull	   *pulls;
	TsPushed   *pushed;
	bool		discard;

	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "discard");
	discard = PG_GETARG_BOOL(1);
	result = ts_result_begin(fcinfo);
	lock_sources(ts_text_arg(fcinfo, 0));
	ts_open(&opening, ts_text_arg(fcinfo, 0), TS_OPEN_TRY);
	pulls = palloc0(sizeof(Pull) * (opening.n + 1));
	for (int i = 0; i < opening.n; i++)
	{
		check_state(&opening.links[i]);
		ts_pair_check_pull(opening.links[i].link);
		ts_pair_check_beside(&opening, opening.links[i].link);
		if (!discard)
			check_pending(&opening, &opening.links[i]);
		reverse(&pulls[i], &opening.links[i]);
		check_filter(&opening, &pulls[i]);
		check_rounded(&opening, &pulls[i]);
	}
	pushed = run(&opening, pulls);
	ts_put_done(&result, &opening, pushed);
	for (int i = 0; i < opening.n; i++)
	{
		ts_plan_end(pushed->merged->plans[i]);
		if (pulls[i].fetched != NULL)
			ts_fetch_end(pulls[i].fetched, pulls[i].store);
	}
	ts_close(&opening);
	PG_RETURN_NULL();
}
