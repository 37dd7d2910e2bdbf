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
#include "link/cast.h"
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

/* May the type's owner have code run with the rights of the link's owner? One whose table the link writes to may: by a trigger. */
static bool
is_trusted(const TsLink *link, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			owner;

	/* a type that was dropped has no casts */
	if (!HeapTupleIsValid(tuple))
		return true;
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	if (owner == link->owner || superuser_arg(owner))
		return true;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(link->target));
	if (!HeapTupleIsValid(tuple))
		return false;
	if (owner == ((Form_pg_class) GETSTRUCT(tuple))->relowner)
	{
		ReleaseSysCache(tuple);
		return true;
	}
	ReleaseSysCache(tuple);
	return false;
}

void
ts_check_type_owner(const TsLink *link, const char *column, Oid declared)
{
	Oid			types[4] = {declared, get_element_type(declared)};
	HeapTuple	tuple;

	types[2] = get_typisdefined(declared) ? getBaseType(declared) : InvalidOid;
	types[3] = get_element_type(types[2]);
	for (int i = 0; i < lengthof(types); i++)
	{
		if (!OidIsValid(types[i]) || is_trusted(link, types[i]))
			continue;
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(types[i]));
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("column \"%s\" of link \"%s\" is, or was, of a type that belongs to role \"%s\"", column, link->name,
						GetUserNameFromId(((Form_pg_type) GETSTRUCT(tuple))->typowner, true)),
				 errdetail("By its casts or constraints, code of that role could run with the rights of the link's owner."),
				 errhint("Give source and target the same type, or leave the column out of the link's columns.")));
	}
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

/* Is a value of the one type, stored, one of the other? */
static bool
same_bits(Oid was, Oid is)
{
	return was == is || IsBinaryCoercible(getBaseType(was), is);
}

/* Does every value of the one type fit into the other, unchanged? */
static bool
is_widening(const TsShapeAtt *a, const TsShapeAtt *b)
{
	static const struct
	{
		Oid			was;
		Oid			is;
	}			exact[] = {
		{INT2OID, INT4OID}, {INT2OID, INT8OID}, {INT2OID, NUMERICOID}, {INT2OID, FLOAT4OID}, {INT2OID, FLOAT8OID},
		{INT4OID, INT8OID}, {INT4OID, NUMERICOID}, {INT4OID, FLOAT8OID}, {INT8OID, NUMERICOID}, {FLOAT4OID, FLOAT8OID},
		{NAMEOID, TEXTOID}, {DATEOID, TIMESTAMPOID}, {MACADDROID, MACADDR8OID}
	};
	int32		was_typmod = a->typmod;
	Oid			was = getBaseTypeAndTypmod(a->type, &was_typmod);

	if (a->type != b->type && get_typtype(b->type) == TYPTYPE_DOMAIN)
		return false;
	if (was != b->type && a->type != b->type)
	{
		for (int i = 0; i < lengthof(exact); i++)
			if (exact[i].was == was && exact[i].is == b->type)
				return b->typmod == -1;
		return b->typmod == -1 && IsBinaryCoercible(was, b->type);
	}
	if (b->typmod == -1 || was_typmod == b->typmod)
		return true;
	if (was_typmod == -1)
		return false;
	if (b->type == NUMERICOID)
	{
		int			was_scale = (was_typmod - VARHDRSZ) & 0x7ff,
					is_scale = (b->typmod - VARHDRSZ) & 0x7ff,
					was_precision = ((was_typmod - VARHDRSZ) >> 16) & 0xffff,
					is_precision = ((b->typmod - VARHDRSZ) >> 16) & 0xffff;

		return is_scale >= was_scale && is_precision - is_scale >= was_precision - was_scale;
	}
	return b->typmod > was_typmod;
}

static bool
is_tracked_key(const TsLink *link, AttrNumber attnum)
{
	for (int i = 0; i < link->tracked->nkeys; i++)
		if (link->tracked->keys[i] == attnum)
			return true;
	return false;
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
	const TsShapeAtt *was;
	const TsShapeAtt *is;
	Form_pg_attribute att;		/* the target's */
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

/* A key is what the rows are found by: all of the target's are cast, or none. */
static void
need_key_cast(const Alteration *a, const char *type)
{
	const TsLink *link = a->link;
	char	   *culprit;

	if (!can_coerce_type(1, &a->was->type, &a->is->type, COERCION_EXPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key column \"%s\" of target table %s cannot be cast from %s to %s", a->col->now_name, ts_link_target(link),
						a->was->type_name, a->is->type_name),
				 errdetail("The type of the source's column was changed."),
				 errhint("Change the target's column by hand, with the same USING as the source's.")));
	if (ts_cast_holds(link, a->col->now_name, type, &culprit))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("key column \"%s\" of target table %s cannot be cast from %s to %s: a row has %s", a->col->now_name,
					ts_link_target(link), a->was->type_name, a->is->type_name, culprit),
			 errdetail("The type of the source's column was changed."),
			 errhint("Change or delete the row in the target, or change the target's column by hand, with the same USING as the source's.")));
}

/*
 * Has the column to be emptied, and filled in from the source? A cast will do where no value can fail to be cast (a string is cut),
 * or where none of those that are there does.
 */
