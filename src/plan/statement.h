/*
 * statement.h: the SQL of a plan. A statement takes a batch of rows as array parameters, one array per column used; the same
 * text serves a local and a remote target.
 */
#ifndef TS_STATEMENT_H
#define TS_STATEMENT_H

#include "plan/change.h"

typedef enum TsStatementKind
{
	TS_STATEMENT_DELETE,		/* the row, if its known columns hold their old values */
	TS_STATEMENT_UPDATE,		/* the changed columns, if the known ones hold their old values */
	TS_STATEMENT_INSERT_ALL,	/* the key is taken not to be there: 23505 if it is */
	TS_STATEMENT_INSERT,		/* unless the key is there */
	TS_STATEMENT_LOOK,			/* locks the rows that are there; ord, holds the new values, holds the old values, row as jsonb, row as text */
	TS_STATEMENT_PEEK,			/* the same without locks and without text, at the target as its schema steps will leave it */
	TS_STATEMENT_DELETE_ANYWAY,
	TS_STATEMENT_UPDATE_ANYWAY,
	TS_STATEMENT_OVERWRITE,		/* all columns but the key, by key */
	/* of rows that will be so: needs link->uniques */
	TS_STATEMENT_HOLDERS,		/* which other rows have their values: ord, id of the other row, number of the constraint, key of the other row as JSON */
	TS_STATEMENT_IDENTIFY,		/* ord, id of the row */
	/* gives up the values of the columns that are to be vacated (parking.h), if the known columns hold their old values; ord, and the key's columns as text */
	TS_STATEMENT_VACATE,
	TS_STATEMENT_VACATE_ANYWAY
} TsStatementKind;

typedef enum TsParamKind
{
	TS_PARAM_COLUMN,			/* an array of one column's values */
	TS_PARAM_ROWS,				/* an array of rows of the target's type, holding all columns needed of one side */
	TS_PARAM_NUMBER				/* the rows' numbers in the batch */
} TsParamKind;

typedef struct TsParam
{
	TsParamKind kind;
	int			column;			/* of the link */
	bool		old;			/* the old values, not the new ones */
	TsValueType type;
	Oid			element;		/* of the array */
	int			alias;			/* it is v.p<alias> in the text; not for rows */
	bool		fitted;			/* the values are sent as the target holds them (fit.h); not for rows */
} TsParam;

typedef struct TsStatement
{
	TsStatementKind kind;
	TsChangeOp	op;
	bool		own;			/* what it writes is not the source's: the target's log has it as a change made there */
	char	   *sql;
	int			nparams;
	TsParam    *params;
	int		   *aliases[2];		/* of rows of new and of old values: per column, the n of v.p<n>, 0 = not used */
	struct TsFit **fits;		/* per column: how its values are fitted, once it is known */
	void	   *prepared;		/* the target's own */
} TsStatement;

/* An id is good until the row is written. */

/* Builds a statement in the current context. mask: what the batch's changes say of each column. */
extern TsStatement *ts_statement_build(const TsLink *link, TsStatementKind kind, TsChangeOp op, const unsigned char *mask,
									   bool text_keys);
/* A source's value as the target would hold it, without domain; one that is too long for the target stays whole. */
extern char *ts_as_target(const TsColumn *col, const char *value);
/* CREATE TABLE for a target that does not exist. */
extern char *ts_statement_create_table(const TsLink *link, Relation source);

#endif
