/*
 * compat.h: the differences between PostgreSQL 13 and 18, in one place.
 *
 * Each shim has the newest server's signature and says since when it is needed no more.
 */
#ifndef TS_COMPAT_H
#define TS_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xlogdefs.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/acl.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/tuplesort.h"

/* PostgreSQL 16: one ownership check for all classes. */
#if PG_VERSION_NUM < 160000
#define ts_owns_relation(relid, roleid) pg_class_ownercheck((relid), (roleid))
#else
#define ts_owns_relation(relid, roleid) object_ownercheck(RelationRelationId, (relid), (roleid))
#endif

/* PostgreSQL 16: one privilege check for all classes but relations. */
#if PG_VERSION_NUM < 160000
#define ts_namespace_aclcheck(nspid, roleid, mode) pg_namespace_aclcheck((nspid), (roleid), (mode))
#else
#include "catalog/pg_namespace.h"
#define ts_namespace_aclcheck(nspid, roleid, mode) object_aclcheck(NamespaceRelationId, (nspid), (roleid), (mode))
#endif

/* PostgreSQL 16: the same for foreign servers. */
#if PG_VERSION_NUM < 160000
#define ts_server_aclcheck(serverid, roleid, mode) pg_foreign_server_aclcheck((serverid), (roleid), (mode))
#else
#include "catalog/pg_foreign_server.h"
#define ts_server_aclcheck(serverid, roleid, mode) object_aclcheck(ForeignServerRelationId, (serverid), (roleid), (mode))
#endif

/* PostgreSQL 14: hash tables with strings for keys say so. */
#if PG_VERSION_NUM < 140000
#define HASH_STRINGS 0
#endif

/* PostgreSQL 18: stands before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PostgreSQL 15: unique indexes may take NULL for a value like others. */
#if PG_VERSION_NUM < 150000
#define ts_nulls_equal(index) false
#else
#define ts_nulls_equal(index) ((index)->rd_index->indnullsnotdistinct)
#endif

/* PostgreSQL 14: multiranges. */
#if PG_VERSION_NUM < 140000
#define ts_is_multirange(typid) ((void) (typid), false)
#else
#include "utils/lsyscache.h"
#define ts_is_multirange(typid) type_is_multirange(typid)
#endif

/* PostgreSQL 18: index scans take an instrumentation structure. */
#if PG_VERSION_NUM < 180000
#define ts_index_beginscan(heap, index, snapshot, nkeys) index_beginscan((heap), (index), (snapshot), (nkeys), 0)
#else
#define ts_index_beginscan(heap, index, snapshot, nkeys) index_beginscan((heap), (index), (snapshot), NULL, (nkeys), 0)
#endif

/* PostgreSQL 18: a minimal tuple may have room before it. */
#if PG_VERSION_NUM < 180000
#define ts_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple((desc), (values), (nulls))
#else
#define ts_form_minimal_tuple(desc, values, nulls) heap_form_minimal_tuple((desc), (values), (nulls), 0)
#endif

/* PostgreSQL 15: named after how the types of parameters are told. */
#if PG_VERSION_NUM < 150000
#define ts_analyze_and_rewrite(statement, sql) pg_analyze_and_rewrite((statement), (sql), NULL, 0, NULL)
#else
#define ts_analyze_and_rewrite(statement, sql) pg_analyze_and_rewrite_fixedparams((statement), (sql), NULL, 0, NULL)
#endif

/* PostgreSQL 14: the relations that triggers opened are closed with the result relations. */
#if PG_VERSION_NUM < 140000
#define ts_close_result_relations(estate) ExecCleanUpTriggerState(estate)
#define ts_release_cached_plan(plan) ReleaseCachedPlan((plan), true)
#else
#define ts_close_result_relations(estate) ExecCloseResultRelations(estate)
#define ts_release_cached_plan(plan) ReleaseCachedPlan((plan), CurrentResourceOwner)
#endif

/* PostgreSQL 14: plans that are not kept are no resource owner's. */
#if PG_VERSION_NUM < 140000
#define ts_release_own_plan(plan) ReleaseCachedPlan((plan), false)
#else
#define ts_release_own_plan(plan) ReleaseCachedPlan((plan), NULL)
#endif

/* PostgreSQL 18: virtual generated columns have no stored value. */
#if PG_VERSION_NUM < 180000
#define ts_is_virtual(att) false
#else
#define ts_is_virtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#endif

/* PostgreSQL 18: generated columns without a stored value. */
#if PG_VERSION_NUM < 180000
#define ts_has_generated(constr) ((constr)->has_generated_stored)
#else
#define ts_has_generated(constr) ((constr)->has_generated_stored || (constr)->has_generated_virtual)
#endif

/* PostgreSQL 16: an update may touch summarizing indexes only. */
#if PG_VERSION_NUM < 160000
typedef bool TsUpdateIndexes;
#define TS_UPDATE_ALL true
#else
typedef TU_UpdateIndexes TsUpdateIndexes;
#define TS_UPDATE_ALL TU_All
#endif

/* PostgreSQL 14: asks for the horizon of one table. */
#include "storage/procarray.h"
#if PG_VERSION_NUM < 140000
#define ts_oldest_nonremovable(rel) GetOldestXmin((rel), PROCARRAY_FLAGS_VACUUM)
#else
#define ts_oldest_nonremovable(rel) GetOldestNonRemovableTransactionId(rel)
#endif

/* The timeline that this server writes. */
extern TimeLineID ts_timeline(void);
/* An executor state with one result relation, as COPY has it; its signatures differ from version to version. */
extern ResultRelInfo *ts_init_result_relation(EState *estate, Relation rel);
/* Tells which columns the coming updates write, by attribute number: index insertion wants to know. */
extern void ts_set_updated_columns(EState *estate, int n, const AttrNumber *attnums);
/* Inserts the index entries of a row just written. */
extern void ts_insert_index_tuples(ResultRelInfo *relinfo, TupleTableSlot *slot, EState *estate, bool update,
								   TsUpdateIndexes indexes);

/* PostgreSQL 14: the parser can be told what to expect. */
#include "parser/parser.h"
#if PG_VERSION_NUM < 140000
#define ts_raw_parser(text) raw_parser(text)
#else
#define ts_raw_parser(text) raw_parser((text), RAW_PARSE_DEFAULT)
#endif

/* PostgreSQL 14: types are called as their names are. */
#if PG_VERSION_NUM < 140000
#define PG_LSNOID LSNOID
#endif

#endif
