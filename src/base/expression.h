/*
 * expression.h: SQL expressions over one row, given by users as text: checked, kept as text, shown as SQL, run on rows.
 *
 * The server parses, types and runs them, as it does those of CHECK constraints. What is kept is SQL again, with every name of a type,
 * function or operator qualified, and the columns under the names that they had then: with the numbers of these columns they are found
 * when they are called otherwise.
 */
#ifndef TS_EXPRESSION_H
#define TS_EXPRESSION_H

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

/* Columns that an expression names, and their attribute numbers. */
typedef struct TsNames
{
	int			n;
	char	  **names;
	AttrNumber *attnums;
} TsNames;

/*
 * Parses an expression over a row of the relation, in the caller's search_path. names: what columns are called in it; NULL: as they are
 * today. type: what it is coerced to; InvalidOid: its own. Nothing of a user's is run. what: for messages, "the filter of link …".
 * Errors: 42601, 42703, 42804, 0A000 (a subquery), 42P17 (a volatile function), and others of the server's parser.
 */
extern Node *ts_expression_parse(const char *text, Relation rel, const TsNames *names, Oid type, const char *what);
/* The same for text that was kept: its names are qualified. */
extern Node *ts_expression_read(const char *text, Relation rel, const TsNames *names, Oid type, const char *what);
/* Both over a row of these columns that is not a relation's own: what a link writes. table: what it is called in messages. */
extern Node *ts_expression_parse_row(const char *text, TupleDesc desc, const char *table, Oid type, const char *what);
extern Node *ts_expression_read_row(const char *text, TupleDesc desc, const char *table, const TsNames *names, Oid type, const char *what);
/* As SQL to be kept, and for people. */
extern char *ts_expression_sql_row(const Node *expression, TupleDesc desc);
extern char *ts_expression_show_row(const Node *expression, TupleDesc desc);
/* As SQL, every name qualified; columns with the alias, NULL: bare. */
extern char *ts_expression_sql(const Node *expression, Oid relid, const char *alias);
/* The attribute numbers that it reads, each added to the set. */
extern Bitmapset *ts_expression_reads(const Node *expression, Bitmapset *attnums);
/* Does its value depend on nothing but the row? */
extern bool ts_expression_is_immutable(const Node *expression);
/* Another relation's columns instead: attnums[n - 1] for column n; NULL if one is 0, or cannot be cast to the type of here. */
extern Node *ts_expression_moved(const Node *expression, const AttrNumber *attnums, Relation to);
/* With values[n - 1] in the place of column n, which must be of its type. */
extern Node *ts_expression_over(const Node *expression, Node *const *values);
/* The value as another type, as an assignment casts it, else by its text. */
extern Node *ts_expression_cast(Node *value, Oid type, int32 typmod);

/* The columns' names and numbers, of those in the set, as they are today. */
extern TsNames *ts_names_of(Relation rel, const Bitmapset *attnums);

/* To be run on rows; as whoever it belongs to, who needs the right to execute its functions. In the current context. */
extern ExprState *ts_expression_prepare(const Node *expression);

#endif
