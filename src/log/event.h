/*
 * event.h: how events are packed into a log row.
 *
 * A log row holds events of one transaction, one table and one origin, up to some hundred, whose seqs rise by one. Packed (see pack.h):
 *   1 byte   the op's number, with the bits TS_EVENT_…
 *   4 bytes  command id, if it is not that of the event before
 *   frame    the key: a value per key column, none of them NULL
 *   frame    the image
 * Going from event to event needs no types: a key's type may be gone by the time a log is read.
 */
#ifndef TS_EVENT_H
#define TS_EVENT_H

#include "access/tupdesc.h"

#include "log/pack.h"

#define TS_OP_INSERT 'I'
#define TS_OP_UPDATE 'U'
#define TS_OP_DELETE 'D'
#define TS_OP_TRUNCATE 'T'
#define TS_OP_GAP 'G'
#define TS_OP_OPERATION 'O'
#define TS_OP_SCHEMA 'S'		/* the columns changed; image: TsSchemaEvent */
#define TS_OP_GONE 'N'			/* nothing happened here: the table that it came from has no row of this key, no more than this one */

/* The image of a gap that hides no row that went: rows came with an attached partition. */
#define TS_GAP_ATTACHED "A"

/* Numbers of rows of tracksync.table_shape. */
typedef struct TsSchemaEvent
{
	int32		before;
	int32		after;
} TsSchemaEvent;

/* The command of an event that has none: it stays where it came among the events of its transaction. */
#define TS_NO_COMMAND InvalidCommandId

typedef struct TsEvent
{
	char		op;				/* TS_OP_… */
	bool		pair;			/* half of an UPDATE that changed the key: the D, or the I that follows it */
	CommandId	cid;			/* of the command that made the change, or TS_NO_COMMAND */
	const char *origin;			/* the table that the change came from (capture/origin.h), interned; NULL: it was made here */
	const char *key;			/* packed values; NULL = none */
	Size		key_size;
	const char *image;			/* see image.h, of an O event operation.h, of S and G above; NULL = none */
	Size		image_size;
} TsEvent;

/* Events on their way into one log row. */
typedef struct TsBlock
{
	int64		seq;			/* of the first event; 0 = not numbered yet */
	int			n;				/* events */
	CommandId	cid;			/* of the last one */
	const char *origin;			/* of all of them */
	TsBytes		bytes;			/* begins with the header that makes it a bytea */
} TsBlock;

/* A row's events in bytes: four such rows fill a page and need no toast; only an event that is larger by itself gets more. */
#define TS_BLOCK_BYTES 1960
#define TS_BLOCK_EVENTS 512

/* Adds the event, allocating from the current context; false if the block is full, or of another origin. An empty block takes any event. */
extern bool ts_block_add(TsBlock *block, const TsEvent *event);
/* Adds all events of another block; false if they do not fit. */
extern bool ts_block_append(TsBlock *block, const TsBlock *more);
/* The block as the bytea of a log row; lives as long as the block. */
extern struct varlena *ts_block_bytea(TsBlock *block);

typedef struct TsEventReader
{
	const char *at;
	const char *end;
	CommandId	cid;
} TsEventReader;

/* data is a bytea, detoasted. */
extern void ts_events_begin(TsEventReader *reader, const struct varlena *data);
/* The next event, whose key and image point into the data; false at the end. */
extern bool ts_events_next(TsEventReader *reader, TsEvent *event);

#endif
