/*
 * sole.c: values that only one row may have, by a rule.
 *
 * All changes are kept first. Beside them stands a table (an ephemeral named relation) of the rows that they write, and of the keys whose
 * rows they write, delete or give another key:
 *   p (n, writes, k1, …: the key, c3, …: columns of the rules; all in the target's types)
 * A row breaks a rule if another row to be written has its values, or a row of the target that the push leaves as it is: a query
 * (sole_query.c) tells, and is read along with the changes.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/attempt.h"
#include "base/expression.h"
#include "link/fetch.h"
#include "plan/key.h"
#include "plan/sole.h"

#define FETCH_ROWS 1000
/* One row in so many of the target's, and its indexes are not worth it. */
#define SCAN_FROM 10

static void
add_part(TsSole *source, int column, bool key, TupleDesc row)
{
	const TsColumn *col = &source->base.link->columns[column];
	bool		same = col->source_type == col->target_base && (col->target_typmod == -1 || col->target_typmod == col->source_typmod);
	TsSolePart	   *part = &source->parts[source->nparts];
	int			at = TS_SOLE_FIXED + ++source->nparts;

	for (int i = 0; i < source->nparts - 1; i++)
		if (source->parts[i].column == column && source->parts[i].key == key)
		{
			source->nparts--;
			return;
		}
	part->column = column;
	part->key = key;
	part->collation = TupleDescAttr(row, column)->attcollation;
	/* a key is whole: it is the same on both sides */
	if (!same && !(key && col->source_type == col->target_base))
		part->cast = ts_expression_cast((Node *) makeVar(1, column + 1, col->source_type, -1, get_typcollation(col->source_type), 0),
										col->target_base, key ? -1 : col->target_typmod);
	TupleDescInitEntry(source->desc, at, psprintf("%c%d", key ? 'k' : 'c', column + 1), col->target_base, -1, 0);
	if (OidIsValid(part->collation))
		TupleDescInitEntryCollation(source->desc, at, part->collation);
}

/* Readies the casts; again after an error: a function may have been left in the middle of its work. */
static void
ready(TsSole *source)
{
	MemoryContext old = CurrentMemoryContext;

	if (source->econtext != NULL)
	{
		FreeExprContext(source->econtext, false);
		MemoryContextReset(source->running);
	}
	MemoryContextSwitchTo(source->running);
	source->econtext = CreateStandaloneExprContext();
	for (int i = 0; i < source->nparts; i++)
		if (source->parts[i].cast != NULL)
			source->parts[i].state = ts_expression_prepare(source->parts[i].cast);
	MemoryContextSwitchTo(old);
}

static void
describe(TsSole *source)
{
	const TsLink *link = source->base.link;
	TupleDesc	row = ts_rule_row(link);
	TupleDesc	have = CreateTemplateTupleDesc(link->ncolumns);
	int			nparts = 0;
	bool	   *about = palloc0(sizeof(bool) * (link->ncolumns + 1));
	ListCell   *lc;

	for (int i = 0; i < link->ncolumns; i++)
		TupleDescInitEntry(have, i + 1, link->columns[i].target_name, link->columns[i].source_type, -1, 0);
	source->slot = MakeSingleTupleTableSlot(have, &TTSOpsVirtual);
	source->running = AllocSetContextCreate(CurrentMemoryContext, "tracksync running casts", ALLOCSET_SMALL_SIZES);
	foreach(lc, source->rules)
		for (int i = 0; i < ((TsRule *) lfirst(lc))->ncolumns; i++)
			about[((TsRule *) lfirst(lc))->at[i]] = true;
	for (int i = 0; i < link->ncolumns; i++)
		nparts += about[i];
	source->parts = palloc0(sizeof(TsSolePart) * (link->nkeys + nparts + 1));
	source->desc = CreateTemplateTupleDesc(TS_SOLE_FIXED + link->nkeys + nparts);
	TupleDescInitEntry(source->desc, 1, "n", INT8OID, -1, 0);
	TupleDescInitEntry(source->desc, 2, "writes", BOOLOID, -1, 0);
	for (int i = 0; i < link->nkeys; i++)
		add_part(source, link->keys[i], true, row);
	for (int i = 0; i < link->ncolumns; i++)
		if (about[i])
			add_part(source, i, false, row);
	source->values = palloc0(sizeof(Datum) * source->desc->natts);
	source->nulls = palloc0(sizeof(bool) * source->desc->natts);
	source->store = tuplestore_begin_heap(false, false, work_mem);
	ready(source);
}

/* The values of the row in the slot as the target would hold them; may fail. */
static void
read_parts(void *arg)
{
	TsSole *source = arg;

	ResetExprContext(source->econtext);
	source->econtext->ecxt_scantuple = source->slot;
	for (int i = 0; i < source->nparts; i++)
	{
		const TsSolePart *part = &source->parts[i];
		int			at = TS_SOLE_FIXED + i;

		if (part->cast == NULL)
		{
			source->values[at] = source->slot->tts_values[part->column];
			source->nulls[at] = source->slot->tts_isnull[part->column];
		}
		else
			source->values[at] = ExecEvalExprSwitchContext(part->state, source->econtext, &source->nulls[at]);
	}
}

