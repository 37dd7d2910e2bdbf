/* logtable.c: making and dropping a change log. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "base/settings.h"
#include "log/logtable.h"

/* A number no log has, also after a dump was restored with logs of its own. */
static int64
free_number(void)
{
	for (;;)
	{
		char		name[NAMEDATALEN];
		bool		isnull;
		int64		number;

		ts_sql("SELECT nextval('tracksync.log_number')", SPI_OK_SELECT, 0, NULL, NULL, NULL);
		number = DatumGetInt64(ts_sql_value(0, 1, &isnull));
		snprintf(name, sizeof(name), "log_" INT64_FORMAT, number);
		if (!OidIsValid(get_relname_relid(name, get_namespace_oid(TS_LOG_SCHEMA, false))))
			return number;
	}
}

void
ts_logtable_create(Relation source, Oid *logid, Oid *seqid)
{
	Oid			schema = get_namespace_oid(TS_LOG_SCHEMA, false);
	int64		number = free_number();
	char		name[NAMEDATALEN];
	StringInfoData sql;
	ObjectAddress log,
				table;

	initStringInfo(&sql);
	snprintf(name, sizeof(name), "log_" INT64_FORMAT, number);
	appendStringInfo(&sql, "CREATE TABLE %s.%s (txid xid8 NOT NULL, seq bigint NOT NULL, n int NOT NULL, origin int2, "
					 "events bytea NOT NULL, came_from text) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
					 TS_LOG_SCHEMA, name);
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	*logid = get_relname_relid(name, schema);

	resetStringInfo(&sql);
	appendStringInfo(&sql, "CREATE SEQUENCE %s.%s_seq INCREMENT BY %d CACHE 1 OWNED BY %s.%s.seq",
					 TS_LOG_SCHEMA, name, TS_SEQ_BLOCK, TS_LOG_SCHEMA, name);
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	snprintf(name, sizeof(name), "log_" INT64_FORMAT "_seq", number);
	*seqid = get_relname_relid(name, schema);

	/* A log goes with its table. */
	ObjectAddressSet(log, RelationRelationId, *logid);
	ObjectAddressSet(table, RelationRelationId, RelationGetRelid(source));
	recordDependencyOn(&log, &table, DEPENDENCY_AUTO);
}

void
ts_logtable_drop(Oid logid)
{
	ObjectAddress log;

	if (get_rel_name(logid) == NULL)
		return;
	ObjectAddressSet(log, RelationRelationId, logid);
	performDeletion(&log, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}
