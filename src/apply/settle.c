/* settle.c: rows that were not as expected. */
#include "postgres.h"

#include <limits.h>

#include "apply/policy.h"
#include "apply/settle.h"
#include "link/back.h"
#include "plan/keep.h"

static void
note_found(void *arg, int ncolumns, char *const *values)
{
	TsBatch    *batch = arg;
	int64		i = strtoll(values[0], NULL, 10);
	TsFound    *found = &batch->found[i];

	/* values: number, holds new, holds old, row, whose, row as text */
	found->there = true;
	found->holds_new = values[1] && values[1][0] == 't';
	found->holds_old = values[2] && values[2][0] == 't';
	found->row = values[3] ? pstrdup(values[3]) : NULL;
	found->whose = values[4] ? (TsWhose) values[4][0] : TS_WHOSE_OWN;
	found->text = values[5] ? pstrdup(values[5]) : NULL;
}

/*
 * A comparison just made has no expectations that could be disappointed: its source always wins. Deletes that come from the log
 * do have them.
 */
static bool
source_overrides(const TsWriter *writer, TsChangeOp op)
{
	return writer->text_keys || (writer->compared && op != TS_CHANGE_DELETE);
}

/* Tells a conflict; is the source's row to be written? */
static bool
conflict(TsWriter *writer, const TsBatch *batch, int i, TsConflictKind kind)
{
	const TsChange *row = &batch->rows[i];
	TsDispute	dispute = {.kind = kind, .target = batch->found[i].row, .target_text = batch->found[i].text, .moved = row->moved};

	if (source_overrides(writer, batch->op))
		return true;
	dispute.key = ts_batch_describe(writer, row, batch->op, DESCRIBE_KEY, INT_MAX);
	if (batch->op != TS_CHANGE_DELETE)
		dispute.source = ts_batch_describe(writer, row, batch->op, DESCRIBE_ROW, INT_MAX);
	dispute.written = dispute.source;
	if (batch->op == TS_CHANGE_UPDATE && writer->link->on_conflict == TS_CONFLICT_FUNCTION)
		dispute.source = ts_batch_describe(writer, row, batch->op, DESCRIBE_WHOLE, INT_MAX);
	if (batch->op != TS_CHANGE_INSERT)
		dispute.old = ts_batch_describe(writer, row, batch->op, DESCRIBE_OLD, INT_MAX);
	return ts_policy_decide(writer, &dispute);
}

void
ts_settle_refused(const TsWriter *writer, int64 rows, int64 done)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("table %s did not take " INT64_FORMAT " of " INT64_FORMAT " rows of link \"%s\"", ts_link_target(writer->link), rows - done, rows,
					writer->link->name),
			 errdetail("Another session wrote the same keys meanwhile, or a trigger of the table suppressed the rows."),
			 errhint("Push again; if that does not help, see the table's BEFORE INSERT triggers.")));
}

void
ts_settle_anyway(TsWriter *writer, const TsBatch *batch, TsStatementKind kind, TsChangeOp op, int n, const int *chosen)
{
	uint64		done;

	if (n == 0)
		return;
	done = ts_batch_execute(writer, ts_batch_statement(writer, kind, op, batch->mask), batch, n, chosen, NULL, NULL);
	if (done == (uint64) n)
		return;
	if (kind == TS_STATEMENT_INSERT)
		ts_settle_refused(writer, n, (int64) done);
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("table %s did not take %d of %d rows of link \"%s\"", ts_link_target(writer->link), n - (int) done, n,
					writer->link->name),
			 errdetail("A trigger or rule of the table suppressed the change."),
			 errhint("Let the trigger return the row, or disable it for the role that pushes.")));
}

/* The batch's rows that a policy lets be written anyway. */
typedef struct Decision
{
	int			nwrite;
	int			ninsert;
	int		   *write;			/* update, delete or overwrite the row that is there */
	int		   *insert;			/* the row is missing */
	List	   *gone;			/* keys, JSON, of rows that neither side has */
} Decision;

/* To a link in the other direction: the source has no such rows either. Nothing can be written that would say so. */
static void
tell_gone(TsWriter *writer, List *keys)
{
	Datum		array;

	if (keys == NIL)
		return;
	array = ts_policy_texts(keys);
	writer->target->ops->execute(writer->target, ts_keep_gone(writer->link, ts_link_origin(writer->link)), &array, NULL, NULL);
}

/* Not what is another link's by now; nor what is not the link's, if the row may not have been its either. */
static bool
may_delete(const TsFound *found, bool maybe)
{
	return found->whose == TS_WHOSE_OWN || (found->whose == TS_WHOSE_NOBODY && !maybe);
}

