/* direct.c: writing rows without statements. */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "apply/direct.h"
#include "base/compat.h"
#include "netchange/lookup.h"

/* So many rows are inserted at once. */
#define SLOTS 1000

struct TsDirect
{
	const TsLink *link;
	Relation	rel;
	TsKeyIndex *key;			/* its columns in the link's key order */
	EState	   *estate;
	ResultRelInfo *relinfo;
	TupleTableSlot *slots[SLOTS];	/* of rows to be written, made as they are needed */
	/* of the batch at hand */
	Snapshot	snapshot;
	CommandId	cid;
	TsLookup   *lookup;
};

/* Would a statement do anything to the row that we do not? */
static bool
is_plain(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	return rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relispartition && rel->trigdesc == NULL &&
		rel->rd_rules == NULL && !rel->rd_rel->relrowsecurity && (constr == NULL || !ts_has_generated(constr));
}

/* Do all columns have the source's types, and the other ones no default? */
static bool
columns_fit(const TsLink *link, TupleDesc desc)
{
	bool	   *mapped = palloc0(sizeof(bool) * (desc->natts + 1));

	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		mapped[col->target_attnum] = true;
		if (col->target_type != col->source_type || (col->target_typmod != -1 && col->target_typmod != col->source_typmod))
			return false;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!mapped[i + 1] && !att->attisdropped && (att->atthasdef || att->attidentity != '\0'))
			return false;
	}
	return true;
}

TsDirect *
ts_direct_begin(const TsLink *link)
{
	AttrNumber	keys[INDEX_MAX_KEYS];
	Relation	rel = table_open(link->target, RowExclusiveLock);
	TsDirect   *direct;
	TsKeyIndex *key;

	for (int i = 0; i < link->nkeys; i++)
		keys[i] = link->columns[link->keys[i]].target_attnum;
	key = ts_key_index_find(rel, link->nkeys, keys);
	if (!is_plain(rel) || !columns_fit(link, RelationGetDescr(rel)) || key == NULL)
	{
		table_close(rel, NoLock);
		return NULL;
	}
	ts_key_index_reorder(key, link->nkeys, keys);
	direct = palloc0(sizeof(TsDirect));
	direct->link = link;
	direct->rel = rel;
	direct->key = key;
	direct->estate = CreateExecutorState();
	direct->relinfo = ts_init_result_relation(direct->estate, rel);
	ExecOpenIndices(direct->relinfo, false);
	return direct;
}

void
ts_direct_end(TsDirect *direct)
{
	for (int i = 0; i < SLOTS && direct->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(direct->slots[i]);
	ExecCloseIndices(direct->relinfo);
	FreeExecutorState(direct->estate);
	table_close(direct->rel, NoLock);
	pfree(direct);
}

static TupleTableSlot *
empty_slot(TsDirect *direct, int i)
{
	if (direct->slots[i] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(direct->estate->es_query_cxt);

		direct->slots[i] = table_slot_create(direct->rel, NULL);
		MemoryContextSwitchTo(old);
	}
	return ExecClearTuple(direct->slots[i]);
}

/* Constraints that the table has, but for unique ones. */
static void
check(TsDirect *direct, TupleTableSlot *slot)
{
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(direct->rel);
	if (RelationGetDescr(direct->rel)->constr != NULL)
		ExecConstraints(direct->relinfo, slot, direct->estate);
}

/* The row with the key that the change has on one of its sides. */
static TupleTableSlot *
look_up(TsDirect *direct, const Datum *values)
{
	Datum		keys[INDEX_MAX_KEYS];

	for (int i = 0; i < direct->link->nkeys; i++)
		keys[i] = values[direct->link->keys[i]];
	return ts_lookup_row(direct->lookup, keys);
}

/* Does the row hold these values in the columns whose mask has all of these bits? By image, as record_image_eq does. */
static bool
holds(const TsDirect *direct, TupleTableSlot *slot, const unsigned char *mask, int bits, const Datum *values,
	  const bool *nulls)
{
	const TsLink *link = direct->link;

	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		bool		isnull;
		Datum		value;

		if ((mask[i] & bits) != bits)
			continue;
		value = slot_getattr(slot, col->target_attnum, &isnull);
		if (isnull != nulls[i] || (!isnull && !datum_image_eq(value, values[i], col->byval, col->len)))
			return false;
	}
	return true;
}

/* Is the row written? One that another session changed meanwhile is left to be looked at again. */
static bool
took(TM_Result result)
{
	if (result == TM_Ok)
		return true;
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errhint("Repeat the transaction.")));
	return false;
}

static bool
delete_row(TsDirect *direct, const TsWrite *write, const TsChange *row)
{
	TupleTableSlot *slot = look_up(direct, row->old_values);
	TM_FailureData failure;

	if (slot == NULL || !holds(direct, slot, write->mask, TS_COLUMN_KNOWN, row->old_values, row->old_nulls))
		return false;
	return took(table_tuple_delete(direct->rel, &slot->tts_tid, direct->cid, direct->snapshot, InvalidSnapshot, true, &failure,
								   false));
}

