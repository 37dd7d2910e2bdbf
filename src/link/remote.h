/*
 * remote.h: a target on another server, as it is described there, and what stands for it here.
 *
 * What a link has to know of its target it reads from the catalog, as of a table of this database. For a table of another server there is
 * one: an empty temporary table of the same shape (its stub), with the same attribute numbers, types, unique constraints, defaults and
 * generated columns, as far as they make sense here. It belongs to the link's owner, lives as long as the session, and is made anew when
 * the table there has changed. It never holds a row, and no statement is ever run on it.
 *
 * A type that this database does not have is text here, and goes by its name there.
 */
#ifndef TS_REMOTE_H
#define TS_REMOTE_H

#include "link/back.h"
#include "link/link.h"
#include "remote/copy.h"
#include "remote/request.h"

typedef struct TsRemoteColumn
{
	AttrNumber	attnum;
	bool		dropped;
	char	   *name;
	char	   *declared;		/* its type, */
	char	   *base;			/* that type's base type, and */
	char	   *schema;			/* its (or its elements') schema, as SQL there */
	char	   *extension;		/* that the base type belongs to; NULL = none */
	char	   *type_name;		/* of the base type, bare */
	int32		typmod;			/* declared */
	int32		base_typmod;
	bool		notnull;
	char	   *collation;		/* SQL; NULL: its type's */
	char		identity;		/* a, d or \0 */
	bool		generated;
	char	   *expression;		/* of a default or a generated column; NULL = none */
	char	   *sequence;		/* that it owns, SQL; NULL = none */
	Oid			type;			/* what stands for it here, */
	int32		type_typmod;
	Oid			base_type;
	bool		opaque;			/* which is text, because there is no such type here */
} TsRemoteColumn;

typedef struct TsRemoteIndex
{
	char	   *constraint;		/* a unique or exclusion constraint's definition, or */
	char	   *definition;		/* what follows CREATE UNIQUE INDEX … ON … */
	char	   *deferrable;		/* the constraint's name, SQL, if it is */
} TsRemoteIndex;

typedef struct TsRemoteReference
{
	char	   *name;			/* of the constraint, SQL */
	char	   *child_schema;	/* the table that refers … */
	char	   *child;
	char	   *parent_schema;	/* … to this one */
	char	   *parent;
	bool		acts;			/* CASCADE, SET NULL or SET DEFAULT */
	bool		deferrable;
	bool		from_here;		/* the target refers, */
	bool		to_here;		/* or is referred to, or both */
	List	   *referred;		/* of to_here: attribute numbers, */
	List	   *referring;		/* and of from_here */
} TsRemoteReference;

typedef struct TsRemote
{
	TsConnection *connection;
	bool		exists;
	char	   *oid;			/* as text */
	char	   *kind;			/* relkind */
	bool		heirs;			/* has inheritance children or partitions */
	bool		instead;		/* an INSTEAD rule */
	bool		rules;			/* any rule */
	bool		hidden;			/* by row-level security */
	bool		privileges[4];	/* SELECT, INSERT, UPDATE, DELETE */
	bool		owned;			/* may be altered */
	bool		sharded;		/* rows live on several nodes: no locks on rows, keys stay */
	List	   *columns;		/* TsRemoteColumn */
	List	   *indexes;		/* TsRemoteIndex */
	List	   *references;		/* TsRemoteReference */
	bool		tracked;		/* by this extension, there */
	char	   *top;			/* OID of the topmost partitioned table, as text; its own if it is no partition */
	char	   *identity;		/* which table it is: of a tracked one ts_table_identity there, else a name of our own */
	TsBack		back;			/* links there that bring its changes here */
	uint64		hash;			/* of all this */
} TsRemote;

/* describe.c: asks the server for the link's target, in the current context. The connection is the owner's. */
extern TsRemote *ts_remote_describe(const TsLink *link, TsConnection *connection);

/* stub.c: the stub of the target, InvalidOid if it does not exist there. */
extern Oid	ts_stub_make(const TsLink *link, TsRemote *remote);

/* Connects, describes, and makes link->target the stub. To be done once per statement, and after schema steps. */
extern void ts_remote_table_open(TsLink *link);
/* After the link's columns were resolved against the stub: what the stub does not tell. 42501, 42809. */
extern void ts_remote_resolve(TsLink *link);

/* Is the sequence there behind the value? As ts_sequence_lags. */
extern bool ts_remote_sequence_lags(const TsLink *link, const char *sequence, int64 value);
extern void ts_remote_sequence_advance(const TsLink *link, const char *sequence, int64 value);
/* Has the target, if it is on a server, a foreign key to itself; at_once: one that is checked after each statement? */
extern bool ts_remote_refers_to_itself(const TsLink *link, bool at_once);
/* Does a foreign key there refer to the column? */
extern bool ts_remote_is_referred(const TsRemote *remote, AttrNumber attnum);

/*
 * Must rows keep their keys? Foreign keys there act at once when a key changes, or refuse it, while what they did at the source is among the
 * changes of those who refer. If all of these are links' targets, and a row under the new key does not get into the old one's way, it is
 * inserted, they are updated, and the old one is deleted when nobody refers to it any more.
 */
extern bool ts_remote_keys_stay(const TsLink *link);

/* names.c: what is called otherwise there than here; of a local target: its name here. */
extern char *ts_target_type(const TsLink *link, const TsColumn *col, bool cut);
extern char *ts_target_type_name(const TsLink *link, Oid type, int32 typmod);
extern char *ts_target_operator(const TsLink *link, Oid op);

static inline bool
ts_target_is_sharded(const TsLink *link)
{
	return link->remote != NULL && link->remote->sharded;
}

#endif
