/*
 * sides.c: two relations to be compared.
 *
 * The query for one: SELECT r.a, r.b, r.c, (r.d)::pg_catalog.int8, … FROM s.t AS r ORDER BY r.a USING OPERATOR(pg_catalog.<), …
 * Nothing but the columns themselves in the table's own order, if it can be: the executor then hands out rows as they are stored.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "log/tracked.h"
#include "verify/bridge.h"
#include "verify/sides.h"

/* What is being put together. */
typedef struct Draft
{
	TsSides    *sides;
	Relation	rel[TS_SIDES];
	List	   *targets[TS_SIDES];	/* texts */
	List	   *orders[TS_SIDES];
	const TsKeyIndex *index;	/* the key's, of side index_of; NULL: none */
	int			index_of;
} Draft;

static const char *
kind_of(char relkind)
{
	return relkind == RELKIND_VIEW ? "view" : relkind == RELKIND_MATVIEW ? "materialized view" :
		relkind == RELKIND_FOREIGN_TABLE ? "foreign table" : "table";
}

char *
ts_sides_name(const TsSides *sides, int side)
{
	return psprintf("%s %s", kind_of(get_rel_relkind(sides->relid[side])), ts_quote_relation(sides->relid[side]));
}

static Relation
open_side(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relid)));
	if (!strchr("rpvmf", rel->rd_rel->relkind))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no rows to compare", RelationGetRelationName(rel)),
				 errhint("Name tables, partitioned tables, views, materialized views or foreign tables.")));
	return rel;
}

/* A column's number by its name; 0: there is none. */
static AttrNumber
column_number(Relation rel, const char *name)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

	return attnum > 0 ? attnum : 0;
}

static void
find_columns(Draft *draft)
{
	TsSides    *sides = draft->sides;
	TupleDesc	desc[] = {RelationGetDescr(draft->rel[0]), RelationGetDescr(draft->rel[1])};

	sides->columns = palloc0(sizeof(TsSharedColumn) * (desc[0]->natts + 1));
	for (int i = 0; i < desc[0]->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc[0], i);
		TsSharedColumn *col = &sides->columns[sides->ncolumns];

		col->attnum[1] = att->attisdropped ? 0 : column_number(draft->rel[1], NameStr(att->attname));
		if (col->attnum[1] == 0)
			continue;
		col->name = pstrdup(NameStr(att->attname));
		col->attnum[0] = att->attnum;
		col->type[0] = att->atttypid;
		col->type[1] = TupleDescAttr(desc[1], col->attnum[1] - 1)->atttypid;
		sides->ncolumns++;
	}
}

static int
shared_column(const TsSides *sides, int side, AttrNumber attnum)
{
	for (int i = 0; i < sides->ncolumns; i++)
		if (sides->columns[i].attnum[side] == attnum)
			return i;
	return -1;
}

static void
add_key(TsSides *sides, int column)
{
	sides->keys[sides->nkeys++].column = column;
	sides->columns[column].is_key = true;
}

static void
explicit_key(Draft *draft, List *names)
{
	TsSides    *sides = draft->sides;
	AttrNumber *attnums[TS_SIDES];
	ListCell   *lc;

	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key has no column"),
				 errhint("Name the columns that tell rows apart, or leave the argument out.")));
	for (int s = 0; s < TS_SIDES; s++)
		attnums[s] = palloc(sizeof(AttrNumber) * list_length(names));
	foreach(lc, names)
	{
		const char *name = lfirst(lc);
		int			n = foreach_current_index(lc);

		for (int s = 0; s < TS_SIDES; s++)
		{
			attnums[s][n] = column_number(draft->rel[s], name);
			if (attnums[s][n] == 0)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("key column \"%s\" of %s does not exist", name, ts_sides_name(sides, s)),
						 errhint("Name columns that both sides have.")));
		}
		for (int i = 0; i < n; i++)
			if (attnums[0][i] == attnums[0][n])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" appears twice in the key", name),
						 errhint("Name each column once.")));
	}
	for (int s = 0; s < TS_SIDES && draft->index == NULL; s++)
	{
		draft->index = ts_key_index_find(draft->rel[s], list_length(names), attnums[s]);
		draft->index_of = s;
	}
	/* rows in the order of the index need not be sorted */
	for (int i = 0; i < list_length(names); i++)
		add_key(sides, shared_column(sides, draft->index_of,
									 draft->index ? draft->index->columns[i].attnum : attnums[draft->index_of][i]));
}

