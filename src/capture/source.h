/*
 * source.h: what the capture trigger must know of the relation that fired it; cached for the session.
 *
 * An entry is rebuilt at the next event after the relation, its tracked root or the root's log changed (relcache
 * invalidation; track() sends one when it alters options).
 */
#ifndef TS_SOURCE_H
#define TS_SOURCE_H

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/relcache.h"

#include "log/bound.h"

/* The most rows of one multi-insert into a log. */
#define TS_LOG_SLOTS 64

/* A change log as the writer sees it; one per session and log, never freed. */
typedef struct TsLog
{
	Oid			logid;			/* hash key: the log's first half */
	Oid			written;		/* the half to write to; an older answer does no harm */
	TsLogAim	aim;			/* where it was last looked for the end */
	Oid			seqid;
	Oid			source;
	TupleDesc	desc;
	TupleTableSlot *slots[TS_LOG_SLOTS];	/* permanent, made as they are needed */
} TsLog;

typedef struct TsSource
{
	Oid			relid;			/* hash key: the relation the trigger fires on, a leaf or the root */
	bool		valid;
	bool		tracked;
	Oid			root;			/* the tracked table */
	Oid			top;			/* the topmost partitioned table above it, or itself */
	TsLog	   *log;
	bool		images;
	bool		keys_fit;		/* else an event can only be told as a gap */
	int			nkeys;
	AttrNumber *keys;			/* in the firing relation's numbers, */
	Form_pg_attribute *key_atts;	/* and as attributes of rootdesc */
	FmgrInfo   *key_eq;			/* the key index's own equality */
	Oid		   *key_collation;
	TupleDesc	rootdesc;		/* a copy of the tracked table's row */
	AttrNumber *attmap;			/* root attnum - 1 → the firing relation's attnum, 0 = none */
	bool		same_columns;	/* the firing relation has the root's attribute numbers */
	bool	   *ignored;		/* root attnum - 1 */
	bool	   *is_key;			/* root attnum - 1 */
	Datum	   *values;			/* scratch, per root attribute: the old row, */
	bool	   *nulls;
	bool	   *changed;		/* and what the UPDATE changed */
	int32		shape;			/* 0 = not looked up yet */
	bool		shape_is_new;	/* looked up in the running transaction: forget it if that fails */
	MemoryContext context;
} TsSource;

/* The entry of a relation, valid and ready to use; NULL if neither it nor an ancestor is tracked. */
extern TsSource *ts_source_lookup(Relation rel);
/* The log's slot i < TS_LOG_SLOTS. */
extern TupleTableSlot *ts_log_slot(TsLog *log, int i);
/* The number of the root's shape, written down if new. */
extern int32 ts_source_shape(TsSource *source);
/* A transaction committed: the shapes it found stay; or it failed, or a subtransaction, or was prepared: they may be gone. */
extern void ts_source_settle_new_shapes(bool keep);

#endif
