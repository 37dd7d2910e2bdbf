/* resolve.c: a link's columns against today's source and target. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "base/compat.h"
#include "base/quote.h"
#include "link/fit.h"
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

static void
resolve_source_column(TsLink *link, TsColumn *col, Relation source)
{
	TupleDesc	desc = RelationGetDescr(source);
	Form_pg_attribute att;

	if (col->attnum > desc->natts || TupleDescAttr(desc, col->attnum - 1)->attisdropped)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the source column for \"%s\" of link \"%s\" was dropped", col->target_name, link->name),
				 errhint("Name the columns of the link anew with tracksync.alter_link.")));
	att = TupleDescAttr(desc, col->attnum - 1);
	col->source_name = pstrdup(NameStr(att->attname));
	col->source_typmod = att->atttypmod;
	col->source_declared = att->atttypid;
	col->source_collation = att->attcollation;
	col->source_type = getBaseTypeAndTypmod(att->atttypid, &col->source_typmod);
	col->as_text = ts_link_as_text(link, col->source_type);
	col->bridge = TS_BRIDGE_NONE;
	col->opaque = NULL;
	col->domain_there = false;
	get_typlenbyvalalign(col->source_type, &col->len, &col->byval, &col->align);
	for (int i = 0; i < link->tracked->nignored; i++)
		col->ignored |= link->tracked->ignored[i] == col->attnum;
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

/* Have equal values of the type, and no others, the same text, which JSON writes in the same way? */
static bool
reads_alike(Oid type)
{
	return type == UUIDOID || type == DATEOID || type == MACADDROID || type == MACADDR8OID || type_is_enum(type);
}

/*
 * Are two keys of the source equal if and only if they are on the target? Rounding, cutting and other equalities would merge rows
 * or split them.
 */
static bool
key_fits(const TsColumn *col, Oid target_collation)
{
	static const struct
	{
		Oid			from;
		Oid			to;
	}			exact[] = {
		{INT2OID, INT4OID}, {INT2OID, INT8OID}, {INT2OID, NUMERICOID}, {INT2OID, FLOAT4OID}, {INT2OID, FLOAT8OID},
		{INT4OID, INT8OID}, {INT4OID, NUMERICOID}, {INT4OID, FLOAT8OID}, {INT8OID, NUMERICOID}, {FLOAT4OID, FLOAT8OID},
		{VARCHAROID, TEXTOID}, {TEXTOID, VARCHAROID}, {BPCHAROID, TEXTOID}, {BPCHAROID, VARCHAROID}, {NAMEOID, TEXTOID},
		{NAMEOID, VARCHAROID}, {DATEOID, TIMESTAMPOID}
	};
	bool		fits = col->source_type == col->target_base;
	bool		string = col->target_base == VARCHAROID || col->target_base == BPCHAROID;

	for (int i = 0; i < lengthof(exact); i++)
		fits |= exact[i].from == col->source_type && exact[i].to == col->target_base;
	fits |= reads_alike(col->source_type) && (col->target_base == TEXTOID || col->target_base == VARCHAROID) &&
		(!OidIsValid(target_collation) || get_collation_isdeterministic(target_collation));
	/* a string that is too long is refused when it is written; a number would be rounded */
	if (!string && col->target_typmod != -1 && (col->source_type != col->target_base || col->target_typmod != col->source_typmod))
		fits = false;
	if (OidIsValid(col->source_collation) && OidIsValid(target_collation) && col->source_collation != target_collation &&
		!(get_collation_isdeterministic(col->source_collation) && get_collation_isdeterministic(target_collation)))
		fits = false;
	return fits;
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
	if (col->is_key && !key_fits(col, att->attcollation))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key column \"%s\" of target table %s is of type %s, its source of type %s", col->target_name,
						ts_link_target(link), format_type_with_typemod(col->target_type, att->atttypmod),
						format_type_with_typemod(col->source_type, col->source_typmod)),
				 errdetail("Keys that differ on one side may be equal on the other."),
				 errhint("Give the target's column a type and collation that hold all keys of the source as they are.")));
}