/* Into the table p. A value that cannot be cast is no matter here: the row will not go. */
static bool
put_entry(TsSole *source, const Datum *values, const bool *nulls, bool writes)
{
	int			n = source->base.link->ncolumns;
	bool		casts = false;
	ErrorData  *error;

	ExecClearTuple(source->slot);
	memcpy(source->slot->tts_values, values, sizeof(Datum) * n);
	memcpy(source->slot->tts_isnull, nulls, sizeof(bool) * n);
	ExecStoreVirtualTuple(source->slot);
	for (int i = 0; i < source->nparts; i++)
		casts |= source->parts[i].cast != NULL;
	if (!casts)
		read_parts(source);
	else
	{
		error = ts_attempt(read_parts, source, false);
		if (error != NULL && !ts_error_is_about_values(error->sqlerrcode))
			ReThrowError(error);
		if (error != NULL)
		{
			ready(source);
			return false;
		}
	}
	source->values[0] = Int64GetDatum(source->n);
	source->values[1] = BoolGetDatum(writes);
	tuplestore_putvalues(source->store, source->desc, source->values, source->nulls);
	source->entries++;
	return true;
}

/* The key of a row that goes, or is to have another one. */
static void
put_old_key(TsSole *source, const TsChange *change)
{
	const TsLink *link = source->base.link;
	bool	   *nulls = palloc(sizeof(bool) * (link->ncolumns + 1));
	bool		as_text = source->base.text_keys && change->op == TS_CHANGE_DELETE;

	memset(nulls, true, link->ncolumns);
	if (!as_text)
	{
		for (int i = 0; i < link->nkeys; i++)
			nulls[link->keys[i]] = false;
		(void) put_entry(source, change->old_values, nulls, false);
		return;
	}
	memset(source->nulls, true, source->desc->natts);
	source->values[0] = Int64GetDatum(source->n);
	source->values[1] = BoolGetDatum(false);
	source->nulls[0] = source->nulls[1] = false;
	for (int i = 0; i < link->nkeys; i++)
	{
		int			k = link->keys[i];

		source->values[TS_SOLE_FIXED + i] = ts_key_target_datum(&link->columns[k], TextDatumGetCString(change->old_values[k]));
		source->nulls[TS_SOLE_FIXED + i] = false;
	}
	tuplestore_putvalues(source->store, source->desc, source->values, source->nulls);
	source->nulls[0] = source->nulls[1] = false;
	source->entries++;
}

int
ts_sole_part(const TsSole *source, int column)
{
	for (int i = 0; i < source->nparts; i++)
		if (!source->parts[i].key && source->parts[i].column == column)
			return i;
	return -1;
}

/* Another server will be asked who has these values. */
static void
note_asked(TsSole *source)
{
	ListCell   *lc;
	int			r = 0;

	foreach(lc, source->rules)
	{
		const TsRule *rule = lfirst(lc);
		TsSoleAsked	   *asked = &source->asked[r++];
		bool		complete = true;

		for (int i = 0; i < rule->ncolumns; i++)
			complete &= !source->nulls[TS_SOLE_FIXED + ts_sole_part(source, rule->at[i])];
		if (!complete || ++asked->rows > TS_SOLE_ASKED_ROWS || asked->values[0].len > TS_SOLE_ASKED_BYTES)
			continue;
		for (int i = 0; i < rule->ncolumns; i++)
		{
			int			at = TS_SOLE_FIXED + ts_sole_part(source, rule->at[i]);
			Oid			output;
			bool		varlena;

			getTypeOutputInfo(TupleDescAttr(source->desc, at)->atttypid, &output, &varlena);
			appendStringInfo(&asked->values[i], "%s%s", asked->values[i].len ? ", " : "",
							 quote_literal_cstr(OidOutputFunctionCall(output, source->values[at])));
		}
	}
}

static void
begin_asking(TsSole *source)
{
	int			r = 0;
	ListCell   *lc;

	source->asked = palloc0(sizeof(TsSoleAsked) * (list_length(source->rules) + 1));
	foreach(lc, source->rules)
	{
		const TsRule *rule = lfirst(lc);
		TsSoleAsked	   *asked = &source->asked[r++];

		asked->values = palloc(sizeof(StringInfoData) * rule->ncolumns);
		for (int i = 0; i < rule->ncolumns; i++)
			initStringInfo(&asked->values[i]);
	}
}

