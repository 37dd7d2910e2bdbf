/* args.c: arguments, and opening links. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "api/args.h"
#include "api/pair.h"
#include "capture/buffer.h"
#include "link/back.h"
#include "link/compared.h"
#include "link/evolve.h"
#include "link/group.h"
#include "link/ledger.h"
#include "link/remote.h"
#include "log/reclaim.h"

List *
ts_names_arg(FunctionCallInfo fcinfo, int n)
{
	List	   *names = NIL;
	Datum	   *elems;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(n))
		return NIL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a name must not be NULL"),
					 errhint("Leave it out of the list.")));
		names = lappend(names, TextDatumGetCString(elems[i]));
	}
	return names;
}

/*
 * Under a snapshot that is older than the lock on the source, a TRUNCATE or rewrite in between would show an empty or new
 * table as if it had always been so.
 */
static void
check_storage(Oid relid)
{
	char	   *then = ts_source_storage(relid);
	char	   *now;

	PushActiveSnapshot(GetLatestSnapshot());
	now = ts_source_storage(relid);
	PopActiveSnapshot();
	if (strcmp(then, now) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not read table %s: it was truncated or rewritten after this transaction's snapshot",
						get_rel_name(relid)),
				 errhint("Try again in a new transaction.")));
}

/* Has the link a column whose values are cast on their way? */
static bool
converts(const TsLink *link)
{
	for (int i = 0; i < link->ncolumns; i++)
		if (link->columns[i].source_type != link->columns[i].target_base || link->columns[i].retyped)
			return true;
	return false;
}

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a,
				y = *(const Oid *) b;

	return x < y ? -1 : x > y;
}

/*
 * Pushes into the same target go one after the other: two that alter it would wait for each other, each with a lock that the other
 * one's is to be stronger than. A lock of our own, that vacuum and writers know nothing of. Of a link that has one in the other direction
 * the source is locked as well: they go one after the other, too.
 */
static void
lock_targets(List *names)
{
	Oid			books = get_relname_relid("link", get_namespace_oid("tracksync", false));
	Oid		   *targets = palloc(sizeof(Oid) * (3 * list_length(names) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, names)
	{
		const TsLink *link = ts_link_load_newest(lfirst(lc));
		char	   *there = link->server ? psprintf("%s %s", link->server, ts_link_target(link)) : NULL;

		targets[n++] = there ? (Oid) hash_bytes((unsigned char *) there, (int) strlen(there)) : link->target;
		if (there == NULL && ts_link_back(link) != TS_BACK_NONE)
		{
			targets[n++] = ts_topmost(link->target);
			targets[n++] = ts_topmost(link->source);
		}
	}
	qsort(targets, n, sizeof(Oid), compare_oids);
	for (int i = 0; i < n; i++)
		if (OidIsValid(targets[i]))
			LockDatabaseObject(books, targets[i], 0, ExclusiveLock);
}

/* Locks a link's row and relations: names are taken after that, and the snapshot; see check_storage. */
static void
lock_link(TsOpened *opened, const char *name, TsOpenFor purpose)
{
	bool		push = ts_open_writes(purpose);
	TsLink	   *link = opened->link = ts_link_load(name, push);

	if (link->server != NULL)
	{
		if (purpose == TS_OPEN_VERIFY)
			ts_connection_snapshot(ts_connection_get(link->server, link->owner, psprintf("link %s", link->name)));
		ts_remote_table_open(link);
		/* before the snapshot is taken: another session's push is known, or waited for */
		if (purpose == TS_OPEN_PUSH && ts_ledger_open(link, TS_LEDGER_PUSH))
		{
			TsLink	   *again = ts_link_load(name, true);

			again->remote = link->remote;
			again->target = link->target;
			again->position->echo = link->remote->identity;
			link = opened->link = again;
		}
		else if (purpose == TS_OPEN_TRY)
			(void) ts_ledger_open(link, TS_LEDGER_READ);
	}
	opened->source = relation_open(link->source, AccessShareLock);
	if (link->by_diff)
		ts_source_lock(link->source);
	else if (opened->source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		(void) find_all_inheritors(link->source, AccessShareLock, NULL);
	if (OidIsValid(link->target))
		LockRelationOid(link->target, push ? RowExclusiveLock : AccessShareLock);
	/* a table may have been renamed or dropped while it was waited for */
	ts_link_follow_target(link);
	/* where the log ends, before the snapshot is taken */
	if (purpose == TS_OPEN_PUSH && !link->by_diff)
	{
		link->tracked = ts_tracked_need(link->source);
		ts_log_reclaim(link->tracked);
		ts_log_note(&link->tracked->note, link->tracked->halves[link->tracked->written]);
	}
}

/* Under the snapshot: the link against its relations. False: another push came in between. */
static bool
resolve_link(TsOpened *opened, TsOpenFor purpose)
{
	bool		push = ts_open_writes(purpose);
	TsLink	   *link = opened->link;

	if (!push)
	{
		TsLink	   *before = link;

		link = opened->link = ts_link_load(link->name, false);
		ts_link_follow_target(link);
		link->remote = before->remote;
		if (link->server != NULL)
		{
			link->target = before->target;
			link->position->echo = link->remote->identity;
		}
		if (link->server != NULL && purpose == TS_OPEN_VERIFY && !ts_ledger_agrees(link))
			return false;
		if (link->server != NULL)
			(void) ts_ledger_open(link, TS_LEDGER_READ);
	}
	if (IsolationUsesXactSnapshot())
	{
		ListCell   *lc;

		foreach(lc, link->by_diff ? ts_source_relations(link->source) : list_make1_oid(link->source))
			check_storage(lfirst_oid(lc));
		if (OidIsValid(link->target) && link->server == NULL)
			check_storage(link->target);
		if (push)
			ts_pair_check_snapshot(link);
	}
	if (link->target_gone)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table %s of link \"%s\" was dropped", ts_link_target(link), link->name),
				 errhint("Name another one, or the table that took its place: tracksync.alter_link(%s, target => …).",
						 quote_literal_cstr(link->name))));
	/* a target made since by hand, when the first push was to create it */
	if (!OidIsValid(link->target) && link->server == NULL)
		link->target = get_relname_relid(link->target_name, get_namespace_oid(link->target_schema, true));
	opened->target = OidIsValid(link->target) ? relation_open(link->target, push ? RowExclusiveLock : AccessShareLock) : NULL;
	ts_link_evolve(link, opened->source, opened->target);
	ts_link_resolve(link, opened->source, opened->target);
	ts_link_check_rights(link, opened->source, opened->target);
	return true;
}

