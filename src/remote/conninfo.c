/* conninfo.c: foreign servers and user mappings as libpq's connection parameters, and who may use them. */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/settings.h"
#include "remote/conninfo.h"
#include "remote/option.h"
#include "remote/pq.h"

/* Where neither server nor mapping says anything: a peer that is gone is noticed within about a minute. */
static const struct
{
	const char *keyword;
	const char *value;
}			defaults[] =
{
	{"keepalives", "1"},
	{"keepalives_idle", "30"},
	{"keepalives_interval", "10"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "60000"},
};

ForeignServer *
ts_conninfo_server(const char *name, Oid role)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	char	   *wrapper;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Create it with CREATE SERVER … FOREIGN DATA WRAPPER tracksync_fdw; pg_foreign_server lists those there are.")));
	wrapper = GetForeignDataWrapper(server->fdwid)->fdwname;
	if (strcmp(wrapper, "tracksync_fdw") != 0 && strcmp(wrapper, "postgres_fdw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" belongs to foreign-data wrapper \"%s\"", name, wrapper),
				 errhint("Use a server of tracksync_fdw or postgres_fdw.")));
	if (ts_server_aclcheck(server->serverid, role, ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server %s", name),
				 errhint("Ask the server's owner for USAGE.")));
	return server;
}

UserMapping *
ts_conninfo_mapping(const ForeignServer *server, Oid role)
{
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server->serverid)) &&
		!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(server->serverid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" has no user mapping for server \"%s\"", GetUserNameFromId(role, false), server->servername),
				 errhint("Use CREATE USER MAPPING FOR the role SERVER … OPTIONS (user '…', password '…').")));
	return GetUserMapping(role, server->serverid);
}

static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

bool
ts_conninfo_password_required(const UserMapping *mapping, Oid role)
{
	DefElem    *option = find_option(mapping->options, "password_required");

	return !superuser_arg(role) && (option == NULL || defGetBoolean(option));
}

/* The owner of a server can write what he likes there, so that it may be ours to ignore. */
static int
option_seconds(List *options, int otherwise)
{
	DefElem    *option = find_option(options, "connect_timeout");
	long		seconds;

	if (option == NULL)
		return otherwise;
	seconds = strtol(defGetString(option), NULL, 10);
	return Min(Max(seconds, 0), 24 * 3600);
}

/* As many as libpq tries in turn. */
static int
count_hosts(List *options)
{
	static const char *const names[] = {"hostaddr", "host"};
	int			hosts = 1;

	for (int i = 0; i < lengthof(names); i++)
	{
		DefElem    *option = find_option(options, names[i]);
		int			n = 1;

		for (const char *p = option ? defGetString(option) : ""; *p; p++)
			n += *p == ',';
		hosts = Max(hosts, n);
	}
	return hosts;
}

static void
add(TsConninfo *info, const char *keyword, const char *value)
{
	info->keywords[info->n] = keyword;
	info->values[info->n] = value;
	info->n++;
}

static void
add_options(TsConninfo *info, List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (ts_option_passed_on(option->defname))
			add(info, option->defname, defGetString(option));
	}
}

TsConninfo
ts_conninfo_build(const ForeignServer *server, const UserMapping *mapping, Oid role, const char *application_name)
{
	int			room = list_length(server->options) + list_length(mapping->options) + lengthof(defaults) + 3;
	DefElem    *password = find_option(mapping->options, "password");
	TsConninfo	info;

	if (ts_conninfo_password_required(mapping, role) && (password == NULL || *defGetString(password) == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("password is required"),
				 errdetail("Role \"%s\" is no superuser, and its user mapping for server \"%s\" has no password.",
						   GetUserNameFromId(role, false), server->servername),
				 errhint("Use ALTER USER MAPPING … OPTIONS (ADD password '…'), or have a superuser set password_required 'false'.")));
	info.n = 0;
	info.keywords = palloc0(sizeof(char *) * room);
	info.values = palloc0(sizeof(char *) * room);
	info.timeout = option_seconds(server->options, ts_connect_timeout) * count_hosts(server->options);
	for (int i = 0; i < lengthof(defaults); i++)
		if (ts_option_passed_on(defaults[i].keyword) && find_option(server->options, defaults[i].keyword) == NULL)
			add(&info, defaults[i].keyword, defaults[i].value);
	add_options(&info, server->options);
	add_options(&info, mapping->options);
	add(&info, "client_encoding", GetDatabaseEncodingName());
	add(&info, "application_name", application_name);
	return info;
}
