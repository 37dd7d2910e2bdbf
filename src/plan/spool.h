/* spool.h: all changes of a source, kept until they are wanted, in their order; past work_mem they go to disk. */
#ifndef TS_SPOOL_H
#define TS_SPOOL_H

#include "lib/stringinfo.h"
#include "plan/store.h"

typedef struct TsSpool TsSpool;

/* In the current context. */
extern TsSpool *ts_spool_begin(const TsLink *link, bool text_keys);
extern void ts_spool_put(TsSpool *spool, const TsChange *change);
/* The next change, from the first one put; its arrays are freshly made in the current context. No more puts. False at the end. */
extern bool ts_spool_next(TsSpool *spool, TsChange *change);
extern void ts_spool_end(TsSpool *spool);

#endif
