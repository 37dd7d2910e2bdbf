/* sole.h: values that only one row may have, by a rule; for sole.c and sole_query.c. */
#ifndef TS_SOLE_H
#define TS_SOLE_H

#include "executor/spi.h"
#include "plan/rules.h"
#include "plan/spool.h"
#include "utils/tuplestore.h"

/* The columns of p before the parts: n, writes. */
#define TS_SOLE_FIXED 2
/* With so many rows to be written, or bytes of values, all of a target elsewhere is fetched. */
#define TS_SOLE_ASKED_ROWS 20000
#define TS_SOLE_ASKED_BYTES (4 * 1024 * 1024)

/* A column that a rule is about, or of the key. */
typedef struct TsSolePart
{
	int			column;			/* of the link */
	bool		key;
	Oid			collation;
	Node	   *cast;			/* over the row; NULL: the value is as the target has it */
	ExprState  *state;
} TsSolePart;

/* What another server is asked about a rule: per column, literals. */
typedef struct TsSoleAsked
{
	int64		rows;
	StringInfoData *values;
} TsSoleAsked;

typedef struct TsSoleFetched
{
	char	   *name;
	struct Tuplestorestate *store;
} TsSoleFetched;

typedef struct TsSole
{
	TsChangeSource base;
	TsChangeSource *changes;
	List	   *rules;
	bool		target_exists;
	bool		begun;
	TsSpool    *spool;
	int			nparts;
	TsSolePart	   *parts;
	TupleTableSlot *slot;		/* the row, as the changes have it */
	MemoryContext running;		/* what the casts are run with */
	ExprContext *econtext;
	TupleDesc	desc;			/* p */
	Tuplestorestate *store;
	char	   *name;
	Datum	   *values;
	bool	   *nulls;
	int64		n;
	int64		entries;
	TsSoleAsked	   *asked;			/* per rule; NULL: of a target here */
	List	   *fetched;
	Portal		portal;
	SPITupleTable *rows;
	uint64		nrows;
	uint64		row;
	int64		at;
	MemoryContext context;		/* of a change */
} TsSole;

/* The place of a rule's column among the parts. */
extern int	ts_sole_part(const TsSole *source, int column);
/* The rows that break a rule, and the number of the rule, in their order; fetches what has to be fetched. */
extern char *ts_sole_query(TsSole *source);

#endif
