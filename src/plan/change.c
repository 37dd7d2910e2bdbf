/* change.c: changes in a link's columns. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "plan/change.h"

void
ts_change_init(TsChange *change, int ncolumns)
{
	int			n = ncolumns + 1;

	change->backfill = false;
	change->moved = false;
	change->in_circle = false;
	change->violations = NIL;
	change->maybe = false;
	change->order = NULL;
	/* one piece of memory: it is done for each row */
	change->new_values = palloc0((2 * sizeof(Datum) + 3) * n);
	change->old_values = change->new_values + n;
	change->mask = (unsigned char *) (change->old_values + n);
	change->new_nulls = (bool *) change->mask + n;
	change->old_nulls = change->new_nulls + n;
}

bool
ts_change_has_unknown(const TsLink *link, const unsigned char *mask)
{
	for (int i = 0; i < link->ncolumns; i++)
		if ((mask[i] & (TS_COLUMN_CHANGED | TS_COLUMN_KNOWN)) == TS_COLUMN_CHANGED)
			return true;
	return false;
}

bool
ts_change_moves(const TsLink *link, const unsigned char *mask)
{
	return (mask[link->keys[0]] & TS_COLUMN_MOVED) != 0;
}

TsValueType
ts_value_type(const TsLink *link, int column, TsChangeOp op, bool text_keys)
{
	const TsColumn *col = &link->columns[column];

	if (op == TS_CHANGE_DELETE && text_keys)
		return (TsValueType) {TEXTOID, -1, false, TYPALIGN_INT, true, true};
	return (TsValueType) {col->source_type, col->len, col->byval, col->align, col->as_text, false};
}

TsValueType
ts_held_type(const TsLink *link, int column)
{
	TsValueType type = {.type = link->columns[column].target_base};

	get_typlenbyvalalign(type.type, &type.len, &type.byval, &type.align);
	type.as_text = ts_link_as_text(link, type.type);
	return type;
}
