/* schema.c: SQL functions schema_versions and schema_script: the shapes that a tracked table had. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "api/rights.h"
#include "api/schema.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "base/srf.h"
#include "log/shape.h"
#include "log/tracked.h"

PG_FUNCTION_INFO_V1(tracksync_schema_versions);
PG_FUNCTION_INFO_V1(tracksync_schema_script);

typedef struct Version
{
	int32		shape;
	Datum		seen;
	char	   *by;
	char	   *context;
} Version;

/* The table's versions, oldest first; number them from 1. */
static List *
versions_of(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	MemoryContext context = CurrentMemoryContext;
	List	   *versions = NIL;
	TsCatalog	cat;
	uint64		n;

	(void) ts_tracked_need(source);
	/* one that no event trigger has seen */
	if (!XactReadOnly)
		(void) ts_shape_of(source);
	ts_catalog_enter(&cat);
	n = ts_sql("SELECT shape, seen, seen_by::text, context FROM tracksync.table_shape WHERE source OPERATOR(pg_catalog.=) $1 "
			   "ORDER BY shape", SPI_OK_SELECT, 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Version    *version = MemoryContextAllocZero(context, sizeof(Version));
		bool		isnull;
		MemoryContext old;

		version->shape = DatumGetInt32(ts_sql_value(i, 1, &isnull));
		version->seen = ts_sql_value(i, 2, &isnull);
		version->by = ts_keep(context, ts_sql_text(i, 3));
		version->context = ts_keep(context, ts_sql_text(i, 4));
		old = MemoryContextSwitchTo(context);
		versions = lappend(versions, version);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return versions;
}

static const TsShapeAtt *
att_of(const TsShape *shape, int i)
{
	return i < shape->natts && !shape->atts[i].dropped ? &shape->atts[i] : NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What follows ALTER TABLE … to turn the one column into the other, the name apart. */
static List *
column_actions(const TsShapeAtt *a, const TsShapeAtt *b)
{
	const char *name = quote_identifier(b->name);
	List	   *actions = NIL;
	bool		retype = strcmp(a->type_name, b->type_name) != 0;

	if (retype && a->expression != NULL && !a->generated)
		actions = lappend(actions, psprintf("ALTER COLUMN %s DROP DEFAULT", name));
	if (retype)
		actions = lappend(actions, psprintf("ALTER COLUMN %s TYPE %s USING %s::%s", name, b->type_name, name,
											pnstrdup(b->type_name, strstr(b->type_name, " COLLATE ") ?
													 strstr(b->type_name, " COLLATE ") - b->type_name : (int) strlen(b->type_name))));
	if (b->expression != NULL && !b->generated && (retype || !same_text(a->expression, b->expression)))
		actions = lappend(actions, psprintf("ALTER COLUMN %s SET DEFAULT %s", name, b->expression));
	if (b->expression == NULL && a->expression != NULL && !a->generated && !retype)
		actions = lappend(actions, psprintf("ALTER COLUMN %s DROP DEFAULT", name));
	if (a->notnull != b->notnull)
		actions = lappend(actions, psprintf("ALTER COLUMN %s %s NOT NULL", name, b->notnull ? "SET" : "DROP"));
	return actions;
}

static char *
add_action(const TsShapeAtt *att)
{
	return psprintf("ADD COLUMN %s %s%s%s", quote_identifier(att->name), att->type_name,
					att->expression == NULL ? "" : att->generated ? psprintf(" GENERATED ALWAYS AS (%s) STORED", att->expression) :
					psprintf(" DEFAULT %s", att->expression), att->notnull ? " NOT NULL" : "");
}

/* Renames; where a name is still taken, by way of another one. */
static List *
rename_actions(const TsShape *a, const TsShape *b)
{
	List	   *first = NIL,
			   *second = NIL;

	for (int i = 0; i < b->natts; i++)
	{
		const TsShapeAtt *was = att_of(a, i),
				   *is = att_of(b, i);
		bool		taken = false;
		const char *from;

		if (was == NULL || is == NULL || strcmp(was->name, is->name) == 0)
			continue;
		for (int j = 0; j < a->natts; j++)
			taken |= att_of(a, j) != NULL && strcmp(a->atts[j].name, is->name) == 0;
		from = quote_identifier(was->name);
		if (taken)
		{
			first = lappend(first, psprintf("RENAME COLUMN %s TO _tracksync_%d", from, i + 1));
			from = psprintf("_tracksync_%d", i + 1);
		}
		second = lappend(second, psprintf("RENAME COLUMN %s TO %s", from, quote_identifier(is->name)));
	}
	return list_concat(first, second);
}

/* All that turns the one shape into the other: what follows ALTER TABLE …, in an order that works. */
static List *
actions_between(const TsShape *a, const TsShape *b)
{
	List	   *drops = NIL,
			   *others = NIL;

	for (int i = 0; i < Max(a->natts, b->natts); i++)
	{
		const TsShapeAtt *was = att_of(a, i),
				   *is = att_of(b, i);

		if (was != NULL && is == NULL)
			drops = lappend(drops, psprintf("DROP COLUMN %s", quote_identifier(was->name)));
		if (was == NULL && is != NULL)
			others = lappend(others, add_action(is));
		if (was != NULL && is != NULL)
			others = list_concat(others, column_actions(was, is));
	}
	return list_concat(list_concat(drops, rename_actions(a, b)), others);
}

static Datum
text_array(List *texts)
{
	Datum	   *elems = palloc(sizeof(Datum) * (list_length(texts) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, texts)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* {"name": "type", …} */
static Datum
columns_of(const TsShape *shape)
{
	char	  **names = palloc(sizeof(char *) * (shape->natts + 1));
	Oid		   *types = palloc(sizeof(Oid) * (shape->natts + 1));
	Datum	   *values = palloc(sizeof(Datum) * (shape->natts + 1));
	bool	   *nulls = palloc0(sizeof(bool) * (shape->natts + 1));
	int			n = 0;

	for (int i = 0; i < shape->natts; i++)
		if (att_of(shape, i) != NULL)
		{
			names[n] = shape->atts[i].name;
			types[n] = TEXTOID;
			values[n++] = CStringGetTextDatum(shape->atts[i].type_name);
		}
	return ts_to_jsonb(n, names, types, values, nulls, NULL);
}

Datum
ts_schema_actions(int32 before, int32 after)
{
	return text_array(before != 0 && after != 0 ? actions_between(ts_shape_get(before), ts_shape_get(after)) : NIL);
}

Datum
ts_schema_columns(int32 shape)
{
	return columns_of(ts_shape_get(shape));
}

static Oid
source_arg(FunctionCallInfo fcinfo)
{
	Oid			source;

	ts_need_arg(fcinfo, 0, "source");
	source = PG_GETARG_OID(0);
	if (get_rel_name(source) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", source)));
	(void) ts_readable_columns(source);
	return source;
}

/* schema_versions(source) → (version, seen, by, context, changes, columns) */
Datum
tracksync_schema_versions(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo);
	TsResult	result = ts_result_begin(fcinfo);
	const TsShape *before = NULL;
	ListCell   *lc;
	int			n = 0;

	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, versions_of(source))
	{
		const Version *version = lfirst(lc);
		const TsShape *shape = ts_shape_get(version->shape);
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = Int32GetDatum(++n);
		values[1] = version->seen;
		values[2] = DirectFunctionCall1(namein, CStringGetDatum(version->by));
		nulls[3] = version->context == NULL;
		values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(version->context);
		values[4] = text_array(before ? actions_between(before, shape) : NIL);
		values[5] = columns_of(shape);
		ts_result_put(&result, values, nulls);
		before = shape;
	}
	PopActiveSnapshot();
	PG_RETURN_NULL();
}

static const TsShape *
nth_shape(List *versions, int n, Oid source)
{
	if (n < 1 || n > list_length(versions))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no version %d", get_rel_name(source), n),
				 errhint("It has versions 1 to %d; see tracksync.schema_versions.", list_length(versions))));
	return ts_shape_get(((Version *) list_nth(versions, n - 1))->shape);
}

/* schema_script(source, from_version, to_version) */
Datum
tracksync_schema_script(PG_FUNCTION_ARGS)
{
	Oid			source = source_arg(fcinfo);
	char	   *table = ts_quote_relation(source);
	StringInfoData script;
	const TsShape *from,
			   *to;
	List	   *versions;
	ListCell   *lc;

	ts_need_arg(fcinfo, 1, "from_version");
	ts_need_arg(fcinfo, 2, "to_version");
	PushActiveSnapshot(GetTransactionSnapshot());
	versions = versions_of(source);
	from = nth_shape(versions, PG_GETARG_INT32(1), source);
	to = nth_shape(versions, PG_GETARG_INT32(2), source);
	PopActiveSnapshot();
	initStringInfo(&script);
	foreach(lc, actions_between(from, to))
	{
		const char *action = lfirst(lc);

		/* a column that comes back, or whose values were cut, does not get its old values */
		if (PG_GETARG_INT32(1) > PG_GETARG_INT32(2) && strncmp(action, "ADD COLUMN ", 11) == 0)
			appendStringInfoString(&script, "-- restores the column, not the values that it had\n");
		appendStringInfo(&script, "ALTER TABLE %s %s;\n", table, action);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(script.data, script.len));
}
