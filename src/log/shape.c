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
#include "base/quote.h"
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

/* A column's type as SQL text. */
static char *
type_text(Form_pg_attribute att)
{
	char	   *type = ts_show_type(att->atttypid, att->atttypmod);

	if (!OidIsValid(att->attcollation) || att->attcollation == get_typcollation(att->atttypid))
		return type;
	return psprintf("%s COLLATE %s", type, ts_quote_collation(att->attcollation));
}

#define NARRAYS 10

static bool
has_expressions(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->atthasdef)
			return true;
	return false;
}

static Datum
no_expressions(int n)
{
	Datum	   *values = palloc0(sizeof(Datum) * (n + 1));
	bool	   *nulls = palloc(sizeof(bool) * (n + 1));
	int			bound = 1;

	memset(nulls, true, n);
	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &bound, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Defaults, and what generated columns are made from, with all names qualified; inside ts_catalog_enter. */
static Datum
expressions(Relation rel)
{
	static const Oid types[] = {OIDOID, INT4OID};
	int			n = RelationGetDescr(rel)->natts;
	Datum		values[] = {ObjectIdGetDatum(RelationGetRelid(rel)), Int32GetDatum(n)};
	bool		isnull;

	if (!has_expressions(RelationGetDescr(rel)))
		return no_expressions(n);
	ts_sql("SELECT coalesce(array_agg(pg_get_expr(d.adbin, d.adrelid) ORDER BY i), '{}') FROM generate_series(1, $2) i "
		   "LEFT JOIN pg_attrdef d ON d.adrelid = $1 AND d.adnum = i", SPI_OK_SELECT, 2, types, values, NULL);
	return ts_sql_value(0, 1, &isnull);
}

/*
 * One row of table_shape is arrays, an element per attribute number, dropped ones included.
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
			   *byvals = palloc(sizeof(Datum) * (n + 1)),
			   *notnulls = palloc(sizeof(Datum) * (n + 1)),
			   *generateds = palloc(sizeof(Datum) * (n + 1)),
			   *type_names = palloc(sizeof(Datum) * (n + 1));

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
		type_names[i] = CStringGetTextDatum(att->attisdropped ? "" : type_text(att));
		notnulls[i] = BoolGetDatum(att->attnotnull && !att->attisdropped);
		generateds[i] = BoolGetDatum(att->attgenerated != '\0' && !att->attisdropped);
	}
	values[0] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(types, n, OIDOID, 4, true, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(typmods, n, INT4OID, 4, true, TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(colls, n, OIDOID, 4, true, TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(lens, n, INT2OID, 2, true, TYPALIGN_SHORT));
	values[5] = PointerGetDatum(construct_array(byvals, n, BOOLOID, 1, true, TYPALIGN_CHAR));
	values[6] = PointerGetDatum(construct_array(notnulls, n, BOOLOID, 1, true, TYPALIGN_CHAR));
	values[7] = PointerGetDatum(construct_array(generateds, n, BOOLOID, 1, true, TYPALIGN_CHAR));
	values[8] = PointerGetDatum(construct_array(type_names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

int32
ts_shape_register(Relation rel, int32 *before)
{
	static const Oid types[] = {OIDOID, TEXTARRAYOID, OIDARRAYOID, INT4ARRAYOID, OIDARRAYOID, INT2ARRAYOID, BOOLARRAYOID,
	BOOLARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[1 + NARRAYS];
	TsCatalog	cat;
	bool		isnull;
	int32		id,
				newest = 0;
	bool		same = false;

	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	shape_arrays(RelationGetDescr(rel), values + 1);
	ts_catalog_enter(&cat);
	values[NARRAYS] = expressions(rel);
	/* the newest shape, and whether it is still this one */
	if (ts_sql("SELECT s.shape, s.names = $2 AND s.types = $3 AND s.typmods = $4 AND s.collations = $5 "
			   "AND s.notnulls = $8 AND s.generateds = $9 AND s.defaults = $11 "
			   "FROM tracksync.table_shape s WHERE source OPERATOR(pg_catalog.=) $1 ORDER BY shape DESC LIMIT 1",
			   SPI_OK_SELECT, 11, types, values, NULL) == 1)
	{
		newest = DatumGetInt32(ts_sql_value(0, 1, &isnull));
		same = DatumGetBool(ts_sql_value(0, 2, &isnull)) && !isnull;
	}
	if (before != NULL)
		*before = same ? 0 : newest;
	if (!same)
		ts_sql("INSERT INTO tracksync.table_shape (source, names, types, typmods, collations, lens, byvals, notnulls, "
			   "generateds, type_names, defaults) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING shape",
			   SPI_OK_INSERT_RETURNING, 11, types, values, NULL);
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
			   *byvals,
			   *notnulls,
			   *generateds,
			   *type_names,
			   *defaults;
	int			n;

	ts_catalog_enter(&cat);
	/* not "reading": a shape written by this very statement must be found */
	if (ts_sql("SELECT names, types, typmods, collations, lens, byvals, notnulls, generateds, type_names, "
			   "ARRAY(SELECT coalesce(x, '') FROM unnest(defaults) WITH ORDINALITY u(x, i) ORDER BY i) FROM tracksync.table_shape WHERE shape = $1",
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
	notnulls = array_column(7, BOOLOID, 1, true, TYPALIGN_CHAR, &n);
	generateds = array_column(8, BOOLOID, 1, true, TYPALIGN_CHAR, &n);
	type_names = array_column(9, TEXTOID, -1, false, TYPALIGN_INT, &n);
	defaults = array_column(10, TEXTOID, -1, false, TYPALIGN_INT, &n);

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
		att->type_name = ts_keep(TopMemoryContext, TextDatumGetCString(type_names[i]));
		att->typmod = DatumGetInt32(typmods[i]);
		att->collation = DatumGetObjectId(colls[i]);
		att->len = DatumGetInt16(lens[i]);
		att->byval = DatumGetBool(byvals[i]);
		att->notnull = DatumGetBool(notnulls[i]);
		att->generated = DatumGetBool(generateds[i]);
		att->expression = ts_keep(TopMemoryContext, TextDatumGetCString(defaults[i]));
		/* no expression is empty */
		if (att->expression[0] == '\0')
			att->expression = NULL;
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
	int32		id = ts_shape_register(rel, NULL);

	relation_close(rel, NoLock);
	return id;
}

const TsShape *
ts_shape_now(Relation rel)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(RelationGetRelid(rel))};
	TupleDesc	desc = RelationGetDescr(rel);
	TsShape    *shape = palloc0(sizeof(TsShape));
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	uint64		n;

	shape->natts = desc->natts;
	shape->atts = palloc0(sizeof(TsShapeAtt) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		shape->atts[i].attnum = i + 1;
		shape->atts[i].name = pstrdup(NameStr(att->attname));
		shape->atts[i].dropped = att->attisdropped || ts_is_virtual(att);
		shape->atts[i].type = att->atttypid;
		shape->atts[i].type_name = att->attisdropped ? "" : type_text(att);
		shape->atts[i].typmod = att->atttypmod;
		shape->atts[i].collation = att->attcollation;
		shape->atts[i].len = att->attlen;
		shape->atts[i].byval = att->attbyval;
		shape->atts[i].notnull = att->attnotnull;
		shape->atts[i].generated = att->attgenerated != '\0';
	}
	if (!has_expressions(desc))
		return shape;
	ts_catalog_enter(&cat);
	/* what comes with the server has no dependency recorded */
	n = ts_sql_reading("SELECT adnum, pg_get_expr(adbin, adrelid), EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_attrdef'::regclass "
					   "AND d.objid = a.oid AND d.refclassid <> 'pg_type'::regclass AND NOT (d.refclassid = 'pg_class'::regclass "
					   "AND d.refobjid = a.adrelid)) FROM pg_attrdef a WHERE adrelid = $1", 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		int			at = DatumGetInt16(ts_sql_value(i, 1, &isnull)) - 1;

		if (at < shape->natts)
		{
			shape->atts[at].expression = ts_keep(context, ts_sql_text(i, 2));
			shape->atts[at].foreign_default = DatumGetBool(ts_sql_value(i, 3, &isnull));
		}
	}
	ts_catalog_leave(&cat);
	return shape;
}
