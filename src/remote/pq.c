/*
 * pq.c: loading libpq.
 *
 * The server's own module for logical replication is linked to it, wherever it is; CREATE SUBSCRIPTION loads that into a session, too. Its
 * symbols, and those of what it needs, can be found then.
 */
#define TS_PQ_NAMES
#include "postgres.h"

#include <dlfcn.h>

#include "fmgr.h"

#include "remote/pq.h"

#define PLACE(name) {#name, offsetof(TsPq, name)},

static const struct
{
	const char *name;
	size_t		place;
}			functions[] =
{
	TS_PQ_BASE(PLACE)
	TS_PQ_PIPELINE(PLACE)
};

const TsPq *
ts_pq(void)
{
	static TsPq pq;
	static bool loaded = false;

	if (loaded)
		return &pq;
	load_file("$libdir/libpqwalreceiver", false);
	for (int i = 0; i < lengthof(functions); i++)
	{
		void	   *found = dlsym(RTLD_DEFAULT, functions[i].name);

		if (found == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("could not find function %s of libpq", functions[i].name),
					 errhint("Install a libpq that is as new as the server.")));
		memcpy((char *) &pq + functions[i].place, &found, sizeof(found));
	}
	loaded = true;
	return &pq;
}
