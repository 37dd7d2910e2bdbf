/* module.c: what happens when the library is loaded. */
#include "postgres.h"

#include "fmgr.h"

#include "base/settings.h"
#include "capture/buffer.h"
#include "capture/origin.h"
#include "remote/connection.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	ts_settings_init();
	/* the last one registered is called first: the changes of the transaction are in the log before other servers commit */
	ts_connection_init();
	ts_buffer_init();
	ts_origin_init();
}
