/*
 * stub.c: the table here that stands for one there.
 *
 * Text from the other server becomes SQL here: it runs with the rights of the link's owner, who chose the server, one statement at a time.
 * What makes no sense here, an index over a function that there is only there say, is left out.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "link/remote.h"

/* A stub of this session. */
typedef struct Stub
{
	char		name[NAMEDATALEN];	/* hash key */
	Oid			relid;
	uint64		hash;			/* of the description that it was made from */
} Stub;

static HTAB *stubs = NULL;

static Stub *
stub_entry(const char *name)
{
	bool		found;
	Stub	   *stub;

	if (stubs == NULL)
	{
		HASHCTL		ctl = {.keysize = NAMEDATALEN, .entrysize = sizeof(Stub)};

		stubs = hash_create("tracksync stubs", 32, &ctl, HASH_ELEM | HASH_STRINGS);
	}
	stub = hash_search(stubs, name, HASH_ENTER, &found);
	if (!found)
		stub->relid = InvalidOid;
	return stub;
}

static char *
stub_name(const TsLink *link)
{
	char	   *what = psprintf("%u %s %s %s", link->owner, link->server, quote_identifier(link->target_schema), link->target_name);

	return psprintf("tracksync_" UINT64_FORMAT, hash_bytes_extended((unsigned char *) what, (int) strlen(what), 0));
}

