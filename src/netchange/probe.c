/* probe.c: the live row of a key. */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "netchange/probe.h"

struct TsProbe
{
	Relation	source;
	Snapshot	snapshot;
	int			nkeys;
	TsKeyIndex *index;
	TupleTableSlot *slot;
	MemoryContext home;			/* index scans allocate as they go: always here */
	/* a plain table's */
	Relation	indexrel;
	IndexScanDesc scan;
	ScanKeyData *scankeys;		/* one per key, in index order, which is the key's order */
	/* a partitioned table's */
	SPIPlanPtr	plan;
	Oid			reader;			/* who runs it */
	MemoryContext context;		/* of the row found */
};

static void
begin_index(TsProbe *probe)
{
	probe->indexrel = index_open(probe->index->index, AccessShareLock);
	probe->scankeys = palloc0(sizeof(ScanKeyData) * probe->nkeys);
	for (int i = 0; i < probe->nkeys; i++)
	{
		TsKeyColumn *col = &probe->index->columns[i];

		ScanKeyEntryInitialize(&probe->scankeys[i], 0, col->indexattno, BTEqualStrategyNumber, col->opcintype,
							   col->collation, get_opcode(col->eq_op), (Datum) 0);
	}
	probe->scan = ts_index_beginscan(probe->source, probe->indexrel, probe->snapshot, probe->nkeys);
	probe->slot = table_slot_create(probe->source, NULL);
}

/* SELECT * FROM schema.source s WHERE s.k1 OPERATOR(schema.=) $1 AND … */
static void
begin_sql(TsProbe *probe)
{
	TupleDesc	desc = RelationGetDescr(probe->source);
	Oid		   *types = palloc(sizeof(Oid) * probe->nkeys);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM %s s WHERE ", ts_quote_relation(RelationGetRelid(probe->source)));
	for (int i = 0; i < probe->nkeys; i++)
	{
		TsKeyColumn *col = &probe->index->columns[i];
		Form_pg_attribute att = TupleDescAttr(desc, col->attnum - 1);

		types[i] = getBaseType(att->atttypid);
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		ts_append_column(&sql, "s", NameStr(att->attname));
		appendStringInfo(&sql, " %s $%d", ts_quote_operator(col->eq_op), i + 1);
	}
	probe->plan = SPI_prepare(sql.data, probe->nkeys, types);
	if (probe->plan == NULL)
		elog(ERROR, "could not prepare: %s", sql.data);
	probe->reader = ts_extension_owner();
	probe->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync probe", ALLOCSET_SMALL_SIZES);
	probe->slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
}

TsProbe *
ts_probe_begin(Relation source, const TsTracked *tracked, Snapshot snapshot)
{
	TsProbe    *probe = palloc0(sizeof(TsProbe));

	probe->home = CurrentMemoryContext;
	probe->source = source;
	probe->snapshot = snapshot;
	probe->nkeys = tracked->nkeys;
	probe->index = ts_key_index_find(source, tracked->nkeys, tracked->keys);
	if (probe->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of tracked table \"%s\" has no unique index any more", RelationGetRelationName(source)),
				 errhint("Create the unique index again, or untrack the table and track it with another key.")));
	for (int i = 0; i < probe->nkeys; i++)
		for (int j = i; j < probe->nkeys; j++)
			if (probe->index->columns[j].attnum == tracked->keys[i])
			{
				/* the log's key order is the order of the index that was there when tracking began */
				TsKeyColumn swap = probe->index->columns[i];

				probe->index->columns[i] = probe->index->columns[j];
				probe->index->columns[j] = swap;
				break;
			}
	if (source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		begin_sql(probe);
	else
		begin_index(probe);
	return probe;
}

static TupleTableSlot *
probe_sql(TsProbe *probe, const Datum *keys)
{
	int			rc;
	HeapTuple	tuple;
	MemoryContext old;

	Oid			user;
	int			seccontext;

	ExecClearTuple(probe->slot);
	MemoryContextReset(probe->context);
	/* the whole row, whichever columns the caller may read: he checked for those he uses */
	GetUserIdAndSecContext(&user, &seccontext);
	SetUserIdAndSecContext(probe->reader, seccontext | SECURITY_LOCAL_USERID_CHANGE);
	rc = SPI_execute_snapshot(probe->plan, (Datum *) keys, NULL, probe->snapshot, InvalidSnapshot, true, true, 0);
	SetUserIdAndSecContext(user, seccontext);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of a key look-up", SPI_result_code_string(rc));
	if (SPI_processed == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return NULL;
	}
	old = MemoryContextSwitchTo(probe->context);
	tuple = heap_copytuple(SPI_tuptable->vals[0]);
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
	return ExecStoreHeapTuple(tuple, probe->slot, false);
}

/*
 * For an index scan the scan keys must stand in the order of the index's columns.
 */
static int
compare_scankeys(const void *a, const void *b)
{
	return ((const ScanKeyData *) a)->sk_attno - ((const ScanKeyData *) b)->sk_attno;
}

TupleTableSlot *
ts_probe_row(TsProbe *probe, const Datum *keys)
{
	ScanKeyData ordered[INDEX_MAX_KEYS];
	MemoryContext old;
	bool		found;

	if (probe->scan == NULL)
		return probe_sql(probe, keys);
	for (int i = 0; i < probe->nkeys; i++)
	{
		ordered[i] = probe->scankeys[i];
		ordered[i].sk_argument = keys[i];
	}
	if (probe->nkeys > 1)
		qsort(ordered, probe->nkeys, sizeof(ScanKeyData), compare_scankeys);
	old = MemoryContextSwitchTo(probe->home);
	index_rescan(probe->scan, ordered, probe->nkeys, NULL, 0);
	found = index_getnext_slot(probe->scan, ForwardScanDirection, probe->slot);
	MemoryContextSwitchTo(old);
	return found ? probe->slot : NULL;
}

const TsKeyIndex *
ts_probe_index(const TsProbe *probe)
{
	return probe->index;
}

void
ts_probe_end(TsProbe *probe)
{
	ExecDropSingleTupleTableSlot(probe->slot);
	if (probe->scan != NULL)
	{
		index_endscan(probe->scan);
		index_close(probe->indexrel, NoLock);
	}
	if (probe->plan != NULL)
		SPI_freeplan(probe->plan);
	pfree(probe);
}
