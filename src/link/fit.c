/* fit.c: a value of one type as a column of another one holds it. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "link/fit.h"

/* A cast, compiled. */
typedef struct Cast
{
	ExprState  *state;
	ExprContext *context;
	ParamListInfo params;
} Cast;

/* How it is told that a value is still the same. */
typedef enum Proof
{
	PROOF_NONE,					/* it is */
	PROOF_BACK,					/* it comes back */
	PROOF_MEANING				/* a string, and what it was read as, mean the same to a third type */
} Proof;

struct TsFit
{
	Oid			source;
	Oid			target;
	Cast	   *cast;
	Proof		proof;
	Cast	   *back;			/* to the source's type */
	Cast	   *read;			/* of a string: as a third type, */
	Cast	   *seen;			/* and what the target holds as that; NULL: it is that type */
	TypeCacheEntry *type;		/* what is compared, */
	Oid			collation;		/* as */
	bool		instant;		/* digits beyond a microsecond's are dropped */
	MemoryContext scratch;
};

static bool
is_string(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING && type != CHAROID;
}

/* Does the modifier of the target's type take all values of the source's? */
static bool
modifier_takes(Oid type, int32 source, int32 target)
{
	if (target == -1 || source == target)
		return true;
	if (source == -1)
		return false;
	switch (type)
	{
		case NUMERICOID:
			{
				int			scale = (source - VARHDRSZ) & 0x7ff,
							digits = (((source - VARHDRSZ) >> 16) & 0xffff) - scale,
							held_scale = (target - VARHDRSZ) & 0x7ff,
							held_digits = (((target - VARHDRSZ) >> 16) & 0xffff) - held_scale;

				/* a negative scale looks like a very large one */
				return scale < 1024 && held_scale < 1024 && held_scale >= scale && held_digits >= digits;
			}
		case VARCHAROID:
		case BPCHAROID:
		case VARBITOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
		case TIMETZOID:
			return target > source;
		default:
			return false;
	}
}

TsBridge
ts_fit_bridge(Oid source, int32 source_typmod, Oid target, int32 target_typmod)
{
	static const struct
	{
		Oid			from;
		Oid			to;
	}			widening[] = {
		{INT2OID, INT4OID}, {INT2OID, INT8OID}, {INT2OID, NUMERICOID}, {INT2OID, FLOAT4OID}, {INT2OID, FLOAT8OID},
		{INT4OID, INT8OID}, {INT4OID, NUMERICOID}, {INT4OID, FLOAT8OID}, {INT8OID, NUMERICOID}, {FLOAT4OID, FLOAT8OID},
		{VARCHAROID, TEXTOID}, {TEXTOID, VARCHAROID}, {BPCHAROID, TEXTOID}, {BPCHAROID, VARCHAROID}, {NAMEOID, TEXTOID}, {NAMEOID, VARCHAROID}
	};

	if (source == target)
		return modifier_takes(source, source_typmod, target_typmod) ? TS_BRIDGE_NONE : TS_BRIDGE_CAST;
	for (int i = 0; i < lengthof(widening) && target_typmod == -1; i++)
		if (widening[i].from == source && widening[i].to == target)
			return TS_BRIDGE_NONE;
	return can_coerce_type(1, &source, &target, COERCION_ASSIGNMENT) ? TS_BRIDGE_CAST : TS_BRIDGE_TEXT;
}

/* One step of a cast; NULL if there is none of the kind. */
static Node *
coerce(Node *node, Oid from, Oid to, int32 typmod, CoercionContext how)
{
	return coerce_to_target_type(NULL, node, from, to, typmod, how, COERCE_IMPLICIT_CAST, -1);
}

