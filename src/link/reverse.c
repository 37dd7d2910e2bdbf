/* reverse.c: a link the other way round. */
#include "postgres.h"

#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/expression.h"
#include "link/reverse.h"

static void
refuse_expressions(const TsLink *link)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].expression != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("link \"%s\" cannot be pulled: its column \"%s\" is an expression", link->name, link->columns[i].target_name),
					 errdetail("What the source's columns should hold cannot be told from the target's."),
					 errhint("Make a link from the target to the source, with expressions that lead back.")));
}

/* One column of the source cannot take two values. */
static void
refuse_repeated(const TsLink *link)
{
	for (int i = 0; i < link->ncolumns; i++)
		for (int j = 0; j < i; j++)
			if (link->columns[i].attnum == link->columns[j].attnum)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("link \"%s\" cannot be pulled: column \"%s\" of its source goes to two columns of the target", link->name,
								link->columns[i].source_name),
						 errdetail("These are \"%s\" and \"%s\", which may hold different values.", link->columns[j].target_name,
								   link->columns[i].target_name),
						 errhint("Make a link from the target to the source that names one of them.")));
}

/* The target's column, as the reversed link's source. */
static AttrNumber
number_there(const TsLink *link, AttrNumber source)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].attnum == source)
			return link->columns[i].target_attnum;
	return 0;
}

/* What its source is known by: the key, and what is ignored, in the target's numbers; the log is the link's. */
static TsTracked *
reversed_tracked(const TsLink *link, Relation target)
{
	TsTracked  *tracked = palloc0(sizeof(TsTracked));

	if (link->tracked != NULL)
		*tracked = *link->tracked;
	tracked->source = RelationGetRelid(target);
	tracked->nkeys = link->nkeys;
	tracked->keys = palloc(sizeof(AttrNumber) * (link->nkeys + 1));
	tracked->key_types = palloc(sizeof(Oid) * (link->nkeys + 1));
	for (int i = 0; i < link->nkeys; i++)
	{
		tracked->keys[i] = link->columns[link->keys[i]].target_attnum;
		tracked->key_types[i] = link->columns[link->keys[i]].target_base;
	}
	tracked->nignored = 0;
	tracked->ignored = palloc(sizeof(AttrNumber) * (link->ncolumns + 1));
	for (int i = 0; link->tracked != NULL && i < link->tracked->nignored; i++)
		if (number_there(link, link->tracked->ignored[i]) > 0)
			tracked->ignored[tracked->nignored++] = number_there(link, link->tracked->ignored[i]);
	return tracked;
}

TsLink *
ts_link_reversed(const TsLink *link, Relation source, Relation target)
{
	TsLink	   *back = palloc0(sizeof(TsLink));

	refuse_expressions(link);
	refuse_repeated(link);
	back->name = link->name;
	back->owner = link->owner;
	back->source = RelationGetRelid(target);
	back->target_schema = get_namespace_name(RelationGetNamespace(source));
	back->target_name = pstrdup(RelationGetRelationName(source));
	back->target = RelationGetRelid(source);
	back->on_conflict = TS_CONFLICT_SOURCE_WINS;
	back->state = TS_STATE_RESYNC;
	back->position = link->position;
	/* what it writes came from the target: the link does not ship it */
	back->origin = link->position->echo;
	back->shape = link->shape;
	back->followed = link->followed;
	back->policy = TS_SCHEMA_IGNORE;
	back->by_diff = link->by_diff;
	back->tracked = reversed_tracked(link, target);
	back->columns = palloc0(sizeof(TsColumn) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		if (TupleDescAttr(RelationGetDescr(source), col->attnum - 1)->attgenerated)
			continue;
		back->columns[back->ncolumns].attnum = col->target_attnum;
		back->columns[back->ncolumns++].target_name = col->source_name;
	}
	ts_link_resolve(back, target, source);
	/* which rows of the source are the link's */
	if (link->condition != NULL)
		back->target_condition = ts_expression_sql(link->condition, link->source, "t");
	ts_link_check_rights(back, target, source);
	return back;
}
