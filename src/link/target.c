/* target.c: a link's target on another server: opened, checked, and what its stub does not tell. */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "link/remote.h"

static void
deny(const TsLink *link, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the role of the user mapping may not %s table %s on server \"%s\"", what, ts_link_target(link), link->server),
			 errdetail("Link \"%s\" connects with the user mapping of its owner, role \"%s\".", link->name, GetUserNameFromId(link->owner, false)),
			 errhint("Grant the right there, or map the owner to another role.")));
}

static void
check_rights(const TsLink *link, const TsRemote *remote)
{
	static const char *const what[] = {"read", "insert into", "update", "delete from"};

	for (int i = 0; i < lengthof(what); i++)
		if (!remote->privileges[i])
			deny(link, what[i]);
	if (link->schema != NIL && !remote->owned)
		deny(link, "alter");
	if (remote->hidden)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security of table %s on server \"%s\" hides rows from link \"%s\"", ts_link_target(link), link->server, link->name),
				 errdetail("Hidden rows would look like deleted ones."),
				 errhint("Map the link's owner to a role with BYPASSRLS, or to the table's owner.")));
}

static const TsRemoteColumn *
column_named(const TsRemote *remote, const char *name)
{
	ListCell   *lc;

	foreach(lc, remote->columns)
	{
		const TsRemoteColumn *col = lfirst(lc);

		if (!col->dropped && strcmp(col->name, name) == 0)
			return col;
	}
	return NULL;
}

void
ts_remote_resolve(TsLink *link)
{
	const TsRemote *remote = link->remote;

	if (remote->kind[0] != RELKIND_RELATION && remote->kind[0] != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("target %s of link \"%s\" on server \"%s\" is not a table that can be written to", ts_link_target(link), link->name, link->server),
				 errhint("A target is an ordinary, unlogged or partitioned table.")));
	if (remote->instead)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("target %s of link \"%s\" on server \"%s\" has an INSTEAD rule", ts_link_target(link), link->name, link->server),
				 errdetail("Rows written to it would not be its rows."),
				 errhint("Drop the rule, or name another target.")));
	check_rights(link, remote);
	/* where nothing inherits from it, ONLY says nothing, and not all engines know it */
	link->target_partitioned = remote->kind[0] == RELKIND_PARTITIONED_TABLE || !remote->heirs;
	for (int i = 0; i < link->ncolumns; i++)
	{
		TsColumn   *col = &link->columns[i];
		const TsRemoteColumn *there = column_named(remote, col->now_name ? col->now_name : col->target_name);

		col->sequence = InvalidOid;
		col->opaque = there != NULL && there->opaque && !col->retyped ? there->base : NULL;
		col->remote_sequence = there ? there->sequence : NULL;
		col->as_text |= col->opaque != NULL;
		/* what is known there only is read there */
		col->bridge = col->opaque != NULL ? TS_BRIDGE_NONE : col->bridge;
		col->domain_there = there != NULL && !col->retyped && strcmp(there->declared, there->base) != 0;
		if (there != NULL)
			col->identity_always = there->identity == 'a';
	}
}

void
ts_remote_table_open(TsLink *link)
{
	TsConnection *connection = ts_connection_get(link->server, link->owner, psprintf("link %s", link->name));

	link->remote = ts_remote_describe(link, connection);
	link->target = ts_stub_make(link, link->remote);
	if (link->position != NULL)
		link->position->echo = link->remote->identity;
}

bool
ts_remote_refers_to_itself(const TsLink *link, bool at_once)
{
	ListCell   *lc;

	if (link->remote == NULL)
		return false;
	foreach(lc, link->remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		if (r->from_here && r->to_here && !(at_once && r->deferrable))
			return true;
	}
	return false;
}

bool
ts_remote_is_referred(const TsRemote *remote, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, remote->references)
		if (list_member_int(((TsRemoteReference *) lfirst(lc))->referred, attnum))
			return true;
	return false;
}

static bool
is_target(const TsLink *link, const char *schema, const char *name)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->server), CStringGetTextDatum(schema), CStringGetTextDatum(name)};
	TsCatalog	cat;
	bool		found;

	ts_catalog_enter(&cat);
	found = ts_sql("SELECT FROM tracksync.link WHERE server = $1 AND target_schema = $2 AND target_name = $3", SPI_OK_SELECT, 3, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	return found;
}

bool
ts_remote_keys_stay(const TsLink *link)
{
	const TsRemote *remote = link->remote;
	bool		held = false;
	ListCell   *lc;

	if (list_length(remote->indexes) > 1)
		return false;
	foreach(lc, remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		if (!r->to_here || (r->deferrable && !r->acts))
			continue;
		if (!is_target(link, r->child_schema, r->child))
			return false;
		held = true;
	}
	return held;
}

static void
take_flag(void *arg, int n, char *const *values)
{
	*(bool *) arg = values[0] != NULL && values[0][0] == 't';
}

bool
ts_remote_sequence_lags(const TsLink *link, const char *sequence, int64 value)
{
	const char *values[] = {psprintf(INT64_FORMAT, value), sequence};
	bool		lags = false;

	ts_remote_execute(link->remote->connection, NULL, psprintf("SELECT s.seqincrement > 0 AND s.seqmax >= $1::pg_catalog.int8 AND (q.last_value < $1::pg_catalog.int8 "
															   "OR (q.last_value = $1::pg_catalog.int8 AND NOT q.is_called)) FROM %s q, pg_catalog.pg_sequence s "
															   "WHERE s.seqrelid = $2::pg_catalog.regclass", sequence), 2, values, take_flag, &lags);
	return lags;
}

void
ts_remote_sequence_advance(const TsLink *link, const char *sequence, int64 value)
{
	const char *values[] = {sequence, psprintf(INT64_FORMAT, value)};

	if (ts_remote_sequence_lags(link, sequence, value))
		ts_remote_execute(link->remote->connection, NULL, "SELECT pg_catalog.setval($1::pg_catalog.regclass, $2)", 2, values, NULL, NULL);
}
