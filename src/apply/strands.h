/* strands.h: what a tangle is made of; for tangle.c and untie.c. */
#ifndef TS_STRANDS_H
#define TS_STRANDS_H

#include "apply/tangle.h"
#include "link/unique.h"
#include "plan/untangle.h"

/* A row that was put by. */
typedef struct Strand
{
	TsWriter   *writer;
	int			step;			/* of the plan, from 1 */
	const char *kind;
	int			number;			/* in which it was put by */
	Size		bytes;			/* of its values, about */
	char	   *id;				/* of the target's row; NULL: there is none */
	const char *stuck;			/* it has to be put aside, but cannot because of this constraint; NULL: it can, if it has to */
	TsChange	row;
} Strand;

/* A row's value of one constraint that others wait for. */
typedef struct Claim
{
	int			strand;
	const TsUnique *unique;
} Claim;

struct TsTangle
{
	MemoryContext context;
	int			n;
	int			max;
	Strand	   *strands;
	int		   *by_id;			/* strands that have an id, in its order */
	int			nids;
	int			nwaits;
	int			maxwaits;
	TsWait	   *waits;
	Claim	   *claims;			/* of the row that is waited for, per wait */
	TsUntangled sorted;
	int		   *rest;			/* per place in the order: how many of its knot are left, it included, */
	char	   *way;			/* and how it is written: untie.c; NULL = nothing is written yet */
	int			at;				/* in the order */
};

/* Strands of one link and mask, as a batch. */
typedef struct Part
{
	TsTangle   *tangle;
	int			n;
	int		   *strands;
	TsBatch		batch;
} Part;

/* The strands from strands[first] on, before strands[end], that can be written at once: at least one. */
extern Part ts_strands_part(TsTangle *tangle, int *strands, int first, int end);
/* Runs a statement for them. */
extern void ts_strands_execute(Part *part, TsStatementKind kind, TsRowFunction row, void *arg);

#endif
