/*
 * quarantine.c: rows in quarantine, as a source of changes.
 *
 * The log has let go of them. Their changes are what a comparison of these rows finds; what the log says of them besides is passed over.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "plan/change.h"

typedef struct QuarantineSource
{
	TsChangeSource base;
	TsChangeSource *log;		/* NULL: at its end */
	TsChangeSource *diff;
	int			n;
	Datum	  **keys;			/* of the rows, in the source's types, in the link's key order */
	FmgrInfo   *order;
	Oid		   *collation;
} QuarantineSource;

/* A text as a value of the source's type. */
static Datum
source_datum(const TsColumn *col, char *text)
{
	Oid			input,
				param;

	getTypeInputInfo(col->source_type, &input, &param);
	return OidInputFunctionCall(input, text, param, -1);
}

static Datum *
read_key(const TsLink *link, const char *json)
{
	Datum	   *key = palloc(sizeof(Datum) * link->nkeys);
	Datum		object = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));

	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];
		Datum		value = DirectFunctionCall2(jsonb_object_field_text, object, CStringGetTextDatum(col->target_name));

		key[i] = source_datum(col, TextDatumGetCString(value));
	}
	return key;
}

/* Is the change about one of the rows? */
static bool
is_in(const QuarantineSource *source, const TsChange *change)
{
	const TsLink *link = source->base.link;
	const Datum *values = change->op == TS_CHANGE_DELETE ? change->old_values : change->new_values;

	for (int k = 0; k < source->n; k++)
	{
		bool		same = true;

		for (int i = 0; same && i < link->nkeys; i++)
			same = DatumGetInt32(FunctionCall2Coll(&source->order[i], source->collation[i], values[link->keys[i]], source->keys[k][i])) == 0;
		if (same)
			return true;
	}
	return false;
}

static bool
quarantine_next(TsChangeSource *base, TsChange *change)
{
	QuarantineSource *source = (QuarantineSource *) base;
	const TsLink *link = base->link;

	while (source->log != NULL)
	{
		if (source->log->next(source->log, change))
		{
			if (is_in(source, change))
				continue;
			return true;
		}
		base->broken |= source->log->broken;
		source->log->end(source->log);
		source->log = NULL;
		if (base->broken)
			return false;
	}
	if (!source->diff->next(source->diff, change))
		return false;
	/* the comparison has the target's keys as text */
	for (int i = 0; change->op == TS_CHANGE_DELETE && i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		change->old_values[k] = source_datum(&link->columns[k], TextDatumGetCString(change->old_values[k]));
	}
	change->moved = false;
	change->park = TS_PARK_NOT;
	return true;
}

static void
quarantine_end(TsChangeSource *base)
{
	QuarantineSource *source = (QuarantineSource *) base;

	if (source->log != NULL)
		source->log->end(source->log);
	source->diff->end(source->diff);
}

TsChangeSource *
ts_quarantine_source(const TsLink *link, Relation source, TsChangeSource *log, List *keys)
{
	QuarantineSource *result = palloc0(sizeof(QuarantineSource));
	TsKeyIndex *index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);
	ListCell   *lc;

	result->base.link = link;
	result->base.next = quarantine_next;
	result->base.end = quarantine_end;
	result->log = log;
	result->diff = ts_diff_keys_source(link, keys);
	result->keys = palloc(sizeof(Datum *) * list_length(keys));
	foreach(lc, keys)
		result->keys[result->n++] = read_key(link, lfirst(lc));
	ts_key_index_reorder(index, link->nkeys, link->tracked->keys);
	result->order = palloc0(sizeof(FmgrInfo) * link->nkeys);
	result->collation = palloc0(sizeof(Oid) * link->nkeys);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsKeyColumn *col = &index->columns[i];

		fmgr_info(get_opfamily_proc(col->opfamily, col->opcintype, col->opcintype, BTORDER_PROC), &result->order[i]);
		result->collation[i] = col->collation;
	}
	return &result->base;
}