/* From one type to another; without a modifier also by explicit casts. By text, if there is no other way. */
static Cast *
compile(Oid from, Oid to, int32 typmod, bool explicitly)
{
	Cast	   *cast = palloc0(sizeof(Cast));
	Param	   *param = makeNode(Param);
	Node	   *node = (Node *) param;

	param->paramkind = PARAM_EXTERN;
	param->paramid = 1;
	param->paramtype = from;
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(from);
	param->location = -1;
	if (from != to && !can_coerce_type(1, &from, &to, explicitly ? COERCION_EXPLICIT : COERCION_ASSIGNMENT))
	{
		node = coerce(node, from, TEXTOID, -1, COERCION_EXPLICIT);
		node = coerce(node, TEXTOID, to, -1, COERCION_EXPLICIT);
	}
	else if (explicitly)
		node = coerce(node, from, to, -1, COERCION_EXPLICIT);
	else
		node = coerce(node, from, to, -1, COERCION_ASSIGNMENT);
	/* an explicit cast would cut a string that an assignment refuses */
	if (typmod != -1)
		node = coerce(node, to, to, typmod, COERCION_ASSIGNMENT);
	if (node == NULL)
		elog(ERROR, "no cast from type %u to type %u", from, to);
	assign_expr_collations(NULL, node);
	cast->params = makeParamList(1);
	cast->params->params[0].pflags = PARAM_FLAG_CONST;
	cast->params->params[0].ptype = from;
	cast->context = CreateStandaloneExprContext();
	cast->context->ecxt_param_list_info = cast->params;
	cast->state = ExecInitExprWithParams(expression_planner((Expr *) node), cast->params);
	return cast;
}

static Datum
run(Cast *cast, Datum value, bool *isnull)
{
	cast->params->params[0].value = value;
	cast->params->params[0].isnull = false;
	return ExecEvalExpr(cast->state, cast->context, isnull);
}

/* The type that tells what a string means which the target reads; InvalidOid: how it is written counts. */
static Oid
meaning_of(Oid target)
{
	static const struct
	{
		Oid			target;
		Oid			meaning;	/* a type that reads the same, and drops less */
	}			meanings[] = {
		{FLOAT4OID, NUMERICOID}, {FLOAT8OID, NUMERICOID}, {DATEOID, TIMESTAMPOID}, {TIMESTAMPOID, TIMESTAMPTZOID}
	};
	/* these drop nothing but how it is written */
	static const Oid plain[] = {
		BOOLOID, INT2OID, INT4OID, INT8OID, OIDOID, NUMERICOID, UUIDOID, JSONOID, JSONBOID, XMLOID, INETOID, CIDROID, MACADDROID,
		MACADDR8OID, BYTEAOID, BITOID, VARBITOID, PG_LSNOID, TIMESTAMPTZOID
	};
	Oid			element = get_element_type(target);

	for (int i = 0; i < lengthof(meanings); i++)
		if (meanings[i].target == target)
			return meanings[i].meaning;
	for (int i = 0; i < lengthof(plain); i++)
		if (plain[i] == target || plain[i] == element)
			return target;
	return type_is_enum(target) ? target : InvalidOid;
}

static void
choose_proof(TsFit *fit, int32 target_typmod)
{
	Oid			meaning = is_string(fit->source) && !is_string(fit->target) ? meaning_of(fit->target) : InvalidOid;

	fit->instant = OidIsValid(meaning) && (fit->target == TIMESTAMPOID || fit->target == TIMESTAMPTZOID);
	if (fit->source == JSONOID && fit->target == JSONBOID)
		return;
	if (OidIsValid(meaning) && meaning == fit->target && target_typmod == -1 && !fit->instant)
		return;
	fit->proof = OidIsValid(meaning) ? PROOF_MEANING : PROOF_BACK;
	fit->back = compile(fit->target, OidIsValid(meaning) ? TEXTOID : fit->source, -1, true);
	if (OidIsValid(meaning))
	{
		fit->read = compile(fit->source, meaning, -1, true);
		fit->seen = meaning == fit->target ? NULL : compile(fit->target, meaning, -1, true);
	}
	fit->type = lookup_type_cache(OidIsValid(meaning) ? meaning : fit->source, TYPECACHE_EQ_OPR_FINFO);
	fit->collation = fit->type->typcollation;
}

