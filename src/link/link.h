/*
 * link.h: a link, as stored in tracksync.link, and as resolved against today's source and target.
 */
#ifndef TS_LINK_H
#define TS_LINK_H

#include "log/position.h"
#include "log/tracked.h"
#include "link/priority.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

typedef enum TsInitial
{
	TS_INITIAL_COPY,
	TS_INITIAL_MIRROR,
	TS_INITIAL_NONE
} TsInitial;

typedef enum TsConflictPolicy
{
	TS_CONFLICT_ERROR,
	TS_CONFLICT_SOURCE_WINS,
	TS_CONFLICT_TARGET_WINS,
	TS_CONFLICT_MERGE,			/* column by column */
	TS_CONFLICT_FUNCTION		/* a user's function decides */
} TsConflictPolicy;

typedef enum TsLinkState
{
	TS_STATE_INITIAL,			/* never pushed: the next push compares */
	TS_STATE_ACTIVE,			/* the log tells the changes */
	TS_STATE_RESYNC				/* the log does not: the next push compares, and deletes what only the target has */
} TsLinkState;

/* Is source and target compared, though the log tells the changes? */
typedef enum TsRepair
{
	TS_REPAIR_NONE,
	TS_REPAIR_KEEP,				/* what only the target has stays, but for what the log says was deleted */
	TS_REPAIR_MIRROR			/* it is deleted */
} TsRepair;

typedef enum TsSchemaPolicy
{
	TS_SCHEMA_APPLY,
	TS_SCHEMA_ADDITIVE,
	TS_SCHEMA_IGNORE,
	TS_SCHEMA_ERROR
} TsSchemaPolicy;

/* What a value of the source needs to become one of the target's column (fit.h). */
typedef enum TsBridge
{
	TS_BRIDGE_NONE,				/* nothing, or a cast that can neither fail nor lose: statements do it */
	TS_BRIDGE_CAST,				/* the assignment cast */
	TS_BRIDGE_TEXT				/* its text: there is no such cast */
} TsBridge;

/* Who else writes to a target. */
typedef enum TsSharing
{
	TS_SHARED_NOT,
	TS_SHARED_WITH_SIBLINGS,	/* links of the same source: a row of theirs is one of that source */
	TS_SHARED
} TsSharing;

/* Whose row of the target is it, by the filters? */
typedef enum TsWhose
{
	TS_WHOSE_OWN = 'o',
	TS_WHOSE_NOBODY = 'n',		/* no filter maps to it */
	TS_WHOSE_SIBLING = 's',		/* another link's of the same source */
	TS_WHOSE_STRANGER = 'f'		/* of another source */
} TsWhose;

/* What is to be done to the target before its rows are written. */
typedef struct TsSchemaStep
{
	int			number;			/* in which it was thought of */
	TsPriority	priority;
	const char *kind;
	bool		destructive;
	char	   *description;
	char	   *sql;
	char	   *after;			/* what is run when the rows are written; NULL = nothing */
	const char *dropped;		/* the column that it drops, by its name of that moment; NULL = none */
} TsSchemaStep;

