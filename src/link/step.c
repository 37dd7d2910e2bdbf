/* step.c: steps of the users' own. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "link/group.h"
#include "link/link.h"
#include "link/step.h"

/* The caller may use the link, or all links of the group. */
static void
check_right(const char *name)
{
	bool		group;
	List	   *links = ts_group_links(name, &group);
	ListCell   *lc;

	foreach(lc, links)
		(void) ts_link_load(lfirst(lc), true);
	if (group)
		ts_group_check_owner(name);
}

static bool
takes_link_and_push(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	fits = proc->prokind == PROKIND_FUNCTION && proc->pronargs == 2 && proc->proargtypes.values[0] == TEXTOID &&
		proc->proargtypes.values[1] == INT8OID;
	ReleaseSysCache(tuple);
	return fits;
}

void
ts_step_add(const char *name, int priority, Oid function)
{
	static const Oid types[] = {TEXTOID, OIDOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(function), Int32GetDatum(priority)};
	TsCatalog	cat;

	check_right(name);
	if (priority < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("priority must not be negative"),
				 errhint("10 deletes, 20 updates, 30 inserts; from 40 on all rows are there and checked.")));
	if (!takes_link_and_push(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("function %s cannot be a step", format_procedure(function)),
				 errhint("A step is a function (link text, push_id bigint).")));
	ts_catalog_enter(&cat);
	ts_sql("INSERT INTO tracksync.user_step (name, fn, priority) VALUES ($1, $2::regprocedure, $3) ON CONFLICT (name, fn) DO UPDATE SET priority = $3",
		   SPI_OK_INSERT, 3, types, values, NULL);
	ts_catalog_leave(&cat);
}

void
ts_step_drop(const char *name, Oid function)
{
	static const Oid types[] = {TEXTOID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(name), ObjectIdGetDatum(function)};
	TsCatalog	cat;

	check_right(name);
	ts_catalog_enter(&cat);
	if (ts_sql("DELETE FROM tracksync.user_step WHERE name = $1 AND fn::oid = $2", SPI_OK_DELETE, 2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" has no step %s", name, format_procedure(function)),
				 errhint("See tracksync.plan for its steps.")));
	ts_catalog_leave(&cat);
}

List *
ts_steps_of(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	MemoryContext context = CurrentMemoryContext;
	List	   *steps = NIL;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql_reading("SELECT u.priority, quote_ident(n.nspname) || '.' || quote_ident(p.proname), u.fn::oid::text FROM tracksync.user_step u "
					   "LEFT JOIN pg_proc p ON p.oid = u.fn LEFT JOIN pg_namespace n ON n.oid = p.pronamespace WHERE u.name = $1 "
					   "ORDER BY 1, 2", 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		TsUserStep *step = palloc0(sizeof(TsUserStep));
		bool		isnull;

		step->name = pstrdup(name);
		step->priority = DatumGetInt32(ts_sql_value(i, 1, &isnull));
		step->function = ts_sql_text(i, 2);
		if (step->function == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("the function of a step of \"%s\" does not exist any more", name),
					 errhint("Call tracksync.drop_step(%s, %s).", quote_literal_cstr(name), ts_sql_text(i, 3))));
		step->function = pstrdup(step->function);
		steps = lappend(steps, step);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return steps;
}

void
ts_steps_forget(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};

	ts_sql("DELETE FROM tracksync.user_step WHERE name = $1", SPI_OK_DELETE, 1, types, values, NULL);
}
