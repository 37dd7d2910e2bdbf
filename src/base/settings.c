/* settings.c: the extension's settings. */
#include "postgres.h"

#include "utils/guc.h"

#include "base/settings.h"

int			ts_buffer_rows = 1000;
int			ts_batch_rows = 1000;
bool		ts_direct_writes = true;
char	   *ts_context = NULL;

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
	DefineCustomStringVariable("tracksync.context",
							   "Free text that is kept with the changes of a transaction.",
							   NULL, &ts_context, NULL, PGC_USERSET, 0, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("tracksync");
#else
	EmitWarningsOnPlaceholders("tracksync");
#endif
}