/* One mapped column. */
typedef struct TsColumn
{
	AttrNumber	attnum;			/* in the source; 0 of an expression */
	char	   *expression;		/* as it is kept (base/expression.h); NULL: a column of the source, as it is */
	Node	   *value;			/* the same, parsed, once it is resolved */
	Bitmapset  *reads;			/* the source's columns that its value depends on, once it is resolved */
	char	   *source_name;	/* of an expression: the target's */
	Oid			source_type;	/* base type; what array parameters are made of */
	int32		source_typmod;
	Oid			source_declared;	/* with its domain */
	Oid			source_collation;
	int16		len;			/* of source_type */
	bool		byval;
	char		align;
	bool		as_text;		/* goes as text[] and is cast back: arrays, composites, types without an array type */
	bool		ignored;
	bool		fickle;			/* its value depends on more than the row: what it was before cannot be told */
	bool		is_key;
	char	   *target_name;
	char	   *stored_name;	/* that it had at the last push; NULL: it is new */
	/* what follows is known once the target exists */
	AttrNumber	target_attnum;	/* until it is resolved: as it was at the last push; 0 = go by its name */
	Oid			target_type;	/* as declared */
	Oid			target_base;	/* its base type, */
	int32		target_typmod;	/* with the type modifier in force */
	TsBridge	bridge;
	bool		identity_always;	/* the target's column is GENERATED ALWAYS AS IDENTITY */
	Oid			sequence;		/* owned by the target's column; InvalidOid if none */
	const char *remote_sequence;	/* the same of a target on another server, SQL; NULL if none */
	bool		domain_there;	/* the target's type is a domain, though it may be none here */
	const char *opaque;			/* the target's type, SQL, if there is none of the kind here: text stands for it. Else NULL */
	Oid			key_eq_op;		/* for key columns: the target's unique index's equality, */
	Oid			key_collation;	/* and its collation; InvalidOid if the type has none */
	bool		referred;		/* known with the target's unique constraints: foreign keys refer to it */
	/* while rows are put aside: between these are the values that rows of the push will have, text; NULL = there are none */
	char	   *least;
	char	   *greatest;
	/* while the target still has to follow the source's schema */
	const char *now_name;		/* its name on the target for now; NULL: it has its final name, or is yet to be added */
	bool		retyped;		/* the target's column will have the source's type */
	char	   *future;			/* its value after that, over the target's row t; NULL: what it is now */
	const char *lossy;		/* the type that the target's column is cast to, where values may be lost; NULL = none are */
	bool		emptied;		/* they cannot be cast: they are taken away, and filled in */
	int64		besides;		/* of a lossy column: rows of the target that the source does not have, at planning */
	bool		converted;		/* that value is not, bit by bit, what the column holds now */
} TsColumn;

typedef struct TsLink
{
	char	   *name;
	Oid			owner;
	Oid			source;
	char	   *server;			/* where the target is; NULL: in this database */
	struct TsRemote *remote;	/* of remote.h: the target on that server as it was described, once it was asked for */
	char	   *origin;			/* whose changes it brings: an identity (ts_table_identity); NULL: its source's */
	int64		generation;		/* how many pushes committed there, for all that is known here */
	char	   *target_schema;
	char	   *target_name;
	Oid			target;			/* InvalidOid until it exists; of one on another server its stub */
	bool		target_gone;	/* it did, and was dropped */
	bool		create_target;
	TsInitial	initial;
	TsConflictPolicy on_conflict;
	bool		quarantine;		/* on_error: rows that the target does not take are left out */
	bool		lossy;			/* on_cast: values that the target's types do not hold are rounded and cut, not refused */
	Oid			conflict_function;	/* InvalidOid if it is gone */
	TsLinkState state;
	bool		from_elsewhere; /* its books are another database's: a dump was restored, or this is a copy */
	bool		doubted;		/* foreign keys of another link's target changed rows of this one's: only a comparison tells what they hold */
	TsPosition *position;
	int			ncolumns;
	TsColumn   *columns;
	int			nkeys;
	int		   *keys;			/* indexes into columns, in the log's key order; of expressions in any */
	bool		order_apart;	/* the log's order is not that of the link's keys */
	bool		arbiter;		/* the target's unique index can infer ON CONFLICT */
	bool		target_partitioned;	/* or has no children: no need to say ONLY */
	bool		source_partitioned; /* or a view or the like: not to say ONLY */
	char	   *storage;		/* the source's storage at the last push; NULL before the first one */
	char	   *storage_now;	/* as the plan found it; NULL: it did not ask */
	TsTracked  *tracked;		/* by_diff: the key only, no log */
	bool		by_diff;		/* detect => 'diff': no log, each plan compares */
	char	   *filter;			/* as it is kept; NULL: all rows */
	Node	   *condition;		/* the same, parsed, once it is resolved */
	Bitmapset  *condition_reads;
	char	   *target_filter;	/* as it is kept, with the names of target_names; NULL: it follows from the filter, if it does */
	char	   *target_filter_now;	/* the same with the names of now, once it is resolved */
	Bitmapset  *target_reads;	/* the target's columns that the next reads */
	char	   *target_condition;	/* SQL over the target's row t, once it is resolved: the rows that are this link's; NULL: any */
	bool		condition_travels;	/* it means the same on the target's server */
	TsSharing	shared;			/* of a filtered link */
	char	   *whose;			/* SQL over t: whose row it is, a TsWhose as text; NULL: always this link's */
	Node	   *former_condition;	/* the next, parsed, over the target's row */
	char	   *former;			/* the target's rows that were this link's before it was altered, since the last push; NULL: the same */
	struct TsNames *names;		/* what the source's columns are called in the filter and the expressions */
	struct TsNames *target_names;	/* what the target's columns were called at the last push, or when the link was made; NULL: as they are */
	bool		by_name;		/* all columns that both sides share, also those to come */
	TsSchemaPolicy policy;
	int32		shape;			/* the source's at the last push, */
	int32		followed;		/* and the one that the target has followed */
	List	   *schema;			/* of TsSchemaStep, in their order */
	List	   *uniques;		/* of TsUnique: the target's, once a push has asked for them */
	bool		foreseen;		/* the columns are resolved against the target as it will be */
	List	   *only;			/* comparisons are of rows with these keys, JSON by the target's column names; NIL: of all */
	char	   *rows;			/* SQL that stands for the source's rows in the columns' target names (rows.h); NULL: the source's own */
	TsRepair	repair;
	char	   *narrow_here;	/* comparisons of all rows are of those for which this holds (SQL over the source's row s), */
	char	   *narrow_there;	/* and this, where the target is, over its row t; NULL: of all */
	bool		values_unknown;	/* after the schema steps only a comparison tells which rows need values */
} TsLink;

