/* convert.c: the rows of a query as those of a table, by assignment casts. */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "append/convert.h"
#include "base/quote.h"

struct TsConvert
{
	int			ncolumns;
	ExprContext *context;
	ProjectionInfo *projection;
	TupleTableSlot *row;
};

/* What the server makes of a column of the query that is assigned to a column of the table. */
static Expr *
assignment(const TsAppend *append, int i)
{
	Form_pg_attribute is = TupleDescAttr(append->incoming_desc, i);
	Form_pg_attribute becomes = TupleDescAttr(RelationGetDescr(append->target), append->attnums[i] - 1);
	Node	   *value = (Node *) makeVar(1, i + 1, is->atttypid, is->atttypmod, is->attcollation, 0);
	Oid			type = is->atttypid;

	if (append->literal[i] && !can_coerce_type(1, &type, &becomes->atttypid, COERCION_ASSIGNMENT))
	{
		/* a literal is read as the column's type reads it */
		CoerceViaIO *read = makeNode(CoerceViaIO);

		type = getBaseType(becomes->atttypid);
		read->arg = (Expr *) value;
		read->resulttype = type;
		read->resultcollid = get_typcollation(type);
		read->coerceformat = COERCE_IMPLICIT_CAST;
		read->location = -1;
		value = (Node *) read;
	}
	value = coerce_to_target_type(NULL, value, type, becomes->atttypid, becomes->atttypmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but the query's is of type %s", NameStr(becomes->attname),
						RelationGetRelationName(append->target), ts_show_type(becomes->atttypid, becomes->atttypmod),
						ts_show_type(is->atttypid, is->atttypmod)),
				 errhint("Cast column \"%s\" in the query to %s.", NameStr(becomes->attname), ts_show_type(becomes->atttypid, becomes->atttypmod))));
	return expression_planner((Expr *) value);
}

TsConvert *
ts_convert_begin(const TsAppend *append)
{
	TsConvert  *convert = palloc0(sizeof(TsConvert));
	List	   *columns = NIL;

	for (int i = 0; i < append->ncolumns; i++)
		columns = lappend(columns, makeTargetEntry(assignment(append, i), i + 1, NULL, false));
	convert->ncolumns = append->ncolumns;
	convert->context = CreateStandaloneExprContext();
	convert->row = MakeSingleTupleTableSlot(append->desc, &TTSOpsVirtual);
	convert->projection = ExecBuildProjectionInfo(columns, convert->context, convert->row, NULL, append->incoming_desc);
	return convert;
}

TupleTableSlot *
ts_convert_row(TsConvert *convert, TupleTableSlot *row, int64 number)
{
	TupleTableSlot *result;

	ResetExprContext(convert->context);
	convert->context->ecxt_scantuple = row;
	result = ExecProject(convert->projection);
	result->tts_values[convert->ncolumns] = Int64GetDatum(number);
	result->tts_isnull[convert->ncolumns] = false;
	return result;
}

void
ts_convert_end(TsConvert *convert)
{
	ExecDropSingleTupleTableSlot(convert->row);
	FreeExprContext(convert->context, true);
}
