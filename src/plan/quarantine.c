/*
 * quarantine.c: rows in quarantine, as a source of changes.
 *
 * The log has let go of them. Their changes are what a comparison of these rows finds; what the log says of them besides is passed over.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "plan/change.h"
#include "plan/keep.h"

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

/* The keys, JSON, as values of the source's types. */
static void
read_keys(QuarantineSource *result, const TsLink *link, List *keys)
{
	static const Oid types[] = {TEXTARRAYOID};
	MemoryContext context = CurrentMemoryContext;
	Datum	   *texts = palloc(sizeof(Datum) * list_length(keys));
	Datum		values[1];
	StringInfoData sql;
	ListCell   *lc;

	foreach(lc, keys)
		texts[result->n++] = CStringGetTextDatum(lfirst(lc));
	values[0] = PointerGetDatum(construct_array(texts, result->n, TEXTOID, -1, false, TYPALIGN_INT));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < link->nkeys; i++)
		appendStringInfo(&sql, "CASE WHEN q.%s IS NOT NULL THEN pg_catalog.format('%%s', q.%s) END, ", quote_identifier(link->columns[link->keys[i]].target_name),
						 quote_identifier(link->columns[link->keys[i]].target_name));
	appendStringInfo(&sql, "v.j FROM pg_catalog.unnest($1) WITH ORDINALITY AS v(j, n), LATERAL %s ORDER BY v.n", ts_statement_key(link, "v.j"));
	SPI_connect();
	if (SPI_execute_with_args(sql.data, 1, (Oid *) types, values, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != (uint64) result->n)
		elog(ERROR, "could not read the keys of rows in quarantine");
	for (int k = 0; k < result->n; k++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result->keys[k] = palloc(sizeof(Datum) * link->nkeys);
		for (int i = 0; i < link->nkeys; i++)
		{
			char	   *text = ts_sql_text(k, i + 1);

			if (text == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the row %s in quarantine has no value for key column %s of target %s", ts_sql_text(k, link->nkeys + 1),
								quote_identifier(link->columns[link->keys[i]].target_name), ts_link_target(link)),
						 errdetail("The column was renamed after the row went into quarantine."),
						 errhint("Take the row off the list with tracksync.discard(%s, …), then change it at the source.", quote_literal_cstr(link->name))));
			result->keys[k][i] = source_datum(&link->columns[link->keys[i]], text);
		}
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

/* Is it the key of one of the rows? */
static bool
is_in(const QuarantineSource *source, const Datum *values)
{
	const TsLink *link = source->base.link;

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
			if (change->moved && (is_in(source, change->old_values) || is_in(source, change->new_values)))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("a row of link \"%s\" got another key while it was in quarantine", link->name),
						 errdetail("What is to become of the row that has the former key in %s cannot be told.", ts_link_target(link)),
						 errhint("Give the row its key back, or take it off the list: tracksync.discard(%s, …).", quote_literal_cstr(link->name))));
			if (is_in(source, change->op == TS_CHANGE_DELETE ? change->old_values : change->new_values))
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
	change->backfill = false;
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

	result->base.link = link;
	result->base.next = quarantine_next;
	result->base.end = quarantine_end;
	result->log = log;
	result->diff = ts_diff_keys_source(link, keys);
	result->keys = palloc(sizeof(Datum *) * list_length(keys));
	read_keys(result, link, keys);
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
