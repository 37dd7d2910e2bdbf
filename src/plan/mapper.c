/* mapper.c: rows of the source as a link maps them. */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/rel.h"

#include "base/expression.h"
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
	memset(mapper->old->tts_isnull, true, sizeof(bool) * mapper->old->tts_tupleDescriptor->natts);
	memset(mapper->known, 0, sizeof(bool) * mapper->old->tts_tupleDescriptor->natts);
	*known = mapper->known;
	return ExecStoreVirtualTuple(mapper->old);
}

static Datum
evaluate(TsMapper *mapper, ExprState *state, TupleTableSlot *row, bool *isnull)
{
	mapper->context->ecxt_scantuple = row;
	return ExecEvalExprSwitchContext(state, mapper->context, isnull);
}

Datum
ts_mapper_value(TsMapper *mapper, int column, TupleTableSlot *row, bool *isnull)
{
	if (mapper->values[column] != NULL)
		return evaluate(mapper, mapper->values[column], row, isnull);
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
	passes = DatumGetBool(evaluate(mapper, mapper->condition, row, &isnull));
	return passes && !isnull ? TS_PASSES : TS_PASSES_NOT;
}
