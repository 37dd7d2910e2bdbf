/* netchange.c: net changes as rows, for net_changes and explain_row. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/netchange.h"
#include "base/srf.h"

/* The columns of one side of a change as jsonb, under the source's names. */
static Datum
side(const TsLink *link, const TsChange *change, bool text_keys, bool old, const bool *include)
{
	int			n = link->ncolumns;
	char	  **names = palloc(sizeof(char *) * n);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		/* a column that an UPDATE leaves alone has its old value still */
		bool		use_old = old && (change->mask[i] & TS_COLUMN_KNOWN);

		names[i] = link->columns[i].source_name;
		types[i] = ts_value_type(link, i, change->op, text_keys).type;
		values[i] = use_old ? change->old_values[i] : change->new_values[i];
		nulls[i] = use_old ? change->old_nulls[i] : change->new_nulls[i];
		if (use_old && text_keys && change->op == TS_CHANGE_DELETE && !nulls[i])
		{
			Oid			input,
						param;

			types[i] = link->columns[i].target_base;
			getTypeInputInfo(types[i], &input, &param);
			values[i] = OidInputFunctionCall(input, TextDatumGetCString(values[i]), param, -1);
		}
	}
	return ts_to_jsonb(n, names, types, values, nulls, include);
}

static Datum
changed_names(const TsLink *link, const TsChange *change)
{
	Datum	   *names = palloc(sizeof(Datum) * (link->ncolumns + 1));
	int			n = 0;

	for (int i = 0; i < link->ncolumns; i++)
		if (change->mask[i] & TS_COLUMN_CHANGED)
			names[n++] = CStringGetTextDatum(link->columns[i].source_name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

void
ts_net_change_row(const TsLink *link, const TsChange *change, bool text_keys, Datum *values, bool *nulls)
{
	static const char *const ops[TS_CHANGE_OPS] = {"DELETE", "UPDATE", "INSERT"};
	bool	   *key = palloc0(sizeof(bool) * (link->ncolumns + 1));
	bool	   *known = palloc0(sizeof(bool) * (link->ncolumns + 1));
	bool		whole = true;

	for (int i = 0; i < link->ncolumns; i++)
	{
		key[i] = link->columns[i].is_key;
		/* of the old row is known what the log tells, and for an UPDATE what did not change */
		known[i] = (change->mask[i] & TS_COLUMN_KNOWN) ||
			(change->op == TS_CHANGE_UPDATE && !(change->mask[i] & TS_COLUMN_CHANGED));
		whole &= known[i] || link->columns[i].ignored;
	}
	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(ops[change->op]);
	values[2] = side(link, change, text_keys, change->op == TS_CHANGE_DELETE, key);
	nulls[0] = nulls[1] = nulls[2] = false;
	nulls[3] = change->op == TS_CHANGE_INSERT || (change->op == TS_CHANGE_UPDATE && !whole);
	if (!nulls[3])
		values[3] = side(link, change, text_keys, true, known);
	nulls[4] = change->op == TS_CHANGE_DELETE;
	if (!nulls[4])
		values[4] = side(link, change, text_keys, false, NULL);
	nulls[5] = change->op != TS_CHANGE_UPDATE;
	if (!nulls[5])
		values[5] = changed_names(link, change);
}
