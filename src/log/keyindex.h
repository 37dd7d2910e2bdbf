/* keyindex.h: what can be a table's key: its unique indexes. */
#ifndef TS_KEYINDEX_H
#define TS_KEYINDEX_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* One key column's index support. */
typedef struct TsKeyColumn
{
	AttrNumber	attnum;			/* in the relation */
	AttrNumber	indexattno;		/* in the index */
	Oid			opfamily;
	Oid			opcintype;
	Oid			collation;
	Oid			eq_op;			/* the opclass's equality of the column's type */
	Oid			lt_op;
} TsKeyColumn;

typedef struct TsKeyIndex
{
	Oid			index;
	bool		immediate;		/* not deferrable: can infer ON CONFLICT */
	int			nkeys;
	TsKeyColumn *columns;		/* in index order */
} TsKeyIndex;

/* Describes an index if it can be a key's: unique, valid, whole, b-tree, plain columns; else NULL. */
extern TsKeyIndex *ts_key_index_describe(Oid indexid);
/* The best unique index on exactly these columns, in any order (immediate ones first); NULL if there is none. */
extern TsKeyIndex *ts_key_index_find(Relation rel, int nkeys, const AttrNumber *keys);
/* Puts an index's columns into the order of these keys. */
extern void ts_key_index_reorder(TsKeyIndex *index, int nkeys, const AttrNumber *keys);
/* Are all its columns NOT NULL? */
extern bool ts_key_not_null(Relation rel, const TsKeyIndex *key, void *arg);
/* The replica identity, else the primary key, else the smallest of the unique indexes, of those that fit; NULL if none does. */
extern TsKeyIndex *ts_key_choose(Relation rel, bool (*fits) (Relation rel, const TsKeyIndex *key, void *arg), void *arg);
/*
 * The key of a table by the design's rules: an explicit list (names, may be NIL) → the replica identity → the primary key →
 * the smallest unique index on NOT NULL columns. Errors: 42703 unknown column, 42P10 no usable key.
 */
extern TsKeyIndex *ts_key_resolve(Relation rel, List *names, bool explicitly);
/* The same without a list, of the keys whose columns are all among these (by attribute number minus one; NULL: all); NULL: none. */
extern TsKeyIndex *ts_key_among(Relation rel, const bool *among);

#endif