/* All run as one role. */
static void
check_owners(const TsOpening *opening)
{
	for (int i = 1; i < opening->n; i++)
		if (opening->links[i].link->owner != opening->links[0].link->owner)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the links of group \"%s\" belong to different roles", opening->name),
					 errhint("Take those of other roles out of it with tracksync.group_remove.")));
}

/* One transaction does not reach over several servers. */
static void
check_servers(TsOpening *opening)
{
	const char *first = opening->n > 0 ? opening->links[0].link->server : NULL;
	const TsLink *other = NULL;

	for (int i = 1; i < opening->n; i++)
	{
		const char *server = opening->links[i].link->server;

		if ((server == NULL) != (first == NULL) || (server != NULL && strcmp(server, first) != 0))
			other = opening->links[i].link;
	}
	if (other == NULL)
		return;
	opening->split = ts_group_is_split(opening->name);
	if (!opening->split)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the targets of group \"%s\" are in several places", opening->name),
				 errdetail("That of link \"%s\" is %s, that of link \"%s\" %s.", opening->links[0].link->name,
						   first ? psprintf("on server \"%s\"", first) : "in this database", other->name,
						   other->server ? psprintf("on server \"%s\"", other->server) : "in this database"),
				 errhint("Make a group for each place, or one with a transaction for each: tracksync.create_group(…, transactions => 'per_server').")));
}

static void
become_owner(TsOpening *opening)
{
	Oid			owner = opening->n > 0 ? opening->links[0].link->owner : GetUserId();
	bool		pins_zone = false,
				remote = false;

	for (int i = 0; i < opening->n; i++)
	{
		pins_zone |= converts(opening->links[i].link) || opening->links[i].link->quarantine;
		remote |= opening->links[i].link->server != NULL;
	}
	ts_become(&opening->identity, owner, GetUserId() != owner, ts_role_setting(owner, "search_path", "\"$user\", public"));
	/* casts between timestamps must not depend on who pushes, nor what is remembered of rows in quarantine */
	if (pins_zone || remote)
		(void) set_config_option("TimeZone", remote ? "UTC" : ts_role_setting(owner, "TimeZone", "UTC"), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
}

static void
add_context(void *arg)
{
	errcontext("link \"%s\"", (char *) linitial((List *) arg));
}

void
ts_open(TsOpening *opening, const char *name, TsOpenFor purpose)
{
	List	   *at = list_make1(NULL);
	ErrorContextCallback callback = {.callback = add_context, .arg = at, .previous = error_context_stack};
	List	   *names;
	ListCell   *lc;
	int			i = 0;

	ts_buffer_flush();
	memset(opening, 0, sizeof(*opening));
	opening->context = CurrentMemoryContext;
	opening->name = pstrdup(name);
	names = ts_group_links(name, &opening->group);
	opening->n = list_length(names);
	opening->links = palloc0(sizeof(TsOpened) * (opening->n + 1));
	opening->purpose = purpose;
	if (ts_open_writes(purpose))
		lock_targets(names);
	error_context_stack = &callback;
	foreach(lc, names)
	{
		linitial(at) = lfirst(lc);
		lock_link(&opening->links[i++], lfirst(lc), purpose);
	}
	error_context_stack = callback.previous;
	check_owners(opening);
	check_servers(opening);
	ts_pair_refuse_group(opening);
	if (purpose == TS_OPEN_PUSH)
		ts_pair_lock(opening);
	PushActiveSnapshot(GetTransactionSnapshot());
	opening->snapshot = RegisterSnapshot(GetActiveSnapshot());
	error_context_stack = &callback;
	for (i = 0; i < opening->n && !opening->stale; i++)
	{
		linitial(at) = opening->links[i].link->name;
		opening->stale = !resolve_link(&opening->links[i], purpose);
	}
	error_context_stack = callback.previous;
	become_owner(opening);
}

void
ts_close(TsOpening *opening)
{
	SPI_finish();
	ts_unbecome(&opening->identity);
	UnregisterSnapshot(opening->snapshot);
	PopActiveSnapshot();
	for (int i = 0; i < opening->n; i++)
	{
		if (opening->purpose == TS_OPEN_VERIFY && opening->links[i].link->remote != NULL)
			ts_connection_snapshot_end(opening->links[i].link->remote->connection);
		if (opening->links[i].target)
			relation_close(opening->links[i].target, NoLock);
		relation_close(opening->links[i].source, NoLock);
	}
}
