/*
 * rule.h: what rows have to be like to be pushed, as kept in tracksync.rule_record.
 *
 * A rule is a boolean expression over the row as the target is to get it: the columns that the link writes, under the target's names, in its
 * types. A row breaks it if it is false; NULL passes, as with CHECK. A ready-made rule is one whose expression is made here, of a column and
 * arguments; the values of a "unique" rule are compared with those of other rows, which no expression can.
 *
 * Columns are kept by the names that the link has for them (tracksync.link.target_columns), and renamed with these.
 */
#ifndef TS_LINK_RULE_H
#define TS_LINK_RULE_H

#include "access/tupdesc.h"
#include "link/link.h"
#include "nodes/pg_list.h"

typedef enum TsRuleKind
{
	TS_RULE_EXPRESSION,
	TS_RULE_REQUIRED,
	TS_RULE_RANGE,
	TS_RULE_LENGTH,
	TS_RULE_PATTERN,
	TS_RULE_ONE_OF,
	TS_RULE_UNIQUE
} TsRuleKind;

#define TS_RULE_KINDS 7

typedef struct TsRule
{
	char	   *name;
	TsRuleKind	kind;
	int			ncolumns;		/* those that it reads, */
	char	  **columns;		/* as they are kept, */
	int		   *at;				/* and their places in the link */
	char	   *expression;		/* SQL; NULL of a unique rule */
	List	   *args;			/* of a ready-made one, text, NULL: left out; else the expression as it was given, if that is still so */
	char	   *message;		/* as it was given; NULL: none was */
	Node	   *condition;		/* the expression, parsed, over the row's description */
} TsRule;

extern const char *ts_rule_kind_name(TsRuleKind kind);

/* The row that rules are about: its columns are those of the resolved link. Without type modifiers: nothing is cut or rounded yet. */
extern TupleDesc ts_rule_row(const TsLink *link);
/* Makes a rule of what the user gave, in the caller's search_path, checked but not kept. Errors: 22023, 42601, 42703, 42804, 0A000, 42P17, … */
extern TsRule *ts_rule_parse(const TsLink *link, const char *name, const char *text, const char *message);
/* Keeps it. 42710 if there is one of that name; those of one ready-made kind may share its name if they are about other columns. */
extern void ts_rule_add(const TsLink *link, const TsRule *rule);
/* Drops the rules of that name, or the one that is called kind(column). 42704 if there is none. */
extern void ts_rule_drop(const char *link, const char *name);
/* The link goes. Inside ts_catalog_enter. */
extern void ts_rules_forget(const char *link);

/* The link's rules, in their order, under the active snapshot; NIL: none. */
extern List *ts_rules_of(const char *link);
/* Finds their columns in the link; 42703 if there is one that it has not. */
extern void ts_rules_locate(const TsLink *link, List *rules);
/* The same, and parses their expressions. */
extern void ts_rules_resolve(const TsLink *link, List *rules);
/* The target's columns have other names since the push: the rules take to them. As the link's owner. */
extern void ts_rules_follow(const TsLink *link);
/* What to say of a row that breaks it. */
extern char *ts_rule_message(const TsLink *link, const TsRule *rule);

/* ready.c: the same for ready-made rules. NULL: the text is not the arguments of one, nor a call of one. */
extern TsRule *ts_ready_parse(const TsLink *link, const char *name, const char *text);
/* The expression over the row; NULL of a unique rule. */
extern char *ts_ready_sql(const TsLink *link, const TsRule *rule, TupleDesc row);
extern char *ts_ready_message(const TsLink *link, const TsRule *rule);

#endif
