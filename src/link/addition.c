/* addition.c: columns that the target gets because the source has them. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "link/evolution.h"
#include "link/retype.h"

/* The value that rows older than the column have without being written, as SQL text; NULL: none. */
static char *
missing_value(Oid source, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(source), Int16GetDatum(attnum));
	Form_pg_attribute att;
	char	   *text = NULL;
	Datum		values,
				value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	values = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attmissingval, &isnull);
	if (att->atthasmissing && !isnull)
	{
		int			one = 1;
		Oid			output;
		bool		varlena;
		TsIdentity	identity;

		/* the settings that values are written under */
		ts_become(&identity, GetUserId(), false, NULL);
		value = array_get_element(values, 1, &one, -1, att->attlen, att->attbyval, att->attalign, &isnull);
		getTypeOutputInfo(att->atttypid, &output, &varlena);
		text = isnull ? NULL : OidOutputFunctionCall(output, value);
		ts_unbecome(&identity);
	}
	ReleaseSysCache(tuple);
	return text;
}

/* How a new column gets its values. */
typedef struct NewValue
{
	char	   *text;			/* SQL: of all rows, or of most; NULL = none */
	bool		sure;			/* it is the value of all older rows, not a guess */
} NewValue;

/*
 * The value that most rows will have, to be given to all at once. Where the source was rewritten meanwhile, the missing value is
 * gone, but the default is still the best guess: a comparison follows in any case.
 */
static NewValue
common_value(TsEvolution *e, Relation source, const TsShapeAtt *att)
{
	const char *type = ts_quote_type(att->type, att->typmod);
	char	   *missing = missing_value(RelationGetRelid(source), att->attnum);

	if (missing != NULL)
		return (NewValue) {psprintf("%s::%s", quote_literal_cstr(missing), type), true};
	/* no call: a constant */
	if (e->link->storage == NULL || !ts_default_is_safe(e->link, att) || strchr(att->expression, '(') != NULL ||
		get_typtype(att->type) == TYPTYPE_DOMAIN ||
		ts_storage_compare(e->link->storage, ts_source_storage(e->link->source)) == TS_STORAGE_SAME)
		return (NewValue) {NULL, false};
	return (NewValue) {psprintf("(%s)::%s", att->expression, type), false};
}

/* Adds a statement about the new column to what is run before or after the rows are written. */
static void
alter_new(StringInfo sql, TsLink *link, const char *name, const char *action)
{
	appendStringInfo(sql, "%sALTER TABLE %s ALTER COLUMN %s %s", sql->len ? ";\n" : "", ts_link_target(link), name, action);
}

/* Without a value for all rows a domain has to wait: its own default and constraints would apply at once. */
static void
add_column_step(TsEvolution *e, TsColumn *col, const TsShapeAtt *att, NewValue value)
{
	TsLink	   *link = e->link;
	int32		typmod = att->typmod;
	Oid			base = getBaseTypeAndTypmod(att->type, &typmod);
	bool		wait = value.text == NULL && base != att->type;
	char	   *type = ts_quote_type(att->type, att->typmod);
	char	   *first = wait ? ts_quote_type(base, typmod) : type;
	char	   *name = (char *) quote_identifier(att->name);
	char	   *preset = value.text ? value.text : get_typdefault(base) != NULL ? psprintf("NULL::%s", first) : NULL;
	StringInfoData sql,
				after;
	TsSchemaStep *step;

	initStringInfo(&sql);
	initStringInfo(&after);
	appendStringInfo(&sql, "ALTER TABLE %s ADD COLUMN %s %s", ts_link_target(link), name, first);
	if (OidIsValid(att->collation) && att->collation != get_typcollation(wait ? base : att->type))
		appendStringInfo(&sql, " COLLATE %s", ts_quote_collation(att->collation));
	if (preset)
		appendStringInfo(&sql, " DEFAULT %s", preset);
	if (value.sure && att->notnull)
		appendStringInfoString(&sql, " NOT NULL");
	if (wait)
		alter_new(&after, link, name, psprintf("TYPE %s", type));
	if (ts_default_is_safe(link, att))
		alter_new(wait ? &after : &sql, link, name, psprintf("SET DEFAULT %s", att->expression));
	else if (preset)
		alter_new(&sql, link, name, "DROP DEFAULT");
	if (att->notnull && !value.sure)
		alter_new(&after, link, name, "SET NOT NULL");
	step = ts_link_schema_step(link, TS_PRIORITY_ADD_COLUMN, "add_column",
							   psprintf("add column %s %s to %s", name, ts_show_type(att->type, att->typmod), ts_link_target(link)), sql.data);
	step->after = after.len > 0 ? after.data : NULL;
	col->future = psprintf("%s::%s", value.text ? value.text : "NULL", wait ? first : type);
	col->converted = true;
}

