/* evolve.c: a source's schema changes become a mapping and steps for the target. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "link/evolve.h"
#include "link/retype.h"
#include "log/shape.h"

typedef struct Rename
{
	char	   *from;			/* its name on the target for now */
	char	   *to;
	char	   *shown;			/* its name on the target at first */
} Rename;

typedef struct Evolution
{
	TsLink	   *link;
	Relation	target;			/* NULL: does not exist */
	const TsShape *then;
	const TsShape *now;
	List	   *renames;
	List	   *drops;			/* Rename, of which "to" is not used */
	List	   *names;			/* of all columns of the target, as they are after the renames so far */
	int			moved;			/* columns put aside */
} Evolution;

TsSchemaStep *
ts_link_schema_step(TsLink *link, int priority, const char *kind, char *description, char *sql)
{
	TsSchemaStep *step = palloc0(sizeof(TsSchemaStep));

	step->priority = priority;
	step->kind = kind;
	step->description = description;
	step->sql = sql;
	link->schema = lappend(link->schema, step);
	return step;
}

static const TsShapeAtt *
att_of(const TsShape *shape, AttrNumber attnum)
{
	if (attnum <= 0 || attnum > shape->natts || shape->atts[attnum - 1].dropped)
		return NULL;
	return &shape->atts[attnum - 1];
}

static bool
has_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

static List *
replace_name(List *names, const char *from, char *to)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), from) == 0)
			lfirst(lc) = to;
	return names;
}

static void
refuse(const TsLink *link, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source of link \"%s\" has another shape than at its last push", link->name),
			 errdetail("%s", what),
			 errhint("Let schema changes travel: tracksync.alter_link(%s, schema_policy => 'apply').",
					 quote_literal_cstr(link->name))));
}

/* A column that the source has no more. */
static void
drop_column(Evolution *e, const TsColumn *col)
{
	AttrNumber	attnum;
	Form_pg_attribute att;
	Rename	   *drop;

	if (e->link->policy == TS_SCHEMA_ERROR)
		refuse(e->link, psprintf("The source column for \"%s\" was dropped.", col->target_name));
	if (e->target == NULL)
		return;
	attnum = get_attnum(RelationGetRelid(e->target), col->target_name);
	if (attnum <= 0)
		return;					/* gone there, too */
	att = TupleDescAttr(RelationGetDescr(e->target), attnum - 1);
	if (e->link->policy == TS_SCHEMA_APPLY)
	{
		drop = palloc0(sizeof(Rename));
		drop->from = drop->shown = col->target_name;
		e->drops = lappend(e->drops, drop);
	}
	else if (att->attnotnull && !att->atthasdef && att->attidentity == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of target table %s cannot be left alone", col->target_name, ts_link_target(e->link)),
				 errdetail("Its source column was dropped, schema_policy keeps it, and it is NOT NULL without a default."),
				 errhint("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL, or give it a default, or use schema_policy => 'apply'.",
						 ts_link_target(e->link), quote_identifier(col->target_name))));
}

/* A column that both have: its name. */
static void
follow_name(Evolution *e, TsColumn *col, const TsShapeAtt *was, const TsShapeAtt *is)
{
	Rename	   *rename;

	col->now_name = col->target_name;
	if (was == NULL || strcmp(was->name, is->name) == 0)
		return;
	if (e->link->policy == TS_SCHEMA_ERROR)
		refuse(e->link, psprintf("Column \"%s\" was renamed to \"%s\".", was->name, is->name));
	/* a column that was given another name on purpose keeps it */
	if (e->link->policy != TS_SCHEMA_APPLY || strcmp(col->target_name, was->name) != 0)
		return;
	col->target_name = is->name;
	if (e->target == NULL)
		return;
	/* somebody did it by hand */
	if (!has_name(e->names, col->now_name) && has_name(e->names, is->name))
	{
		col->now_name = is->name;
		return;
	}
	rename = palloc0(sizeof(Rename));
	rename->from = rename->shown = (char *) col->now_name;
	rename->to = is->name;
	e->renames = lappend(e->renames, rename);
}

/* Puts the column that has this name aside; the SQL for it. */
static char *
put_aside(Evolution *e, const char *name)
{
	char	   *aside;
	ListCell   *lc;
	Rename	   *holder = NULL;

	foreach(lc, e->renames)
		if (strcmp(((Rename *) lfirst(lc))->from, name) == 0)
			holder = lfirst(lc);
	foreach(lc, e->drops)
		if (strcmp(((Rename *) lfirst(lc))->from, name) == 0)
			holder = lfirst(lc);
	if (holder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("target table %s has a column \"%s\" already", ts_link_target(e->link), name),
				 errdetail("A column of the source of link \"%s\" was renamed to that name.", e->link->name),
				 errhint("Rename the target's own column.")));
	do
		aside = psprintf("_tracksync_%d", ++e->moved);
	while (has_name(e->names, aside));
	holder->from = aside;
	e->names = replace_name(e->names, name, aside);
	return psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s;\n", ts_link_target(e->link), quote_identifier(name), aside);
}

