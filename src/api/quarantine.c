/* quarantine.c: SQL functions release and discard. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/catalog.h"
#include "base/srf.h"
#include "link/link.h"

PG_FUNCTION_INFO_V1(tracksync_release);
PG_FUNCTION_INFO_V1(tracksync_discard);

/* Runs the statement for the rows of the link, or for the one with the key; an error if that one is not there. */
static int64
run(FunctionCallInfo fcinfo, const char *sql, int expect)
{
	static const Oid types[] = {TEXTOID, JSONBOID};
	Datum		values[2];
	char		nulls[3] = "  ";
	TsCatalog	cat;
	int64		n;

	/* checks the right */
	(void) ts_link_load(ts_text_arg(fcinfo, 0), true);
	values[0] = PG_GETARG_DATUM(0);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	ts_catalog_enter(&cat);
	n = ts_sql(sql, expect, 2, types, values, nulls);
	ts_catalog_leave(&cat);
	if (n == 0 && !PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" has no row in quarantine with the key %s", ts_text_arg(fcinfo, 0),
						JsonbToCString(NULL, &PG_GETARG_JSONB_P(1)->root, 0)),
				 errhint("See tracksync.quarantine.")));
	return n;
}

Datum
tracksync_release(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	PG_RETURN_INT64(run(fcinfo, "UPDATE tracksync.quarantine_record SET released = true WHERE link = $1 AND NOT released AND ($2 IS NULL OR key = $2)",
						SPI_OK_UPDATE));
}

Datum
tracksync_discard(PG_FUNCTION_ARGS)
{
	ts_need_arg(fcinfo, 0, "name");
	ts_need_arg(fcinfo, 1, "key");
	PG_RETURN_INT64(run(fcinfo, "DELETE FROM tracksync.quarantine_record WHERE link = $1 AND key = $2", SPI_OK_DELETE));
}
