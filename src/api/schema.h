/* schema.h: a table's columns, then and now, for people. */
#ifndef TS_API_SCHEMA_H
#define TS_API_SCHEMA_H

#include "postgres.h"

/* What turns the one shape into the other, as text[]: what follows ALTER TABLE …; empty for shape 0. */
extern Datum ts_schema_actions(int32 before, int32 after);
/* A shape's columns as jsonb: {"name": "type", …}. */
extern Datum ts_schema_columns(int32 shape);

#endif
