/* survivor.c: unlogged tables that no crash has emptied. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "log/survivor.h"

/* The source's leaves; pg_partition_tree is empty for what is not partitioned. */
#define LEAVES "(SELECT $1 AS oid UNION SELECT relid::oid FROM pg_partition_tree($1::regclass))"
#define UNLOGGED_LEAVES \
	"SELECT l.oid FROM " LEAVES " l JOIN pg_class c ON c.oid = l.oid WHERE c.relkind = 'r' AND c.relpersistence = 'u' " \
	"AND NOT EXISTS (SELECT FROM tracksync_log.survivor s WHERE s.source = l.oid)"

static const Oid types[] = {OIDOID};

bool
ts_survivors_missing(Oid source)
{
	Datum		values[] = {ObjectIdGetDatum(source)};
	TsCatalog	cat;
	bool		missing;

	if (get_rel_relkind(source) == RELKIND_RELATION && get_rel_persistence(source) != RELPERSISTENCE_UNLOGGED)
		return false;
	ts_catalog_enter(&cat);
	missing = ts_sql_reading(UNLOGGED_LEAVES, 1, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	return missing;
}

void
ts_survivors_note(Oid source)
{
	Datum		values[] = {ObjectIdGetDatum(source)};
	TsCatalog	cat;

	if (get_rel_relkind(source) == RELKIND_RELATION && get_rel_persistence(source) != RELPERSISTENCE_UNLOGGED)
		return;
	ts_catalog_enter(&cat);
	ts_sql("INSERT INTO tracksync_log.survivor (source) " UNLOGGED_LEAVES " ON CONFLICT DO NOTHING",
		   SPI_OK_INSERT, 1, types, values, NULL);
	ts_catalog_leave(&cat);
}

void
ts_survivors_forget(Oid source)
{
	Datum		values[] = {ObjectIdGetDatum(source)};
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	ts_sql("DELETE FROM tracksync_log.survivor WHERE source IN (SELECT oid FROM " LEAVES " l)", SPI_OK_DELETE, 1, types, values, NULL);
	ts_catalog_leave(&cat);
}