/* Does a column of the link go to this one of the target? */
static bool
is_taken(const TsLink *link, const char *name)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (strcmp(link->columns[i].target_name, name) == 0)
			return true;
	return false;
}

/* The target has a column of this name: the link takes it, though what its rows hold is not known; unless it is generated. */
static bool
take_column(TsEvolution *e, TsColumn *col, const TsShapeAtt *att)
{
	AttrNumber	there = get_attnum(RelationGetRelid(e->target), att->name);

	if (there <= 0 || TupleDescAttr(RelationGetDescr(e->target), there - 1)->attgenerated)
		return false;
	col->attnum = att->attnum;
	col->target_name = att->name;
	col->now_name = col->target_name;
	e->link->values_unknown = true;
	return true;
}

/* A column that came since. */
static bool
add_column(TsEvolution *e, Relation source, TsColumn *col, const TsShapeAtt *att)
{
	TsLink	   *link = e->link;

	if (link->policy == TS_SCHEMA_ERROR)
		ts_evolution_refuse(link, psprintf("Column \"%s\" was added.", att->name));
	if (is_taken(link, att->name))
	{
		if (link->policy == TS_SCHEMA_IGNORE)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("column \"%s\" of target table %s is taken", att->name, ts_link_target(link)),
				 errdetail("Another column of the source of link \"%s\" goes there, and one of that name was added.", link->name),
				 errhint("Rename the target's column, or use schema_policy => 'ignore'.")));
	}
	col->attnum = att->attnum;
	col->target_name = att->name;
	if (e->target == NULL)
		return true;
	if (ts_evolution_has_name(e->names, att->name))
		return take_column(e, col, att);
	if (link->policy == TS_SCHEMA_IGNORE)
		return false;
	ts_check_type_owner(link, att->name, att->type);
	/* a partitioned table's rows have what their own partition says */
	link->values_unknown |= link->source_partitioned;
	add_column_step(e, col, att, common_value(e, source, att));
	return true;
}

/* Columns of the source that no column of the link stands for. */
void
ts_evolution_add_columns(TsEvolution *e, Relation source, int mapped)
{
	TsLink	   *link = e->link;

	for (int i = 0; i < e->now->natts; i++)
	{
		const TsShapeAtt *att = ts_evolution_att(e->now, i + 1);
		TsColumn   *col = &link->columns[link->ncolumns];
		bool		known = false;

		for (int c = 0; c < mapped; c++)
			known |= link->columns[c].attnum == i + 1;
		if (att == NULL || known)
			continue;
		if (ts_evolution_att(e->then, i + 1) == NULL)
			link->ncolumns += add_column(e, source, col, att);
		/* the target got a column that the source always had */
		else if (e->target != NULL && (link->policy == TS_SCHEMA_APPLY || link->policy == TS_SCHEMA_ADDITIVE) &&
				 ts_evolution_has_name(e->names, att->name) && !is_taken(link, att->name))
			link->ncolumns += take_column(e, col, att);
	}
}
