/* whose.c: which rows of the target are the link's. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/calls.h"
#include "base/expression.h"
#include "link/cast.h"
#include "link/fit.h"
#include "link/link.h"
#include "link/rows.h"

/*
 * The target's column, if its values are those of the source; 0: it is not there, or they are rounded or cut. Another link may have renamed it
 * since this one was pushed, so it goes by its number.
 */
static AttrNumber
exact_column(const TsLink *link, const TsColumn *col, Relation target)
{
	AttrNumber	attnum = col->target_attnum > 0 ? col->target_attnum : get_attnum(RelationGetRelid(target), col->now_name ? col->now_name : col->target_name);
	Form_pg_attribute att;
	int32		typmod;
	Oid			type;

	if (attnum <= 0 || attnum > RelationGetNumberOfAttributes(target))
		return 0;
	att = TupleDescAttr(RelationGetDescr(target), attnum - 1);
	if (att->attisdropped)
		return 0;
	typmod = att->atttypmod;
	type = getBaseTypeAndTypmod(att->atttypid, &typmod);
	if (type == col->source_type)
		return link->lossy && ts_fit_bridge(type, col->source_typmod, type, typmod) != TS_BRIDGE_NONE ? 0 : attnum;
	/* what it holds came from the source's column, which may have been given another type since */
	return !link->lossy && ts_fit_bridge(type, typmod, col->source_type, -1) == TS_BRIDGE_NONE ? attnum : 0;
}

/* The filter over the target's row, from which its columns' values came; NULL if it reads what the target does not have as it is. */
static Node *
follow_filter(const TsLink *link, Relation source, Relation target)
{
	AttrNumber *there = palloc0(sizeof(AttrNumber) * (RelationGetNumberOfAttributes(source) + 1));

	/* functions of users are not there */
	if (link->condition == NULL || (link->server != NULL && ts_expression_calls_users(link->condition)))
		return NULL;
	/* what passed a filter at one time may be its own row at another */
	if (link->by_diff && !ts_expression_is_immutable(link->condition))
		return NULL;
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		if (col->attnum > 0 && !col->ignored)
			there[col->attnum - 1] = exact_column(link, col, target);
	}
	return ts_expression_moved(link->condition, there, target);
}

/* What was written may be older than the names that the target's columns have now, or newer than those of the last push. */
static TsNames *
names_there(const TsLink *link, Relation target)
{
	TupleDesc	desc = RelationGetDescr(target);
	int			n = link->target_names ? link->target_names->n : 0;
	TsNames    *names = palloc0(sizeof(TsNames));

	names->names = palloc(sizeof(char *) * (n + desc->natts + 1));
	names->attnums = palloc(sizeof(AttrNumber) * (n + desc->natts + 1));
	for (int i = 0; i < n; i++)
		if (link->target_names->attnums[i] <= desc->natts && !TupleDescAttr(desc, link->target_names->attnums[i] - 1)->attisdropped)
		{
			names->names[names->n] = link->target_names->names[i];
			names->attnums[names->n++] = link->target_names->attnums[i];
		}
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
		{
			names->names[names->n] = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));
			names->attnums[names->n++] = i + 1;
		}
	return names;
}

Node *
ts_link_read_former(const TsLink *link, Relation target)
{
	return ts_expression_read(link->former, target, names_there(link, target), BOOLOID, psprintf("the former filter of link \"%s\"", link->name));
}

static Node *
read_target_filter(const TsLink *link, Relation target)
{
	return ts_expression_read(link->target_filter, target, names_there(link, target), BOOLOID, psprintf("the target_filter of link \"%s\"", link->name));
}

void
ts_link_renew_target_filter(TsLink *link, Relation target)
{
	if (link->target_filter != NULL && target != NULL)
		link->target_filter = ts_expression_sql(read_target_filter(link, target), RelationGetRelid(target), NULL);
}

Node *
ts_link_derive_condition(const TsLink *link, Relation source, Relation target)
{
	if (link->target_filter != NULL)
		return read_target_filter(link, target);
	return follow_filter(link, source, target);
}

/* CASE WHEN it is ours THEN 'o' WHEN it is a sibling's THEN 's' WHEN … THEN 'f' ELSE 'n' END */
static void
resolve_whose(TsLink *link)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CASE WHEN (%s) IS TRUE THEN '%c'", link->target_condition, TS_WHOSE_OWN);
	foreach(lc, link->shared != TS_SHARED_NOT ? ts_links_beside(link) : NIL)
	{
		TsLink	   *other = ts_source_of(lfirst(lc), link);

		if (other != NULL && other->target_condition != NULL)
			appendStringInfo(&sql, " WHEN (%s) IS TRUE THEN '%c'", other->target_condition,
							 other->source == link->source ? TS_WHOSE_SIBLING : TS_WHOSE_STRANGER);
	}
	appendStringInfo(&sql, " ELSE '%c' END", TS_WHOSE_NOBODY);
	link->whose = sql.data;
}

void
ts_link_resolve_whose(TsLink *link, Relation source, Relation target)
{
	Node	   *condition = ts_link_derive_condition(link, source, target);

	link->target_condition = condition != NULL ? ts_expression_sql(condition, RelationGetRelid(target), "t") : NULL;
	link->target_filter_now = link->target_filter != NULL ? ts_expression_sql(condition, RelationGetRelid(target), NULL) : NULL;
	link->condition_travels = condition != NULL && link->former == NULL && ts_expression_is_builtin(condition);
	link->target_reads = ts_expression_reads(condition, NULL);
	link->shared = link->condition != NULL || link->target_filter != NULL ? ts_cast_sharing(link) : TS_SHARED_NOT;
	if (link->shared != TS_SHARED_NOT && link->target_condition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("it is not known which rows of target %s are those of link \"%s\"", ts_link_target(link), link->name),
				 errdetail("Other links write to the target, and its columns do not tell whether a row passes the filter."),
				 errhint("Say it over the target's columns with the argument \"target_filter\".")));
	link->whose = NULL;
	if (link->target_condition != NULL)
		resolve_whose(link);
	/* rows that were the link's are its own until they are deleted */
	if (link->target_condition == NULL || link->former == NULL)
		return;
	/* once: schema steps of a push give columns other names */
	if (link->former_condition == NULL)
		link->former_condition = ts_link_read_former(link, target);
	link->target_reads = ts_expression_reads(link->former_condition, link->target_reads);
	link->target_condition = psprintf("(%s) OR (%s)", link->target_condition,
									  ts_expression_sql(link->former_condition, RelationGetRelid(target), "t"));
}
