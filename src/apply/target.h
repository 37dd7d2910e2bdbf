/*
 * target.h: where a push writes. The one interface between the steps and a target; a local table is one, a remote one will be.
 */
#ifndef TS_TARGET_H
#define TS_TARGET_H

#include "base/row.h"
#include "plan/statement.h"

typedef struct TsTarget TsTarget;

/* A batch: changes of one operation and one mask. */
typedef struct TsWrite
{
	TsChangeOp	op;
	const unsigned char *mask;
	int			n;
	const TsChange *rows;
	bool	   *done;			/* per row */
} TsWrite;

typedef struct TsTargetOps
{
	/*
	 * starts a push into all of these targets of this database, of which this is one: until close constraints are checked no more often than they must
	 * be, and foreign keys between the targets do nothing but check: what they did at the source is among the changes
	 */
	void		(*open) (TsTarget *target, int n, const Oid *targets);
	/* starts the writing to this target */
	void		(*begin) (TsTarget *target);
	/* runs a statement with one array per parameter; returns the rows written or read; row may be NULL */
	uint64		(*execute) (TsTarget *target, TsStatement *stmt, Datum *arrays, TsRowFunction row, void *arg);
	/*
	 * All of these: starts a statement, and waits for it later; statements are run in the order in which they were started, and waited for
	 * in it. ready: waiting will take no time, or there is an error. NULL: there is nothing to be gained.
	 */
	void	   *(*send) (TsTarget *target, TsStatement *stmt, Datum *arrays);
	bool		(*ready) (TsTarget *target, void *ticket);
	uint64		(*receive) (TsTarget *target, void *ticket, TsRowFunction row, void *arg);
	/*
	 * Both: inserts rows, as one stream until its end, which tells how many there were. Nothing else may be asked of the target meanwhile.
	 * NULL, or false: a statement is needed.
	 */
	bool		(*stream) (TsTarget *target, int n, const TsChange *rows);
	uint64		(*stream_end) (TsTarget *target);
	/*
	 * Does what the first statement of a batch would do, without one: deletes or updates the rows that are there and hold the
	 * known old values, inserts all (23505 if a key is there). Sets done for the rows that are as wanted then. May be NULL;
	 * false: a statement is needed.
	 */
	bool		(*write) (TsTarget *target, const TsWrite *write);
	/* how many rows were updated and deleted by statements since begin; NULL: not counted */
	int64		(*written) (TsTarget *target);
	/* runs a statement without parameters (DDL) */
	void		(*run) (TsTarget *target, const char *sql);
	/*
	 * From now on, or no more: statements write their rows in the order of the arrays, whatever the statistics say, since a row may take what
	 * the one before it gave up. Of targets on one server one is told, in_order is set for all. NULL: they always do.
	 */
	void		(*order) (TsTarget *target, bool on);
	/* ends the writing to this target */
	void		(*finish) (TsTarget *target);
	/* checks what was put off since open; an error here fails the push */
	void		(*close) (TsTarget *target);
	/* between the two, in a subtransaction that is rolled back: what is written is not checked at close. Not directly, then. */
	void		(*probe) (TsTarget *target);
	/* forgets prepared statements; to be called after close, and before a new open after an error */
	void		(*reset) (TsTarget *target);
} TsTargetOps;

struct TsTarget
{
	const TsTargetOps *ops;
	bool		in_order;
	bool		at_once;		/* foreign keys that could wait are checked by each statement: then it is known which row it was */
};

/* A table of this database, written to as the current user. Needs an SPI connection. */
extern TsTarget *ts_local_target(const TsLink *link);
/* One on another server, that the link was opened with. */
extern TsTarget *ts_remote_target(const TsLink *link);

#endif
