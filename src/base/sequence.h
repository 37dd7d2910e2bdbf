/* sequence.h: sequences by their OID: a name could come to mean something else before it is used. */
#ifndef TS_SEQUENCE_H
#define TS_SEQUENCE_H

#include "postgres_ext.h"

/* Must the sequence move to pass this value? No privilege is asked for. A descending one is left alone. */
extern bool ts_sequence_lags(Oid sequence, int64 value);
/* Moves it there, unless it is there already; needs UPDATE on the sequence. */
extern void ts_sequence_advance(Oid sequence, int64 value);

#endif
