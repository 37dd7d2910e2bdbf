/* compared.c: links that compare (detect => 'diff'), and their sources. */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "link/compared.h"

/* What the relations r(relid) read in turn, if they are views of these kinds. */
#define READ_BY(kinds) \
	"JOIN pg_class c ON c.oid = r.relid AND c.relkind IN (" kinds ") JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1' " \
	"JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid"

void
ts_compared_check_source(Oid source)
{
	Relation	rel = relation_open(source, AccessShareLock);
	const char *name = RelationGetRelationName(rel);
	const char *schema = get_namespace_name(RelationGetNamespace(rel));
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW && kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no rows to be compared", name),
				 errhint("Name a table, a view, a materialized view or a foreign table as source.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is temporary", name),
				 errdetail("It is there for one session only, and a link for all."),
				 errhint("Use a relation that stays.")));
	if (IsCatalogRelation(rel) || source < FirstNormalObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" belongs to the system catalogs", name),
				 errhint("Make a view over it, with a key.")));
	if (strcmp(schema, "tracksync") == 0 || strcmp(schema, "tracksync_log") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" belongs to tracksync itself", name),
				 errhint("Name a user's relation as source.")));
	relation_close(rel, NoLock);
}

void
ts_compared_check_policy(const char *link, const char *on_conflict)
{
	if (on_conflict == NULL || strcmp(on_conflict, "error") == 0 || strcmp(on_conflict, "source_wins") == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("link \"%s\" finds no conflicts that on_conflict could decide", link),
			 errdetail("With detect => 'diff' nothing tells what a row held before: the target takes what the source has."),
			 errhint("Leave on_conflict out, or use detect => 'log'.")));
}

TsTracked *
ts_compared_tracked(Oid source, int nkeys, const AttrNumber *keys)
{
	TsTracked  *tracked = palloc0(sizeof(TsTracked));

	tracked->source = source;
	tracked->nkeys = nkeys;
	tracked->keys = palloc(sizeof(AttrNumber) * (nkeys + 1));
	memcpy(tracked->keys, keys, sizeof(AttrNumber) * nkeys);
	return tracked;
}

static TsTracked *
given_key(Relation source, List *names)
{
	AttrNumber *keys = palloc(sizeof(AttrNumber) * (list_length(names) + 1));
	int			n = 0;
	ListCell   *lc;

	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of \"%s\" has no column", RelationGetRelationName(source)),
				 errhint("Name the columns that tell its rows apart, or leave the argument out.")));
	foreach(lc, names)
	{
		keys[n] = get_attnum(RelationGetRelid(source), lfirst(lc));
		if (keys[n] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of \"%s\" does not exist", (char *) lfirst(lc), RelationGetRelationName(source)),
					 errhint("Name columns of the source as key.")));
		for (int i = 0; i < n; i++)
			if (keys[i] == keys[n])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" is in the key twice", (char *) lfirst(lc)),
						 errhint("Name each column once.")));
		n++;
	}
	return ts_compared_tracked(RelationGetRelid(source), n, keys);
}

/* May it be a key? A materialized view's columns are never NOT NULL: that they are is seen when they are compared. */
static bool
is_key(Relation source, const TsKeyIndex *index)
{
	for (int i = 0; source->rd_rel->relkind != RELKIND_MATVIEW && i < index->nkeys; i++)
		if (!TupleDescAttr(RelationGetDescr(source), index->columns[i].attnum - 1)->attnotnull)
			return false;
	return true;
}

/* The source's own key; NULL if it has none. */
static TsTracked *
own_key(Relation source)
{
	TsKeyIndex *best = NULL;
	List	   *indexes = RelationGetIndexList(source);
	AttrNumber *keys;
	ListCell   *lc;

	/* a table with several of them has the one that it would be tracked by */
	foreach(lc, indexes)
	{
		TsKeyIndex *index = ts_key_index_describe(lfirst_oid(lc));

		if (index != NULL && is_key(source, index) && (best == NULL || index->nkeys < best->nkeys))
			best = index;
	}
	if (best != NULL && source->rd_rel->relkind != RELKIND_MATVIEW)
		best = ts_key_resolve(source, NIL, false);
	if (best == NULL)
		return NULL;
	keys = palloc(sizeof(AttrNumber) * best->nkeys);
	for (int i = 0; i < best->nkeys; i++)
		keys[i] = best->columns[i].attnum;
	return ts_compared_tracked(RelationGetRelid(source), best->nkeys, keys);
}

/* The column of the source that goes to a column of the target as it is; 0: none. */
static AttrNumber
source_column(const TsLink *link, const TsLinkOptions *options, char *target)
{
	JsonbValue *value;

	if (options->columns == NULL)
		return get_attnum(link->source, target);
	if (!JB_ROOT_IS_OBJECT(options->columns))
		return InvalidAttrNumber;
	value = getKeyJsonValueFromContainer(&options->columns->root, target, strlen(target), NULL);
	if (value == NULL || value->type != jbvString)
		return InvalidAttrNumber;
	return get_attnum(link->source, pnstrdup(value->val.string.val, value->val.string.len));
}

