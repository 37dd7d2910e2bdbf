/* replay.h: what moves.c and replay.c share: the keys that changed and their events. */
#ifndef TS_REPLAY_H
#define TS_REPLAY_H

#include "fmgr.h"
#include "netchange/moves.h"

/* Whose row is there now, besides an entry's number. */
#define NEW_ROW (-1)			/* one that came since */
#define NO_ROW (-2)

/* One key. */
typedef struct Entry
{
	Datum	   *keys;
	TsFold		fold;			/* its events, folded: the values of the row that was there at the position */
	int			from;			/* the entry whose row is there now */
	int			to;				/* the entry where its own row is now, or NO_ROW */
	bool		existed;
	bool		live;
	bool		broken;			/* the events and the live row contradict each other */
	bool		done;			/* the move that ends here is in the list */
} Entry;

typedef struct Event
{
	uint64		txid;
	int64		seq;
	int64		order;			/* of its transaction among the others */
	CommandId	cid;
	char		op;
	bool		pair;
	int			entry;
	int			row;			/* of a D that is half a pair: the row that leaves */
	Datum		image;			/* 0 = none */
} Event;

/* One change to come. */
typedef struct Output
{
	int			entry;
	enum
	{
		OUT_DELETE,
		OUT_HERE,				/* what the key's own events come to */
		OUT_INSERT,
		OUT_MOVE
	}			what;
	bool		in_circle;
} Output;

struct TsMoves
{
	const TsTracked *tracked;
	TupleDesc	eventdesc;
	TsFold	   *fold;			/* to fold with */
	int			nkeys;
	FmgrInfo   *compare;
	Oid		   *collation;
	MemoryContext context;
	int			n;
	int			size;
	Entry	   *entries;		/* sorted by key once "sorted" */
	bool		sorted;
	bool		has_echo;		/* a row may have come or gone that nobody moved */
	int64		nevents;
	int64		events_size;
	Event	   *events;
	Size		bytes;
	int			noutputs;
	Output	   *outputs;
	int			at;
};

/* Sorts the keys; each remains once. */
extern void ts_moves_settle(TsMoves *moves);

#endif
