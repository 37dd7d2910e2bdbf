/* storage.c: what a source's leaves are stored in, then and now. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "link/link.h"
#include "log/watch.h"

#define NFIELDS 5

/* The fields of a leaf's entry. */
enum
{
	LEAF_OID,
	LEAF_TRIGGERS,
	LEAF_MARK,
	LEAF_FILE,
	LEAF_STATES
};

typedef struct Field
{
	const char *at;
	int			len;
} Field;

typedef struct Leaf
{
	Field		fields[NFIELDS];
} Leaf;

/* A trigger's row has another xmin after a transaction that touched it, also if its state is what it was. */
#define TRIGGER_OF_LEAF(ours) \
	"(SELECT concat(g.oid, '.', g.xmin) AS version, g.tgenabled::text AS state FROM pg_trigger g WHERE g.tgrelid = c.oid AND " ours ")"

char *
ts_source_storage(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	MemoryContext context = CurrentMemoryContext;
	TsCatalog	cat;
	char	   *result;

	ts_catalog_enter(&cat);
	ts_sql_reading("SELECT concat((SELECT concat(e.oid, '.', e.xmin, '.', e.evtenabled) FROM pg_event_trigger e WHERE e.evtname = 'tracksync_ddl_done'), '|', "
				   "string_agg(concat(c.oid, ':', r.version, '/', u.version, ':', coalesce(s.mark::text, CASE c.relpersistence WHEN 'u' THEN '-' END), ':', "
				   "c.relfilenode, CASE WHEN c.reloftype <> 0 THEN 't' END, ':', coalesce(r.state, '-'), coalesce(u.state, '-')), ' ' ORDER BY c.oid)) "
				   "FROM pg_class c LEFT JOIN tracksync_log.survivor s ON s.source = c.oid "
				   "LEFT JOIN LATERAL " TRIGGER_OF_LEAF(TS_IS_ROW_TRIGGER) " r ON true "
				   "LEFT JOIN LATERAL " TRIGGER_OF_LEAF(TS_IS_TRUNCATE_TRIGGER) " u ON true "
				   "WHERE c.relkind = 'r' AND c.oid IN " TS_FAMILY, 1, types, values, NULL);
	result = ts_keep(context, ts_sql_text(0, 1));
	ts_catalog_leave(&cat);
	return result ? result : pstrdup("");
}

/* The first leaf in the list, split into its fields; what follows it, or NULL at the end. */
static const char *
next_leaf(const char *list, Leaf *leaf)
{
	if (list == NULL || *list == '\0')
		return NULL;
	for (int i = 0; i < NFIELDS; i++)
	{
		leaf->fields[i].at = list;
		leaf->fields[i].len = strcspn(list, ": ");
		list += leaf->fields[i].len;
		if (*list == ':')
			list++;
	}
	return *list == ' ' ? list + 1 : list;
}

static bool
same_field(const Leaf *a, const Leaf *b, int field)
{
	return a->fields[field].len == b->fields[field].len && memcmp(a->fields[field].at, b->fields[field].at, a->fields[field].len) == 0;
}

static bool
field_is(const Leaf *leaf, int field, const char *text)
{
	return leaf->fields[field].len == (int) strlen(text) && memcmp(leaf->fields[field].at, text, leaf->fields[field].len) == 0;
}

/* The leaf of the list with the same OID. */
static bool
find_leaf(const char *list, const Leaf *leaf, Leaf *found)
{
	while ((list = next_leaf(list, found)) != NULL)
		if (same_field(leaf, found, LEAF_OID))
			return true;
	return false;
}

/* The list of leaves. */
static const char *
leaves(const char *storage)
{
	const char *bar = strchr(storage, '|');

	return bar ? bar + 1 : storage;
}

/* Did the event trigger stand guard all the time? */
static bool
guarded(const char *then, const char *now)
{
	const char *bar = strchr(now, '|');

	return bar != NULL && bar > now && bar[-1] == 'A' && strncmp(then, now, bar - now + 1) == 0;
}

/* May rows have gone from the leaf without an event? */
static bool
lost(const Leaf *then, const Leaf *now, bool guard)
{
	bool		rewritten = !same_field(then, now, LEAF_FILE);
	bool		typed = then->fields[LEAF_FILE].at[then->fields[LEAF_FILE].len - 1] == 't';

	/* disabled and put back; or a partition detached and attached */
	if (!same_field(then, now, LEAF_TRIGGERS))
		return true;
	/* a crash took the mark of an unlogged table away, and perhaps somebody gave it another one */
	if (then->fields[LEAF_MARK].len > 0 ? !same_field(then, now, LEAF_MARK) : field_is(now, LEAF_MARK, "-"))
		return true;
	/* ALTER TYPE … USING may have changed the keys, and ALTER TYPE those of a typed table */
	return rewritten && (!guard || typed);
}

TsStorageChange
ts_storage_compare(const char *stored, const char *found)
{
	const char *then = leaves(stored),
			   *now = leaves(found);
	bool		guard = guarded(stored, found);
	const char *next;
	Leaf		leaf,
				other;

	for (next = now; (next = next_leaf(next, &leaf)) != NULL;)
		if (!field_is(&leaf, LEAF_STATES, "AA") || field_is(&leaf, LEAF_MARK, "-"))
			return TS_STORAGE_LOST;
	if (strcmp(then, now) == 0)
		return TS_STORAGE_SAME;
	for (next = then; (next = next_leaf(next, &leaf)) != NULL;)
		if (!find_leaf(now, &leaf, &other) || lost(&leaf, &other, guard))
			return TS_STORAGE_LOST;
	return TS_STORAGE_REWRITTEN;
}