static void
resolve_keys(TsLink *link, Relation source)
{
	link->nkeys = link->tracked->nkeys;
	link->keys = palloc(sizeof(int) * link->nkeys);
	for (int i = 0; i < link->nkeys; i++)
	{
		link->keys[i] = -1;
		/* of several columns that take it the one of the same name, else the first */
		for (int j = 0; j < link->ncolumns; j++)
			if (link->columns[j].attnum == link->tracked->keys[i] &&
				(link->keys[i] < 0 || strcmp(link->columns[j].target_name, link->columns[j].source_name) == 0))
				link->keys[i] = j;
		if (link->keys[i] >= 0)
			link->columns[link->keys[i]].is_key = true;
		if (link->keys[i] < 0 && TupleDescAttr(RelationGetDescr(source), link->tracked->keys[i] - 1)->attisdropped)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("a key column of the source of link \"%s\" was dropped", link->name),
					 errdetail("Table \"%s\" is tracked by a key that it does not have any more.", get_rel_name(link->source)),
					 errhint("Untrack the table with cascade => true, then make its links anew.")));
		if (link->keys[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("key column \"%s\" of table \"%s\" is not among the columns of link \"%s\"",
							get_attname(link->source, link->tracked->keys[i], false), get_rel_name(link->source), link->name),
					 errhint("The target needs a column for each column of the key.")));
	}
}

static void
resolve_target_key(TsLink *link, Relation source, Relation target)
{
	TsKeyIndex *own = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * link->nkeys);
	TsKeyIndex *index;

	for (int i = 0; i < link->nkeys; i++)
		attnums[i] = link->columns[link->keys[i]].target_attnum;
	index = ts_key_index_find(target, link->nkeys, attnums);
	if (index == NULL)
	{
		StringInfoData names;

		initStringInfo(&names);
		for (int i = 0; i < link->nkeys; i++)
			appendStringInfo(&names, "%s%s", i ? ", " : "", quote_identifier(link->columns[link->keys[i]].target_name));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("target table %s has no unique index on the key (%s)", ts_link_target(link), names.data),
				 errhint("CREATE UNIQUE INDEX ON %s (%s)", ts_link_target(link), names.data)));
	}
	link->arbiter = index->immediate;
	for (int i = 0; i < link->nkeys; i++)
		for (int j = 0; j < index->nkeys; j++)
			if (index->columns[j].attnum == attnums[i])
			{
				link->columns[link->keys[i]].key_eq_op = index->columns[j].eq_op;
				link->columns[link->keys[i]].key_collation = index->columns[j].collation;
			}
	/* a key that will have another type will be compared as the source's is */
	for (int i = 0; own != NULL && i < own->nkeys; i++)
		for (int j = 0; j < link->nkeys; j++)
			if (link->columns[link->keys[j]].retyped && link->columns[link->keys[j]].attnum == own->columns[i].attnum)
			{
				link->columns[link->keys[j]].key_eq_op = own->columns[i].eq_op;
				link->columns[link->keys[j]].key_collation = own->columns[i].collation;
			}
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
	TsKeyIndex *index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);

	for (int i = 0; i < link->ncolumns; i++)
	{
		TsColumn   *col = &link->columns[i];

		ts_check_type_owner(link, col->source_name, col->source_declared);
		col->target_attnum = i + 1;
		col->target_type = TupleDescAttr(RelationGetDescr(source), col->attnum - 1)->atttypid;
		col->target_base = col->source_type;
		col->target_typmod = col->source_typmod;
		for (int j = 0; index != NULL && j < index->nkeys; j++)
			if (index->columns[j].attnum == col->attnum)
				col->key_eq_op = index->columns[j].eq_op;
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
	link->source_partitioned = source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	if (link->tracked == NULL)
		link->tracked = ts_tracked_need(link->source);
	for (int i = 0; i < link->ncolumns; i++)
		resolve_source_column(link, &link->columns[i], source);
	resolve_keys(link, source);
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
	resolve_target_key(link, source, target);
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
		for (int i = 0; i < link->ncolumns; i++)
			if (pg_attribute_aclcheck(link->source, link->columns[i].attnum, link->owner, ACL_SELECT) != ACLCHECK_OK)
				deny(link, "read", link->source);
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
