/* stream.h: rows to be inserted into a target on another server, as one COPY. */
#ifndef TS_STREAM_H
#define TS_STREAM_H

#include "fmgr.h"
#include "plan/change.h"

typedef struct TsStream
{
	const TsLink *link;
	FmgrInfo   *output;			/* per column of the link */
	struct TsFit **fits;		/* the same; NULL: the values go as they are */
	bool		begun;
} TsStream;

/* NULL if statements are needed. */
extern TsStream *ts_stream_prepare(const TsLink *link);
extern void ts_stream_put(TsStream *stream, int n, const TsChange *rows);
/* How many rows there were. */
extern uint64 ts_stream_end(TsStream *stream);

#endif
