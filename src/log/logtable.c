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
#include "log/bound.h"
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

/* One half of a log; it goes with its table. */
static Oid
create_half(Relation source, const char *name)
{
	StringInfoData sql;
	ObjectAddress log,
				table;
	Oid			logid;

	initStringInfo(&sql);
	/* bounds are about pages of a heap */
	appendStringInfo(&sql, "CREATE TABLE %s.%s (txid xid8 NOT NULL, seq bigint NOT NULL, n int NOT NULL, origin int2, "
					 "events bytea NOT NULL, came_from text) USING heap WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
					 TS_LOG_SCHEMA, name);
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	logid = get_relname_relid(name, get_namespace_oid(TS_LOG_SCHEMA, false));
	ObjectAddressSet(log, RelationRelationId, logid);
	ObjectAddressSet(table, RelationRelationId, RelationGetRelid(source));
	recordDependencyOn(&log, &table, DEPENDENCY_AUTO);
	return logid;
}

void
ts_logtable_create(Relation source, Oid *halves, Oid *seqid)
{
	int64		number = free_number();
	char		name[NAMEDATALEN];
	StringInfoData sql;

	snprintf(name, sizeof(name), "log_" INT64_FORMAT "_spare", number);
	halves[1] = create_half(source, name);
	snprintf(name, sizeof(name), "log_" INT64_FORMAT, number);
	halves[0] = create_half(source, name);

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE SEQUENCE %s.%s_seq INCREMENT BY %d CACHE 1 OWNED BY %s.%s.seq",
					 TS_LOG_SCHEMA, name, TS_SEQ_BLOCK, TS_LOG_SCHEMA, name);
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	snprintf(name, sizeof(name), "log_" INT64_FORMAT "_seq", number);
	*seqid = get_relname_relid(name, get_namespace_oid(TS_LOG_SCHEMA, false));
}

void
ts_logtable_drop(const Oid *halves)
{
	for (int i = 0; i < TS_LOG_HALVES; i++)
	{
		ObjectAddress log;

		ts_bound_forget(halves[i]);
		if (get_rel_name(halves[i]) == NULL)
			continue;
		ObjectAddressSet(log, RelationRelationId, halves[i]);
		performDeletion(&log, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
}
