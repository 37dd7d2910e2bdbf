/* probe.c: the live row of a key. */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "netchange/lookup.h"
#include "netchange/probe.h"

struct TsProbe
{
	Relation	source;
	Snapshot	snapshot;
	int			nkeys;
	TsKeyIndex *index;
	TsLookup   *lookup;			/* a plain table's */
	/* a partitioned table's */
	TupleTableSlot *slot;
	SPIPlanPtr	plan;
	Oid			reader;			/* who runs it */
	MemoryContext context;		/* of the row found */
	const Datum *ahead[TS_PROBE_AHEAD]; /* the keys asked for; of a plain table only if they are looked for one by one */
};

/* SELECT s.a, NULL, s.c … FROM schema.source s WHERE, a column per attribute number, so that the row fits the table's slot: s.k1 OPERATOR(schema.=) $1 AND … */
static void
begin_sql(TsProbe *probe)
{
	TupleDesc	desc = RelationGetDescr(probe->source);
	Oid		   *types = palloc(sizeof(Oid) * probe->nkeys);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		appendStringInfoString(&sql, i ? ", " : "");
		if (att->attisdropped || ts_is_virtual(att))
			appendStringInfoString(&sql, "NULL");
		else
			ts_append_column(&sql, "s", NameStr(att->attname));
	}
	appendStringInfo(&sql, " FROM %s s WHERE ", ts_quote_relation(RelationGetRelid(probe->source)));
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

	probe->source = source;
	probe->snapshot = snapshot;
	probe->nkeys = tracked->nkeys;
	probe->index = ts_key_index_find(source, tracked->nkeys, tracked->keys);
	if (probe->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of tracked table \"%s\" has no unique index any more", RelationGetRelationName(source)),
				 errhint("Create the unique index again, or untrack the table and track it with another key.")));
	/* the log's key order is that of the index that was there when tracking began */
	ts_key_index_reorder(probe->index, tracked->nkeys, tracked->keys);
	if (source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		begin_sql(probe);
	else
		probe->lookup = ts_lookup_begin(source, probe->index, snapshot, false);
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

TupleTableSlot *
ts_probe_row(TsProbe *probe, const Datum *keys)
{
	return probe->lookup != NULL ? ts_lookup_row(probe->lookup, keys) : probe_sql(probe, keys);
}

int
ts_probe_can_ahead(const TsProbe *probe)
{
	return probe->lookup != NULL ? ts_lookup_can_ahead(probe->lookup) : 1;
}

void
ts_probe_ahead(TsProbe *probe, int n, const Datum *const *keys)
{
	if (ts_probe_can_ahead(probe) > 1)
		ts_lookup_ahead(probe->lookup, n, keys);
	else
		memcpy(probe->ahead, keys, sizeof(Datum *) * n);
}

TupleTableSlot *
ts_probe_nth(TsProbe *probe, int n)
{
	return ts_probe_can_ahead(probe) > 1 ? ts_lookup_nth(probe->lookup, n) : ts_probe_row(probe, probe->ahead[n]);
}

const TsKeyIndex *
ts_probe_index(const TsProbe *probe)
{
	return probe->index;
}

void
ts_probe_end(TsProbe *probe)
{
	if (probe->lookup != NULL)
		ts_lookup_end(probe->lookup);
	else
	{
		ExecDropSingleTupleTableSlot(probe->slot);
		SPI_freeplan(probe->plan);
	}
	pfree(probe);
}