/* What goes to the target's primary key; NULL if it has none, or not all of it comes from a column of the source. */
static TsTracked *
key_of_target(const TsLink *link, const TsLinkOptions *options)
{
	Relation	target = OidIsValid(link->target) ? relation_open(link->target, AccessShareLock) : NULL;
	TsKeyIndex *index = NULL;
	AttrNumber	keys[INDEX_MAX_KEYS];
	bool		whole = true;

	if (target != NULL && RelationGetIndexList(target) != NIL && OidIsValid(target->rd_pkindex))
		index = ts_key_index_describe(target->rd_pkindex);
	for (int i = 0; index != NULL && i < index->nkeys; i++)
	{
		keys[i] = source_column(link, options, get_attname(link->target, index->columns[i].attnum, false));
		whole &= keys[i] > 0;
	}
	if (target != NULL)
		relation_close(target, NoLock);
	return index != NULL && whole ? ts_compared_tracked(link->source, index->nkeys, keys) : NULL;
}

/* Without an order rows cannot be matched, nor one be told that is there twice. */
static void
check_key_types(Relation source, const TsTracked *key)
{
	for (int i = 0; i < key->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(source), key->keys[i] - 1);
		TypeCacheEntry *type = lookup_type_cache(getBaseType(att->atttypid), TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

		if (!OidIsValid(type->eq_opr) || !OidIsValid(type->lt_opr))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("key column \"%s\" of \"%s\" is of type %s, which has no order", NameStr(att->attname), RelationGetRelationName(source),
							format_type_be(att->atttypid)),
					 errhint("Name other columns as key.")));
	}
}

TsTracked *
ts_compared_key(const TsLink *link, const TsLinkOptions *options)
{
	Relation	source = relation_open(link->source, AccessShareLock);
	TsTracked  *key = options->has_key ? given_key(source, options->key) : own_key(source);

	if (key == NULL)
		key = key_of_target(link, options);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("source \"%s\" of link \"%s\" has no key", RelationGetRelationName(source), link->name),
				 errdetail("It has no unique index that tells its rows apart, and the target has no primary key whose columns all come from columns of the source."),
				 errhint("Name the columns that tell its rows apart: tracksync.create_link(…, key => '{…}').")));
	check_key_types(source, key);
	relation_close(source, NoLock);
	return key;
}

void
ts_compared_check_cycle(const TsLink *link)
{
	static const Oid types[] = {OIDOID, OIDOID, BOOLOID};
	Datum		values[] = {ObjectIdGetDatum(link->source), ObjectIdGetDatum(link->target), BoolGetDatum(link->by_diff)};
	TsCatalog	cat;
	bool		cycle;

	/* where data goes from another server is not known here */
	if (link->server != NULL || !OidIsValid(link->target))
		return;
	ts_catalog_enter(&cat);
	cycle = ts_sql("WITH RECURSIVE r(source, relid) AS (SELECT $1, $1 UNION SELECT source::oid, source::oid FROM tracksync.link "
				   "UNION SELECT r.source, d.refobjid FROM r " READ_BY("'v', 'm'") "), "
				   "top AS (SELECT detect = 'diff' AS compares, coalesce(pg_partition_root(r.relid)::oid, r.relid) AS s, "
				   "coalesce(pg_partition_root(t)::oid, t::oid) AS t FROM tracksync.link l JOIN r ON r.source = l.source::oid, LATERAL "
				   "coalesce(target, to_regclass(quote_ident(target_schema) || '.' || quote_ident(target_name))) t "
				   "WHERE server IS NULL AND t IS NOT NULL), "
				   "reach(relid, compares) AS (SELECT coalesce(pg_partition_root($2)::oid, $2), $3 "
				   "UNION SELECT t, reach.compares OR top.compares FROM top JOIN reach ON s = reach.relid) "
				   "SELECT FROM reach JOIN r ON r.source = $1 AND coalesce(pg_partition_root(r.relid)::oid, r.relid) = reach.relid WHERE compares",
				   SPI_OK_SELECT, 3, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	if (cycle)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("link \"%s\" would close a cycle of links", link->name),
				 errdetail("Rows of %s come from %s already, and a link among them compares: it would take what comes back for the source's own.",
						   ts_quote_relation(link->source), ts_link_target(link)),
				 errhint("Sync in one direction only.")));
}

static List *
relations_of(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};

	return ts_catalog_oids("WITH RECURSIVE r(relid) AS (SELECT $1 UNION SELECT d.refobjid FROM r " READ_BY("'v'") ") "
						   "SELECT c.oid FROM r JOIN pg_class c ON c.oid = r.relid WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1", 1, types, values);
}

List *
ts_source_relations(Oid source)
{
	MemoryContext context = CurrentMemoryContext,
				old;
	TsCatalog	cat;
	List	   *found;

	ts_catalog_enter(&cat);
	found = relations_of(source);
	old = MemoryContextSwitchTo(context);
	found = list_copy(found);
	MemoryContextSwitchTo(old);
	ts_catalog_leave(&cat);
	return found;
}

void
ts_source_lock(Oid source)
{
	List	   *locked = NIL;
	bool		more = true;

	/* a view may have been replaced while it was waited for */
	while (more)
	{
		ListCell   *lc;

		more = false;
		foreach(lc, ts_source_relations(source))
		{
			Oid			relid = lfirst_oid(lc);
			char		kind = get_rel_relkind(relid);

			if (list_member_oid(locked, relid))
				continue;
			LockRelationOid(relid, AccessShareLock);
			if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE)
				(void) find_all_inheritors(relid, AccessShareLock, NULL);
			locked = lappend_oid(locked, relid);
			more = true;
		}
	}
}

bool
ts_source_is_foreign(Oid source)
{
	ListCell   *lc;

	foreach(lc, ts_source_relations(source))
	{
		ListCell   *member;

		foreach(member, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
			if (get_rel_relkind(lfirst_oid(member)) == RELKIND_FOREIGN_TABLE)
				return true;
	}
	return false;
}