/* One statement, as the current user. */
static void
run(const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL || list_length(SPI_plan_get_plan_sources(plan)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not understand the definition of a table on another server")));
	SPI_execute_plan(plan, NULL, NULL, false, 0);
	SPI_freeplan(plan);
}

static void
run_attempt(void *sql)
{
	SPI_connect();
	run(sql);
	SPI_finish();
}

/* What may make no sense here. True if it was done. */
static bool
may_run(char *sql)
{
	ErrorData  *error = ts_attempt(run_attempt, sql, false);

	if (error != NULL && (error->sqlerrcode == ERRCODE_QUERY_CANCELED || ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(error);
	return error == NULL;
}

/* A type of this name; InvalidOid if there is none. */
static Oid
type_named(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	bool		isnull;
	Datum		type;

	ts_sql("SELECT to_regtype($1)::oid", SPI_OK_SELECT, 1, types, values, NULL);
	type = ts_sql_value(0, 1, &isnull);
	return isnull ? InvalidOid : DatumGetObjectId(type);
}

/* The type of this name of an extension, wherever that is installed here. */
static Oid
type_of_extension(const char *extension, const char *name)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(extension), CStringGetTextDatum(name)};
	bool		isnull;

	if (ts_sql("SELECT t.oid FROM pg_type t JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' "
			   "JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND x.oid = d.refobjid WHERE x.extname = $1 AND t.typname = $2 "
			   "ORDER BY t.oid LIMIT 1", SPI_OK_SELECT, 2, types, values, NULL) == 0)
		return InvalidOid;
	return DatumGetObjectId(ts_sql_value(0, 1, &isnull));
}

/* What stands for the columns' types here. */
static void
find_types(TsRemote *remote)
{
	TsCatalog	cat;
	ListCell   *lc;

	ts_catalog_enter(&cat);
	foreach(lc, remote->columns)
	{
		TsRemoteColumn *col = lfirst(lc);

		if (col->dropped)
			continue;
		col->base_type = type_named(col->base);
		if (!OidIsValid(col->base_type) && col->extension != NULL && col->type_name != NULL)
			col->base_type = type_of_extension(col->extension, col->type_name);
		col->type = strcmp(col->declared, col->base) == 0 ? col->base_type : type_named(col->declared);
		/* a domain of that name may be over something else here */
		if (OidIsValid(col->type) && getBaseType(col->type) != col->base_type)
			col->type = InvalidOid;
		col->type_typmod = col->typmod;
		if (!OidIsValid(col->type))
		{
			col->type = col->base_type;
			col->type_typmod = col->base_typmod;
		}
		col->opaque = !OidIsValid(col->base_type);
		if (col->opaque)
		{
			col->type = col->base_type = TEXTOID;
			col->type_typmod = -1;
		}
	}
	ts_catalog_leave(&cat);
}

/* Is there a collation of this name? */
static bool
has_collation(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;
	bool		found;

	ts_catalog_enter(&cat);
	found = ts_sql("SELECT FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE quote_ident(n.nspname) || '.' || quote_ident(c.collname) = $1 "
				   "AND c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))", SPI_OK_SELECT, 1, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	return found;
}

/* The table's own statement; with or without what generated columns are made of. */
static char *
table_statement(const TsRemote *remote, const char *name, bool expressions)
{
	StringInfoData sql;
	int			natts = 0;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TEMPORARY TABLE pg_temp.%s (", name);
	foreach(lc, remote->columns)
	{
		const TsRemoteColumn *col = lfirst(lc);

		/* a distributed engine may have left out dropped ones */
		while (++natts < col->attnum)
			appendStringInfo(&sql, "%s\"tracksync, dropped %d\" pg_catalog.bool", natts > 1 ? ", " : "", natts);
		if (col->dropped)
		{
			appendStringInfo(&sql, "%s\"tracksync, dropped %d\" pg_catalog.bool", natts > 1 ? ", " : "", natts);
			continue;
		}
		appendStringInfo(&sql, "%s%s %s", natts > 1 ? ", " : "", quote_identifier(col->name), ts_quote_type(col->type, col->type_typmod));
		if (col->collation != NULL && OidIsValid(get_typcollation(col->type)) && has_collation(col->collation))
			appendStringInfo(&sql, " COLLATE %s", col->collation);
		if (col->generated)
			appendStringInfo(&sql, " GENERATED ALWAYS AS (%s) STORED", expressions ? col->expression :
							 psprintf("NULL::%s", ts_quote_type(col->type, -1)));
		else if (col->identity != '\0' && (col->type == INT2OID || col->type == INT4OID || col->type == INT8OID))
			appendStringInfo(&sql, " GENERATED %s AS IDENTITY", col->identity == 'a' ? "ALWAYS" : "BY DEFAULT");
		if (col->notnull)
			appendStringInfoString(&sql, " NOT NULL");
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

static char *
drop_statement(const TsRemote *remote, const char *name)
{
	StringInfoData sql;
	int			natts = 0,
				n = 0;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE pg_temp.%s", name);
	foreach(lc, remote->columns)
	{
		const TsRemoteColumn *col = lfirst(lc);

		while (++natts < col->attnum)
			appendStringInfo(&sql, "%s DROP COLUMN \"tracksync, dropped %d\"", n++ ? "," : "", natts);
		if (col->dropped)
			appendStringInfo(&sql, "%s DROP COLUMN \"tracksync, dropped %d\"", n++ ? "," : "", natts);
	}
	return n > 0 ? sql.data : NULL;
}

/*
 * For somebody else's link nothing may be run that the owner can have a say in, but there temporary tables cannot be made. So first what is
 * made of names only; generated columns are then made of nothing.
 */
static void
make_table(TsRemote *remote, const char *name, bool restricted)
{
	if (restricted || !may_run(table_statement(remote, name, true)))
		run(table_statement(remote, name, false));
}

static void
complete(TsRemote *remote, const char *name)
{
	ListCell   *lc;
	char	   *drops = drop_statement(remote, name);

	if (drops != NULL)
		run(drops);
	foreach(lc, remote->columns)
	{
		const TsRemoteColumn *col = lfirst(lc);

		if (!col->dropped && !col->generated && col->expression != NULL)
			(void) may_run(psprintf("ALTER TABLE pg_temp.%s ALTER COLUMN %s SET DEFAULT %s", name, quote_identifier(col->name), col->expression));
	}
	foreach(lc, remote->indexes)
	{
		const TsRemoteIndex *index = lfirst(lc);

		if (index->constraint != NULL)
			(void) may_run(psprintf("ALTER TABLE pg_temp.%s ADD %s", name, index->constraint));
		else if (index->definition != NULL)
			(void) may_run(psprintf("CREATE UNIQUE INDEX ON pg_temp.%s %s", name, index->definition));
	}
}

/* The table of that name among the session's temporary ones. */
static Oid
find(const char *name)
{
	Oid			schema = get_namespace_oid("pg_temp", true);

	if (!OidIsValid(schema))
	{
		Oid			temporary,
					toast;

		GetTempNamespaceState(&temporary, &toast);
		schema = temporary;
	}
	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
ts_stub_make(const TsLink *link, TsRemote *remote)
{
	char	   *name = stub_name(link);
	Stub	   *stub = stub_entry(name);
	Oid			there = find(name);
	bool		read_only = XactReadOnly;
	bool		restricted = GetUserId() != link->owner;

	if (!remote->exists)
		return InvalidOid;
	find_types(remote);
	if (OidIsValid(there) && there == stub->relid && stub->hash == remote->hash)
		return there;
	/* a temporary table changes nothing that anybody else could see */
	XactReadOnly = false;
	for (int part = 0; part < 2; part++)
	{
		TsIdentity	identity;

		ts_become(&identity, link->owner, part == 1 && restricted, NULL);
		(void) set_config_option("client_min_messages", "error", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("TimeZone", "UTC", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		SPI_connect();
		if (part == 1)
			complete(remote, name);
		else
		{
			if (OidIsValid(there))
				run(psprintf("DROP TABLE pg_temp.%s", name));
			make_table(remote, name, restricted);
		}
		SPI_finish();
		ts_unbecome(&identity);
	}
	XactReadOnly = read_only;
	CommandCounterIncrement();
	stub->relid = find(name);
	stub->hash = remote->hash;
	return stub->relid;
}
