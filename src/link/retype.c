/*
 * retype.c: ALTER COLUMN on the target.
 *
 * A column follows its source as far as it was like it before: one that was given another type, default or nullability on
 * purpose keeps it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "link/retype.h"

bool
ts_default_travels(const TsShapeAtt *att)
{
	return att->expression != NULL && !att->generated && strstr(att->expression, "nextval(") == NULL;
}

bool
ts_default_is_safe(const TsLink *link, const TsShapeAtt *att)
{
	HeapTuple	tuple;
	Oid			owner;

	if (!ts_default_travels(att) || att->foreign_default)
		return false;
	/* a constant has no parenthesis; one that has it in quotes is left behind, too */
	if (strchr(att->expression, '(') == NULL)
		return true;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(link->source));
	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner == link->owner || superuser_arg(owner);
}

void
ts_check_type_owner(const TsLink *link, const TsShapeAtt *att)
{
	Oid			element = get_element_type(att->type);
	Oid			type = OidIsValid(element) ? element : att->type;
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	if (owner != link->owner && !superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("column \"%s\" of the source of link \"%s\" is of a type that belongs to role \"%s\"", att->name, link->name,
						GetUserNameFromId(owner, true)),
				 errdetail("On the target, code of that role could run with the rights of the link's owner."),
				 errhint("Change the target by hand, or let the link ignore column changes: schema_policy => 'ignore'.")));
}

static bool
same_type(const TsShapeAtt *a, const TsShapeAtt *b)
{
	return a->type == b->type && a->typmod == b->typmod && a->collation == b->collation;
}

static bool
same_default(const TsShapeAtt *a, const TsShapeAtt *b)
{
	if (!ts_default_travels(a) || !ts_default_travels(b))
		return ts_default_travels(a) == ts_default_travels(b);
	return strcmp(a->expression, b->expression) == 0;
}

/* Does every value of the one type fit into the other, unchanged? */
static bool
is_widening(const TsShapeAtt *was, const TsShapeAtt *is)
{
	if (was->type != is->type)
		return is->typmod == -1 && can_coerce_type(1, &was->type, &is->type, COERCION_IMPLICIT);
	if (is->typmod == -1 || was->typmod == is->typmod)
		return true;
	if (was->typmod == -1)
		return false;
	if (is->type == NUMERICOID)
	{
		int			was_scale = (was->typmod - VARHDRSZ) & 0x7ff,
					is_scale = (is->typmod - VARHDRSZ) & 0x7ff,
					was_precision = ((was->typmod - VARHDRSZ) >> 16) & 0xffff,
					is_precision = ((is->typmod - VARHDRSZ) >> 16) & 0xffff;

		return is_scale >= was_scale && is_precision - is_scale >= was_precision - was_scale;
	}
	return is->typmod > was->typmod;
}

static bool
is_tracked_key(const TsLink *link, AttrNumber attnum)
{
	for (int i = 0; i < link->tracked->nkeys; i++)
		if (link->tracked->keys[i] == attnum)
			return true;
	return false;
}

/*
 * What becomes of the target's values: cast, where no value can fail to be cast (a cast to a string type cuts it), else NULL, to
 * be filled in from the source. A key is cast in any case: it is what the rows are found by.
 */
static char *
conversion(const TsLink *link, const TsShapeAtt *was, const TsShapeAtt *is, const char *value)
{
	char	   *type = ts_quote_type(is->type, is->typmod);
	char		category;
	bool		preferred;

	if (is_tracked_key(link, is->attnum))
	{
		if (!can_coerce_type(1, &was->type, &is->type, COERCION_EXPLICIT))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("key column \"%s\" of target table %s cannot be cast from %s to %s", is->name, ts_link_target(link),
							was->type_name, is->type_name),
					 errdetail("The type of the source's column was changed."),
					 errhint("Change the target's column by hand, with the same USING as the source's.")));
		return psprintf("(%s)::%s", value, type);
	}
	get_type_category_preferred(is->type, &category, &preferred);
	if (is_widening(was, is) ||
		(category == TYPCATEGORY_STRING && get_typtype(is->type) == TYPTYPE_BASE &&
		 can_coerce_type(1, &was->type, &is->type, COERCION_EXPLICIT)))
		return psprintf("(%s)::%s", value, type);
	return psprintf("NULL::%s", type);
}

/* The target's default, names qualified; NULL = none. */
static char *
target_default(Oid target, AttrNumber attnum)
{
	static const Oid types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(target), Int16GetDatum(attnum)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *text = NULL;

	ts_catalog_enter(&cat);
	if (ts_sql_reading("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = $1 AND adnum = $2", 2, types, values, NULL) == 1)
		text = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return text;
}

typedef struct Alteration
{
	TsLink	   *link;
	TsColumn   *col;
	StringInfoData sql;
	StringInfoData what;
	StringInfoData after;
	bool		destructive;
} Alteration;

