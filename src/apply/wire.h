/* wire.h: array parameters as they go over the wire. */
#ifndef TS_WIRE_H
#define TS_WIRE_H

/*
 * An array of one dimension as a parameter: in binary format where that is the same everywhere (*length tells), else as text (*length is
 * -1). In the current context.
 */
extern char *ts_wire_array(Oid element, Datum array, int *length);

#endif
