/* rules.h: rows that are about to be pushed, held against the link's rules. */
#ifndef TS_PLAN_RULES_H
#define TS_PLAN_RULES_H

#include "link/rule.h"
#include "plan/change.h"
#include "plan/store.h"

/* So many violations are shown when a push is stopped. */
#define TS_RULES_SHOWN 10

/* A rule that a row breaks. */
typedef struct TsViolation
{
	const TsRule *rule;
	const char *column;			/* NULL: not one column */
	char	   *value;			/* its value, as text; NULL: null, or not one column */
	char	   *message;
} TsViolation;

/* Rows that break rules, as a plan keeps them. */
typedef struct TsRefused
{
	int64		rows;			/* those that stop the push, */
	int64		violations;
	List	   *shown;			/* the first of them, text */
	/* those that go to quarantine, per operation: their changes, and in the same order TsRefusal */
	TsStore    *stores[TS_CHANGE_OPS];
	List	   *why[TS_CHANGE_OPS];
} TsRefused;

typedef struct TsRefusal
{
	char	   *rule;
	char	   *message;
} TsRefusal;

/*
 * The changes of another source, each with what rules its row breaks; deletes break none. Takes over "changes". The rules (not NIL) are resolved. As
 * the link's owner, under the plan's snapshot, connected to SPI.
 */
extern TsChangeSource *ts_rules_source(const TsLink *link, List *rules, bool target_exists, TsChangeSource *changes);
/* The key of the row that a change writes, by the target's names, jsonb. */
extern Datum ts_rules_key(const TsLink *link, const TsChange *change);

/* Notes a row that breaks rules; memory and stores are of the current context. */
extern void ts_refused_note(TsRefused *refused, const TsLink *link, const TsChange *change, bool text_keys, bool compared);
/* Forgets all. */
extern void ts_refused_clear(TsRefused *refused);

/* sole.c: the same for unique rules; "violations" are of these only. */
extern TsChangeSource *ts_sole_source(const TsLink *link, List *rules, bool target_exists, TsChangeSource *changes);
extern TsViolation *ts_violation_make(const TsLink *link, const TsRule *rule, const TsChange *change, char *message);

#endif
