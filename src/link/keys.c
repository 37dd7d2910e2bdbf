/* keys.c: which columns of the target identify its rows. */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/expression.h"
#include "base/quote.h"
#include "link/keys.h"

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
bool
ts_key_fits(const TsColumn *col, Oid target_collation)
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

/* The column that the i-th column of the source's key goes to as it is; -1: none. Of several the one of the same name, else the first. */
static int
plain_column(const TsLink *link, int i)
{
	int			found = -1;

	for (int j = 0; j < link->ncolumns; j++)
		if (link->columns[j].attnum == link->tracked->keys[i] &&
			(found < 0 || strcmp(link->columns[j].target_name, link->columns[j].source_name) == 0))
			found = j;
	return found;
}

static Bitmapset *
source_key(const TsLink *link)
{
	Bitmapset  *key = NULL;

	for (int i = 0; i < link->tracked->nkeys; i++)
		key = bms_add_member(key, link->tracked->keys[i]);
	return key;
}

/* Does the key alone tell the column's value? */
static bool
follows_from_key(const TsLink *link, const TsColumn *col)
{
	return bms_is_subset(col->reads, source_key(link)) && (col->value == NULL || ts_expression_is_immutable(col->value));
}

/* The columns of an index of the target, if they follow from the source's key and leave nothing of it out; else NULL. */
static int *
columns_of_index(const TsLink *link, Relation target, const TsKeyIndex *index)
{
	int		   *columns = palloc(sizeof(int) * index->nkeys);
	Bitmapset  *read = NULL;

	for (int i = 0; i < index->nkeys; i++)
	{
		columns[i] = -1;
		for (int j = 0; j < link->ncolumns; j++)
		{
			const TsColumn *col = &link->columns[j];

			if (get_attnum(RelationGetRelid(target), col->now_name ? col->now_name : col->target_name) == index->columns[i].attnum &&
				follows_from_key(link, col))
				columns[i] = j;
		}
		if (columns[i] < 0)
			return NULL;
		read = bms_add_members(read, link->columns[columns[i]].reads);
	}
	return bms_is_subset(source_key(link), read) ? columns : NULL;
}

/* The columns of a unique index of the target; those that many links may share have a constant in their key. */
static bool
resolve_by_index(TsLink *link, Relation target)
{
	TsKeyIndex *best = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(target))
	{
		TsKeyIndex *index = ts_key_index_describe(lfirst_oid(lc));
		int		   *columns = index != NULL ? columns_of_index(link, target, index) : NULL;

		if (columns == NULL || (best != NULL && (best->immediate || !index->immediate)))
			continue;
		best = index;
		link->nkeys = index->nkeys;
		link->keys = columns;
	}
	return best != NULL;
}

/* Of a target that is yet to be created: columns as they are, for others all expressions that read nothing but the key. */
static bool
resolve_by_expressions(TsLink *link)
{
	Bitmapset  *read = NULL;

	link->keys = palloc(sizeof(int) * (link->ncolumns + 1));
	link->nkeys = 0;
	for (int j = 0; j < link->ncolumns; j++)
		if (follows_from_key(link, &link->columns[j]) && !bms_is_subset(link->columns[j].reads, read))
		{
			read = bms_add_members(read, link->columns[j].reads);
			link->keys[link->nkeys++] = j;
		}
	return bms_is_subset(source_key(link), read);
}

static bool
has_expressions(const TsLink *link)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].value != NULL)
			return true;
	return false;
}

/* The columns of the target that the key's columns go to as they are; false if not all of them do. */
static bool
resolve_plainly(TsLink *link, Relation target)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * link->tracked->nkeys);

	link->nkeys = link->tracked->nkeys;
	link->keys = palloc(sizeof(int) * link->nkeys);
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col;

		link->keys[i] = plain_column(link, i);
		if (link->keys[i] < 0)
			return false;
		col = &link->columns[link->keys[i]];
		if (target != NULL)
			attnums[i] = get_attnum(RelationGetRelid(target), col->now_name ? col->now_name : col->target_name);
	}
	/* without expressions there is nothing else to be a key; that it is none is told later */
	return target == NULL || !has_expressions(link) || ts_key_index_find(target, link->nkeys, attnums) != NULL;
}