static void
add_rename_step(Evolution *e, Rename *rename, const char *before)
{
	TsLink	   *link = e->link;

	ts_link_schema_step(link, TS_PRIORITY_RENAME_COLUMN, "rename_column",
						psprintf("rename column %s of %s to %s", quote_identifier(rename->shown), ts_link_target(link),
								 quote_identifier(rename->to)),
						psprintf("%sALTER TABLE %s RENAME COLUMN %s TO %s", before, ts_link_target(link),
								 quote_identifier(rename->from), quote_identifier(rename->to)));
	e->names = replace_name(e->names, rename->from, rename->to);
	e->renames = list_delete_ptr(e->renames, rename);
}

/* Renames in an order in which each name is free; where there is none, columns are put aside. */
static void
add_rename_steps(Evolution *e)
{
	while (e->renames != NIL)
	{
		Rename	   *next = NULL;
		ListCell   *lc;

		foreach(lc, e->renames)
		{
			Rename	   *rename = lfirst(lc);

			if (next == NULL && !has_name(e->names, rename->to))
				next = rename;
		}
		if (next != NULL)
			add_rename_step(e, next, "");
		else
		{
			next = linitial(e->renames);
			add_rename_step(e, next, put_aside(e, next->to));
		}
	}
}

static void
add_drop_steps(Evolution *e)
{
	ListCell   *lc;

	foreach(lc, e->drops)
	{
		Rename	   *drop = lfirst(lc);
		TsSchemaStep *step;

		step = ts_link_schema_step(e->link, TS_PRIORITY_DROP_COLUMN, "drop_column",
							psprintf("drop column %s of %s and its values", quote_identifier(drop->shown), ts_link_target(e->link)),
							psprintf("ALTER TABLE %s DROP COLUMN %s", ts_link_target(e->link),
									 quote_identifier(drop->from)));
		step->destructive = true;
		step->dropped = drop->from;
		for (ListCell *n = list_head(e->names); n != NULL; n = lnext(e->names, n))
			if (strcmp(lfirst(n), drop->from) == 0)
			{
				e->names = list_delete_ptr(e->names, lfirst(n));
				break;
			}
	}
}

/* The value that rows older than the column have without being written, as SQL text; NULL: none. */
static char *
missing_value(Oid source, AttrNumber attnum)
{
	static const Oid types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(source), Int16GetDatum(attnum)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *text;

	ts_catalog_enter(&cat);
	ts_sql_reading("SELECT (attmissingval::text::text[])[1] FROM pg_attribute WHERE attrelid = $1 AND attnum = $2 AND atthasmissing",
				   2, types, values, NULL);
	text = SPI_processed > 0 ? ts_keep(context, ts_sql_text(0, 1)) : NULL;
	ts_catalog_leave(&cat);
	return text;
}

/*
 * The value that most rows will have, to be given to all at once; NULL: none. Where the source was rewritten meanwhile, the
 * missing value is gone, but the default is still the best guess: a comparison follows in any case.
 */
static char *
common_value(Evolution *e, Relation source, const TsShapeAtt *att)
{
	const char *type = ts_quote_type(att->type, att->typmod);
	char	   *missing = missing_value(RelationGetRelid(source), att->attnum);

	if (missing != NULL)
		return psprintf("%s::%s", quote_literal_cstr(missing), type);
	/* no call: a constant */
	if (e->link->storage == NULL || !ts_default_is_safe(e->link, att) || strchr(att->expression, '(') != NULL ||
		ts_storage_compare(e->link->storage, ts_source_storage(e->link->source)) == TS_STORAGE_SAME)
		return NULL;
	return psprintf("(%s)::%s", att->expression, type);
}