static void
decide(TsWriter *writer, TsBatch *batch, int i, Decision *d)
{
	const TsFound *found = &batch->found[i];
	bool		agrees = found->holds_new && !(batch->op != TS_CHANGE_DELETE && ts_policy_counts(writer, batch->op, &batch->rows[i]));

	switch (batch->op)
	{
		case TS_CHANGE_INSERT:
			if (!found->there)
				d->insert[d->ninsert++] = i;
			/* another link of the same source put it there when the key was that one's, and has not followed the source since */
			else if (agrees ? writer->back : (found->whose == TS_WHOSE_SIBLING || conflict(writer, batch, i, TS_INSERT_EXISTS)))
				d->write[d->nwrite++] = i;
			break;
		case TS_CHANGE_UPDATE:
			if (!found->there)
			{
				if (batch->rows[i].maybe || conflict(writer, batch, i, TS_UPDATE_MISSING))
					d->insert[d->ninsert++] = i;
			}
			/* if both sides did the same, what the other one does later starts from there: so its log must know */
			else if (agrees ? writer->back : ((found->holds_old && found->whose != TS_WHOSE_STRANGER) || conflict(writer, batch, i, TS_UPDATE_DIFFERS)))
				d->write[d->nwrite++] = i;
			break;
		case TS_CHANGE_DELETE:
			/* gone already: what was wanted, but for those who want to know */
			if (!found->there && writer->link->on_conflict == TS_CONFLICT_ERROR && !writer->compared && !batch->rows[i].maybe &&
				writer->link->shared == TS_SHARED_NOT)
				(void) conflict(writer, batch, i, TS_DELETE_MISSING);
			if (!found->there && writer->back)
				d->gone = lappend(d->gone, ts_batch_describe(writer, &batch->rows[i], batch->op, DESCRIBE_KEY, INT_MAX));
			if (found->there && may_delete(found, batch->rows[i].maybe) && (found->holds_old || conflict(writer, batch, i, TS_DELETE_DIFFERS)))
				d->write[d->nwrite++] = i;
			break;
	}
}

/*
 * Rows that should have got another key are not there under the old one. Perhaps they have the new one already; if another row has it,
 * or none, they are missing.
 */
void
ts_settle_moved(TsWriter *writer, const TsBatch *batch, int n, const int *lost)
{
	TsBatch		there = {.op = TS_CHANGE_INSERT, .n = n};
	Decision	d = {.write = palloc(sizeof(int) * (n + 1)), .insert = palloc(sizeof(int) * (n + 1))};
	int		   *all = palloc(sizeof(int) * (n + 1));

	if (n == 0)
		return;
	there.mask = palloc0(writer->link->ncolumns + 1);
	there.rows = palloc(sizeof(TsChange) * n);
	there.found = palloc0(sizeof(TsFound) * n);
	for (int i = 0; i < n; i++)
	{
		there.rows[i] = batch->rows[lost[i]];
		all[i] = i;
	}
	ts_batch_execute(writer, ts_batch_statement(writer, TS_STATEMENT_LOOK, there.op, there.mask), &there, n, all, note_found, &there);
	for (int i = 0; i < n; i++)
	{
		if (there.found[i].there && there.found[i].holds_new && !writer->back)
			continue;
		if (writer->back)
			d.gone = lappend(d.gone, ts_batch_describe(writer, &batch->rows[lost[i]], batch->op, DESCRIBE_OLD_KEY, INT_MAX));
		if (!(there.found[i].there && there.found[i].holds_new) && !there.rows[i].maybe && !conflict(writer, &there, i, TS_UPDATE_MISSING))
			continue;
		if (there.found[i].there)
			d.write[d.nwrite++] = i;
		else
			d.insert[d.ninsert++] = i;
	}
	ts_settle_anyway(writer, &there, TS_STATEMENT_OVERWRITE, TS_CHANGE_INSERT, d.nwrite, d.write);
	ts_settle_anyway(writer, &there, TS_STATEMENT_INSERT, TS_CHANGE_INSERT, d.ninsert, d.insert);
	tell_gone(writer, d.gone);
}

static const TsStatementKind anyway[TS_CHANGE_OPS] = {
	[TS_CHANGE_DELETE] = TS_STATEMENT_DELETE_ANYWAY,
	[TS_CHANGE_UPDATE] = TS_STATEMENT_UPDATE_ANYWAY,
	[TS_CHANGE_INSERT] = TS_STATEMENT_OVERWRITE,
};

/* Not all rows of the batch were as expected: look at each. */
void
ts_settle(TsWriter *writer, TsBatch *batch, const int *all)
{
	Decision	d = {
		.write = palloc(sizeof(int) * batch->n),
		.insert = palloc(sizeof(int) * batch->n),
	};
	TsBatch		plain = *batch;
	int		   *lost = palloc(sizeof(int) * batch->n);
	int			nlost = 0;

	/*
	 * Under a key that one row should have left there may be by now the row that another change of the batch put there. So none of it
	 * may stay; the push is repeated, and writes these rows one at a time.
	 */
	if (batch->n > 1 && batch->rows[0].moved)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("rows of table %s whose keys change are not as expected", ts_link_target(writer->link)),
				 errhint("Push again.")));
	ts_batch_execute(writer, ts_batch_statement(writer, TS_STATEMENT_LOOK, batch->op, batch->mask), batch, batch->n, all, note_found, batch);
	for (int i = 0; i < batch->n; i++)
	{
		if (batch->found[i].done)
			continue;
		if (batch->rows[i].moved && !batch->found[i].there)
			lost[nlost++] = i;
		else
			decide(writer, batch, i, &d);
	}
	ts_settle_moved(writer, batch, nlost, lost);
	ts_settle_anyway(writer, batch, anyway[batch->op], batch->op, d.nwrite, d.write);
	plain.mask = palloc0(writer->link->ncolumns + 1);
	ts_settle_anyway(writer, &plain, TS_STATEMENT_INSERT, TS_CHANGE_INSERT, d.ninsert, d.insert);
	tell_gone(writer, d.gone);
	ts_policy_write(writer);
}
