/* connection.c: the session's connections, one per server and role. */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "remote/error.h"
#include "remote/open.h"
#include "remote/transaction.h"

dlist_head	ts_connections = DLIST_STATIC_INIT(ts_connections);

/* Of all connections. */
static MemoryContext connections_context = NULL;

static TsConnection *
find(Oid serverid, Oid role)
{
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = dlist_container(TsConnection, node, iter.cur);

		if (connection->serverid == serverid && connection->role == role)
			return connection;
	}
	return NULL;
}

static TsConnection *
make(Oid serverid, Oid role)
{
	MemoryContext context;
	TsConnection *connection;

	if (connections_context == NULL)
		connections_context = AllocSetContextCreate(TopMemoryContext, "tracksync connections", ALLOCSET_SMALL_SIZES);
	context = AllocSetContextCreate(connections_context, "tracksync connection", ALLOCSET_SMALL_SIZES);
	connection = MemoryContextAllocZero(context, sizeof(TsConnection));
	connection->context = context;
	connection->serverid = serverid;
	connection->role = role;
	dlist_init(&connection->requests);
	dlist_push_tail(&ts_connections, &connection->node);
	return connection;
}

/* tracksync <purpose> from <database>@<cluster>: what comes first is not cut off. */
static void
name_it(TsConnection *connection, const char *purpose)
{
	const char *database = get_database_name(MyDatabaseId);
	char		identifier[32];
	char	   *name;

	snprintf(identifier, sizeof(identifier), UINT64_FORMAT, GetSystemIdentifier());
	name = psprintf("tracksync %s from %s@%s", purpose, database ? database : "?",
					cluster_name != NULL && cluster_name[0] != '\0' ? cluster_name : identifier);
	name[pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1)] = '\0';
	strlcpy(connection->wanted_name, name, NAMEDATALEN);
	pfree(name);
}

TsConnection *
ts_connection_get(const char *server_name, Oid role, const char *purpose)
{
	ForeignServer *server = ts_conninfo_server(server_name, role);
	UserMapping *mapping = ts_conninfo_mapping(server, role);
	TsConnection *connection = find(server->serverid, role);

	if (connection == NULL)
		connection = make(server->serverid, role);
	ts_error_check(connection);
	strlcpy(connection->server, server->servername, NAMEDATALEN);
	name_it(connection, purpose);
	if (connection->depth > 0)
		return connection;
	if (connection->outdated || connection->mapping != mapping->umid ||
		(ts_conninfo_password_required(mapping, role) && !connection->own_password))
		ts_remote_close(connection);
	if (connection->conn == NULL)
		ts_remote_open(connection, server, mapping);
	return connection;
}

int
ts_connection_version(const TsConnection *connection)
{
	return connection->version;
}

bool
ts_connection_is_writing(const char *server, Oid role)
{
	Oid			serverid = server ? get_foreign_server_oid(server, true) : InvalidOid;
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = dlist_container(TsConnection, node, iter.cur);

		if (connection->depth > 0 && connection->writes > 0 && (server == NULL || connection->serverid == serverid) &&
			(!OidIsValid(role) || connection->role == role))
			return true;
	}
	return false;
}

int
ts_connection_close(const char *server)
{
	Oid			serverid = server ? get_foreign_server_oid(server, true) : InvalidOid;
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = dlist_container(TsConnection, node, iter.cur);

		if (connection->conn != NULL && connection->depth == 0 && (server == NULL || connection->serverid == serverid))
		{
			ts_remote_close(connection);
			n++;
		}
	}
	return n;
}

/* Only notes it: in use or not, this is no place to close one. */
static void
invalidated(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &ts_connections)
	{
		TsConnection *connection = dlist_container(TsConnection, node, iter.cur);

		if (hash == 0 || hash == (cacheid == FOREIGNSERVEROID ? connection->server_hash : connection->mapping_hash))
			connection->outdated = true;
	}
}

void
ts_connection_init(void)
{
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidated, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, invalidated, (Datum) 0);
	ts_transaction_init();
}
