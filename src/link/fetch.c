/*
 * fetch.c: the rows of a target on another server, as a table that queries here can name.
 *
 * An ephemeral named relation, as a trigger's transition tables are: the planner knows how many rows it has, and no name is left behind.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

#include "base/quote.h"
#include "link/fetch.h"
#include "link/remote.h"

#define THERE "tracksync, there"

typedef struct Fetching
{
	TupleDesc	desc;
	Tuplestorestate *store;
	FmgrInfo   *input;
	Oid		   *params;
	Datum	   *values;
	bool	   *nulls;
	MemoryContext context;		/* of a row */
	int64		rows;
} Fetching;

const char *
ts_fetch_there(const TsLink *link)
{
	return link->server == NULL ? "t.ctid" : "t.\"" THERE "\"";
}

static List *
add_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), name) == 0)
			return names;
	return lappend(names, pstrdup(name));
}

bool
ts_fetch_has(const TsLink *link, const Bitmapset *attnums)
{
	Bitmapset  *there = bms_copy(link->target_reads);

	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].target_attnum > 0)
			there = bms_add_member(there, link->columns[i].target_attnum);
	return link->server == NULL || bms_is_subset(attnums, there);
}

/* The columns that the link has there now; the last one is there in each row. */
static TupleDesc
describe(const TsLink *link, List **names)
{
	Relation	stub = RelationIdGetRelation(link->target);
	TupleDesc	there = RelationGetDescr(stub);
	TupleDesc	desc;
	ListCell   *lc;
	int			n = 0;

	*names = NIL;
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		const char *name = col->now_name ? col->now_name : col->target_name;

		/* one may be yet to be added, under a name that another one gives up perhaps */
		if (get_attnum(link->target, name) > 0 && (col->future == NULL || col->now_name != NULL))
			*names = lappend(*names, unconstify(char *, name));
	}
	/* and those that tell which rows are the link's */
	for (int attnum = -1; (attnum = bms_next_member(link->target_reads, attnum)) >= 0;)
		*names = add_name(*names, NameStr(TupleDescAttr(there, attnum - 1)->attname));
	desc = CreateTemplateTupleDesc(list_length(*names) + 1);
	foreach(lc, *names)
	{
		Form_pg_attribute att = TupleDescAttr(there, get_attnum(link->target, lfirst(lc)) - 1);

		TupleDescInitEntry(desc, ++n, lfirst(lc), getBaseType(att->atttypid), -1, 0);
		TupleDescInitEntryCollation(desc, n, att->attcollation);
	}
	TupleDescInitEntry(desc, ++n, THERE, BOOLOID, -1, 0);
	RelationClose(stub);
	return desc;
}

static void
put_row(void *arg, int ncolumns, char *const *values)
{
	Fetching   *f = arg;
	MemoryContext old = MemoryContextSwitchTo(f->context);
	int			n = f->desc->natts - 1;

	for (int i = 0; i < n; i++)
	{
		f->nulls[i] = values[i] == NULL;
		f->values[i] = InputFunctionCall(&f->input[i], values[i], f->params[i], -1);
	}
	f->values[n] = BoolGetDatum(true);
	f->nulls[n] = false;
	tuplestore_putvalues(f->store, f->desc, f->values, f->nulls);
	f->rows++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(f->context);
}

/* SELECT t.a, t.b FROM s.t AS t WHERE condition */
static char *
query(const TsLink *link, List *names, const char *condition)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, names)
		appendStringInfo(&sql, "%st.%s", sql.len ? ", " : "SELECT ", quote_identifier(lfirst(lc)));
	appendStringInfo(&sql, " FROM %s%s AS t%s%s", link->target_partitioned ? "" : "ONLY ", ts_link_target(link),
					 condition ? " WHERE " : "", condition ? condition : "");
	return sql.data;
}

char *
ts_fetch_target(const TsLink *link, const char *condition, Tuplestorestate **store)
{
	static uint32 number = 0;
	Fetching	f = {0};
	EphemeralNamedRelation enr;
	List	   *names;
	int			n;

	f.desc = describe(link, &names);
	n = f.desc->natts;
	f.input = palloc(sizeof(FmgrInfo) * n);
	f.params = palloc(sizeof(Oid) * n);
	f.values = palloc0(sizeof(Datum) * n);
	f.nulls = palloc0(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		Oid			input;

		getTypeInputInfo(TupleDescAttr(f.desc, i)->atttypid, &input, &f.params[i]);
		fmgr_info(input, &f.input[i]);
	}
	f.context = AllocSetContextCreate(CurrentMemoryContext, "tracksync fetched row", ALLOCSET_DEFAULT_SIZES);
	f.store = tuplestore_begin_heap(true, false, work_mem);
	ts_remote_rows(link->remote->connection, query(link, names, condition), put_row, &f);
	MemoryContextDelete(f.context);

	enr = palloc0(sizeof(*enr));
	enr->md.name = psprintf("tracksync_rows_%u", ++number);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = f.desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = f.rows;
	enr->reldata = f.store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows of a target");
	*store = f.store;
	return enr->md.name;
}

void
ts_fetch_end(const char *name, Tuplestorestate *store)
{
	(void) SPI_unregister_relation(name);
	tuplestore_end(store);
}
