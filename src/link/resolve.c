/* resolve.c: a link's columns against today's source and target. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/prs2lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/typcache.h"

#include "base/calls.h"
#include "base/compat.h"
#include "base/expression.h"
#include "base/quote.h"
#include "link/fit.h"
#include "link/keys.h"
#include "link/link.h"
#include "link/remote.h"
#include "link/retype.h"

/* a type that is not the server's own may have another number there, or be another one: it goes by its text */
bool
ts_link_as_text(const TsLink *link, Oid base)
{
	return !OidIsValid(get_array_type(base)) || OidIsValid(get_base_element_type(base)) || type_is_rowtype(base) ||
		(link->server != NULL && base >= FirstNormalObjectId);
}

/* A change of what the value does not depend on, or of ignored columns alone, is none; nor is one of what is another value each time. */
static void
resolve_ignored(const TsLink *link, TsColumn *col)
{
	Bitmapset  *left = bms_copy(col->reads);

	for (int i = 0; link->tracked != NULL && i < link->tracked->nignored; i++)
		left = bms_del_member(left, link->tracked->ignored[i]);
	if (bms_is_empty(col->reads))
		col->ignored = col->value != NULL && !ts_expression_is_immutable(col->value);
	else
		col->ignored = bms_is_empty(left);
	bms_free(left);
}

/* Whoever may alter the source's columns could give them a type with a cast of his own, which would run with the rights of the link's owner. */
static void
check_casts(const TsLink *link, const Node *expression, const char *what)
{
	if (!ts_expression_trusts_casts(expression, link->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s casts values by a function of somebody else", what),
				 errdetail("It would run with the rights of the link's owner, \"%s\".", GetUserNameFromId(link->owner, true)),
				 errhint("Call a function by its name in the place of the cast.")));
}

/* What the source's column, or the expression, gives. */
static void
resolve_source_column(TsLink *link, TsColumn *col, Relation source)
{
	TupleDesc	desc = RelationGetDescr(source);

	if (col->expression != NULL)
	{
		char	   *what = psprintf("the expression for column \"%s\" of link \"%s\"", col->target_name, link->name);

		col->value = ts_expression_read(col->expression, source, link->names, InvalidOid, what);
		check_casts(link, col->value, what);
		col->reads = ts_expression_reads(col->value, NULL);
		col->source_name = col->target_name;
		col->source_declared = exprType(col->value);
		col->source_typmod = exprTypmod(col->value);
		col->source_collation = exprCollation(col->value);
	}
	else
	{
		Form_pg_attribute att = TupleDescAttr(desc, col->attnum - 1);

		col->source_name = pstrdup(NameStr(att->attname));
		col->source_typmod = att->atttypmod;
		col->source_declared = att->atttypid;
		col->source_collation = att->attcollation;
		col->reads = bms_make_singleton(col->attnum);
	}
	col->source_type = getBaseTypeAndTypmod(col->source_declared, &col->source_typmod);
	col->fickle = col->value != NULL && !ts_expression_is_immutable(col->value);
	col->as_text = ts_link_as_text(link, col->source_type);
	col->bridge = TS_BRIDGE_NONE;
	col->opaque = NULL;
	col->domain_there = false;
	get_typlenbyvalalign(col->source_type, &col->len, &col->byval, &col->align);
	resolve_ignored(link, col);
}

/* Which of the source's columns are gone, if any? */
static const TsColumn *
lost_column(const TsLink *link, Relation source)
{
	TupleDesc	desc = RelationGetDescr(source);

	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];

		if (col->expression == NULL && (col->attnum <= 0 || col->attnum > desc->natts || TupleDescAttr(desc, col->attnum - 1)->attisdropped))
			return col;
	}
	return NULL;
}

/* A change of what a filter reads must be a change of the row. */
static void
check_not_ignored(const TsLink *link)
{
	for (int i = 0; link->tracked != NULL && i < link->tracked->nignored; i++)
		if (bms_is_member(link->tracked->ignored[i], link->condition_reads))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the filter of link \"%s\" depends on column \"%s\", which is ignored", link->name,
							get_attname(link->source, link->tracked->ignored[i], false)),
					 errhint("Track the table without ignoring the column.")));
}

