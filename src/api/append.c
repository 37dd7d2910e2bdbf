/* append.c: SQL function append. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/catalog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "api/rights.h"
#include "append/append.h"
#include "base/srf.h"

PG_FUNCTION_INFO_V1(tracksync_append);

static TsDuplicates
read_policy(const char *value)
{
	static const char *const policies[] = {
		[TS_DUPLICATES_ERROR] = "error",
		[TS_DUPLICATES_LAST] = "last",
		[TS_DUPLICATES_FIRST] = "first",
		[TS_DUPLICATES_ALL] = "all",
	};

	for (int i = 0; i < lengthof(policies); i++)
		if (strcmp(value, policies[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for on_duplicate: \"%s\"", value),
			 errhint("Use 'error', 'first', 'last' or 'all'.")));
}

static void
check_rule(Relation rel)
{
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event == CMD_INSERT || rel->rd_rules->rules[i]->event == CMD_UPDATE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("table \"%s\" has a rule for INSERT or UPDATE", RelationGetRelationName(rel)),
					 errhint("What a rule does cannot be counted: make it a trigger.")));
}

static Relation
open_target(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	char		kind;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	kind = rel->rd_rel->relkind;
	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) || IsCatalogRelation(rel) || RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot append to \"%s\"", RelationGetRelationName(rel)),
				 errdetail("It is not an ordinary or partitioned table, or a system catalog, or another session's."),
				 errhint("Name the table that is to have the rows.")));
	check_rule(rel);
	if (!rel->rd_islocaltemp)
		PreventCommandIfReadOnly("append()");
	return rel;
}

static void
need_right(const TsAppend *append, AclMode mode, const char *name, AttrNumber attnum)
{
	Oid			relid = RelationGetRelid(append->target);

	if (pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relid, attnum, GetUserId(), mode) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for table %s", RelationGetRelationName(append->target)),
			 errdetail("To append so takes %s on column \"%s\".", name, get_attname(relid, attnum, false)),
			 errhint("Ask the table's owner for it.")));
}

/* What the caller would need to do the same with SQL. */
static void
check_rights(const TsAppend *append)
{
	for (int i = 0; i < append->ncolumns; i++)
	{
		need_right(append, ACL_INSERT, "INSERT", append->attnums[i]);
		if (append->policy == TS_DUPLICATES_LAST)
			need_right(append, ACL_UPDATE, "UPDATE", append->attnums[i]);
		if (append->policy == TS_DUPLICATES_LAST || append->policy == TS_DUPLICATES_ERROR)
			need_right(append, ACL_SELECT, "SELECT", append->attnums[i]);
	}
	for (int i = 0; append->key != NULL && i < append->key->nkeys; i++)
		need_right(append, ACL_SELECT, "SELECT", append->key->columns[i].attnum);
	ts_refuse_hidden_rows(RelationGetRelid(append->target));
}

static Datum
result_row(FunctionCallInfo fcinfo, const TsAppend *append)
{
	Datum		values[] = {
		Int64GetDatum(append->inserted),
		Int64GetDatum(append->updated),
		Int64GetDatum(append->incoming - append->inserted - append->updated),
	};
	bool		nulls[lengthof(values)] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* append(target, query, on_duplicate, key) */
Datum
tracksync_append(PG_FUNCTION_ARGS)
{
	TsAppend	append = {0};

	ts_need_arg(fcinfo, 0, "target");
	ts_need_arg(fcinfo, 1, "query");
	ts_need_arg(fcinfo, 2, "on_duplicate");
	append.policy = read_policy(ts_text_arg(fcinfo, 2));
	if (append.policy == TS_DUPLICATES_ALL && !PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a key has no meaning with on_duplicate => 'all'"),
				 errhint("Leave the key out, or use 'error', 'first' or 'last'.")));
	SPI_connect();
	append.target = open_target(PG_GETARG_OID(0));
	ts_append_prepare(&append, ts_text_arg(fcinfo, 1), ts_names_arg(fcinfo, 3), !PG_ARGISNULL(3));
	check_rights(&append);
	ts_append_run(&append);
	relation_close(append.target, NoLock);
	SPI_finish();
	PG_RETURN_DATUM(result_row(fcinfo, &append));
}