/* Says which column of the source's key is not among the link's. */
static void
refuse_keys(const TsLink *link, Relation source)
{
	for (int i = 0; i < link->tracked->nkeys; i++)
	{
		AttrNumber	attnum = link->tracked->keys[i];

		if (TupleDescAttr(RelationGetDescr(source), attnum - 1)->attisdropped)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("a key column of the source of link \"%s\" was dropped", link->name),
					 link->by_diff ? 0 : errdetail("Table \"%s\" is tracked by a key that it does not have any more.", get_rel_name(link->source)),
					 link->by_diff ? errhint("Drop the link, and make it anew with another key.") :
					 errhint("Untrack the table with cascade => true, then make its links anew.")));
		if (plain_column(link, i) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("key column \"%s\" of table \"%s\" is not among the columns of link \"%s\"",
							get_attname(link->source, attnum, false), get_rel_name(link->source), link->name),
					 errhint("The target needs a column for each column of the key, or a unique index on immutable expressions over them.")));
	}
}

void
ts_keys_resolve(TsLink *link, Relation source, Relation target)
{
	link->order_apart = false;
	for (int i = 0; i < link->tracked->nkeys; i++)
		if (link->tracked->keys[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the key of the source of link \"%s\" was not found after a restore", link->name),
					 errhint("Drop the link, and make it anew.")));
	if (!resolve_plainly(link, target))
	{
		if (has_expressions(link) && (target != NULL ? resolve_by_index(link, target) : resolve_by_expressions(link)))
			link->order_apart = true;
		else
			refuse_keys(link, source);
		/* what has no index is refused with the names of those that go there as they are */
		if (!link->order_apart && !resolve_plainly(link, NULL))
			refuse_keys(link, source);
	}
	for (int i = 0; i < link->nkeys; i++)
		link->columns[link->keys[i]].is_key = true;
}

void
ts_keys_resolve_target(TsLink *link, Relation source, Relation target)
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
	/* a key that will have another type will be compared as the source's is; where that has no index, as its type is */
	for (int i = 0; own == NULL && i < link->nkeys; i++)
		if (link->columns[link->keys[i]].retyped)
		{
			link->columns[link->keys[i]].key_eq_op = lookup_type_cache(link->columns[link->keys[i]].source_type, TYPECACHE_EQ_OPR)->eq_opr;
			link->columns[link->keys[i]].key_collation = link->columns[link->keys[i]].source_collation;
		}
	for (int i = 0; own != NULL && i < own->nkeys; i++)
		for (int j = 0; j < link->nkeys; j++)
			if (link->columns[link->keys[j]].retyped && link->columns[link->keys[j]].attnum == own->columns[i].attnum)
			{
				link->columns[link->keys[j]].key_eq_op = own->columns[i].eq_op;
				link->columns[link->keys[j]].key_collation = own->columns[i].collation;
			}
}

TsKeyOrder *
ts_keys_order(const TsLink *link, Relation source)
{
	TsKeyOrder *order = palloc0(sizeof(TsKeyOrder) * (link->nkeys + 1));
	TsKeyIndex *index = ts_key_index_find(source, link->tracked->nkeys, link->tracked->keys);

	if (index == NULL && !link->by_diff)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of tracked table \"%s\" has no unique index any more", RelationGetRelationName(source)),
				 errhint("Create the unique index again, or untrack the table and track it with another key.")));
	for (int i = 0; i < link->nkeys; i++)
	{
		const TsColumn *col = &link->columns[link->keys[i]];

		for (int j = 0; index != NULL && j < index->nkeys; j++)
			if (col->value == NULL && index->columns[j].attnum == col->attnum)
			{
				const TsKeyColumn *key = &index->columns[j];

				fmgr_info(get_opfamily_proc(key->opfamily, key->opcintype, key->opcintype, BTORDER_PROC), &order[i].compare);
				order[i].collation = key->collation;
				order[i].equal = key->eq_op;
			}
		if (!OidIsValid(order[i].equal))
		{
			TypeCacheEntry *type = lookup_type_cache(col->source_type, TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC_FINFO);

			if (!OidIsValid(type->eq_opr) || !OidIsValid(type->cmp_proc))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
						 errmsg("key column \"%s\" of link \"%s\" is of type %s, which has no order", col->target_name, link->name,
								format_type_be(col->source_type)),
						 errhint("Cast the expression to a type that can be a key.")));
			order[i].compare = type->cmp_proc_finfo;
			order[i].collation = col->source_collation;
			order[i].equal = type->eq_opr;
		}
	}
	return order;
}