static bool
must_empty(const Alteration *a, const char *type)
{
	const TsLink *link = a->link;
	char	   *culprit;
	char		category;
	bool		preferred;

	if (is_widening(a->was, a->is))
		return false;
	if (is_tracked_key(link, a->is->attnum))
	{
		need_key_cast(a, type);
		return false;
	}
	get_type_category_preferred(a->is->type, &category, &preferred);
	/* what is not ours to fill in again is not ours to change */
	a->col->lossy = type;
	if (can_coerce_type(1, &a->was->type, &a->is->type, COERCION_EXPLICIT) &&
		((category == TYPCATEGORY_STRING && get_typtype(a->is->type) == TYPTYPE_BASE) ||
		 ts_cast_holds(link, a->col->now_name, type, &culprit)))
	{
		if (ts_cast_is_shared(link) && ts_cast_changes(link, a->col->now_name, type))
			ts_cast_refuse(link, a->col->now_name, type);
		return false;
	}
	if (a->att->attidentity != '\0' || ts_cast_is_shared(link))
		ts_cast_refuse(link, a->col->now_name, type);
	a->col->emptied = true;
	return true;
}

/* An emptied column takes on a domain only when it is filled: the domain may not allow NULL. */
static void
alter_type(Alteration *a, bool drop_default)
{
	int32		typmod = a->is->typmod;
	Oid			base = getBaseTypeAndTypmod(a->is->type, &typmod);
	char	   *type = ts_quote_type(a->is->type, a->is->typmod);
	bool		emptied = must_empty(a, type);
	bool		wait = emptied && base != a->is->type;
	char	   *first = wait ? ts_quote_type(base, typmod) : type;
	char	   *future = emptied ? psprintf("NULL::%s", first) :
		psprintf("(t.%s)::%s", quote_identifier(a->col->now_name), first);
	StringInfoData action;

	initStringInfo(&action);
	/* a default that the server cannot cast would be in the way */
	if (drop_default)
		alter(a, &a->sql, "DROP DEFAULT");
	if (emptied && a->att->attnotnull)
		alter(a, &a->sql, "DROP NOT NULL");
	appendStringInfo(&action, "TYPE %s", first);
	if (OidIsValid(a->is->collation) && a->is->collation != get_typcollation(wait ? base : a->is->type))
		appendStringInfo(&action, " COLLATE %s", ts_quote_collation(a->is->collation));
	appendStringInfo(&action, " USING %s", emptied ? future :
					 psprintf("(%s)::%s", quote_identifier(a->col->target_name), first));
	alter(a, &a->sql, action.data);
	if (wait)
		alter(a, &a->after, psprintf("TYPE %s", type));
	say(a, psprintf("type %s%s", ts_show_type(a->is->type, a->is->typmod),
					a->is->collation != a->was->collation && OidIsValid(a->is->collation) ?
					psprintf(" collate %s", ts_quote_collation(a->is->collation)) : ""));
	a->destructive = !is_widening(a->was, a->is);
	a->col->retyped = true;
	a->col->future = future;
	a->col->converted = a->destructive || !same_bits(a->was->type, a->is->type);
	/* what is emptied has to be filled, whatever the log says */
	a->link->values_unknown |= emptied;
	if (emptied && a->att->attnotnull && (a->is->notnull || !a->was->notnull))
		alter(a, &a->after, "SET NOT NULL");
}

void
ts_link_follow_type(TsLink *link, TsColumn *col, const TsShapeAtt *was, const TsShapeAtt *is, Relation target)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(target), col->now_name);
	Alteration	a = {.link = link, .col = col, .was = was, .is = is};
	TsShapeAtt	there = {0};
	bool		retype,
				renull,
				redefault;

	if (attnum <= 0 || was == NULL)
		return;
	a.att = TupleDescAttr(RelationGetDescr(target), attnum - 1);
	there.type = a.att->atttypid;
	there.typmod = a.att->atttypmod;
	there.collation = a.att->attcollation;
	there.generated = a.att->attgenerated != '\0';
	there.expression = a.att->atthasdef ? target_default(RelationGetRelid(target), attnum) : NULL;
	retype = !same_type(was, is) && same_type(was, &there);
	renull = was->notnull != is->notnull && a.att->attnotnull == was->notnull;
	/* code of the source's owner would run as whoever inserts into the target */
	redefault = !same_default(was, is) && same_default(was, &there) &&
		(!ts_default_travels(is) || ts_default_is_safe(link, is));
	if (link->policy == TS_SCHEMA_ERROR && (!same_type(was, is) || was->notnull != is->notnull || !same_default(was, is)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of the source of link \"%s\" was altered", is->name, link->name),
				 errhint("Let schema changes travel: tracksync.alter_link(%s, schema_policy => 'apply').",
						 quote_literal_cstr(link->name))));
	if (link->policy == TS_SCHEMA_ADDITIVE)
	{
		retype &= is_widening(was, is);
		renull &= was->notnull;
		redefault = false;
	}
	if (link->policy == TS_SCHEMA_IGNORE)
		retype = renull = redefault = false;
	/* the new type may mean other values for the target, and no file tells: a cast may be one of names only */
	if (!same_type(was, is) && !(is_widening(was, is) && same_bits(was->type, is->type) && (retype || same_type(is, &there))))
		link->values_unknown = true;
	initStringInfo(&a.sql);
	initStringInfo(&a.what);
	initStringInfo(&a.after);
	if (retype || !same_type(was, is))
	{
		/* a cast may belong to the owner of either of its types */
		ts_check_type_owner(link, is->name, was->type);
		ts_check_type_owner(link, is->name, is->type);
	}
	if (retype)
		alter_type(&a, there.expression != NULL && !there.generated &&
				   (redefault || !can_coerce_type(1, &was->type, &is->type, COERCION_ASSIGNMENT)));
	if (renull && !is->notnull)
		alter(&a, &a.sql, "DROP NOT NULL");
	if (renull && is->notnull)
		alter(&a, &a.after, "SET NOT NULL");
	if (renull)
		say(&a, is->notnull ? "not null" : "null allowed");
	if (redefault && !retype && !ts_default_travels(is))
		alter(&a, &a.sql, "DROP DEFAULT");
	if (redefault && ts_default_travels(is))
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
