/*
 * images.h: what the target held when a row went into quarantine.
 *
 * When the row is tried again, its change is what a comparison finds: it has no old values to be compared with the target's row. The
 * image stands for them. If the target's row is another one by then, somebody else wrote it: a conflict.
 */
#ifndef TS_IMAGES_H
#define TS_IMAGES_H

#include "apply/settle.h"

/* Gives the rows left out (TsBad) their images. */
extern void ts_images_take(const TsLink *link, List *bad);
/* The rows in quarantine that the target does not hold any more as their images say; those that are there are locked from now on. */
extern List *ts_images_disputed(const TsLink *link);
/* Settles conflicts of disputed rows, and takes those out of the batch that are not to be written. */
extern void ts_images_settle(TsWriter *writer, TsBatch *batch);

#endif
