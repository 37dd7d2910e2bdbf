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
#include "link/evolution.h"
#include "link/evolve.h"
#include "link/retype.h"
#include "log/shape.h"

typedef struct Rename
{
	char	   *from;			/* its name on the target for now */
	char	   *to;
	char	   *shown;			/* its name on the target at first */
} Rename;

TsSchemaStep *
ts_link_schema_step(TsLink *link, int priority, const char *kind, char *description, char *sql)
{
	TsSchemaStep *step = palloc0(sizeof(TsSchemaStep));

	step->number = list_length(link->schema);
	step->priority = priority;
	step->kind = kind;
	step->description = description;
	step->sql = sql;
	link->schema = lappend(link->schema, step);
	return step;
}

const TsShapeAtt *
ts_evolution_att(const TsShape *shape, AttrNumber attnum)
{
	if (attnum <= 0 || attnum > shape->natts || shape->atts[attnum - 1].dropped)
		return NULL;
	return &shape->atts[attnum - 1];
}

bool
ts_evolution_has_name(List *names, const char *name)
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

void
ts_evolution_refuse(const TsLink *link, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source of link \"%s\" has another shape than at its last push", link->name),
			 errdetail("%s", what),
			 errhint("Let schema changes travel: tracksync.alter_link(%s, schema_policy => 'apply').",
					 quote_literal_cstr(link->name))));
}

/* The target's column for now: by its number, whatever it is called; by its name if the number is not known. NULL: it is gone. */
static Form_pg_attribute
column_there(const TsEvolution *e, const TsColumn *col)
{
	TupleDesc	desc = RelationGetDescr(e->target);
	AttrNumber	attnum = col->target_attnum;
	Form_pg_attribute att;

	if (attnum <= 0)
		attnum = get_attnum(RelationGetRelid(e->target), col->target_name);
	if (attnum <= 0 || attnum > desc->natts)
		return NULL;
	att = TupleDescAttr(desc, attnum - 1);
	return att->attisdropped ? NULL : att;
}

/* A column that the source has no more. */
static void
drop_column(TsEvolution *e, const TsColumn *col)
{
	Form_pg_attribute att;
	Rename	   *drop;

	if (e->link->policy == TS_SCHEMA_ERROR)
		ts_evolution_refuse(e->link, psprintf("The source column for \"%s\" was dropped.", col->target_name));
	if (e->target == NULL)
		return;
	att = column_there(e, col);
	if (att == NULL)
		return;					/* gone there, too */
	if (e->link->policy == TS_SCHEMA_APPLY)
	{
		drop = palloc0(sizeof(Rename));
		drop->from = drop->shown = pstrdup(NameStr(att->attname));
		e->drops = lappend(e->drops, drop);
	}
	else if (att->attnotnull && !att->atthasdef && att->attidentity == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of target table %s cannot be left alone", NameStr(att->attname), ts_link_target(e->link)),
				 errdetail("Its source column was dropped, schema_policy keeps it, and it is NOT NULL without a default."),
				 errhint("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL, or give it a default, or use schema_policy => 'apply'.",
						 ts_link_target(e->link), quote_identifier(NameStr(att->attname)))));
}

/*
 * The target's column has another name than at the last push, or is gone: somebody, or another link of this target, was there
 * before. True if that settles it.
 */
static bool
follow_target(TsEvolution *e, TsColumn *col, const TsShapeAtt *is)
{
	Form_pg_attribute att = column_there(e, col);

	if (att != NULL && strcmp(NameStr(att->attname), col->target_name) == 0)
		return false;
	if (att != NULL)
		col->target_name = pstrdup(NameStr(att->attname));
	else
	{
		/* dropped, and perhaps another one came: what that holds is not known */
		if (col->target_attnum <= 0 || !ts_evolution_has_name(e->names, col->target_name))
			return false;
		e->link->values_unknown = true;
	}
	col->now_name = col->target_name;
	return att == NULL || strcmp(col->target_name, is->name) == 0;
}

