/*
 * quarantine.c: rows in quarantine, as a source of changes.
 *
 * The log has let go of them. Their changes are what a comparison of these rows finds; what the log says of them besides is passed over.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "plan/change.h"
#include "plan/key.h"

typedef struct QuarantineSource
{
	TsChangeSource base;
	TsChangeSource *log;		/* NULL: at its end */
	TsChangeSource *diff;
	TsKeySet   *keys;			/* of the rows */
} QuarantineSource;

static bool
quarantine_next(TsChangeSource *base, TsChange *change)
{
	QuarantineSource *source = (QuarantineSource *) base;
	const TsLink *link = base->link;

	while (source->log != NULL)
	{
		if (source->log->next(source->log, change))
		{
			if (change->moved && (ts_key_set_has(source->keys, change->old_values, false) || ts_key_set_has(source->keys, change->new_values, false)))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("a row of link \"%s\" got another key while it was in quarantine", link->name),
						 errdetail("What is to become of the row that has the former key in %s cannot be told.", ts_link_target(link)),
						 errhint("Give the row its key back, or take it off the list: tracksync.discard(%s, …).", quote_literal_cstr(link->name))));
			if (ts_key_set_has(source->keys, change->op == TS_CHANGE_DELETE ? change->old_values : change->new_values, false))
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

		change->old_values[k] = ts_key_source_datum(&link->columns[k], TextDatumGetCString(change->old_values[k]));
	}
	change->backfill = false;
	change->moved = false;
	change->in_circle = false;
	change->maybe = false;
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

	result->base.link = link;
	result->base.next = quarantine_next;
	result->base.end = quarantine_end;
	result->log = log;
	result->diff = ts_diff_keys_source(link, keys);
	result->keys = ts_key_set_create(link, source);
	ts_key_set_read(result->keys, keys);
	return &result->base;
}
