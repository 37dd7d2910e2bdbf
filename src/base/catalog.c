/* catalog.c: SQL on the extension's own tables, and taking on a role. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/kept.h"

/* What must not depend on the session when values become text and text becomes values. */
static const struct
{
	const char *name;
	const char *value;
}			pinned[] =
{
	{"search_path", "pg_catalog, pg_temp"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmloption", "content"},
	{"xmlbinary", "base64"},
	{"quote_all_identifiers", "off"},
	{"array_nulls", "on"},
	{"row_security", "off"},
	{"lc_monetary", "C"},
	{"default_table_access_method", "heap"},
	{"default_tablespace", ""},
};

static void
pin(void)
{
	for (int i = 0; i < lengthof(pinned); i++)
		(void) set_config_option(pinned[i].name, pinned[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
ts_become(TsIdentity *saved, Oid role, bool restricted, const char *search_path)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	saved->guc_level = NewGUCNestLevel();
	pin();
	if (search_path != NULL)
		(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(role, saved->context | SECURITY_LOCAL_USERID_CHANGE |
						   (restricted ? SECURITY_RESTRICTED_OPERATION : 0));
}

void
ts_unbecome(const TsIdentity *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
	AtEOXact_GUC(true, saved->guc_level);
}

int
ts_texts_enter(void)
{
	int			level = NewGUCNestLevel();

	pin();
	(void) set_config_option("TimeZone", "UTC", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

void
ts_texts_leave(int level)
{
	AtEOXact_GUC(true, level);
}

/* The owner of the extension: a superuser, as the control file asks for. */
Oid
ts_extension_owner(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("tracksync"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
	{
		owner = ((Form_pg_extension) GETSTRUCT(tup))->extowner;
		ts_kept_for(((Form_pg_extension) GETSTRUCT(tup))->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"tracksync\" does not exist")));
	return owner;
}

void
ts_catalog_enter(TsCatalog *cat)
{
	ts_become(&cat->identity, ts_extension_owner(), false, NULL);
	/* constants in defaults */
	(void) set_config_option("TimeZone", "UTC", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* kept plans: see kept.c; and what such a scan costs by the planner's reckoning is not worth compiling for */
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
}

void
ts_catalog_leave(TsCatalog *cat)
{
	SPI_finish();
	ts_unbecome(&cat->identity);
}

static uint64
run(const char *sql, int expect, int nargs, const Oid *types, const Datum *values, const char *nulls, bool reading)
{
	int			rc = expect == SPI_OK_UTILITY ? SPI_execute(sql, reading, 0) :
		SPI_execute_plan(ts_kept_plan(sql, nargs, types), unconstify(Datum *, values), nulls, reading, 0);

	if (rc != expect)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), sql);
	return SPI_processed;
}

uint64
ts_sql(const char *sql, int expect, int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	return run(sql, expect, nargs, types, values, nulls, false);
}

uint64
ts_sql_reading(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	return run(sql, SPI_OK_SELECT, nargs, types, values, nulls, true);
}

Datum
ts_sql_value(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
ts_sql_text(uint64 row, int column)
{
	Assert(row < SPI_processed);
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

List *
ts_sql_texts(uint64 rows, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *texts = NIL;

	for (uint64 i = 0; i < rows; i++)
		texts = lappend(texts, ts_sql_text(i, 1));
	MemoryContextSwitchTo(old);
	return texts;
}

List *
ts_catalog_oids(const char *sql, int nargs, const Oid *types, const Datum *values)
{
	List	   *oids = NIL;
	uint64		n;

	/* also under REPEATABLE READ, whose snapshot may be older */
	PushActiveSnapshot(GetLatestSnapshot());
	n = run(sql, SPI_OK_SELECT, nargs, types, values, NULL, true);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		oids = lappend_oid(oids, DatumGetObjectId(ts_sql_value(i, 1, &isnull)));
	}
	PopActiveSnapshot();
	return oids;
}

char *
ts_keep(MemoryContext context, const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

char *
ts_role_setting(Oid role, const char *setting, const char *otherwise)
{
	static const Oid types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(role), CStringGetTextDatum(setting)};
	MemoryContext context = CurrentMemoryContext;
	char	   *value = NULL;
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	if (ts_sql("SELECT substr(c, length($2) + 2) FROM pg_db_role_setting s, unnest(s.setconfig) c, pg_database d "
			   "WHERE lower(split_part(c, '=', 1)) = lower($2) AND d.datname = current_database() AND s.setdatabase IN (0, d.oid) "
			   "AND s.setrole IN (0, $1) ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1", SPI_OK_SELECT, 2, types, values, NULL) == 1)
		value = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return value ? value : pstrdup(otherwise);
}
