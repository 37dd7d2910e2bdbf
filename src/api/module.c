/* module.c: what happens when the library is loaded. */
#include "postgres.h"

#include "fmgr.h"

#include "base/settings.h"
#include "capture/buffer.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	ts_settings_init();
	ts_buffer_init();
}
