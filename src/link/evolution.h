/* evolution.h: what the parts of following a source's columns share (evolve.c, addition.c). */
#ifndef TS_EVOLUTION_H
#define TS_EVOLUTION_H

#include "link/link.h"
#include "log/shape.h"

typedef struct TsEvolution
{
	TsLink	   *link;
	Relation	target;			/* NULL: does not exist */
	const TsShape *then;
	const TsShape *now;
	List	   *renames;		/* Rename */
	List	   *drops;			/* Rename, of which "to" is not used */
	List	   *names;			/* of all columns of the target, as they are after the renames so far */
	int			moved;			/* columns put aside */
} TsEvolution;

/* A column of a shape; NULL if it was dropped or never was. */
extern const TsShapeAtt *ts_evolution_att(const TsShape *shape, AttrNumber attnum);
extern bool ts_evolution_has_name(List *names, const char *name);
/* 55000: the policy is 'error'. */
extern void ts_evolution_refuse(const TsLink *link, const char *what);
/* Columns of the source that none of the link's first "mapped" columns stands for. */
extern void ts_evolution_add_columns(TsEvolution *e, Relation source, int mapped);

#endif
