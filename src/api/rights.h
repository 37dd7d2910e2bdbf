/* rights.h: who may read what of a tracked table's log: what he may read of the table. */
#ifndef TS_RIGHTS_H
#define TS_RIGHTS_H

/*
 * Per attribute number minus one: may the current user read the column? 42501 if he may read none, or not the whole key of a
 * tracked table.
 */
extern bool *ts_readable_columns(Oid source);
/* Does row-level security hide rows of the table from the current user? */
extern bool ts_rows_hidden(Oid source);
/* 42501 if it does. */
extern void ts_refuse_hidden_rows(Oid source);

#endif
