/* flight.c: batches on their way to a target that need not be waited for one by one. */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "apply/arrays.h"
#include "apply/flight.h"

/* So many are on their way at a time: enough for a long line, and little enough for memory. */
#define FLIGHTS 8
/* of one row each */
#define SINGLE_FLIGHTS 256

/* A stream is not begun for less. */
#define STREAM_ROWS 500

typedef struct Flight
{
	TsBatch		batch;
	MemoryContext context;
	void	   *ticket;
	/* where the writer was, for the context of an error */
	int64		number;
	char	   *first_key;
	char	   *last_key;
	char	   *cast;
} Flight;

bool
ts_flight_can(const TsWriter *writer, const TsBatch *batch)
{
	/* a row under a key that another one should leave: none may be sent after it before it is settled */
	return writer->target->ops->send != NULL && !writer->probing && !batch->rows[0].moved &&
		!(batch->op == TS_CHANGE_INSERT && writer->careful);
}

static void
note_written(void *arg, int ncolumns, char *const *values)
{
	((TsBatch *) arg)->found[strtoll(values[0], NULL, 10)].done = true;
}

/* The one that was sent first. */
static void
land(TsWriter *writer)
{
	Flight	   *flight = linitial(writer->flights);
	TsBatch    *batch = &flight->batch;
	Flight		now = {.number = writer->batch, .first_key = writer->first_key, .last_key = writer->last_key, .cast = writer->cast};
	TsChange	row = writer->row;
	int			size = writer->batch_size;
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	uint64		done;

	writer->flights = list_delete_first(writer->flights);
	writer->batch = flight->number;
	writer->first_key = flight->first_key;
	writer->last_key = flight->last_key;
	writer->cast = flight->cast;
	writer->row = batch->rows[0];
	writer->batch_size = batch->n;
	done = writer->target->ops->receive(writer->target, flight->ticket, batch->op != TS_CHANGE_INSERT ? note_written : NULL, batch);
	if (done != (uint64) batch->n)
		ts_settle(writer, batch, ts_batch_all(batch->n));
	writer->batch = now.number;
	writer->first_key = now.first_key;
	writer->last_key = now.last_key;
	writer->cast = now.cast;
	writer->row = row;
	writer->batch_size = size;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(flight->context);
}

static void
end_stream(TsWriter *writer)
{
	int64		rows = writer->streamed;
	int64		number = writer->batch;
	char	   *first_key = writer->first_key;
	char	   *last_key = writer->last_key;
	char	   *cast = writer->cast;
	int			size = writer->batch_size;
	uint64		done;

	writer->streamed = 0;
	writer->batch = writer->stream_from;
	writer->first_key = writer->stream_key;
	writer->last_key = writer->stream_last;
	writer->cast = NULL;
	writer->batch_size = (int) Min(rows, PG_INT32_MAX);
	done = writer->target->ops->stream_end(writer->target);
	if (done != (uint64) rows)
		ts_settle_refused(writer, rows, (int64) done);
	writer->batch = number;
	writer->first_key = first_key;
	writer->last_key = last_key;
	writer->cast = cast;
	writer->batch_size = size;
}

void
ts_flight_land_all(TsWriter *writer)
{
	if (writer->streamed > 0)
		end_stream(writer);
	while (writer->flights != NIL)
		land(writer);
}

bool
ts_flight_stream(TsWriter *writer, const TsBatch *batch)
{
	MemoryContext old;

	if (writer->target->ops->stream == NULL || batch->op != TS_CHANGE_INSERT || writer->careful || writer->probing || writer->single_from >= 0 ||
		(writer->streamed == 0 && batch->n < STREAM_ROWS))
		return false;
	if (writer->streamed == 0)
		ts_flight_land_all(writer);
	ts_batch_announce(writer, batch);
	if (!writer->target->ops->stream(writer->target, batch->n, batch->rows))
		return false;
	writer->batch++;
	old = MemoryContextSwitchTo(writer->context);
	if (writer->streamed == 0)
	{
		writer->stream_from = writer->batch;
		writer->stream_key = pstrdup(writer->first_key);
	}
	else
		pfree(writer->stream_last);
	writer->stream_last = pstrdup(writer->last_key);
	MemoryContextSwitchTo(old);
	writer->streamed += batch->n;
	return true;
}

void
ts_flight_send(TsWriter *writer, const TsBatch *batch, MemoryContext context)
{
	MemoryContext old;
	Flight	   *flight;
	TsStatement *stmt;

	if (writer->streamed > 0)
		end_stream(writer);
	while (list_length(writer->flights) >= (batch->n == 1 ? SINGLE_FLIGHTS : FLIGHTS))
		land(writer);
	/* an error that has come already belongs to one of them */
	while (writer->flights != NIL && writer->target->ops->ready(writer->target, ((Flight *) linitial(writer->flights))->ticket))
		land(writer);
	old = MemoryContextSwitchTo(context);
	flight = palloc0(sizeof(Flight));
	flight->batch = *batch;
	flight->batch.found = palloc0(sizeof(TsFound) * batch->n);
	flight->context = context;
	ts_batch_announce(writer, &flight->batch);
	flight->number = ++writer->batch;
	flight->first_key = writer->first_key;
	flight->last_key = writer->last_key;
	flight->cast = writer->cast;
	stmt = ts_batch_fast(writer, &flight->batch);
	flight->ticket = writer->target->ops->send(writer->target, stmt, ts_arrays_build(writer->link, stmt, batch->rows, batch->n, ts_batch_all(batch->n)));
	MemoryContextSwitchTo(writer->context);
	writer->flights = lappend(writer->flights, flight);
	MemoryContextSwitchTo(old);
}