static void
add_column_step(Evolution *e, TsColumn *col, const TsShapeAtt *att, const char *value)
{
	TsLink	   *link = e->link;
	char	   *type = ts_quote_type(att->type, att->typmod);
	char	   *name = (char *) quote_identifier(att->name);
	StringInfoData sql;
	TsSchemaStep *step;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s ADD COLUMN %s %s", ts_link_target(link), name, type);
	if (OidIsValid(att->collation) && att->collation != get_typcollation(att->type))
		appendStringInfo(&sql, " COLLATE %s", ts_quote_collation(att->collation));
	if (value)
		appendStringInfo(&sql, " DEFAULT %s", value);
	if (value && att->notnull)
		appendStringInfoString(&sql, " NOT NULL");
	if (ts_default_is_safe(link, att))
		appendStringInfo(&sql, ";\nALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", ts_link_target(link), name, att->expression);
	else if (value)
		appendStringInfo(&sql, ";\nALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", ts_link_target(link), name);
	step = ts_link_schema_step(link, TS_PRIORITY_ADD_COLUMN, "add_column",
							   psprintf("add column %s %s to %s", name, ts_show_type(att->type, att->typmod), ts_link_target(link)), sql.data);
	if (att->notnull && !value)
		step->after = psprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", ts_link_target(link), name);
	col->future = psprintf("%s::%s", value ? value : "NULL", type);
}

/* A column that came since. */
static bool
add_column(Evolution *e, Relation source, TsColumn *col, const TsShapeAtt *att)
{
	TsLink	   *link = e->link;

	if (link->policy == TS_SCHEMA_ERROR)
		refuse(link, psprintf("Column \"%s\" was added.", att->name));
	col->attnum = att->attnum;
	col->target_name = att->name;
	if (e->target == NULL)
		return true;
	if (has_name(e->names, att->name))
	{
		AttrNumber	there = get_attnum(RelationGetRelid(e->target), att->name);

		/* the target has it already: what its rows hold is not known */
		if (there <= 0 || TupleDescAttr(RelationGetDescr(e->target), there - 1)->attgenerated)
			return false;
		col->now_name = col->target_name;
		link->values_unknown = true;
		return true;
	}
	if (link->policy == TS_SCHEMA_IGNORE)
		return false;
	ts_check_type_owner(link, att);
	/* a partitioned table's rows have what their own partition says */
	link->values_unknown |= link->source_partitioned;
	add_column_step(e, col, att, common_value(e, source, att));
	return true;
}

static int
compare_steps(const ListCell *a, const ListCell *b)
{
	return ((TsSchemaStep *) lfirst(a))->priority - ((TsSchemaStep *) lfirst(b))->priority;
}

static void
read_target_names(Evolution *e)
{
	TupleDesc	desc = e->target ? RelationGetDescr(e->target) : NULL;

	for (int i = 0; desc != NULL && i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			e->names = lappend(e->names, pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
}

void
ts_link_evolve(TsLink *link, Relation source, Relation target)
{
	Evolution	e = {.link = link, .target = target};
	TsColumn   *columns = link->columns;
	int			ncolumns = link->ncolumns;

	link->source_partitioned = source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	if (link->tracked == NULL)
		link->tracked = ts_tracked_need(link->source);
	e.then = ts_shape_get(link->shape);
	e.now = ts_shape_now(source);
	read_target_names(&e);
	link->columns = palloc0(sizeof(TsColumn) * (ncolumns + e.now->natts + 1));
	link->ncolumns = 0;
	link->schema = NIL;
	link->values_unknown = false;
	for (int i = 0; i < ncolumns; i++)
	{
		const TsShapeAtt *is = att_of(e.now, columns[i].attnum);
		TsColumn   *col = &link->columns[link->ncolumns];

		/* after a restore a column is looked for by its name; one that is not found was not dropped */
		if (columns[i].attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the source column for \"%s\" of link \"%s\" was not found after a restore", columns[i].target_name,
							link->name),
					 errhint("Name the columns of the link anew with tracksync.alter_link.")));
		if (is == NULL)
		{
			drop_column(&e, &columns[i]);
			continue;
		}
		*col = columns[i];
		follow_name(&e, col, att_of(e.then, col->attnum), is);
		link->ncolumns++;
	}
	add_rename_steps(&e);
	add_drop_steps(&e);
	for (int i = 0; i < link->ncolumns; i++)
		if (target != NULL)
			ts_link_follow_type(link, &link->columns[i], att_of(e.then, link->columns[i].attnum),
								att_of(e.now, link->columns[i].attnum), target);
	for (int i = 0; link->by_name && i < e.now->natts; i++)
		if (att_of(e.now, i + 1) != NULL && att_of(e.then, i + 1) == NULL &&
			add_column(&e, source, &link->columns[link->ncolumns], &e.now->atts[i]))
			link->ncolumns++;
	list_sort(link->schema, compare_steps);
	if (link->schema == NIL && !link->values_unknown)
		ts_link_arrived(link);
}
