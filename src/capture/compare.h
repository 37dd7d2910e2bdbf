/* compare.h: which columns an UPDATE changed. */
#ifndef TS_COMPARE_H
#define TS_COMPARE_H

#include "access/htup.h"
#include "access/tupdesc.h"

/* Are two stored values of a column the same, after detoasting? */
extern bool ts_same_value(Form_pg_attribute att, Datum a, Datum b);
/*
 * Sets changed, per attribute number minus one, for two versions of a row, from their bytes: no value is taken out that did not
 * change. false: they have to be taken apart, since one of them is older than a column.
 */
extern bool ts_compare_tuples(TupleDesc desc, HeapTuple a, HeapTuple b, bool *changed);

#endif
