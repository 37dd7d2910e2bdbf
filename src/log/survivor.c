/* survivor.c: unlogged tables that no crash has emptied. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "log/survivor.h"
#include "log/watch.h"

#define UNLOGGED_LEAVES \
	"SELECT c.oid FROM pg_class c WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND c.oid IN " TS_FAMILY \
	" AND NOT EXISTS (SELECT FROM tracksync_log.survivor s WHERE s.source = c.oid)"

static const Oid types[] = {OIDOID};

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
	ts_sql("DELETE FROM tracksync_log.survivor WHERE source IN " TS_FAMILY, SPI_OK_DELETE, 1, types, values, NULL);
	ts_catalog_leave(&cat);
}
