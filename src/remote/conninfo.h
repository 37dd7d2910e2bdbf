/*
 * conninfo.h: foreign servers and user mappings as libpq's connection parameters, and who may use them.
 *
 * The rules of postgres_fdw: who is no superuser connects with a password of the user mapping, and not with what the operating system's
 * user of this server has (.pgpass, certificates, a trusted address), unless a superuser allowed it with password_required 'false'.
 */
#ifndef TS_CONNINFO_H
#define TS_CONNINFO_H

#include "foreign/foreign.h"

typedef struct TsConninfo
{
	const char **keywords;		/* a NULL after the last */
	const char **values;
	int			n;
	int			timeout;		/* seconds; 0: no limit */
} TsConninfo;

/* The server, of one of the wrappers we know, for a role that may use it; 42704, 42809, 42501. */
extern ForeignServer *ts_conninfo_server(const char *name, Oid role);
/* The role's user mapping, or that of PUBLIC; 42704. */
extern UserMapping *ts_conninfo_mapping(const ForeignServer *server, Oid role);
/* Must the server have asked for the mapping's password? */
extern bool ts_conninfo_password_required(const UserMapping *mapping, Oid role);
/* What libpq is told, in the current context; 2F003 if there is no password where one is required. */
extern TsConninfo ts_conninfo_build(const ForeignServer *server, const UserMapping *mapping, Oid role, const char *application_name);

#endif
