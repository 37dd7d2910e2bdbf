/* cast.c: can the values that the target has be cast to another type? */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "link/cast.h"
#include "link/fetch.h"
#include "link/remote.h"
#include "link/rows.h"

#define FETCH_ROWS 1000

static void
become_owner(const TsLink *link, TsIdentity *identity)
{
	ts_become(identity, link->owner, GetUserId() != link->owner, NULL);
	SPI_connect();
}

static void
leave_owner(const TsIdentity *identity)
{
	SPI_finish();
	ts_unbecome(identity);
}

static const char *
only(bool partitioned)
{
	return partitioned ? "" : "ONLY ";
}

/* Casts value by value; *at is the one at hand, kept in context. */
static void
cast_all(const TsLink *link, const char *column, const char *type, MemoryContext context, char **at)
{
	SPIPlanPtr	one = NULL;
	SPIPlanPtr	all = SPI_prepare(psprintf("SELECT t.%s FROM %s%s AS t", quote_identifier(column),
										   only(get_rel_relkind(link->target) == RELKIND_PARTITIONED_TABLE),
										   ts_quote_relation(link->target)), 0, NULL);
	Portal		portal = SPI_cursor_open(NULL, all, NULL, NULL, true);

	for (;;)
	{
		SPITupleTable *rows;
		uint64		n;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			Oid			is = SPI_gettypeid(rows->tupdesc, 1);
			bool		isnull;
			Datum		value = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

			if (isnull)
				continue;
			if (one == NULL)
				one = SPI_prepare(psprintf("SELECT ($1)::%s", type), 1, &is);
			if (*at)
				pfree(*at);
			*at = ts_keep(context, SPI_getvalue(rows->vals[i], rows->tupdesc, 1));
			SPI_execute_plan(one, &value, NULL, true, 1);
			SPI_freetuptable(SPI_tuptable);
		}
		SPI_freetuptable(rows);
		if (n == 0)
			break;
	}
	SPI_cursor_close(portal);
}

/* A cast to be tried. */
typedef struct Trial
{
	const TsLink *link;
	const char *column;
	const char *type;
	bool		one_by_one;
	MemoryContext context;
	char	   *at;				/* in which: the value that was cast last */
} Trial;

/* The table is not resolved yet. */
static char *
target_of(const TsLink *link)
{
	return link->server ? psprintf("%s%s", only(!link->remote->heirs || link->remote->kind[0] == RELKIND_PARTITIONED_TABLE), ts_link_target(link)) :
		psprintf("%s%s", only(get_rel_relkind(link->target) == RELKIND_PARTITIONED_TABLE), ts_quote_relation(link->target));
}

static char *
cast_query(const Trial *trial)
{
	return psprintf("SELECT pg_catalog.count((t.%s)::%s) FROM %s AS t", quote_identifier(trial->column), trial->type, target_of(trial->link));
}

static void
cast_values(void *arg)
{
	Trial	   *trial = arg;
	const TsLink *link = trial->link;
	TsIdentity	identity;

	if (link->server != NULL)
	{
		ts_remote_execute(link->remote->connection, NULL, cast_query(trial), 0, NULL, NULL, NULL);
		return;
	}
	become_owner(link, &identity);
	if (trial->one_by_one)
		cast_all(link, trial->column, trial->type, trial->context, &trial->at);
	else
		SPI_execute(cast_query(trial), true, 0);
	leave_owner(&identity);
}

/* False if a value could not be cast. Other errors are errors. */
static bool
try_cast(Trial *trial)
{
	ErrorData  *error = ts_attempt(cast_values, trial, false);

	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		ReThrowError(error);
	return error == NULL;
}

bool
ts_cast_holds(const TsLink *link, const char *column, const char *type, char **culprit)
{
	Trial		trial = {link, column, type, false, CurrentMemoryContext, NULL};

	*culprit = NULL;
	if (try_cast(&trial))
		return true;
	/* which one it is does not matter so much that all should be fetched */
	trial.one_by_one = link->server == NULL;
	if (link->server == NULL && try_cast(&trial))
		return true;
	if (link->server != NULL)
	{
		*culprit = pstrdup("one that cannot");
		return false;
	}
	*culprit = trial.at ? quote_literal_cstr(trial.at) : "NULL";
	return false;
}

