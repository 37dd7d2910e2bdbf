/* inflight.c: what the source held at a link's position, where that is not what it holds today. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/expression.h"
#include "base/quote.h"
#include "link/rows.h"
#include "netchange/netchange.h"
#include "verify/inflight.h"

#define INSERTED "\"tracksync, inserted\""

typedef struct Gathering
{
	const TsLink *link;
	TupleDesc	source;
	TupleDesc	desc;
	Bitmapset  *keys;			/* the source's columns that the target's key depends on */
	Datum	   *values;
	bool	   *nulls;
} Gathering;

/* The source's columns, and what is known of the row. */
static TupleDesc
describe(TupleDesc source)
{
	int			n = 0;
	TupleDesc	desc;

	for (int i = 0; i < source->natts; i++)
		n += !TupleDescAttr(source, i)->attisdropped;
	desc = CreateTemplateTupleDesc(n + 2);
	n = 0;
	for (int i = 0; i < source->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(source, i);

		if (att->attisdropped)
			continue;
		TupleDescInitEntry(desc, ++n, NameStr(att->attname), att->atttypid, att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(desc, n, att->attcollation);
	}
	TupleDescInitEntry(desc, ++n, "tracksync, inserted", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, ++n, "tracksync, unknown", INT2ARRAYOID, -1, 0);
	return desc;
}

/* The value of a column before the change; false: it is not known. */
static bool
old_value(const Gathering *g, const TsNetChange *net, int i, Datum *value, bool *isnull)
{
	*value = (Datum) 0;
	*isnull = true;
	for (int k = 0; k < g->link->tracked->nkeys; k++)
		if (g->link->tracked->keys[k] == i + 1)
		{
			/* the same key, though it may have been written otherwise */
			*value = net->keys[k];
			*isnull = false;
			if (net->op == TS_NET_DELETE && !net->old_known[i])
				return true;
		}
	if (ts_is_virtual(TupleDescAttr(g->source, i)))
		return false;
	if (net->op == TS_NET_INSERT || (net->op == TS_NET_UPDATE && !net->changed[i]))
	{
		*value = net->live->tts_values[i];
		*isnull = net->live->tts_isnull[i];
		return true;
	}
	if (!net->old_known[i])
		return false;
	*value = net->old_values[i];
	*isnull = net->old_nulls[i];
	return true;
}

static void
put_row(TsInFlight *flight, Gathering *g, const TsNetChange *net)
{
	Datum	   *unknown = palloc(sizeof(Datum) * (g->source->natts + 1));
	int			nunknown = 0;
	int			n = 0;

	if (net->live != NULL)
		slot_getallattrs(net->live);
	for (int i = 0; i < g->source->natts; i++)
	{
		if (TupleDescAttr(g->source, i)->attisdropped)
			continue;
		if (!old_value(g, net, i, &g->values[n], &g->nulls[n]))
		{
			unknown[nunknown++] = Int16GetDatum(i + 1);
			/* which row of the target it was */
			flight->doubtful |= net->op != TS_NET_INSERT && g->nulls[n] && bms_is_member(i + 1, g->keys);
		}
		n++;
	}
	g->values[n] = BoolGetDatum(net->op == TS_NET_INSERT);
	g->nulls[n++] = false;
	g->nulls[n] = nunknown == 0;
	g->values[n] = nunknown == 0 ? (Datum) 0 : PointerGetDatum(construct_array(unknown, nunknown, INT2OID, 2, true, TYPALIGN_SHORT));
	tuplestore_putvalues(flight->store, g->desc, g->values, g->nulls);
	flight->unknown |= nunknown > 0;
	flight->rows++;
}

static void
register_rows(TsInFlight *flight, TupleDesc desc)
{
	static uint32 number = 0;
	EphemeralNamedRelation enr = palloc0(sizeof(*enr));

	flight->name = enr->md.name = psprintf("tracksync_before_%u", ++number);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = flight->rows;
	enr->reldata = flight->store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows of before");
}

void
ts_inflight_begin(TsInFlight *flight, const TsLink *link, Relation source, Snapshot snapshot)
{
	Gathering	g = {.link = link, .source = RelationGetDescr(source)};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tracksync row of before", ALLOCSET_DEFAULT_SIZES);
	TsPending	pending;
	TsNetStream *stream;
	TsNetChange net;

	memset(flight, 0, sizeof(*flight));
	g.desc = describe(g.source);
	g.values = palloc0(sizeof(Datum) * g.desc->natts);
	g.nulls = palloc0(sizeof(bool) * g.desc->natts);
	for (int i = 0; i < link->nkeys; i++)
		g.keys = bms_add_members(g.keys, link->columns[link->keys[i]].reads);
	flight->store = tuplestore_begin_heap(true, false, work_mem);
	stream = ts_net_begin(source, link->tracked, snapshot, link->position, false, NULL, &pending);
	flight->doubtful = pending.wholesale || pending.rows_came;
	while (!pending.wholesale && ts_net_next(stream, &net))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (net.op == TS_NET_BROKEN)
		{
			flight->doubtful = true;
			break;
		}
		old = MemoryContextSwitchTo(context);
		put_row(flight, &g, &net);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	ts_net_end(stream);
	MemoryContextDelete(context);
	if (flight->rows > 0)
		register_rows(flight, g.desc);
}

void
ts_inflight_end(TsInFlight *flight)
{
	if (flight->name != NULL)
		(void) SPI_unregister_relation(flight->name);
	if (flight->store != NULL)
		tuplestore_end(flight->store);
	memset(flight, 0, sizeof(*flight));
}

/* EXISTS (SELECT FROM before AS q WHERE q.k = s.k …), by the source's own key */
static char *
is_in_flight(const TsInFlight *flight, const TsLink *link, Relation source)
{
	TsKeyIndex *index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "EXISTS (SELECT FROM %s AS q WHERE ", flight->name);
	for (int i = 0; i < index->nkeys; i++)
	{
		const char *name = quote_identifier(get_attname(link->source, index->columns[i].attnum, false));

		appendStringInfo(&sql, "%sq.%s %s s.%s", i ? " AND " : "", name, ts_quote_operator(index->columns[i].eq_op), name);
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

char *
ts_inflight_same(const TsInFlight *flight, const TsLink *link, Relation source)
{
	return flight->name == NULL ? ts_source_rows(link) : ts_source_rows_where(link, psprintf("NOT %s", is_in_flight(flight, link, source)));
}

char *
ts_inflight_new(const TsInFlight *flight, const TsLink *link, Relation source)
{
	return ts_source_rows_where(link, is_in_flight(flight, link, source));
}

char *
ts_inflight_is_unknown(const Bitmapset *reads)
{
	StringInfoData sql;
	int			attnum = -1;

	initStringInfo(&sql);
	while ((attnum = bms_next_member(reads, attnum)) >= 0)
		appendStringInfo(&sql, "%s%d", sql.len ? "," : "", attnum);
	return psprintf("(s." TS_FLIGHT_UNKNOWN " IS NOT NULL AND s." TS_FLIGHT_UNKNOWN " OPERATOR(pg_catalog.&&) '{%s}'::pg_catalog.int2[])", sql.data);
}

/* (SELECT s.a AS x, …, unknown, sure FROM before AS s WHERE NOT inserted AND (NOT sure OR filter)) */
char *
ts_inflight_old(const TsInFlight *flight, const TsLink *link)
{
	const char *unsure = link->condition != NULL ? ts_inflight_is_unknown(link->condition_reads) : "false";
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		char	   *value = ts_source_value(link, col, "s");

		/* an expression is not made to cope with what is not there */
		if (col->value != NULL)
			value = psprintf("CASE WHEN %s THEN NULL ELSE %s END", ts_inflight_is_unknown(col->reads), value);
		appendStringInfo(&sql, "%s%s AS %s", i ? ", " : "(SELECT ", value, quote_identifier(col->target_name));
	}
	appendStringInfo(&sql, ", s." TS_FLIGHT_UNKNOWN ", NOT %s AS " TS_FLIGHT_SURE " FROM %s AS s WHERE NOT s." INSERTED, unsure, flight->name);
	if (link->condition != NULL)
		appendStringInfo(&sql, " AND CASE WHEN %s THEN true ELSE %s END", unsure, ts_expression_sql(link->condition, link->source, "s"));
	appendStringInfoChar(&sql, ')');
	return sql.data;
}
