/* origin.c: where changes come from. */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "nodes/pg_list.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "capture/origin.h"
#include "log/event.h"

/* What names a table; anything longer was not written by us. */
#define MAX_IDENTITY 200

/* A command that brings rows. */
typedef struct Mark
{
	CommandId	cid;
	const char *origin;
} Mark;

bool		ts_origin_marked = false;

static Mark *marks = NULL;		/* of the running transaction, ascending */
static int	nmarks = 0;
static int	size = 0;
static List *interned = NIL;	/* of the session */

const char *
ts_origin_intern(const char *identity)
{
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, interned)
		if (strcmp(lfirst(lc), identity) == 0)
			return lfirst(lc);
	old = MemoryContextSwitchTo(TopMemoryContext);
	interned = lcons(pstrdup(identity), interned);
	MemoryContextSwitchTo(old);
	return linitial(interned);
}

void
ts_origin_begin(const char *identity)
{
	/* a number of its own: neither of what was done before, nor, if the statement fails before it writes, of what is done later */
	(void) GetCurrentCommandId(true);
	CommandCounterIncrement();
	if (nmarks == size)
	{
		size = size == 0 ? 64 : size * 2;
		marks = marks == NULL ? MemoryContextAlloc(TopTransactionContext, sizeof(Mark) * size) : repalloc(marks, sizeof(Mark) * size);
	}
	marks[nmarks].cid = GetCurrentCommandId(false);
	marks[nmarks].origin = ts_origin_intern(identity);
	nmarks++;
	ts_origin_marked = true;
}

/* A number that has not been used yet will be somebody else's. */
static void
drop_unused(void)
{
	while (nmarks > 0 && marks[nmarks - 1].cid >= GetCurrentCommandId(false))
		nmarks--;
	ts_origin_marked = nmarks > 0;
}

void
ts_origin_end(void)
{
	CommandCounterIncrement();
	drop_unused();
}

static const char *
find_mark(CommandId cid)
{
	int			low = 0,
				high = nmarks - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (marks[middle].cid == cid)
			return marks[middle].origin;
		if (marks[middle].cid < cid)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/* What the setting says: "OID identity"; anything else says nothing. */
static const char *
find_setting(Oid top)
{
	static char text[MAX_IDENTITY + 16] = "";
	static Oid	table = InvalidOid;
	static const char *origin = NULL;

	if (strcmp(ts_origin_setting, text) != 0)
	{
		char	   *end;
		unsigned long oid = strtoul(ts_origin_setting, &end, 10);

		if (*end != ' ' || end[1] == '\0' || strlen(ts_origin_setting) >= sizeof(text))
			return NULL;
		origin = ts_origin_intern(end + 1);
		table = (Oid) oid;
		strlcpy(text, ts_origin_setting, sizeof(text));
	}
	if (table != top)
		return NULL;
	/* one level of triggers: ours, fired by the push's own statement */
	return DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) <= 1 ? origin : NULL;
}

const char *
ts_origin_find(Oid top, CommandId cid)
{
	const char *origin = ts_origin_marked && cid != TS_NO_COMMAND ? find_mark(cid) : NULL;

	if (origin == NULL && ts_origin_setting != NULL && ts_origin_setting[0] != '\0')
		origin = find_setting(top);
	return origin;
}

bool
ts_origin_is_exact(void)
{
	static const struct
	{
		int			major;
		int			minor;
	}			since[] = {{13, 19}, {14, 16}, {15, 11}, {16, 7}, {17, 3}};
	static int	version = 0;

	if (version == 0)
		version = atoi(GetConfigOption("server_version_num", false, false));
	for (int i = 0; i < lengthof(since); i++)
		if (version / 10000 == since[i].major)
			return version % 10000 >= since[i].minor;
	return true;
}

static void
forget(void)
{
	marks = NULL;
	nmarks = size = 0;
	ts_origin_marked = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		forget();
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && ts_origin_marked)
		drop_unused();
}

void
ts_origin_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
