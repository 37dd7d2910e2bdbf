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
	TS_STATEMENT_INSERT,		/* unless the key is there */
	TS_STATEMENT_LOOK,			/* locks the rows that are there; ord, holds the new values, holds the old values, row as jsonb */
	TS_STATEMENT_DELETE_ANYWAY,
	TS_STATEMENT_UPDATE_ANYWAY,
	TS_STATEMENT_OVERWRITE		/* all columns but the key, by key */
} TsStatementKind;

typedef struct TsParam
{
	int			column;			/* of the link; -1: the row's number in the batch */
	bool		old;
	TsValueType type;
	Oid			element;		/* of the array */
} TsParam;

typedef struct TsStatement
{
	TsStatementKind kind;
	TsChangeOp	op;
	char	   *sql;
	int			nparams;
	TsParam    *params;
	void	   *prepared;		/* the target's own */
} TsStatement;

/* Builds a statement in the current context. mask: what the batch's changes say of each column. */
extern TsStatement *ts_statement_build(const TsLink *link, TsStatementKind kind, TsChangeOp op, const unsigned char *mask,
									   bool text_keys);
/* CREATE TABLE for a target that does not exist. */
extern char *ts_statement_create_table(const TsLink *link, Relation source);

#endif
