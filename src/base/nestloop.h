/* nestloop.h: plans that look rows up by their keys. */
#ifndef TS_NESTLOOP_H
#define TS_NESTLOOP_H

#include "executor/spi.h"

/*
 * Plans a prepared statement now, if it has no valid plan: as nested loops into indexes, whatever the planner thinks of the tables. The
 * settings are in force for the planning only, not while it runs. kept: by SPI_keepplan.
 */
extern void ts_plan_nested_loop(SPIPlanPtr plan, bool kept);

#endif
