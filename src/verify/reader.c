/* reader.c: the rows of a query, one by one. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "executor/execdesc.h"
#include "executor/executor.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "verify/reader.h"

struct TsReader
{
	char	   *sql;
	PlannedStmt *plan;
	QueryDesc  *query;
	bool		done;
};

/*
 * The whole of a table is to be read in the order of an index. Where its rows lie in another one, that is a cache miss for each, of the
 * processor at least, which the planner does not reckon with if it takes the table to be cached: sorting is up to three times as fast.
 */
static int
distrust_caches(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("effective_cache_size", "1MB", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

TsReader *
ts_reader_plan(char *sql, bool table)
{
	TsReader   *reader = palloc0(sizeof(TsReader));
	List	   *statements = pg_parse_query(sql);
	List	   *queries = ts_analyze_and_rewrite(linitial_node(RawStmt, statements), sql);
	int			level = table ? distrust_caches() : 0;

	reader->sql = sql;
	/* workers could not go on when the caller has a row and does something else */
	reader->plan = pg_plan_query(linitial_node(Query, queries), sql, 0, NULL);
	if (table)
		AtEOXact_GUC(true, level);
	return reader;
}

/* The file of a relation as the active snapshot sees it. */
static Oid
file_then(Oid relid)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	Oid			file = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(classes, ClassOidIndexId, true, GetActiveSnapshot(), 1, &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
		file = ((Form_pg_class) GETSTRUCT(tup))->relfilenode;
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return file;
}

static void
check_files(const PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, plan->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Relation	rel;

		if (rte->rtekind != RTE_RELATION || (rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW))
			continue;
		rel = table_open(rte->relid, NoLock);
		if (rel->rd_rel->relfilenode != file_then(rte->relid))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not read table %s: it was truncated or rewritten after this transaction's snapshot",
							RelationGetRelationName(rel)),
					 errhint("Try again in a new transaction.")));
		table_close(rel, NoLock);
	}
}

void
ts_reader_begin(TsReader *reader, Snapshot snapshot)
{
	if (IsolationUsesXactSnapshot())
		check_files(reader->plan);
	reader->query = CreateQueryDesc(reader->plan, reader->sql, snapshot, InvalidSnapshot, None_Receiver, NULL, NULL, 0);
	/* levels of AFTER triggers have to end in the reverse order, which nobody could promise */
	ExecutorStart(reader->query, EXEC_FLAG_SKIP_TRIGGERS);
	reader->query->estate->es_direction = ForwardScanDirection;
}

/* What ExecutorRun does for each row; that itself is too much for each row. */
TupleTableSlot *
ts_reader_next(TsReader *reader)
{
	EState	   *estate = reader->query->estate;
	MemoryContext old;
	TupleTableSlot *slot;

	if (reader->done)
		return NULL;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	ResetPerTupleExprContext(estate);
	slot = ExecProcNode(reader->query->planstate);
	MemoryContextSwitchTo(old);
	reader->done = TupIsNull(slot);
	return reader->done ? NULL : slot;
}

void
ts_reader_end(TsReader *reader)
{
	if (reader->query == NULL)
		return;
	ExecutorFinish(reader->query);
	ExecutorEnd(reader->query);
	FreeQueryDesc(reader->query);
	reader->query = NULL;
}