/* The row as it will be, in slot 0. */
static TupleTableSlot *
updated_row(TsDirect *direct, const TsWrite *write, const TsChange *row, TupleTableSlot *was)
{
	TupleDesc	desc = RelationGetDescr(direct->rel);
	TupleTableSlot *slot = empty_slot(direct, 0);

	slot_getallattrs(was);
	for (int i = 0; i < desc->natts; i++)
	{
		slot->tts_isnull[i] = was->tts_isnull[i] || TupleDescAttr(desc, i)->attisdropped;
		slot->tts_values[i] = slot->tts_isnull[i] ? (Datum) 0 : was->tts_values[i];
	}
	for (int i = 0; i < direct->link->ncolumns; i++)
		if (write->mask[i] & TS_COLUMN_CHANGED)
		{
			int			at = direct->link->columns[i].target_attnum - 1;

			slot->tts_values[at] = row->new_values[i];
			slot->tts_isnull[at] = row->new_nulls[i];
		}
	check(direct, slot);
	return slot;
}

static bool
update_row(TsDirect *direct, const TsWrite *write, const TsChange *row)
{
	TupleTableSlot *was = look_up(direct, row->new_values);
	TupleTableSlot *slot;
	TM_FailureData failure;
	LockTupleMode mode;
	TsUpdateIndexes indexes;

	if (was == NULL || !holds(direct, was, write->mask, TS_COLUMN_CHANGED | TS_COLUMN_KNOWN, row->old_values, row->old_nulls))
		return false;
	if (ts_change_has_unknown(direct->link, write->mask) && holds(direct, was, write->mask, TS_COLUMN_CHANGED, row->new_values, row->new_nulls))
		return true;
	slot = updated_row(direct, write, row, was);
	if (!took(table_tuple_update(direct->rel, &was->tts_tid, slot, direct->cid, direct->snapshot, InvalidSnapshot, true, &failure,
								 &mode, &indexes)))
		return false;
	ts_insert_index_tuples(direct->relinfo, slot, direct->estate, true, indexes);
	return true;
}

/* The keys are taken not to be there: 23505 if one is. */
static void
insert_rows(TsDirect *direct, int n, const TsChange *rows)
{
	TupleDesc	desc = RelationGetDescr(direct->rel);

	for (int r = 0; r < n; r++)
	{
		TupleTableSlot *slot = empty_slot(direct, r);

		CHECK_FOR_INTERRUPTS();
		memset(slot->tts_isnull, true, sizeof(bool) * desc->natts);
		for (int i = 0; i < direct->link->ncolumns; i++)
		{
			int			at = direct->link->columns[i].target_attnum - 1;

			slot->tts_values[at] = rows[r].new_values[i];
			slot->tts_isnull[at] = rows[r].new_nulls[i];
		}
		check(direct, slot);
		ResetPerTupleExprContext(direct->estate);
	}
	table_multi_insert(direct->rel, direct->slots, n, direct->cid, 0, NULL);
	for (int r = 0; r < n; r++)
	{
		CHECK_FOR_INTERRUPTS();
		ts_insert_index_tuples(direct->relinfo, direct->slots[r], direct->estate, false, TS_UPDATE_ALL);
		ExecClearTuple(direct->slots[r]);
		ResetPerTupleExprContext(direct->estate);
	}
}

static void
tell_columns(TsDirect *direct, const TsWrite *write)
{
	const TsLink *link = direct->link;
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (link->ncolumns + 1));
	int			n = 0;

	for (int i = 0; i < link->ncolumns; i++)
		if (write->mask[i] & TS_COLUMN_CHANGED)
			attnums[n++] = link->columns[i].target_attnum;
	ts_set_updated_columns(direct->estate, n, attnums);
}

static void
find_rows(TsDirect *direct, const TsWrite *write)
{
	if (write->op == TS_CHANGE_UPDATE)
		tell_columns(direct, write);
	/* a published table needs a replica identity */
	CheckCmdReplicaIdentity(direct->rel, write->op == TS_CHANGE_DELETE ? CMD_DELETE : CMD_UPDATE);
	direct->lookup = ts_lookup_begin(direct->rel, direct->key, direct->snapshot, true);
	for (int r = 0; r < write->n; r++)
	{
		CHECK_FOR_INTERRUPTS();
		if (write->op == TS_CHANGE_DELETE)
			write->done[r] = delete_row(direct, write, &write->rows[r]);
		else
			write->done[r] = update_row(direct, write, &write->rows[r]);
		ResetPerTupleExprContext(direct->estate);
	}
	ts_lookup_end(direct->lookup);
}

void
ts_direct_write(TsDirect *direct, const TsWrite *write)
{
	/* a batch is a command: it sees the ones before, and in READ COMMITTED what was committed meanwhile */
	PushActiveSnapshot(GetTransactionSnapshot());
	direct->snapshot = GetActiveSnapshot();
	direct->cid = GetCurrentCommandId(true);
	direct->estate->es_snapshot = direct->snapshot;
	direct->estate->es_output_cid = direct->cid;
	if (write->op == TS_CHANGE_INSERT)
		for (int r = 0; r < write->n; r += SLOTS)
			insert_rows(direct, Min(write->n - r, SLOTS), &write->rows[r]);
	else
		find_rows(direct, write);
	if (write->op == TS_CHANGE_INSERT)
		memset(write->done, true, sizeof(bool) * write->n);
	PopActiveSnapshot();
	CommandCounterIncrement();
}