/*
 * The link, in the current context; 42704 if there is none, 42501 if the caller is not a member of its owner. With "lock" its
 * row is locked until the transaction ends; 40001 if it moved since a REPEATABLE READ caller's snapshot.
 */
extern TsLink *ts_link_load(const char *name, bool lock);

/* The same without a lock, but as it is now, whatever the snapshot. */
extern TsLink *ts_link_load_newest(const char *name);

/* The link whoever asks, NULL if there is none; its source may be gone. */
extern TsLink *ts_link_load_any(const char *name);

/*
 * Fills in what depends on the relations: names, types, target columns, the target's key. Both relations are open and locked
 * (target may be NULL while it does not exist). Errors: 42P01, 42703, 42804, 42P10, 55000.
 */
extern void ts_link_resolve(TsLink *link, Relation source, Relation target);

/* Must values of this base type travel as text? They cannot be the elements of an array, or their type may be another one on the server. */
extern bool ts_link_as_text(const TsLink *link, Oid base);

/* Only what depends on the source; false if columns of it are gone. */
extern bool ts_link_resolve_source(TsLink *link, Relation source);

/* The rows of the target that are the link's, over the target's row; NULL: that is not known. The source's side is resolved. */
extern Node *ts_link_derive_condition(const TsLink *link, Relation source, Relation target);

/* The same and what follows from it: whose a row is, who else writes there. */
extern void ts_link_resolve_whose(TsLink *link, Relation source, Relation target);

/* link->former, parsed. */
extern Node *ts_link_read_former(const TsLink *link, Relation target);

/* link->target_filter takes to the names that the target's columns have now. */
extern void ts_link_renew_target_filter(TsLink *link, Relation target);

/* The target's name as it is now; or it is gone. */
extern void ts_link_follow_target(TsLink *link);

/* The target followed the source's schema: to be resolved anew. */
extern void ts_link_arrived(TsLink *link);

/* Adds a step to link->schema. */
extern TsSchemaStep *ts_link_schema_step(TsLink *link, int priority, const char *kind, char *description, char *sql);

/* Privileges of the link's owner: SELECT on the source's columns, DML on the target; no row-level security in between. */
extern void ts_link_check_rights(const TsLink *link, Relation source, Relation target);

/* "schema"."table" of the target, whether or not it exists. */
extern char *ts_link_target(const TsLink *link);

/*
 * Where the source's rows are stored and whether they are watched: "ddl|leaf leaf …", read under the active snapshot. ddl: version and
 * state of the event trigger that notes DDL. A leaf is "oid:triggers:mark:file:states": the versions (OID, and who wrote them) of our
 * triggers; the mark that a crash takes from an unlogged table, - if it has none; the file, with a t of a typed table; the triggers'
 * states (A = always; anything else, or - for none, is not to be trusted).
 */
extern char *ts_source_storage(Oid source);

typedef enum TsStorageChange
{
	TS_STORAGE_SAME,
	TS_STORAGE_REWRITTEN,		/* leaves were rewritten or added: values may have changed, rows may have come, without an event */
	TS_STORAGE_LOST				/* a leaf is gone, was emptied by a crash, or is not or was not watched: rows may have gone without an event */
} TsStorageChange;

extern TsStorageChange ts_storage_compare(const char *then, const char *now);

#endif
