/*
 * change.h: the changes a plan is made of, in a link's columns, whatever they come from.
 *
 * A source of changes is behind TsChangeSource; the log's net changes and a comparison of two tables are such sources.
 */
#ifndef TS_CHANGE_H
#define TS_CHANGE_H

#include "link/link.h"
#include "netchange/netchange.h"
#include "netchange/scan.h"
#include "utils/snapshot.h"

typedef enum TsChangeOp
{
	TS_CHANGE_DELETE,
	TS_CHANGE_UPDATE,
	TS_CHANGE_INSERT
} TsChangeOp;

#define TS_CHANGE_OPS 3

/* What a change says of one column; a change's mask has a byte per column. */
#define TS_COLUMN_CHANGED 0x01	/* UPDATE: write it */
#define TS_COLUMN_KNOWN 0x02	/* the old value is known */
#define TS_COLUMN_MOVED 0x04	/* UPDATE, of key columns: the row is found by its old key, which is known, and gets the new one */
#define TS_COLUMN_VACATED 0x08	/* UPDATE: it is to get a value that is in nobody's way */

/* Arrays are per column of the link; valid until the next change is asked for. */
typedef struct TsChange
{
	TsChangeOp	op;
	bool		backfill;		/* an UPDATE of values that no event tells of */
	bool		moved;			/* an UPDATE of the key; these come last and stay in their order */
	bool		in_circle;		/* of rows that get each other's keys */
	bool		maybe;			/* whether the target has the row is not known: one that is not there is inserted, or need not be deleted */
	const Datum *order;			/* the key of the source's row, in the log's order; NULL: not told */
	unsigned char *mask;
	Datum	   *new_values;		/* all columns; not for DELETE */
	bool	   *new_nulls;
	Datum	   *old_values;		/* where known; of a DELETE at least the key */
	bool	   *old_nulls;
	List	   *violations;		/* TsViolation of rules.h: rules that the row breaks; NIL: none, or nobody asked */
} TsChange;

typedef struct TsChangeSource TsChangeSource;

struct TsChangeSource
{
	const TsLink *link;
	bool		text_keys;		/* the key of a DELETE is text: it comes from the target and has the target's types */
	/* false at the end; broken is set if the source cannot tell the changes after all */
	bool		(*next) (TsChangeSource *source, TsChange *change);
	void		(*end) (TsChangeSource *source);
	bool		broken;
};

/* A change with its arrays, in the current context. */
extern void ts_change_init(TsChange *change, int ncolumns);

/* Is there a column to be written whose old value is not known? */
extern bool ts_change_has_unknown(const TsLink *link, const unsigned char *mask);
/* Is the row to get another key? */
extern bool ts_change_moves(const TsLink *link, const unsigned char *mask);

/*
 * The log's net changes since the link's position; pending: what they are made of. follow_keys: a changed key is an UPDATE. NULL if a TRUNCATE or a gap is among them.
 * relations are open and locked; the snapshot is active and registered; needs an SPI connection.
 */
extern TsChangeSource *ts_log_source(const TsLink *link, Relation source, Snapshot snapshot, bool follow_keys, TsPending *pending);
/* Rows of its source may have been rewritten without events: whether they passed the filter before is not known. */
extern void ts_log_source_distrust(TsChangeSource *source);

/*
 * A comparison of source and target: what must be done to the target so that it holds the source's rows. Rows that only the
 * target has are deleted if "mirror", except those that another link's source puts there. target may be NULL: does not
 * exist. Of link->only, if that is not NIL. Reads under the active snapshot; needs an SPI connection.
 */
extern TsChangeSource *ts_diff_source(const TsLink *link, Relation target, bool mirror);
/* The same for a target that is there, without deletes. */
extern TsChangeSource *ts_diff_all_source(const TsLink *link);
/* The same, of rows that were rewritten: those that do not pass the filter any more are deleted, by the key that they have in the source. */
extern TsChangeSource *ts_diff_rewritten_source(const TsLink *link);
/* The same for rows with these keys only: JSON texts, by the target's column names. Deletes what only the target has. */
extern TsChangeSource *ts_diff_keys_source(const TsLink *link, List *keys);

/* SQL: the target, and a column of its row t, as the schema steps will leave them, the column without domain. */
extern char *ts_diff_target(const TsLink *link);
extern char *ts_diff_target_value(const TsColumn *col);
/* SQL: a column of the source's row, of which name is the key's, as it is compared with the target's. */
extern char *ts_diff_key_value(const TsColumn *col, const char *alias, const char *name);

/*
 * The changes of another source, but those of rows in quarantine, whose changes are what a comparison finds now. Takes over "log".
 * keys: not NIL, as above.
 */
extern TsChangeSource *ts_quarantine_source(const TsLink *link, Relation source, TsChangeSource *log, List *keys);

/*
 * The log's deletes, and what a comparison finds, which deletes nothing: after rows were rewritten without events. Updates of
 * rows that the log does not know of are backfills. Takes over "log".
 */
extern TsChangeSource *ts_repair_source(const TsLink *link, Relation source, Relation target, TsChangeSource *log);

/* How one column's old or new value is held and how it travels. */
typedef struct TsValueType
{
	Oid			type;
	int16		len;
	bool		byval;
	char		align;
	bool		as_text;		/* travels as text and is cast back */
	bool		is_text;		/* is text already */
} TsValueType;

/* The same as the target holds it. */
extern TsValueType ts_held_type(const TsLink *link, int column);
extern TsValueType ts_value_type(const TsLink *link, int column, TsChangeOp op, bool text_keys);

#endif
