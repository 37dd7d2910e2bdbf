/* compat.c: what differs too much between versions for a macro. */
#include "postgres.h"

#include "access/xlog.h"
#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/rel.h"

#include "base/compat.h"

ResultRelInfo *
ts_init_result_relation(EState *estate, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
#if PG_VERSION_NUM >= 160000
	List	   *perminfos = NIL;
#endif

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
#if PG_VERSION_NUM >= 160000
	addRTEPermissionInfo(&perminfos, rte);
#endif
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(rte), perminfos, bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
	ExecInitRangeTable(estate, list_make1(rte), perminfos);
#else
	ExecInitRangeTable(estate, list_make1(rte));
#endif
	InitResultRelInfo(relinfo, rel, 1, NULL, 0);
#if PG_VERSION_NUM < 140000
	estate->es_result_relations = relinfo;
	estate->es_num_result_relations = 1;
	estate->es_result_relation_info = relinfo;
#endif
	MemoryContextSwitchTo(old);
	return relinfo;
}

void
ts_set_updated_columns(EState *estate, int n, const AttrNumber *attnums)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	RangeTblEntry *rte = exec_rt_fetch(1, estate);
	Bitmapset  *columns = NULL;

	for (int i = 0; i < n; i++)
		columns = bms_add_member(columns, attnums[i] - FirstLowInvalidHeapAttributeNumber);
#if PG_VERSION_NUM >= 160000
	{
		RTEPermissionInfo *perminfo = getRTEPermissionInfo(estate->es_rteperminfos, rte);

		bms_free(perminfo->updatedCols);
		perminfo->updatedCols = columns;
	}
#else
	bms_free(rte->updatedCols);
	rte->updatedCols = columns;
#endif
	MemoryContextSwitchTo(old);
}

void
ts_insert_index_tuples(ResultRelInfo *relinfo, TupleTableSlot *slot, EState *estate, bool update, TsUpdateIndexes indexes)
{
#if PG_VERSION_NUM >= 160000
	if (relinfo->ri_NumIndices > 0 && indexes != TU_None)
		list_free(ExecInsertIndexTuples(relinfo, slot, estate, update, false, NULL, NIL, indexes == TU_Summarizing));
#elif PG_VERSION_NUM >= 140000
	if (relinfo->ri_NumIndices > 0 && indexes)
		list_free(ExecInsertIndexTuples(relinfo, slot, estate, update, false, NULL, NIL));
#else
	if (relinfo->ri_NumIndices > 0 && indexes)
		list_free(ExecInsertIndexTuples(slot, estate, false, NULL, NIL));
#endif
}

TimeLineID
ts_timeline(void)
{
	/* PostgreSQL 15: asks for it; before, it is known once it was asked for recovery */
#if PG_VERSION_NUM >= 150000
	return GetWALInsertionTimeLine();
#else
	(void) RecoveryInProgress();
	return ThisTimeLineID;
#endif
}