static void
alter(Alteration *a, StringInfo sql, const char *action)
{
	appendStringInfo(sql, "%sALTER TABLE %s ALTER COLUMN %s %s", sql->len ? ";\n" : "", ts_link_target(a->link),
					 quote_identifier(a->col->target_name), action);
}

static void
say(Alteration *a, const char *what)
{
	appendStringInfo(&a->what, "%s%s", a->what.len ? ", " : "", what);
}

static void
alter_type(Alteration *a, const TsShapeAtt *was, const TsShapeAtt *is, Form_pg_attribute att, bool has_default)
{
	char	   *type = ts_quote_type(is->type, is->typmod);
	char	   *name = (char *) quote_identifier(a->col->target_name);
	char	   *using = conversion(a->link, was, is, name);
	bool		emptied = strncmp(using, "NULL::", 6) == 0;
	StringInfoData action;

	initStringInfo(&action);
	/* a default of the former type may not be castable; it is set again below */
	if (has_default)
		alter(a, &a->sql, "DROP DEFAULT");
	if (emptied && att->attnotnull)
		alter(a, &a->sql, "DROP NOT NULL");
	appendStringInfo(&action, "TYPE %s", type);
	if (OidIsValid(is->collation) && is->collation != get_typcollation(is->type))
		appendStringInfo(&action, " COLLATE %s", ts_quote_collation(is->collation));
	appendStringInfo(&action, " USING %s", using);
	alter(a, &a->sql, action.data);
	say(a, psprintf("type %s%s", ts_show_type(is->type, is->typmod), is->collation != was->collation && OidIsValid(is->collation) ?
					psprintf(" collate %s", ts_quote_collation(is->collation)) : ""));
	a->destructive = !is_widening(was, is);
	a->col->retyped = true;
	a->col->future = conversion(a->link, was, is, psprintf("t.%s", quote_identifier(a->col->now_name)));
	/* what is emptied has to be filled, whatever the log says */
	a->link->values_unknown |= emptied;
	if (emptied && att->attnotnull && is->notnull)
		alter(a, &a->after, "SET NOT NULL");
}

void
ts_link_follow_type(TsLink *link, TsColumn *col, const TsShapeAtt *was, const TsShapeAtt *is, Relation target)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(target), col->now_name);
	Alteration	a = {.link = link, .col = col};
	Form_pg_attribute att;
	TsShapeAtt	there = {0};
	bool		retype,
				renull,
				redefault;

	if (attnum <= 0 || was == NULL)
		return;
	att = TupleDescAttr(RelationGetDescr(target), attnum - 1);
	there.type = att->atttypid;
	there.typmod = att->atttypmod;
	there.collation = att->attcollation;
	there.generated = att->attgenerated != '\0';
	there.expression = target_default(RelationGetRelid(target), attnum);
	retype = !same_type(was, is) && same_type(was, &there);
	renull = was->notnull != is->notnull && att->attnotnull == was->notnull;
	/* code of the source's owner would run as whoever inserts into the target */
	redefault = !same_default(was, is) && same_default(was, &there) &&
		(!ts_default_travels(is) || ts_default_is_safe(link, is));
	if (link->policy == TS_SCHEMA_ERROR && (!same_type(was, is) || was->notnull != is->notnull || !same_default(was, is)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of the source of link \"%s\" was altered", is->name, link->name),
				 errhint("Let schema changes travel: tracksync.alter_link(%s, schema_policy => 'apply').",
						 quote_literal_cstr(link->name))));
	if (link->policy == TS_SCHEMA_IGNORE)
		return;
	if (link->policy == TS_SCHEMA_ADDITIVE)
	{
		retype &= is_widening(was, is);
		renull &= was->notnull;
		redefault = false;
	}
	initStringInfo(&a.sql);
	initStringInfo(&a.what);
	initStringInfo(&a.after);
	if (retype)
		ts_check_type_owner(link, is);
	if (retype)
		alter_type(&a, was, is, att, there.expression != NULL && !there.generated);
	if (renull && !is->notnull)
		alter(&a, &a.sql, "DROP NOT NULL");
	if (renull && is->notnull)
		alter(&a, &a.after, "SET NOT NULL");
	if (renull)
		say(&a, is->notnull ? "not null" : "null allowed");
	if (redefault && !retype && !ts_default_travels(is))
		alter(&a, &a.sql, "DROP DEFAULT");
	if ((redefault || (retype && there.expression != NULL)) && ts_default_is_safe(link, is))
		alter(&a, &a.sql, psprintf("SET DEFAULT %s", is->expression));
	if (redefault)
		say(&a, ts_default_travels(is) ? psprintf("default %s", is->expression) : "no default");
	if (a.what.len > 0)
	{
		TsSchemaStep *step = ts_link_schema_step(link, TS_PRIORITY_ALTER_COLUMN, "alter_column",
												 psprintf("alter column %s of %s: %s", quote_identifier(col->target_name),
														  ts_link_target(link), a.what.data), a.sql.data);

		step->after = a.after.len > 0 ? a.after.data : NULL;
		step->destructive = a.destructive;
	}
}