/* Does the index tell rows apart? The columns of a materialized view cannot be declared NOT NULL; NULL is a value like others here. */
static bool
identifies(Relation rel, const TsKeyIndex *key, void *arg)
{
	return rel->rd_rel->relkind == RELKIND_MATVIEW || ts_key_not_null(rel, key, NULL);
}

/* And in columns that both sides have? */
static bool
fits(Relation rel, const TsKeyIndex *key, void *arg)
{
	const Draft *draft = arg;

	for (int i = 0; i < key->nkeys; i++)
		if (shared_column(draft->sides, draft->index_of, key->columns[i].attnum) < 0)
			return false;
	return identifies(rel, key, NULL);
}

static void
find_key(Draft *draft)
{
	TsSides    *sides = draft->sides;
	bool		indexed = false;

	for (int s = 0; s < TS_SIDES && draft->index == NULL; s++)
	{
		draft->index_of = s;
		indexed |= ts_key_choose(draft->rel[s], identifies, NULL) != NULL;
		draft->index = ts_key_choose(draft->rel[s], fits, draft);
	}
	if (draft->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("%s and %s have no key to match their rows by", ts_sides_name(sides, 0), ts_sides_name(sides, 1)),
				 indexed ? errdetail("A key has columns that the other side does not have.") :
				 errdetail("A key is the replica identity index, the primary key, or a unique index on NOT NULL columns."),
				 errhint("Name columns of both that tell rows apart: key => '{…}'.")));
	for (int i = 0; i < draft->index->nkeys; i++)
		add_key(sides, shared_column(sides, draft->index_of, draft->index->columns[i].attnum));
}

/* 42501 unless all that is compared may be read. */
static void
check_rights(const Draft *draft)
{
	const TsSides *sides = draft->sides;

	for (int s = 0; s < TS_SIDES; s++)
	{
		if (pg_class_aclcheck(sides->relid[s], GetUserId(), ACL_SELECT) == ACLCHECK_OK)
			continue;
		for (int i = 0; i < sides->ncolumns; i++)
			if (pg_attribute_aclcheck(sides->relid[s], sides->columns[i].attnum[s], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("permission denied for %s", ts_sides_name(sides, s)),
						 errdetail("Comparing takes SELECT on all columns that both sides have; that of \"%s\" is missing.", sides->columns[i].name),
						 errhint("Ask its owner for SELECT, or compare views of the columns that you may read.")));
	}
}

/* The place of a text in a list, from 1; it is added if it is not there. */
static AttrNumber
place(List **list, char *text)
{
	ListCell   *lc;

	foreach(lc, *list)
		if (strcmp(lfirst(lc), text) == 0)
			return foreach_current_index(lc) + 1;
	*list = lappend(*list, text);
	return list_length(*list);
}

static char *
column_text(const TsSharedColumn *col)
{
	return psprintf("r.%s", quote_identifier(col->name));
}

static Form_pg_attribute
attribute(const Draft *draft, const TsSharedColumn *col, int side)
{
	return TupleDescAttr(RelationGetDescr(draft->rel[side]), col->attnum[side] - 1);
}

/* The columns as they are, in each side's own order, and then what else is needed to compare them. */
static void
add_targets(Draft *draft)
{
	TsSides    *sides = draft->sides;

	for (int s = 0; s < TS_SIDES; s++)
		for (AttrNumber attnum = 1; attnum <= RelationGetNumberOfAttributes(draft->rel[s]); attnum++)
		{
			int			i = shared_column(sides, s, attnum);

			if (i >= 0)
				sides->columns[i].raw[s] = place(&draft->targets[s], column_text(&sides->columns[i]));
		}
	for (int i = 0; i < sides->ncolumns; i++)
	{
		TsSharedColumn *col = &sides->columns[i];
		TsBridge	bridge = ts_bridge(attribute(draft, col, 0), attribute(draft, col, 1));

		get_typlenbyval(bridge.image_type, &col->len, &col->byval);
		for (int s = 0; s < TS_SIDES; s++)
			col->image[s] = place(&draft->targets[s], ts_bridge_image(&bridge, col->type[s], column_text(col)));
	}
}

