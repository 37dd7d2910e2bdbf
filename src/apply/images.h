/*
 * images.h: what the target should hold while a row is in quarantine.
 *
 * When the row is tried again, its change is what a comparison finds: it has no old values to be compared with the target's row. The
 * image stands for them: the source's row as it was before the change that was left out, as far as that is known, else the target's of that
 * moment. Where the target differs from it, somebody else wrote there: left alone if the source did not, else a conflict.
 */
#ifndef TS_IMAGES_H
#define TS_IMAGES_H

#include "apply/settle.h"

/* Gives the rows left out (TsBad) their images. */
extern void ts_images_take(const TsLink *link, List *bad);
/* The rows in quarantine that the target does not hold any more as their images say; those that are there are locked from now on. */
extern List *ts_images_disputed(const TsLink *link);
/* Takes disputed rows out of the batch, and settles them; returns how many were brought about. */
extern int	ts_images_settle(TsWriter *writer, TsBatch *batch);

#endif
