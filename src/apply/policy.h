/*
 * policy.h: what a link's on_conflict makes of a conflict.
 */
#ifndef TS_POLICY_H
#define TS_POLICY_H

#include "apply/batch.h"

/* A row that is not as expected; all JSON text, columns by the target's names. */
typedef struct TsDispute
{
	TsConflictKind kind;
	char	   *key;
	char	   *old;			/* what is known of the row before the source's change; NULL = nothing */
	char	   *source;			/* what the source would write; NULL: nothing, it deletes the row */
	char	   *target;			/* the row that is there; NULL = none, */
	char	   *target_text;	/* and as the row's own text; NULL = not known */
	char	   *written;		/* the columns that the source's change would write; NULL: all of "source" */
	bool		moved;			/* the change is to the row's key, too */
} TsDispute;

/*
 * Records the conflict, or that it was not resolved. True: the source's change is to be made. A row that a merge or a function made is
 * kept for ts_policy_write.
 */
extern bool ts_policy_decide(TsWriter *writer, const TsDispute *dispute);
/*
 * Does the policy count what both sides did to a column, so that it is no agreement if both did the same? That is what the rule 'add' does for links there and back.
 */
extern bool ts_policy_counts(TsWriter *writer, TsChangeOp op, const TsChange *row);
/* What 'merge' does with a row that one side deleted and the other one changed: 'keep' or 'delete'; NULL: nothing is said. */
extern const char *ts_policy_row_rule(const TsLink *link, const TsDispute *dispute);
/* What 'merge' makes of both sides, JSON text; NULL: it cannot decide. Of the writer it takes link, context and merge. */
extern char *ts_policy_merge(TsWriter *writer, const TsDispute *dispute);
/* Has JSON the same text for a value of the source and for what the target makes of it? */
extern bool ts_policy_same_in_json(const TsColumn *col);
/* Texts as an array. */
extern Datum ts_policy_texts(const List *rows);
/* Writes the rows kept. */
extern void ts_policy_write(TsWriter *writer);

#endif