bool
ts_link_resolve_source(TsLink *link, Relation source)
{
	link->source_partitioned = source->rd_rel->relkind != RELKIND_RELATION;
	if (link->tracked == NULL && !link->by_diff)
		link->tracked = ts_tracked_need(link->source);
	if (lost_column(link, source) != NULL)
		return false;
	for (int i = 0; i < link->ncolumns; i++)
		resolve_source_column(link, &link->columns[i], source);
	link->condition = NULL;
	if (link->filter != NULL)
	{
		char	   *what = psprintf("the filter of link \"%s\"", link->name);

		link->condition = ts_expression_read(link->filter, source, link->names, BOOLOID, what);
		check_casts(link, link->condition, what);
		link->condition_reads = ts_expression_reads(link->condition, NULL);
		check_not_ignored(link);
	}
	return true;
}

/* The sequence that a serial or identity column of the target owns. */
static Oid
owned_sequence(Oid relid, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, getOwnedSequences(relid))
	{
		Oid			table;
		int32		column;

		if ((sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_AUTO, &table, &column) ||
			 sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_INTERNAL, &table, &column)) && column == attnum)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* The column as the schema steps will leave it. */
static void
foresee_column(TsColumn *col)
{
	col->target_type = col->source_declared;
	col->target_base = col->source_type;
	col->target_typmod = col->source_typmod;
}

static void
resolve_target_column(TsLink *link, TsColumn *col, Relation target)
{
	Form_pg_attribute att;

	if (col->future != NULL && col->now_name == NULL)
	{
		col->target_attnum = 0;
		foresee_column(col);
		return;
	}
	col->target_attnum = get_attnum(RelationGetRelid(target), col->now_name ? col->now_name : col->target_name);
	if (col->target_attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("target table %s of link \"%s\" has no column \"%s\"", ts_link_target(link), link->name, col->target_name),
				 errhint("Add the column, or name the columns of the link with the argument \"columns\".")));
	att = TupleDescAttr(RelationGetDescr(target), col->target_attnum - 1);
	if (att->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("column \"%s\" of target table %s is a generated column", col->target_name, ts_link_target(link)),
				 errhint("Leave it out of the link's columns.")));
	col->target_type = att->atttypid;
	col->target_typmod = att->atttypmod;
	col->target_base = getBaseTypeAndTypmod(att->atttypid, &col->target_typmod);
	if (col->target_type != col->source_declared)
	{
		ts_check_type_owner(link, col->source_name, col->source_declared);
		ts_check_type_owner(link, col->target_name, col->target_type);
	}
	if (col->retyped)
		foresee_column(col);
	col->identity_always = att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	col->sequence = owned_sequence(RelationGetRelid(target), col->target_attnum);
	col->bridge = ts_fit_bridge(col->source_type, col->source_typmod, col->target_base, col->target_typmod);
	if (col->is_key && !ts_key_fits(col, att->attcollation))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key column \"%s\" of target table %s is of type %s, its source of type %s", col->target_name,
						ts_link_target(link), format_type_with_typemod(col->target_type, att->atttypmod),
						format_type_with_typemod(col->source_type, col->source_typmod)),
				 errdetail("Keys that differ on one side may be equal on the other."),
				 errhint("Give the target's column a type and collation that hold all keys of the source as they are.")));
}

static void
check_kind(const TsLink *link, Relation target)
{
	char		kind = target->rd_rel->relkind;

	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
		target->rd_rel->relpersistence == RELPERSISTENCE_TEMP || RelationGetRelid(target) < FirstNormalObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("target %s of link \"%s\" is not a table that can be written to", ts_link_target(link), link->name),
				 errhint("A target is an ordinary, unlogged or partitioned table.")));
	for (int i = 0; target->rd_rules != NULL && i < target->rd_rules->numLocks; i++)
		if (target->rd_rules->rules[i]->isInstead)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("target %s of link \"%s\" has an INSTEAD rule", ts_link_target(link), link->name),
					 errdetail("Rows written to it would not be its rows."),
					 errhint("Drop the rule, or name another target.")));
}

/* The target that the first push will create has the source's columns and the source's key. */
static void
foresee_target(TsLink *link, Relation source)
{
	TsKeyIndex *index = link->tracked ? ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys) : NULL;

	for (int i = 0; i < link->ncolumns; i++)
	{
		TsColumn   *col = &link->columns[i];

		ts_check_type_owner(link, col->source_name, col->source_declared);
		col->target_attnum = i + 1;
		col->target_type = col->source_declared;
		col->target_base = col->source_type;
		col->target_typmod = col->source_typmod;
		for (int j = 0; index != NULL && j < index->nkeys; j++)
			if (index->columns[j].attnum == col->attnum)
				col->key_eq_op = index->columns[j].eq_op;
		if (col->is_key && !OidIsValid(col->key_eq_op))
			col->key_eq_op = lookup_type_cache(col->source_type, TYPECACHE_EQ_OPR)->eq_opr;
	}
	link->arbiter = true;
}

