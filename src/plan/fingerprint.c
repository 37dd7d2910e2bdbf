/* fingerprint.c: 128 bits over a plan. */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"

#include "plan/fingerprint.h"

static void
mix(uint64 *state, const void *data, Size size)
{
	state[0] = hash_bytes_extended(data, (int) size, state[0]);
	state[1] = hash_bytes_extended(data, (int) size, ~state[1]) * UINT64CONST(0x9E3779B97F4A7C15);
}

void
ts_fingerprint_text(uint64 *state, const char *text)
{
	mix(state, text, strlen(text) + 1);
}

void
ts_fingerprint_clear(uint64 *state)
{
	state[0] = 0;
	state[1] = UINT64CONST(0x2545F4914F6CDD1D);
}

char *
ts_fingerprint_show(const uint64 *state)
{
	return psprintf("%016llx%016llx", (unsigned long long) state[0], (unsigned long long) state[1]);
}

void
ts_fingerprint_begin(uint64 *state, const TsLink *link)
{
	ts_fingerprint_clear(state);
	ts_fingerprint_text(state, link->name);
	ts_fingerprint_text(state, ts_link_target(link));
	for (int i = 0; i < link->ncolumns; i++)
		ts_fingerprint_text(state, link->columns[i].target_name);
}

static void
mix_value(uint64 *state, const TsValueType *type, Datum value, bool isnull)
{
	mix(state, &isnull, sizeof(isnull));
	if (isnull)
		return;
	if (type->byval)
		mix(state, &value, sizeof(value));
	else if (type->len > 0)
		mix(state, DatumGetPointer(value), type->len);
	else if (type->len == -1)
	{
		struct varlena *v = PG_DETOAST_DATUM_PACKED(value);
		Size		size = VARSIZE_ANY_EXHDR(v);

		mix(state, &size, sizeof(size));
		mix(state, VARDATA_ANY(v), size);
		if ((Pointer) v != DatumGetPointer(value))
			pfree(v);
	}
	else
		ts_fingerprint_text(state, DatumGetCString(value));
}

void
ts_fingerprint_change(uint64 *state, const TsLink *link, const TsChange *change, bool text_keys)
{
	mix(state, &change->op, sizeof(change->op));
	mix(state, change->mask, link->ncolumns);
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsValueType type = ts_value_type(link, i, change->op, text_keys);

		if (change->op != TS_CHANGE_DELETE)
			mix_value(state, &type, change->new_values[i], change->new_nulls[i]);
		if (change->mask[i] & TS_COLUMN_KNOWN)
			mix_value(state, &type, change->old_values[i], change->old_nulls[i]);
	}
}
