/* repair.c: a push that makes good what verify names. */
#include "postgres.h"

#include "link/rows.h"
#include "verify/checksum.h"
#include "verify/repair.h"

void
ts_repair_prepare(TsLink *link, Relation source, Relation target, TsRepair repair)
{
	link->repair = repair;
	/* a row that is gone already, or not as it was, is what is to be repaired */
	link->on_conflict = TS_CONFLICT_SOURCE_WINS;
	/* while columns have to follow, all rows are compared */
	if (link->server != NULL && target != NULL && !link->foreseen)
		(void) ts_checksum_narrow(link, source, ts_source_rows(link), NULL);
}
