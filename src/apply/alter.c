/* alter.c: a push's steps on the target's columns. */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "apply/alter.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "link/cast.h"
#include "link/remote.h"

/* A constraint that can wait has triggers, on both of its tables. What a partitioned table has them on depends on the server's version. */
static bool
may_wait(Oid target)
{
	Relation	rel = table_open(target, AccessShareLock);
	bool		found = rel->rd_rel->relkind != RELKIND_RELATION;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		found |= rel->trigdesc->triggers[i].tgdeferrable;
	table_close(rel, NoLock);
	return found;
}

char *
ts_alter_constraints(const TsLink *link, bool immediate)
{
	static const Oid types[] = {OIDOID, BOOLOID};
	Datum		values[] = {ObjectIdGetDatum(link->target), BoolGetDatum(!immediate)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *names;

	if (!may_wait(link->target))
		return NULL;
	ts_catalog_enter(&cat);
	/* pg_constraint has no index by the table that is referred to, pg_depend has: a constraint depends on both */
	ts_sql("WITH f AS MATERIALIZED (SELECT ARRAY(SELECT $1 UNION SELECT relid FROM pg_partition_tree($1::regclass)) AS relids) "
		   "SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ') FROM pg_constraint c "
		   "JOIN pg_namespace n ON n.oid = c.connamespace "
		   "WHERE c.oid = ANY (ARRAY(SELECT d.objid FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass "
		   "AND d.refobjid = ANY ((SELECT relids FROM f)::oid[]) AND d.classid = 'pg_constraint'::regclass)) "
		   "AND c.condeferrable AND (c.conrelid = ANY ((SELECT relids FROM f)::oid[]) OR c.confrelid = $1) AND (NOT $2 OR (c.condeferred "
		   "AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.connamespace = c.connamespace AND o.conname = c.conname "
		   "AND NOT o.condeferrable)))", SPI_OK_SELECT, 2, types, values, NULL);
	names = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return names == NULL ? NULL : psprintf("SET CONSTRAINTS %s %s", names, immediate ? "IMMEDIATE" : "DEFERRED");
}

/* Two parts are put in: SQL for the table's OID and for the column's number. */
#define DEPENDANTS "SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') " \
	"FROM pg_depend d, (SELECT %s, %s) c(rel, att) " \
	"WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.rel AND d.refobjsubid = c.att AND d.deptype IN ('a', 'i') AND (" \
	/* a generated column, which before version 15 would go without a word */ \
	"(d.classid = d.refclassid AND d.objid = c.rel AND d.objsubid > 0) OR EXISTS " \
	"(SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid AND o.refclassid = d.refclassid " \
	"AND o.refobjid = c.rel AND o.refobjsubid NOT IN (0, c.att)))"

/*
 * DROP COLUMN takes with it what hangs on this column alone, and refuses where a view or a foreign key of another table does. But
 * an index or a constraint on other columns besides would go without a word.
 */
static char *
dependants_here(const TsLink *link, const char *column)
{
	static const Oid types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(link->target), Int16GetDatum(get_attnum(link->target, column))};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *names;

	ts_catalog_enter(&cat);
	ts_sql(psprintf(DEPENDANTS, "$1", "$2"), SPI_OK_SELECT, 2, types, values, NULL);
	names = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return names;
}

static void
take_names(void *arg, int n, char *const *values)
{
	*(char **) arg = values[0] ? pstrdup(values[0]) : NULL;
}

static char *
dependants_there(const TsLink *link, const char *column)
{
	const char *values[] = {ts_link_target(link), column};
	char	   *names = NULL;

	ts_remote_execute(link->remote->connection, NULL, psprintf("SELECT x.names FROM pg_attribute a, LATERAL (" DEPENDANTS ") x(names) "
															   "WHERE a.attrelid = $1::regclass AND a.attname = $2", "a.attrelid", "a.attnum"),
					  2, values, take_names, &names);
	return names;
}

static void
check_dependants(const TsLink *link, const char *column)
{
	char	   *names = link->server ? dependants_there(link, column) : dependants_here(link, column);

	if (names != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of table %s because other objects depend on it", column, ts_link_target(link)),
				 errdetail("These depend on it, and on other columns or not on it alone: %s.", names),
				 errhint("Drop them first, or keep the column: schema_policy => 'additive'.")));
}

/* Nobody writes to the target any more. Has somebody done so since the plan was made, where that would cost him values? */
static void
check_rows_besides(TsLink *link)
{
	bool		lossy = false;

	for (int i = 0; i < link->ncolumns; i++)
		lossy |= link->columns[i].lossy != NULL;
	if (!lossy)
		return;
	if (link->server)
		ts_remote_run(link->remote->connection, psprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", ts_link_target(link)));
	else
		LockRelationOid(link->target, AccessExclusiveLock);
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].lossy != NULL && ts_cast_rows_besides(link, &link->columns[i], false) != link->columns[i].besides)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("target table %s of link \"%s\" was written to meanwhile", ts_link_target(link), link->name),
					 errdetail("A column gets another type, which may cost rows of somebody else their values."),
					 errhint("Push again.")));
}

void
ts_alter_before(TsWriter *writer, const TsStep *step)
{
	TsLink	   *link = writer->link;

	if (!writer->altering && OidIsValid(link->target))
		check_rows_besides(link);
	writer->altering = true;

	if (step->priority == TS_PRIORITY_CREATE_TABLE)
	{
		writer->target->ops->run(writer->target, step->sql);
		if (link->server)
			ts_remote_table_open(link);
		else
			link->target = get_relname_relid(link->target_name, get_namespace_oid(link->target_schema, false));
		return;
	}
	if (step->dropped != NULL)
		check_dependants(link, step->dropped);
	if (step->before[0] != '\0')
		writer->target->ops->run(writer->target, step->before);
}

void
ts_alter_done(TsWriter *writer, Relation source, bool altered)
{
	TsLink	   *link = writer->link;
	char	   *immediate;
	Relation	rel;

	if (!altered && !link->foreseen)
		return;
	if (altered && link->server)
		ts_remote_table_open(link);
	rel = table_open(link->target, RowExclusiveLock);
	ts_link_arrived(link);
	ts_link_resolve(link, source, rel);
	table_close(rel, NoLock);
	/* a constraint that was made anew with its column is deferred again */
	immediate = altered && link->server == NULL ? ts_alter_constraints(link, true) : NULL;
	if (immediate)
		writer->target->ops->run(writer->target, immediate);
}

void
ts_alter_after(TsWriter *writer, const TsStep *step)
{
	if (step->after != NULL)
		writer->target->ops->run(writer->target, step->after);
}