TsSharing
ts_cast_sharing(const TsLink *link)
{
	static const Oid types[] = {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(link->name), ObjectIdGetDatum(link->target), CStringGetTextDatum(link->server ? link->server : ""),
	CStringGetTextDatum(link->target_schema), CStringGetTextDatum(link->target_name), ObjectIdGetDatum(link->source)};
	TsSharing	sharing = TS_SHARED_NOT;
	TsCatalog	cat;
	bool		isnull;

	ts_catalog_enter(&cat);
	if (ts_sql_reading("SELECT bool_and(source::oid = $6) FROM tracksync.link WHERE name <> $1 AND (target::oid = $2 OR "
					   "(server = $3 AND target_schema = $4 AND target_name = $5))", 6, types, values, NULL) == 1)
	{
		bool		siblings = DatumGetBool(ts_sql_value(0, 1, &isnull));

		sharing = isnull ? TS_SHARED_NOT : siblings ? TS_SHARED_WITH_SIBLINGS : TS_SHARED;
	}
	ts_catalog_leave(&cat);
	return sharing;
}

bool
ts_cast_is_shared(const TsLink *link)
{
	return ts_cast_sharing(link) != TS_SHARED_NOT;
}

bool
ts_cast_changes(const TsLink *link, const char *column, const char *type)
{
	const char *name = quote_identifier(column);
	char	   *sql = psprintf("SELECT FROM %s AS t WHERE (t.%s)::pg_catalog.text OPERATOR(pg_catalog.<>) ((t.%s)::%s)::pg_catalog.text LIMIT 1",
							   target_of(link), name, name, type);
	TsIdentity	identity;
	bool		changes;

	if (link->server != NULL)
		return ts_remote_execute(link->remote->connection, NULL, sql, 0, NULL, NULL, NULL) > 0;
	become_owner(link, &identity);
	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the target of link \"%s\"", link->name);
	changes = SPI_processed > 0;
	leave_owner(&identity);
	return changes;
}

int64
ts_cast_rows_besides(const TsLink *link, const TsColumn *lossy, bool harmed)
{
	const char *name = quote_identifier(lossy->now_name);
	struct Tuplestorestate *store;
	char	   *fetched = link->server ? ts_fetch_target(link, NULL, &store) : NULL;
	StringInfoData sql;
	bool		isnull;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.count(*) FROM %s%s AS t WHERE NOT EXISTS (SELECT FROM %s AS s WHERE ",
					 only(fetched || link->target_partitioned), fetched ? fetched : ts_quote_relation(link->target), ts_source_rows(link));
	for (int k = 0; k < link->nkeys; k++)
	{
		const TsColumn *col = &link->columns[link->keys[k]];

		appendStringInfo(&sql, "%st.%s::%s %s s.%s::%s", k ? " AND " : "", quote_identifier(col->now_name ? col->now_name : col->target_name),
						 ts_quote_type(col->target_base, -1), ts_quote_operator(col->key_eq_op), quote_identifier(col->target_name),
						 ts_quote_type(col->target_base, -1));
	}
	appendStringInfoChar(&sql, ')');
	if (harmed && lossy->emptied)
		appendStringInfo(&sql, " AND t.%s IS NOT NULL", name);
	else if (harmed)
		appendStringInfo(&sql, " AND (t.%s)::pg_catalog.text OPERATOR(pg_catalog.<>) ((t.%s)::%s)::pg_catalog.text", name, name, lossy->lossy);
	if (SPI_execute(sql.data, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of: %s", sql.data);
	if (fetched)
		ts_fetch_end(fetched, store);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

void
ts_cast_refuse(const TsLink *link, const char *column, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_COERCE),
			 errmsg("column \"%s\" of target table %s has values that would be lost as %s", column, ts_link_target(link), type),
			 errdetail("The type of the source's column was changed. Not all of them can be filled in from the source of link \"%s\" alone: "
					   "the target has other rows, too, or the column is an identity column.", link->name),
			 errhint("Change the target's column by hand.")));
}
