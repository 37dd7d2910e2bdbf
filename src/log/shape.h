/*
 * shape.h: what a table's rows looked like when an image was written.
 *
 * A row of tracksync.table_shape never changes; an image names it by number. Reading an image needs nothing but the
 * shape: neither today's columns nor today's types.
 */
#ifndef TS_SHAPE_H
#define TS_SHAPE_H

#include "access/tupdesc.h"
#include "utils/relcache.h"

typedef struct TsShapeAtt
{
	AttrNumber	attnum;
	char	   *name;
	Oid			type;
	char	   *type_name;		/* qualified, with type modifier and, unless it is the type's own, collation */
	int32		typmod;
	Oid			collation;
	int16		len;
	bool		byval;
	bool		dropped;
	bool		notnull;
	bool		generated;
	bool		foreign_default;	/* it calls what does not come with the server; told only of the shape of now */
	char	   *expression;		/* default, or of a generated column what it is made from; NULL = none */
} TsShapeAtt;

typedef struct TsShape
{
	int32		id;
	int			natts;			/* dropped columns included: atts[attnum - 1] */
	TsShapeAtt *atts;
} TsShape;

/*
 * The number of the shape the relation has now; writes it down if it is new. before, if not NULL: the number of the shape it had,
 * or 0 if that is the same or there was none.
 */
extern int32 ts_shape_register(Relation rel, int32 *before);
/* The same for a relation that is not open. */
extern int32 ts_shape_of(Oid relid);
/* The shape the relation has now, in the current context, without writing it down; its number is 0. */
extern const TsShape *ts_shape_now(Relation rel);
/* A shape by its number, cached for the session; error if unknown. */
extern const TsShape *ts_shape_get(int32 id);

#endif
