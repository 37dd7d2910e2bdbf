/* done.c: the steps of a push as the rows that it returns. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/done.h"

void
ts_put_place(const TsStep *step, const TsLink *link, Datum *values, bool *nulls)
{
	values[3] = CStringGetTextDatum(step->owner ? step->owner : link->name);
	nulls[4] = step->owner != NULL && strcmp(step->owner, link->name) != 0;
	values[4] = CStringGetTextDatum(ts_link_target(link));
}

const char *
ts_describe_step(const TsOpening *opening, const TsStep *step, const TsLink *link)
{
	if (link->server == NULL || step->function != NULL)
		return step->description;
	return psprintf("%s on server %s%s", step->description, quote_identifier(link->server), opening->split ? ", in a transaction of its own" : "");
}

void
ts_put_done(TsResult *result, const TsOpening *opening, const TsPushed *pushed)
{
	for (int i = 0; i < pushed->merged->nsteps; i++)
	{
		const TsStep *step = ts_merged_step(pushed->merged, i);
		const TsLink *link = pushed->merged->plans[pushed->merged->steps[i].plan]->link;
		const TsDone *done = &pushed->done[i];
		Datum		values[8];
		bool		nulls[8] = {false};
		Interval   *elapsed = palloc0(sizeof(Interval));

		elapsed->time = done->microseconds;
		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(step->priority);
		values[2] = CStringGetTextDatum(step->kind);
		ts_put_place(step, link, values, nulls);
		values[5] = Int64GetDatum(done->rows);
		values[6] = IntervalPGetDatum(elapsed);
		values[7] = CStringGetTextDatum(ts_describe_step(opening, step, link));
		ts_result_put(result, values, nulls);
	}
}
