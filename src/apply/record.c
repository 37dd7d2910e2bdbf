/* record.c: what a push leaves behind: positions, history, quarantine, sequences. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "apply/images.h"
#include "apply/push.h"
#include "apply/quarantine.h"
#include "apply/reached.h"
#include "base/catalog.h"
#include "base/sequence.h"
#include "link/ledger.h"
#include "link/mapping.h"
#include "link/remote.h"
#include "link/rule.h"
#include "log/shape.h"
#include "log/survivor.h"

int64
ts_push_next_id(void)
{
	TsCatalog	cat;
	bool		isnull;
	int64		id;

	ts_catalog_enter(&cat);
	ts_sql("SELECT nextval('tracksync.push_record_id_seq')", SPI_OK_SELECT, 0, NULL, NULL, NULL);
	id = DatumGetInt64(ts_sql_value(0, 1, &isnull));
	ts_catalog_leave(&cat);
	return id;
}

static int64
rows_of(const TsPushed *pushed, int plan, TsPriority priority)
{
	int64		rows = 0;

	for (int i = 0; i < pushed->merged->nsteps; i++)
		if (pushed->merged->steps[i].plan == plan && ts_merged_step(pushed->merged, i)->priority == priority)
			rows += pushed->done[i].rows;
	return rows;
}

static void
write_position(const TsPushed *pushed, const TsPlan *plan, int64 rows)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, OIDOID, INT8OID, INT8OID, INT4OID, INT2ARRAYOID,
	TEXTARRAYOID, INT2ARRAYOID, BOOLOID, TEXTARRAYOID, TEXTOID, TEXTOID};
	TsStoredColumns columns = ts_link_stored_columns(plan->link);
	Datum		values[17];
	char		nulls[18] = "                 ";

	values[0] = CStringGetTextDatum(plan->link->name);
	values[1] = CStringGetTextDatum(plan->position);
	values[2] = CStringGetTextDatum(psprintf(UINT64_FORMAT, plan->own_seq ? ts_own_txid() : 0));
	values[3] = Int64GetDatum(plan->own_seq);
	values[4] = CStringGetTextDatum(plan->storage);
	values[5] = CStringGetTextDatum(ts_system_identity());
	values[6] = ObjectIdGetDatum(plan->link->server ? InvalidOid : plan->link->target);
	values[7] = Int64GetDatum(rows);
	values[8] = Int64GetDatum(pushed->microseconds);
	values[9] = Int32GetDatum(ts_shape_of(plan->link->source));
	values[10] = columns.attnums;
	values[11] = columns.names;
	values[12] = columns.target_attnums;
	values[13] = BoolGetDatum(plan->link->policy == TS_SCHEMA_APPLY);
	values[14] = columns.expressions;
	nulls[15] = plan->link->remote && plan->link->remote->identity ? ' ' : 'n';
	values[15] = nulls[15] == ' ' ? CStringGetTextDatum(plan->link->remote->identity) : (Datum) 0;
	nulls[16] = plan->link->target_filter_now ? ' ' : 'n';
	values[16] = nulls[16] == ' ' ? CStringGetTextDatum(plan->link->target_filter_now) : (Datum) 0;
	ts_sql("UPDATE tracksync.link SET state = 'active', position = $2::pg_snapshot, own_txid = nullif($3, '0')::xid8, own_seq = $4, "
		   "storage = $5, system_identity = $6, target = nullif($7, 0::oid), create_target = false, doubted = false, last_push = clock_timestamp(), last_rows = $8, "
		   "last_elapsed = $9 * interval '1 microsecond', shape = $10, source_attnums = $11, target_columns = $12, target_attnums = $13, "
		   "followed = CASE WHEN $14 THEN $10 ELSE followed END, "
		   "expressions = $15, former_filter = NULL, target_identity = $16, target_filter = $17 WHERE name = $1", SPI_OK_UPDATE, 17, types, values, nulls);
}

static void
record_link(const TsPushed *pushed, int i, bool dry_run)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, INT8OID};
	const TsPlan *plan = pushed->merged->plans[i];
	Datum		values[7];
	int64		deletes = rows_of(pushed, i, TS_PRIORITY_DELETE),
				updates = rows_of(pushed, i, TS_PRIORITY_UPDATE),
				inserts = rows_of(pushed, i, TS_PRIORITY_INSERT);

	values[0] = CStringGetTextDatum(plan->link->name);
	values[1] = Int64GetDatum(pushed->microseconds);
	values[2] = Int64GetDatum(deletes);
	values[3] = Int64GetDatum(updates);
	values[4] = Int64GetDatum(inserts);
	values[5] = CStringGetTextDatum(dry_run ? "dry run" : "done");
	values[6] = Int64GetDatum(i == 0 ? pushed->id : ts_push_next_id());
	ts_sql("INSERT INTO tracksync.push_record (id, link, started, elapsed, deletes, updates, inserts, outcome) OVERRIDING SYSTEM VALUE "
		   "SELECT $7, $1, clock_timestamp() - $2 * interval '1 microsecond', $2 * interval '1 microsecond', $3, $4, $5, $6",
		   SPI_OK_INSERT, 7, types, values, NULL);
	if (dry_run)
		return;
	write_position(pushed, plan, deletes + updates + inserts);
	ts_quarantine_record(plan->link, pushed->bad[i]);
	/* the crash that emptied an unlogged source is mended */
	if (!plan->link->by_diff)
		ts_survivors_note(plan->link->source);
	if (plan->link->server != NULL)
		ts_ledger_write(plan->link, pushed->id);
}

void
ts_push_record(const TsPushed *pushed, bool dry_run)
{
	TsCatalog	cat;

	for (int i = 0; i < pushed->merged->nplans && !dry_run; i++)
	{
		ts_images_take(pushed->merged->plans[i]->link, pushed->bad[i]);
		ts_rules_follow(pushed->merged->plans[i]->link);
	}
	ts_catalog_enter(&cat);
	for (int i = 0; i < pushed->merged->nplans; i++)
		record_link(pushed, i, dry_run);
	if (!dry_run)
		ts_reached_record(pushed->reached);
	ts_catalog_leave(&cat);
}

void
ts_push_sequences(const TsPushed *pushed)
{
	for (int i = 0; i < pushed->merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(pushed->merged, i);

		if (step->priority != TS_PRIORITY_SEQUENCE)
			continue;
		/* checks once more: a sequence never goes back */
		if (step->remote_sequence != NULL)
			ts_remote_sequence_advance(pushed->merged->plans[pushed->merged->steps[i].plan]->link, step->remote_sequence, step->value);
		else
			ts_sequence_advance(step->sequence, step->value);
	}
}
