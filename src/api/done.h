/* done.h: the steps of a push as the rows that it returns. */
#ifndef TS_DONE_H
#define TS_DONE_H

#include "api/args.h"
#include "apply/push.h"
#include "base/srf.h"

extern void ts_put_done(TsResult *result, const TsOpening *opening, const TsPushed *pushed);
/* A step's link and target, in the columns 3 and 4: a user's step of a group belongs to none of its links. */
extern void ts_put_place(const TsStep *step, const TsLink *link, Datum *values, bool *nulls);
/* What is not done in this database is said. */
extern const char *ts_describe_step(const TsOpening *opening, const TsStep *step, const TsLink *link);

#endif