void
ts_link_arrived(TsLink *link)
{
	for (int i = 0; i < link->ncolumns; i++)
	{
		link->columns[i].now_name = NULL;
		link->columns[i].retyped = link->columns[i].converted = false;
		link->columns[i].future = NULL;
		link->columns[i].emptied = false;
		link->columns[i].lossy = NULL;
	}
}

void
ts_link_resolve(TsLink *link, Relation source, Relation target)
{
	link->foreseen = false;
	for (int i = 0; i < link->ncolumns; i++)
		link->foreseen |= link->columns[i].now_name != NULL || link->columns[i].future != NULL;
	if (!ts_link_resolve_source(link, source))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the source column for \"%s\" of link \"%s\" was dropped", lost_column(link, source)->target_name, link->name),
				 errhint("Name the columns of the link anew with tracksync.alter_link.")));
	ts_keys_resolve(link, source, target);
	if (target == NULL)
	{
		if (!link->create_target)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("target table %s of link \"%s\" does not exist", ts_link_target(link), link->name),
					 errhint("Create it, or use create_target => true.")));
		foresee_target(link, source);
		return;
	}
	if (link->server == NULL)
		check_kind(link, target);
	link->target_partitioned = target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	for (int i = 0; i < link->ncolumns; i++)
		resolve_target_column(link, &link->columns[i], target);
	ts_keys_resolve_target(link, source, target);
	ts_link_resolve_whose(link, source, target);
	if (link->server != NULL)
		ts_remote_resolve(link);
}

static void
deny(const TsLink *link, const char *what, Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not %s table %s", GetUserNameFromId(link->owner, false), what, ts_quote_relation(relid)),
			 errdetail("Link \"%s\" runs with the rights of its owner.", link->name),
			 errhint("Grant the right to the owner of the link.")));
}

static void
check_rls(const TsLink *link, Oid relid)
{
	/* with row_security = off this would raise the server's own error, without naming the link */
	if (check_enable_rls(relid, link->owner, true) != RLS_ENABLED)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("row-level security of table %s hides rows from the owner of link \"%s\"", ts_quote_relation(relid), link->name),
			 errdetail("Hidden rows would look like deleted ones."),
			 errhint("Let the link belong to a role with BYPASSRLS, or to the table's owner.")));
}

void
ts_link_check_rights(const TsLink *link, Relation source, Relation target)
{
	static const struct
	{
		AclMode		mode;
		const char *what;
	}			needed[] = {{ACL_SELECT, "read"}, {ACL_INSERT, "insert into"}, {ACL_UPDATE, "update"}, {ACL_DELETE, "delete from"}};

	if (pg_class_aclcheck(link->source, link->owner, ACL_SELECT) != ACLCHECK_OK)
	{
		Bitmapset  *reads = bms_copy(link->condition_reads);
		int			attnum = -1;

		for (int i = 0; i < link->ncolumns; i++)
			reads = bms_add_members(reads, link->columns[i].reads);
		while ((attnum = bms_next_member(reads, attnum)) >= 0)
			if (pg_attribute_aclcheck(link->source, (AttrNumber) attnum, link->owner, ACL_SELECT) != ACLCHECK_OK)
				deny(link, "read", link->source);
	}
	check_rls(link, link->source);
	/* there, it was checked when it was described */
	if (target == NULL || link->server != NULL)
		return;
	for (int i = 0; i < lengthof(needed); i++)
		if (pg_class_aclcheck(RelationGetRelid(target), link->owner, needed[i].mode) != ACLCHECK_OK)
			deny(link, needed[i].what, RelationGetRelid(target));
	check_rls(link, RelationGetRelid(target));
	if (link->schema != NIL && !ts_owns_relation(RelationGetRelid(target), link->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not alter table %s", GetUserNameFromId(link->owner, false), ts_link_target(link)),
				 errdetail("The columns of the source of link \"%s\" changed.", link->name),
				 errhint("Let the link belong to the owner of its target, or set its schema_policy to 'ignore'.")));
}