/* The type's own order; 0: it has none. */
static Oid
less_operator(Oid type)
{
	return lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr;
}

/* The collation that keys are matched and ordered under. */
static Oid
key_collation(const Draft *draft, const TsSharedColumn *col, const TsBridge *bridge, const TsKeyColumn *indexed)
{
	Oid			own[] = {attribute(draft, col, 0)->attcollation, attribute(draft, col, 1)->attcollation};
	Oid			chosen = indexed ? indexed->collation : own[0];

	if (!type_is_collatable(bridge->common))
		return InvalidOid;
	if (OidIsValid(chosen) && !get_collation_isdeterministic(chosen))
		return chosen;
	/*
	 * All others agree about what is equal. An index may save the sort; but rows of another server, which may be below a view, come in an
	 * order that is not this server's.
	 */
	if (OidIsValid(chosen) && own[0] == chosen && own[1] == chosen && strchr("rpm", draft->rel[0]->rd_rel->relkind) &&
		strchr("rpm", draft->rel[1]->rd_rel->relkind))
		return chosen;
	return C_COLLATION_OID;
}

static void
add_key_column(Draft *draft, int n)
{
	TsSharedKey *key = &draft->sides->keys[n];
	TsSharedColumn *col = &draft->sides->columns[key->column];
	TsBridge	bridge = ts_bridge(attribute(draft, col, 0), attribute(draft, col, 1));
	const TsKeyColumn *indexed = draft->index ? &draft->index->columns[n] : NULL;

	key->order = indexed && !bridge.casts ? indexed->lt_op : less_operator(bridge.common);
	if (!OidIsValid(key->order))
	{
		ts_bridge_by_text(&bridge);
		key->order = less_operator(TEXTOID);
	}
	key->collation = key_collation(draft, col, &bridge, bridge.casts ? NULL : indexed);
	get_typlenbyval(bridge.common, &key->len, &key->byval);
	for (int s = 0; s < TS_SIDES; s++)
	{
		char	   *match = ts_bridge_match(&bridge, col->type[s], column_text(col));
		Oid			order = key->order;
		StringInfoData sql;

		key->match[s] = place(&draft->targets[s], match);
		initStringInfo(&sql);
		/* numbers have the same order before they are cast, which an index may have */
		if (bridge.casts && bridge.common != TEXTOID)
		{
			match = column_text(col);
			order = less_operator(getBaseType(col->type[s]));
		}
		appendStringInfoString(&sql, match);
		if (OidIsValid(key->collation) && (bridge.casts || attribute(draft, col, s)->attcollation != key->collation))
			appendStringInfo(&sql, " COLLATE %s", ts_quote_collation(key->collation));
		appendStringInfo(&sql, " USING %s NULLS LAST", ts_quote_operator(order));
		draft->orders[s] = lappend(draft->orders[s], sql.data);
	}
}

static char *
join(const List *texts)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, texts)
		appendStringInfo(&all, "%s%s", foreach_current_index(lc) ? ", " : "", (char *) lfirst(lc));
	return all.data;
}

TsSides *
ts_sides_open(Oid a, Oid b, List *key, bool explicitly)
{
	TsSides    *sides = palloc0(sizeof(TsSides));
	Draft		draft = {.sides = sides};

	sides->relid[0] = a;
	sides->relid[1] = b;
	for (int s = 0; s < TS_SIDES; s++)
		draft.rel[s] = open_side(sides->relid[s]);
	find_columns(&draft);
	sides->keys = palloc0(sizeof(TsSharedKey) * (sides->ncolumns + 1));
	if (explicitly)
		explicit_key(&draft, key);
	else
		find_key(&draft);
	check_rights(&draft);
	add_targets(&draft);
	for (int i = 0; i < sides->nkeys; i++)
		add_key_column(&draft, i);
	for (int s = 0; s < TS_SIDES; s++)
	{
		sides->query[s] = psprintf("SELECT %s FROM %s AS r ORDER BY %s", join(draft.targets[s]), ts_quote_relation(sides->relid[s]),
								   join(draft.orders[s]));
		relation_close(draft.rel[s], NoLock);
	}
	return sides;
}
