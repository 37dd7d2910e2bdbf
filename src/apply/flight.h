/*
 * flight.h: batches on their way to a target that need not be waited for one by one.
 *
 * They are sent in order, and land in order: then what was not as expected is settled. Whatever else is asked of the target waits until
 * all have landed, so that an error is told of the batch that it belongs to. Of a stream it can only be told that it was one of its rows.
 */
#ifndef TS_FLIGHT_H
#define TS_FLIGHT_H

#include "apply/settle.h"

/* Can the batch be sent without waiting for it? */
extern bool ts_flight_can(const TsWriter *writer, const TsBatch *batch);
/* Sends it; takes over the batch and the context that it lives in. An earlier one may have to land first. */
extern void ts_flight_send(TsWriter *writer, const TsBatch *batch, MemoryContext context);
/* Or is it a part of a large insert, which goes as one stream? Then it is on its way: true. */
extern bool ts_flight_stream(TsWriter *writer, const TsBatch *batch);
/* Waits for all that are on their way. */
extern void ts_flight_land_all(TsWriter *writer);

#endif
