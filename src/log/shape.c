/* shape.c: recording and reading table shapes. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "log/shape.h"

typedef struct ShapeEntry
{
	int32		id;				/* hash key */
	TsShape    *shape;
} ShapeEntry;

static HTAB *shapes = NULL;
static Oid	shape_table = InvalidOid;
static bool stale = false;

/* Shapes never change, but an extension dropped and made again starts to count anew. */
static void
shape_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == shape_table)
		stale = true;
}

/*
 * One row of table_shape is six arrays, an element per attribute number, dropped ones included.
 */
static void
shape_arrays(TupleDesc desc, Datum *values)
{
	int			n = desc->natts;
	Datum	   *names = palloc(sizeof(Datum) * (n + 1)),
			   *types = palloc(sizeof(Datum) * (n + 1)),
			   *typmods = palloc(sizeof(Datum) * (n + 1)),
			   *colls = palloc(sizeof(Datum) * (n + 1)),
			   *lens = palloc(sizeof(Datum) * (n + 1)),
			   *byvals = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		/* '' stands for a column without stored values: no column can have that name */
		names[i] = CStringGetTextDatum(att->attisdropped || ts_is_virtual(att) ? "" : NameStr(att->attname));
		types[i] = ObjectIdGetDatum(att->attisdropped ? InvalidOid : att->atttypid);
		typmods[i] = Int32GetDatum(att->atttypmod);
		colls[i] = ObjectIdGetDatum(att->attcollation);
		lens[i] = Int16GetDatum(att->attlen);
		byvals[i] = BoolGetDatum(att->attbyval);
	}
	values[0] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(types, n, OIDOID, 4, true, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(typmods, n, INT4OID, 4, true, TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(colls, n, OIDOID, 4, true, TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(lens, n, INT2OID, 2, true, TYPALIGN_SHORT));
	values[5] = PointerGetDatum(construct_array(byvals, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

int32
ts_shape_register(Relation rel, bool *created)
{
	static const Oid types[] = {OIDOID, TEXTARRAYOID, OIDARRAYOID, INT4ARRAYOID, OIDARRAYOID, INT2ARRAYOID, BOOLARRAYOID};
	Datum		values[7];
	TsCatalog	cat;
	bool		isnull;
	int32		id;

	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	shape_arrays(RelationGetDescr(rel), values + 1);
	*created = false;
	ts_catalog_enter(&cat);
	/* the newest shape, if it is still this one */
	if (ts_sql("SELECT s.shape FROM (SELECT * FROM tracksync.table_shape WHERE source OPERATOR(pg_catalog.=) $1 ORDER BY shape DESC LIMIT 1) s "
			   "WHERE s.names = $2 AND s.types = $3 AND s.typmods = $4 AND s.collations = $5",
			   SPI_OK_SELECT, 5, types, values, NULL) == 0)
	{
		ts_sql("INSERT INTO tracksync.table_shape (source, names, types, typmods, collations, lens, byvals) "
			   "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING shape",
			   SPI_OK_INSERT_RETURNING, 7, types, values, NULL);
		*created = true;
	}
	id = DatumGetInt32(ts_sql_value(0, 1, &isnull));
	ts_catalog_leave(&cat);
	return id;
}

/* Column "column" of the SPI row as an array of n elements. */
static Datum *
array_column(int column, Oid elemtype, int16 len, bool byval, char align, int *n)
{
	bool		isnull;
	Datum		value = ts_sql_value(0, column, &isnull);
	Datum	   *elems;
	bool	   *nulls;

	deconstruct_array(DatumGetArrayTypeP(value), elemtype, len, byval, align, &elems, &nulls, n);
	return elems;
}

static TsShape *
shape_load(int32 id)
{
	static const Oid types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	TsCatalog	cat;
	TsShape    *shape;
	Datum	   *names,
			   *atttypes,
			   *typmods,
			   *colls,
			   *lens,
			   *byvals;
	int			n;

	ts_catalog_enter(&cat);
	/* not "reading": a shape written by this very statement must be found */
	if (ts_sql("SELECT names, types, typmods, collations, lens, byvals FROM tracksync.table_shape WHERE shape = $1",
			   SPI_OK_SELECT, 1, types, values, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table shape %d is missing from tracksync.table_shape", id),
				 errhint("The old row images that name it cannot be read.")));
	names = array_column(1, TEXTOID, -1, false, TYPALIGN_INT, &n);
	atttypes = array_column(2, OIDOID, 4, true, TYPALIGN_INT, &n);
	typmods = array_column(3, INT4OID, 4, true, TYPALIGN_INT, &n);
	colls = array_column(4, OIDOID, 4, true, TYPALIGN_INT, &n);
	lens = array_column(5, INT2OID, 2, true, TYPALIGN_SHORT, &n);
	byvals = array_column(6, BOOLOID, 1, true, TYPALIGN_CHAR, &n);

	shape = MemoryContextAlloc(TopMemoryContext, sizeof(TsShape));
	shape->id = id;
	shape->natts = n;
	shape->atts = MemoryContextAllocZero(TopMemoryContext, sizeof(TsShapeAtt) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		TsShapeAtt *att = &shape->atts[i];

		att->attnum = i + 1;
		att->name = ts_keep(TopMemoryContext, TextDatumGetCString(names[i]));
		att->dropped = att->name[0] == '\0';
		att->type = DatumGetObjectId(atttypes[i]);
		att->typmod = DatumGetInt32(typmods[i]);
		att->collation = DatumGetObjectId(colls[i]);
		att->len = DatumGetInt16(lens[i]);
		att->byval = DatumGetBool(byvals[i]);
	}
	ts_catalog_leave(&cat);
	return shape;
}

const TsShape *
ts_shape_get(int32 id)
{
	ShapeEntry *entry;
	bool		found;

	if (stale && shapes != NULL)
	{
		hash_destroy(shapes);
		shapes = NULL;
		stale = false;
	}
	if (shapes == NULL)
	{
		static bool registered = false;
		HASHCTL		ctl = {.keysize = sizeof(int32), .entrysize = sizeof(ShapeEntry)};

		shapes = hash_create("tracksync shapes", 64, &ctl, HASH_ELEM | HASH_BLOBS);
		shape_table = get_relname_relid("table_shape", get_namespace_oid("tracksync", false));
		if (!registered)
			CacheRegisterRelcacheCallback(shape_invalidate, (Datum) 0);
		registered = true;
	}
	entry = hash_search(shapes, &id, HASH_FIND, &found);
	if (!found)
	{
		TsShape    *shape = shape_load(id);

		entry = hash_search(shapes, &id, HASH_ENTER, &found);
		entry->shape = shape;
	}
	return entry->shape;
}

int32
ts_shape_of(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		created;
	int32		id = ts_shape_register(rel, &created);

	relation_close(rel, NoLock);
	return id;
}
