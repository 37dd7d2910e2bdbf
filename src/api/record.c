/* record.c: what earlier pushes left behind about one row. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/fact.h"
#include "base/catalog.h"
#include "plan/keep.h"

/* The link's quarantine, also rows that were released, as one JSON array. */
static char *
quarantine_of(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *records;

	ts_catalog_enter(&cat);
	(void) ts_sql_reading("SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY key), '[]')::text FROM tracksync.quarantine_record r WHERE link = $1",
						  1, types, values, NULL);
	records = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return records;
}

#define FIELD(name) "pg_catalog.jsonb_object_field_text(j.v, '" name "')"
#define JSON(name) "'" name "', pg_catalog.jsonb_object_field(j.v, '" name "')"

/* A fact per row found: at, what, detail, of the aspect. */
static void
tell_rows(TsExplained *e, TsAspect aspect, uint64 n)
{
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		TimestampTz at = DatumGetTimestampTz(ts_sql_value(i, 1, &isnull));

		ts_fact_add(e, aspect, at, ts_sql_text(i, 2), ts_detail_of(ts_sql_text(i, 3)));
	}
}

void
ts_record_quarantine(TsExplained *e)
{
	uint64		n = ts_fact_query(e, psprintf("SELECT " FIELD("tried") "::pg_catalog.timestamptz, pg_catalog.format('%%s%%s, %%s', " FIELD("op")
											 ", CASE WHEN " FIELD("released") "::pg_catalog.bool THEN ', released' END, " FIELD("message") "), "
											 "pg_catalog.jsonb_build_object(" JSON("key") ", " JSON("sqlstate") ", 'constraint', "
											 "pg_catalog.jsonb_object_field(j.v, 'constraint_name'), 'row', pg_catalog.jsonb_object_field(j.v, 'row_values'), "
											 JSON("image") ", " JSON("since") ", " JSON("tried") ", " JSON("attempts") ", " JSON("released") "), "
											 FIELD("image") " FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS j(v), LATERAL %s WHERE %s",
											 ts_statement_key(e->link, "pg_catalog.jsonb_object_field(j.v, 'key')", true), ts_fact_is_record(e)),
								  quarantine_of(e->link), 0);

	e->quarantined = n > 0;
	e->image = n > 0 ? ts_sql_text(0, 4) : NULL;
	tell_rows(e, TS_ASPECT_QUARANTINE, n);
}

void
ts_record_conflicts(TsExplained *e)
{
	char	   *sql = psprintf("SELECT r.at, pg_catalog.format('%%s, resolved: %%s', r.kind, r.resolution), pg_catalog.jsonb_build_object('key', r.key, "
							   "'source', r.source, 'target', r.target, 'resolution', r.resolution) FROM tracksync.conflict AS r, LATERAL %s "
							   "WHERE r.link OPERATOR(pg_catalog.=) $1 AND %s ORDER BY r.id", ts_statement_key(e->link, "r.key", true), ts_fact_is_record(e));

	for (int i = 0; i < e->keys->n; i++)
		tell_rows(e, TS_ASPECT_CONFLICT, ts_fact_query(e, sql, e->link->name, i));
}

void
ts_record_pushed(TsExplained *e)
{
	tell_rows(e, TS_ASPECT_PUSHED,
			  ts_fact_query(e, "SELECT r.started, 'the last push', pg_catalog.jsonb_build_object('id', r.id, 'elapsed', r.elapsed, 'deletes', r.deletes, "
							"'updates', r.updates, 'inserts', r.inserts) FROM tracksync.push_history AS r WHERE r.link OPERATOR(pg_catalog.=) $1 "
							"AND r.outcome OPERATOR(pg_catalog.=) 'done' ORDER BY r.id DESC LIMIT 1", e->link->name, 0));
}