/* Keeps all changes; false if their source broke. */
static bool
consume(TsSole *source)
{
	const TsLink *link = source->base.link;
	MemoryContext old = CurrentMemoryContext;
	TsChange	change;

	ts_change_init(&change, link->ncolumns);
	while (source->changes->next(source->changes, &change))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(source->context);
		ts_spool_put(source->spool, &change);
		if (change.op != TS_CHANGE_DELETE && put_entry(source, change.new_values, change.new_nulls, true) && source->asked != NULL)
			note_asked(source);
		if (change.op == TS_CHANGE_DELETE || change.moved)
			put_old_key(source, &change);
		source->n++;
		MemoryContextSwitchTo(old);
		MemoryContextReset(source->context);
	}
	return !source->changes->broken;
}

/* Is so much of the target looked for that reading all of it is cheaper than its indexes? The planner knows nothing of values in p. */
static bool
wants_scan(const TsSole *source)
{
	const TsLink *link = source->base.link;
	Relation	target;
	bool		scan;

	if (link->server != NULL || !source->target_exists)
		return false;
	target = relation_open(link->target, AccessShareLock);
	scan = target->rd_rel->reltuples >= 0 && source->entries * SCAN_FROM >= target->rd_rel->reltuples;
	relation_close(target, NoLock);
	return scan;
}

static void
open_query(TsSole *source)
{
	static uint32 number = 0;
	EphemeralNamedRelation enr = palloc0(sizeof(*enr));
	SPIPlanPtr	plan;
	char	   *sql;
	int			level;

	source->name = enr->md.name = psprintf("tracksync_pushed_%u", ++number);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = source->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = source->entries;
	enr->reldata = source->store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows to be pushed");
	sql = ts_sole_query(source);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	level = NewGUCNestLevel();
	if (wants_scan(source))
		(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	source->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	AtEOXact_GUC(true, level);
}

/* Has the query another row? */
static bool
look(TsSole *source)
{
	if (source->portal == NULL || source->row < source->nrows)
		return source->portal != NULL;
	if (source->rows)
		SPI_freetuptable(source->rows);
	SPI_cursor_fetch(source->portal, true, FETCH_ROWS);
	source->rows = SPI_tuptable;
	source->nrows = SPI_processed;
	source->row = 0;
	if (source->nrows > 0)
		return true;
	SPI_freetuptable(source->rows);
	source->rows = NULL;
	SPI_cursor_close(source->portal);
	source->portal = NULL;
	return false;
}

static bool
sole_next(TsChangeSource *base, TsChange *change)
{
	TsSole *source = (TsSole *) base;
	MemoryContext old;
	bool		more;

	if (!source->begun)
	{
		source->begun = true;
		if (!consume(source))
		{
			base->broken = true;
			return false;
		}
		open_query(source);
	}
	if (base->broken)
		return false;
	MemoryContextReset(source->context);
	old = MemoryContextSwitchTo(source->context);
	more = ts_spool_next(source->spool, change);
	MemoryContextSwitchTo(old);
	while (more && look(source))
	{
		HeapTuple	tuple = source->rows->vals[source->row];
		const TsRule *rule;
		bool		isnull;

		if (DatumGetInt64(SPI_getbinval(tuple, source->rows->tupdesc, 1, &isnull)) != source->at)
			break;
		rule = list_nth(source->rules, DatumGetInt32(SPI_getbinval(tuple, source->rows->tupdesc, 2, &isnull)));
		source->row++;
		old = MemoryContextSwitchTo(source->context);
		change->violations = lappend(change->violations, ts_violation_make(base->link, rule, change, ts_rule_message(base->link, rule)));
		MemoryContextSwitchTo(old);
	}
	source->at++;
	return more;
}

static void
sole_end(TsChangeSource *base)
{
	TsSole *source = (TsSole *) base;
	ListCell   *lc;

	source->changes->end(source->changes);
	if (source->rows)
		SPI_freetuptable(source->rows);
	if (source->portal)
		SPI_cursor_close(source->portal);
	if (source->name)
		(void) SPI_unregister_relation(source->name);
	foreach(lc, source->fetched)
		ts_fetch_end(((TsSoleFetched *) lfirst(lc))->name, ((TsSoleFetched *) lfirst(lc))->store);
	tuplestore_end(source->store);
	ts_spool_end(source->spool);
	ExecDropSingleTupleTableSlot(source->slot);
	FreeExprContext(source->econtext, true);
	MemoryContextDelete(source->running);
	MemoryContextDelete(source->context);
}

TsChangeSource *
ts_sole_source(const TsLink *link, List *rules, bool target_exists, TsChangeSource *changes)
{
	TsSole *source = palloc0(sizeof(TsSole));

	source->base.link = link;
	source->base.text_keys = changes->text_keys;
	source->base.next = sole_next;
	source->base.end = sole_end;
	source->changes = changes;
	source->rules = rules;
	source->target_exists = target_exists;
	source->spool = ts_spool_begin(link, changes->text_keys);
	source->context = AllocSetContextCreate(CurrentMemoryContext, "tracksync sole values", ALLOCSET_DEFAULT_SIZES);
	if (link->server != NULL && target_exists)
		begin_asking(source);
	describe(source);
	return &source->base;
}