TsFit *
ts_fit_create(Oid source, Oid target, int32 target_typmod)
{
	TsFit	   *fit = palloc0(sizeof(TsFit));

	fit->source = source;
	fit->target = target;
	fit->cast = compile(source, target, target_typmod, false);
	fit->scratch = AllocSetContextCreate(CurrentMemoryContext, "tracksync fit", ALLOCSET_SMALL_SIZES);
	choose_proof(fit, target_typmod);
	return fit;
}

Datum
ts_fit_cast(TsFit *fit, Datum value, bool *isnull)
{
	return run(fit->cast, value, isnull);
}

/* By the type's default equality; by their texts if it has none. */
static bool
are_equal(const TsFit *fit, Datum a, Datum b)
{
	Oid			output;
	bool		varlena;

	if (datum_image_eq(a, b, fit->type->typbyval, fit->type->typlen))
		return true;
	if (OidIsValid(fit->type->eq_opr_finfo.fn_oid))
		return DatumGetBool(FunctionCall2Coll(&fit->type->eq_opr_finfo, fit->collation, a, b));
	getTypeOutputInfo(fit->type->type_id, &output, &varlena);
	return strcmp(OidOutputFunctionCall(output, a), OidOutputFunctionCall(output, b)) == 0;
}

/* Has a moment more digits after the point than it can have? */
static bool
is_finer(const char *text)
{
	const char *point = strrchr(text, '.');

	return point != NULL && strspn(point + 1, "0123456789") > 6;
}

static bool
means_the_same(TsFit *fit, Datum value, Datum held)
{
	bool		null1,
				null2 = false;
	Oid			output;
	bool		varlena;
	char	   *written;
	Datum		again;

	getTypeOutputInfo(fit->source, &output, &varlena);
	written = OidOutputFunctionCall(output, value);
	again = run(fit->back, held, &null1);
	if (!null1 && strcmp(written, TextDatumGetCString(again)) == 0)
		return true;
	if (fit->instant && is_finer(written))
		return false;
	value = run(fit->read, value, &null1);
	if (fit->seen != NULL)
		held = run(fit->seen, held, &null2);
	return !null1 && !null2 && are_equal(fit, value, held);
}

bool
ts_fit_is_exact(TsFit *fit, Datum value, Datum held)
{
	MemoryContext old;
	bool		exact = true,
				isnull;

	if (fit->proof == PROOF_NONE)
		return true;
	MemoryContextReset(fit->scratch);
	old = MemoryContextSwitchTo(fit->scratch);
	if (fit->proof == PROOF_MEANING)
		exact = means_the_same(fit, value, held);
	else
	{
		Datum		again = run(fit->back, held, &isnull);

		exact = !isnull && are_equal(fit, value, again);
	}
	MemoryContextSwitchTo(old);
	return exact;
}

char *
ts_fit_again(TsFit *fit, Datum held)
{
	Oid			output;
	bool		varlena,
				isnull;
	Datum		again;

	if (fit->proof != PROOF_BACK)
		return NULL;
	again = run(fit->back, held, &isnull);
	getTypeOutputInfo(fit->source, &output, &varlena);
	return isnull ? NULL : OidOutputFunctionCall(output, again);
}

bool
ts_fit_is_about_value(int sqlstate)
{
	static const int classes[] = {
		MAKE_SQLSTATE('5', '7', '0', '0', '0'), MAKE_SQLSTATE('5', '3', '0', '0', '0'), MAKE_SQLSTATE('5', '5', '0', '0', '0'),
		MAKE_SQLSTATE('4', '0', '0', '0', '0'), MAKE_SQLSTATE('5', '8', '0', '0', '0'), MAKE_SQLSTATE('X', 'X', '0', '0', '0'),
	};

	for (int i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlstate) == classes[i])
			return false;
	return true;
}
