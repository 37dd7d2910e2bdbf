/* keyindex.c: what can be a table's key. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "log/keyindex.h"

/* Fills in one key column; false if its opclass has no ordering for the column's type. */
static bool
describe_column(Relation index, int i, TsKeyColumn *col)
{
	col->attnum = index->rd_index->indkey.values[i];
	col->indexattno = i + 1;
	col->opfamily = index->rd_opfamily[i];
	col->opcintype = index->rd_opcintype[i];
	col->collation = index->rd_indcollation[i];
	col->eq_op = get_opfamily_member(col->opfamily, col->opcintype, col->opcintype, BTEqualStrategyNumber);
	col->lt_op = get_opfamily_member(col->opfamily, col->opcintype, col->opcintype, BTLessStrategyNumber);
	return col->attnum > 0 && OidIsValid(col->eq_op) && OidIsValid(col->lt_op);
}

TsKeyIndex *
ts_key_index_describe(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	TsKeyIndex *key = NULL;

	if (form->indisunique && form->indisvalid && form->indisready &&
		index->rd_rel->relam == BTREE_AM_OID &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL))
	{
		key = palloc0(sizeof(TsKeyIndex));
		key->index = indexid;
		key->immediate = form->indimmediate;
		key->nkeys = form->indnkeyatts;
		key->columns = palloc0(sizeof(TsKeyColumn) * key->nkeys);
		for (int i = 0; i < key->nkeys && key != NULL; i++)
			if (!describe_column(index, i, &key->columns[i]))
				key = NULL;
	}
	index_close(index, NoLock);
	return key;
}

static bool
same_columns(const TsKeyIndex *key, int nkeys, const AttrNumber *keys)
{
	if (key->nkeys != nkeys)
		return false;
	for (int i = 0; i < nkeys; i++)
	{
		bool		found = false;

		for (int j = 0; j < nkeys; j++)
			found |= key->columns[j].attnum == keys[i];
		if (!found)
			return false;
	}
	return true;
}

void
ts_key_index_reorder(TsKeyIndex *index, int nkeys, const AttrNumber *keys)
{
	for (int i = 0; i < nkeys; i++)
		for (int j = i; j < nkeys; j++)
			if (index->columns[j].attnum == keys[i])
			{
				TsKeyColumn swap = index->columns[i];

				index->columns[i] = index->columns[j];
				index->columns[j] = swap;
				break;
			}
}

TsKeyIndex *
ts_key_index_find(Relation rel, int nkeys, const AttrNumber *keys)
{
	TsKeyIndex *best = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		TsKeyIndex *key = ts_key_index_describe(lfirst_oid(lc));

		if (key == NULL || !same_columns(key, nkeys, keys))
			continue;
		if (best == NULL || (key->immediate && !best->immediate))
			best = key;
	}
	return best;
}

bool
ts_key_not_null(Relation rel, const TsKeyIndex *key, void *arg)
{
	for (int i = 0; i < key->nkeys; i++)
		if (!TupleDescAttr(RelationGetDescr(rel), key->columns[i].attnum - 1)->attnotnull)
			return false;
	return true;
}

/* The width of a key for "smallest": columns first, then bytes. */
static int
key_weight(Relation rel, const TsKeyIndex *key)
{
	int			weight = 0;

	for (int i = 0; i < key->nkeys; i++)
	{
		int16		len = TupleDescAttr(RelationGetDescr(rel), key->columns[i].attnum - 1)->attlen;

		weight += 10000 + (len > 0 ? len : 100);
	}
	return weight;
}

static TsKeyIndex *
explicit_key(Relation rel, List *names)
{
	int			n = list_length(names);
	AttrNumber *keys = palloc(sizeof(AttrNumber) * (n + 1));
	TsKeyIndex *key;
	ListCell   *lc;
	int			i = 0;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of table \"%s\" has no column", RelationGetRelationName(rel)),
				 errhint("Name the key's columns, or leave the argument out.")));
	foreach(lc, names)
	{
		keys[i] = get_attnum(RelationGetRelid(rel), lfirst(lc));
		if (keys[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", (char *) lfirst(lc), RelationGetRelationName(rel))));
		i++;
	}
	key = ts_key_index_find(rel, n, keys);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the columns given as key of table \"%s\" have no unique index", RelationGetRelationName(rel)),
				 errhint("Create a unique index on exactly these columns.")));
	if (!ts_key_not_null(rel, key, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of table \"%s\" may be NULL", RelationGetRelationName(rel)),
				 errhint("Set the key's columns NOT NULL.")));
	return key;
}

TsKeyIndex *
ts_key_choose(Relation rel, bool (*fits) (Relation rel, const TsKeyIndex *key, void *arg), void *arg)
{
	List	   *indexes = RelationGetIndexList(rel);	/* sets the two below */
	Oid			preferred[] = {rel->rd_rel->relreplident == REPLICA_IDENTITY_INDEX ? rel->rd_replidindex : InvalidOid, rel->rd_pkindex};
	TsKeyIndex *best = NULL;
	ListCell   *lc;

	for (int i = 0; i < lengthof(preferred); i++)
	{
		TsKeyIndex *key = OidIsValid(preferred[i]) ? ts_key_index_describe(preferred[i]) : NULL;

		if (key != NULL && fits(rel, key, arg))
			return key;
	}
	foreach(lc, indexes)
	{
		TsKeyIndex *key = ts_key_index_describe(lfirst_oid(lc));

		if (key == NULL || !fits(rel, key, arg))
			continue;
		if (best == NULL || key_weight(rel, key) < key_weight(rel, best))
			best = key;
	}
	return best;
}

/* NOT NULL, and of these columns only (NULL: of any)? */
static bool
is_among(Relation rel, const TsKeyIndex *key, void *arg)
{
	const bool *among = arg;

	if (!ts_key_not_null(rel, key, NULL))
		return false;
	for (int i = 0; among != NULL && i < key->nkeys; i++)
		if (!among[key->columns[i].attnum - 1])
			return false;
	return true;
}

TsKeyIndex *
ts_key_among(Relation rel, const bool *among)
{
	return ts_key_choose(rel, is_among, unconstify(bool *, among));
}

TsKeyIndex *
ts_key_resolve(Relation rel, List *names, bool explicitly)
{
	TsKeyIndex *best;

	if (explicitly)
		return explicit_key(rel, names);

	best = ts_key_choose(rel, ts_key_not_null, NULL);
	if (best == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("table \"%s\" has no usable key", RelationGetRelationName(rel)),
				 errdetail("A key is the replica identity index, the primary key, or a unique index on NOT NULL columns."),
				 errhint("Add a primary key, or a unique index on NOT NULL columns.")));
	return best;
}
