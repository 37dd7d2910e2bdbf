/* event.c: packing events into log rows, and reading them. */
#include "postgres.h"

#include "utils/memutils.h"

#include "log/event.h"

#define EVENT_OP 0x07			/* position in ops */
#define EVENT_CID 0x08
#define EVENT_KEY 0x10
#define EVENT_IMAGE 0x20
#define EVENT_PAIR 0x40

/* Positions are part of the format. */
static const char ops[] = {TS_OP_INSERT, TS_OP_UPDATE, TS_OP_DELETE, TS_OP_TRUNCATE, TS_OP_GAP, TS_OP_OPERATION,
TS_OP_SCHEMA, TS_OP_GONE};

static int
op_number(char op)
{
	for (int i = 0; i < (int) lengthof(ops); i++)
		if (ops[i] == op)
			return i;
	elog(ERROR, "unknown kind of event: %d", op);
}

/* The first growth is enough for a transaction of a single row, the next one for a whole block. */
static void
make_room(TsBlock *block, Size more)
{
	Size		want = block->bytes.size == 0 ? 192 : TS_BLOCK_BYTES;

	if (block->bytes.used + more <= block->bytes.size)
		return;
	ts_bytes_enlarge(&block->bytes, Max(more, want - block->bytes.used));
}

bool
ts_block_add(TsBlock *block, const TsEvent *event)
{
	unsigned char head = op_number(event->op);
	Size		size = 1 + sizeof(CommandId);

	if (event->key != NULL)
		size += ts_frame_size(event->key_size);
	if (event->image != NULL)
		size += ts_frame_size(event->image_size);
	if (size > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("old row of %zu bytes is too large for the change log", size),
				 errhint("Track the table with images => 'none'.")));
	if (block->n > 0 && (block->origin != event->origin || block->n >= TS_BLOCK_EVENTS || block->bytes.used + size > TS_BLOCK_BYTES))
		return false;
	make_room(block, size + VARHDRSZ);
	if (block->n == 0)
		block->bytes.used = VARHDRSZ;
	block->origin = event->origin;
	if (block->n == 0 || block->cid != event->cid)
		head |= EVENT_CID;
	if (event->key != NULL)
		head |= EVENT_KEY;
	if (event->image != NULL)
		head |= EVENT_IMAGE;
	if (event->pair)
		head |= EVENT_PAIR;
	ts_pack(&block->bytes, &head, 1);
	if (head & EVENT_CID)
		ts_pack(&block->bytes, &event->cid, sizeof(CommandId));
	if (event->key != NULL)
		ts_pack_frame(&block->bytes, event->key, event->key_size);
	if (event->image != NULL)
		ts_pack_frame(&block->bytes, event->image, event->image_size);
	block->cid = event->cid;
	block->n++;
	return true;
}

bool
ts_block_append(TsBlock *block, const TsBlock *more)
{
	Size		size = more->bytes.used - VARHDRSZ;

	if (block->origin != more->origin || block->n + more->n > TS_BLOCK_EVENTS || block->bytes.used + size > TS_BLOCK_BYTES)
		return false;
	make_room(block, size);
	/* its first event tells its command id */
	ts_pack(&block->bytes, more->bytes.data + VARHDRSZ, size);
	block->n += more->n;
	block->cid = more->cid;
	return true;
}

struct varlena *
ts_block_bytea(TsBlock *block)
{
	SET_VARSIZE(block->bytes.data, block->bytes.used);
	return (struct varlena *) block->bytes.data;
}

void
ts_events_begin(TsEventReader *reader, const struct varlena *data)
{
	reader->at = VARDATA_ANY(data);
	reader->end = reader->at + VARSIZE_ANY_EXHDR(data);
	reader->cid = TS_NO_COMMAND;
}

bool
ts_events_next(TsEventReader *reader, TsEvent *event)
{
	unsigned char head;

	if (reader->at >= reader->end)
		return false;
	memset(event, 0, sizeof(*event));
	head = (unsigned char) *reader->at++;
	if ((head & EVENT_OP) >= lengthof(ops))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged row in a change log")));
	event->op = ops[head & EVENT_OP];
	event->pair = (head & EVENT_PAIR) != 0;
	if (head & EVENT_CID)
		reader->at = ts_unpack(reader->at, reader->end, &reader->cid, sizeof(CommandId));
	event->cid = reader->cid;
	if (head & EVENT_KEY)
		reader->at = ts_unpack_frame(reader->at, reader->end, &event->key, &event->key_size);
	if (head & EVENT_IMAGE)
		reader->at = ts_unpack_frame(reader->at, reader->end, &event->image, &event->image_size);
	return true;
}
