/* mapper.c: rows of the source as a link maps them. */
#include "postgres.h"

#include <limits.h>

#include "executor/executor.h"
#include "utils/rel.h"

#include "base/expression.h"
#include "base/srf.h"
#include "plan/mapper.h"

struct TsMapper
{
	const TsLink *link;
	ExprState **values;			/* per column; NULL: the source's column */
	ExprState  *condition;		/* NULL: all rows pass */
	ExprContext *context;
	TupleTableSlot *old;
	bool	   *known;			/* per attribute, of the old row */
};

TsMapper *
ts_mapper_create(const TsLink *link, Relation source)
{
	TsMapper   *mapper = palloc0(sizeof(TsMapper));

	mapper->link = link;
	mapper->values = palloc0(sizeof(ExprState *) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].value != NULL)
			mapper->values[i] = ts_expression_prepare(link->columns[i].value);
	if (link->condition != NULL)
		mapper->condition = ts_expression_prepare(link->condition);
	mapper->context = CreateStandaloneExprContext();
	mapper->old = MakeSingleTupleTableSlot(RelationGetDescr(source), &TTSOpsVirtual);
	mapper->known = palloc0(sizeof(bool) * (RelationGetNumberOfAttributes(source) + 1));
	return mapper;
}

void
ts_mapper_end(TsMapper *mapper)
{
	ExecDropSingleTupleTableSlot(mapper->old);
	FreeExprContext(mapper->context, true);
}

void
ts_mapper_reset(TsMapper *mapper)
{
	ResetExprContext(mapper->context);
}

TupleTableSlot *
ts_mapper_old(TsMapper *mapper, bool **known)
{
	ExecClearTuple(mapper->old);
	*known = mapper->known;
	memset(mapper->old->tts_isnull, true, sizeof(bool) * mapper->old->tts_tupleDescriptor->natts);
	return ExecStoreVirtualTuple(mapper->old);
}

/* What is being evaluated, for messages; column: -1, the filter. */
typedef struct Evaluation
{
	const TsLink *link;
	int			column;
	TupleTableSlot *row;
} Evaluation;

static void
add_context(void *arg)
{
	const Evaluation *e = arg;
	const TsTracked *tracked = e->link->tracked;
	char	  **names = palloc(sizeof(char *) * tracked->nkeys);
	Oid		   *types = palloc(sizeof(Oid) * tracked->nkeys);
	Datum	   *values = palloc(sizeof(Datum) * tracked->nkeys);
	bool	   *nulls = palloc(sizeof(bool) * tracked->nkeys);
	char	   *key;

	for (int i = 0; i < tracked->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(e->row->tts_tupleDescriptor, tracked->keys[i] - 1);

		names[i] = NameStr(att->attname);
		types[i] = att->atttypid;
		values[i] = slot_getattr(e->row, tracked->keys[i], &nulls[i]);
	}
	key = ts_to_json_text(tracked->nkeys, names, types, values, nulls, NULL, INT_MAX);
	if (e->column < 0)
		errcontext("filter of link \"%s\", of the source's row %s", e->link->name, key);
	else
		errcontext("column \"%s\" of link \"%s\", of the source's row %s", e->link->columns[e->column].target_name, e->link->name, key);
}

static Datum
evaluate(TsMapper *mapper, int column, TupleTableSlot *row, bool *isnull)
{
	Evaluation	e = {.link = mapper->link, .column = column, .row = row};
	ErrorContextCallback callback = {.callback = add_context, .arg = &e, .previous = error_context_stack};
	Datum		value;

	mapper->context->ecxt_scantuple = row;
	error_context_stack = &callback;
	value = ExecEvalExprSwitchContext(column < 0 ? mapper->condition : mapper->values[column], mapper->context, isnull);
	error_context_stack = callback.previous;
	return value;
}

Datum
ts_mapper_value(TsMapper *mapper, int column, TupleTableSlot *row, bool *isnull)
{
	if (mapper->values[column] != NULL)
		return evaluate(mapper, column, row, isnull);
	return slot_getattr(row, mapper->link->columns[column].attnum, isnull);
}

static bool
are_known(const TsMapper *mapper, const Bitmapset *reads)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(reads, attnum)) >= 0)
		if (!mapper->known[attnum - 1])
			return false;
	return true;
}

bool
ts_mapper_knows(const TsMapper *mapper, int column)
{
	return are_known(mapper, mapper->link->columns[column].reads);
}

TsPasses
ts_mapper_passes(TsMapper *mapper, TupleTableSlot *row)
{
	bool		isnull;
	bool		passes;

	if (mapper->condition == NULL)
		return TS_PASSES;
	if (row == mapper->old && !are_known(mapper, mapper->link->condition_reads))
		return TS_PASSES_UNKNOWN;
	passes = DatumGetBool(evaluate(mapper, -1, row, &isnull));
	return passes && !isnull ? TS_PASSES : TS_PASSES_NOT;
}