/* A column that both have: its name. */
static void
follow_name(TsEvolution *e, TsColumn *col, const TsShapeAtt *was, const TsShapeAtt *is)
{
	Rename	   *rename;
	const char *stored = col->target_name;

	col->now_name = col->target_name;
	if (e->link->policy == TS_SCHEMA_ERROR && was != NULL && strcmp(was->name, is->name) != 0)
		ts_evolution_refuse(e->link, psprintf("Column \"%s\" was renamed to \"%s\".", was->name, is->name));
	if (e->target != NULL && follow_target(e, col, is))
		return;
	/* a column that was given another name on purpose keeps it */
	if (was == NULL || strcmp(was->name, is->name) == 0 || e->link->policy != TS_SCHEMA_APPLY ||
		strcmp(stored, was->name) != 0 || strcmp(col->target_name, stored) != 0)
		return;
	col->target_name = is->name;
	if (e->target == NULL)
		return;
	/* somebody did it by hand, */
	if (!ts_evolution_has_name(e->names, col->now_name) && ts_evolution_has_name(e->names, is->name))
	{
		/* or dropped it, and added one of that name */
		e->link->values_unknown |= col->target_attnum > 0;
		col->now_name = is->name;
		return;
	}
	rename = palloc0(sizeof(Rename));
	rename->from = rename->shown = (char *) col->now_name;
	rename->to = is->name;
	e->renames = lappend(e->renames, rename);
}

/* The target's column of an expression: what it is called now. */
static void
follow_expression(TsEvolution *e, TsColumn *col)
{
	Form_pg_attribute att = e->target != NULL ? column_there(e, col) : NULL;

	if (att != NULL)
		col->target_name = pstrdup(NameStr(att->attname));
	col->now_name = col->target_name;
}

/* Puts the column that has this name aside; the SQL for it. */
static char *
put_aside(TsEvolution *e, const char *name)
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
	while (ts_evolution_has_name(e->names, aside));
	holder->from = aside;
	e->names = replace_name(e->names, name, aside);
	return psprintf("ALTER TABLE %s RENAME COLUMN %s TO %s;\n", ts_link_target(e->link), quote_identifier(name), aside);
}

static void
add_rename_step(TsEvolution *e, Rename *rename, const char *before)
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
add_rename_steps(TsEvolution *e)
{
	while (e->renames != NIL)
	{
		Rename	   *next = NULL;
		ListCell   *lc;

		foreach(lc, e->renames)
		{
			Rename	   *rename = lfirst(lc);

			if (next == NULL && !ts_evolution_has_name(e->names, rename->to))
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
add_drop_steps(TsEvolution *e)
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

/* By priority; renames that wait for each other stay in their order. */
static int
compare_steps(const ListCell *a, const ListCell *b)
{
	const TsSchemaStep *x = lfirst(a),
			   *y = lfirst(b);

	return x->priority != y->priority ? (int) x->priority - (int) y->priority : x->number - y->number;
}

static void
read_target_names(TsEvolution *e)
{
	TupleDesc	desc = e->target ? RelationGetDescr(e->target) : NULL;

	for (int i = 0; desc != NULL && i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			e->names = lappend(e->names, pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
}

void
ts_link_evolve(TsLink *link, Relation source, Relation target)
{
	TsEvolution	e = {.link = link, .target = target};
	TsColumn   *columns = link->columns;
	int			ncolumns = link->ncolumns;

	link->source_partitioned = source->rd_rel->relkind != RELKIND_RELATION;
	if (link->tracked == NULL)
		link->tracked = ts_tracked_need(link->source);
	/* what was ignored under another policy */
	e.then = ts_shape_get(link->policy == TS_SCHEMA_APPLY ? link->followed : link->shape);
	e.now = ts_shape_now(source);
	read_target_names(&e);
	link->columns = palloc0(sizeof(TsColumn) * (ncolumns + e.now->natts + 1));
	link->ncolumns = 0;
	link->schema = NIL;
	link->values_unknown = link->policy == TS_SCHEMA_APPLY && link->followed != link->shape;
	for (int i = 0; i < ncolumns; i++)
	{
		const TsShapeAtt *is = ts_evolution_att(e.now, columns[i].attnum);
		TsColumn   *col = &link->columns[link->ncolumns];

		if (columns[i].expression != NULL)
		{
			*col = columns[i];
			follow_expression(&e, col);
			link->ncolumns++;
			continue;
		}
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
		follow_name(&e, col, ts_evolution_att(e.then, col->attnum), is);
		link->ncolumns++;
	}
	add_rename_steps(&e);
	add_drop_steps(&e);
	for (int i = 0; i < link->ncolumns; i++)
		if (target != NULL && link->columns[i].expression == NULL)
			ts_link_follow_type(link, &link->columns[i], ts_evolution_att(e.then, link->columns[i].attnum),
								ts_evolution_att(e.now, link->columns[i].attnum), target);
	if (link->by_name)
		ts_evolution_add_columns(&e, source, link->ncolumns);
	list_sort(link->schema, compare_steps);
	if (link->schema == NIL && !link->values_unknown)
		ts_link_arrived(link);
}
