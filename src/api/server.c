/* server.c: SQL functions fdw_validator and disconnect. */
#include "postgres.h"

#include "access/reloptions.h"
#include "fmgr.h"
#include "foreign/foreign.h"

#include "remote/connection.h"
#include "remote/option.h"

PG_FUNCTION_INFO_V1(tracksync_fdw_validator);
PG_FUNCTION_INFO_V1(tracksync_disconnect);

/* fdw_validator(options, catalog) */
Datum
tracksync_fdw_validator(PG_FUNCTION_ARGS)
{
	ts_option_check(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

/* disconnect(server) */
Datum
tracksync_disconnect(PG_FUNCTION_ARGS)
{
	const char *server = PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0));

	if (server != NULL && !OidIsValid(get_foreign_server_oid(server, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", server),
				 errhint("pg_foreign_server lists those there are.")));
	if (ts_connection_is_writing(server, InvalidOid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 server ? errmsg("the connection to server \"%s\" is in use by this transaction", server) :
				 errmsg("a connection is in use by this transaction"),
				 errhint("Disconnect after the end of the transaction.")));
	PG_RETURN_INT32(ts_connection_close(server));
}
