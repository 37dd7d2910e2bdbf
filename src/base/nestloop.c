/* nestloop.c: plans that look rows up by their keys. */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/nestloop.h"

void
ts_plan_nested_loop(SPIPlanPtr plan, bool kept)
{
	static const char *const off[] = {"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan"};
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL && kept)
		ts_release_cached_plan(cached);
	else if (cached != NULL)
		ts_release_own_plan(cached);
	PopActiveSnapshot();
	AtEOXact_GUC(true, level);
}
