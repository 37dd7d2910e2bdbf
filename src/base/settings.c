/* settings.c: the extension's settings. */
#include "postgres.h"

#include "utils/guc.h"

#include "base/settings.h"

int			ts_buffer_rows = 1000;
int			ts_batch_rows = 1000;
bool		ts_direct_writes = true;
int			ts_connect_timeout = 10;
int			ts_retries = 3;
char	   *ts_context = NULL;
char	   *ts_origin_setting = NULL;

void
ts_settings_init(void)
{
	DefineCustomIntVariable("tracksync.buffer_rows",
							"Row changes a (sub)transaction holds in memory before it writes them to the change log.",
							NULL, &ts_buffer_rows, 1000, 1, TS_SEQ_BLOCK, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tracksync.batch_rows",
							"Rows that one statement of a push takes.",
							NULL, &ts_batch_rows, 1000, 1, 100000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tracksync.direct_writes",
							 "A push writes local tables without SQL statements, where that comes to the same.",
							 NULL, &ts_direct_writes, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tracksync.connect_timeout",
							"How long to wait for a connection to another server; 0: no limit.",
							NULL, &ts_connect_timeout, 10, 0, 24 * 3600, PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("tracksync.retries",
							"How often a push to another server is tried again after an error that may pass.",
							NULL, &ts_retries, 3, 0, 100, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tracksync.context",
							   "Free text that is kept with the changes of a transaction.",
							   NULL, &ts_context, NULL, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tracksync.origin",
							   "The table that changes come from, which are not to be sent back there; set by tracksync.push.",
							   NULL, &ts_origin_setting, NULL, PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("tracksync");
#else
	EmitWarningsOnPlaceholders("tracksync");
#endif
}
