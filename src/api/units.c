/*
 * units.c: what push_all pushes, and the tables that each unit reads and writes.
 *
 * A table stands for its partitions and children, too. Foreign keys of a target: the table that it refers to is read, and those that follow
 * it by CASCADE and the like are written.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/units.h"
#include "base/catalog.h"
#include "link/compared.h"

/* A link of a unit, or a group without links. */
typedef struct Member
{
	char	   *name;			/* of the unit */
	bool		group;
	char	   *link;			/* NULL: none */
	Oid			owner;			/* of the link, or of a group without links */
	Oid			source;
	bool		by_diff;
	Oid			target;
	char	   *target_schema;
	char	   *target_name;
	char	   *server;
	int64		cost;
} Member;

typedef struct Loading
{
	TsUnits    *units;
	int			allocated;
	List	   *writes;			/* of TsAccess: tables of this database, without what hangs on them */
} Loading;

#define QUERY \
	"WITH u AS (SELECT name, false AS is_group, owner FROM tracksync.link l WHERE CASE WHEN $1 IS NULL " \
	"THEN NOT EXISTS (SELECT FROM tracksync.group_member m WHERE m.link = l.name) ELSE name = ANY ($1) END " \
	"UNION ALL SELECT name, true, owner FROM tracksync.link_group WHERE $1 IS NULL OR name = ANY ($1)) " \
	"SELECT u.name, u.is_group, l.name, coalesce(l.owner, u.owner)::oid, l.source::oid, l.detect = 'diff', l.target::oid, l.target_schema, l.target_name, " \
	"l.server, (extract(epoch FROM l.last_elapsed) * 1000000)::int8 FROM u LEFT JOIN tracksync.group_member m ON u.is_group AND m.group_name = u.name " \
	"LEFT JOIN tracksync.link l ON l.name = CASE WHEN u.is_group THEN m.link ELSE u.name END ORDER BY u.name COLLATE \"C\", l.name COLLATE \"C\""

static Oid
oid_of(uint64 row, int column)
{
	bool		isnull;
	Oid			oid = DatumGetObjectId(ts_sql_value(row, column, &isnull));

	return isnull ? InvalidOid : oid;
}

static Member *
read_member(uint64 row, MemoryContext context)
{
	Member	   *m = MemoryContextAllocZero(context, sizeof(Member));
	bool		isnull;
	Datum		cost = ts_sql_value(row, 11, &isnull);

	m->cost = isnull ? 0 : DatumGetInt64(cost);
	m->name = ts_keep(context, ts_sql_text(row, 1));
	m->group = DatumGetBool(ts_sql_value(row, 2, &isnull));
	m->link = ts_keep(context, ts_sql_text(row, 3));
	m->owner = oid_of(row, 4);
	m->source = oid_of(row, 5);
	m->by_diff = m->link != NULL && DatumGetBool(ts_sql_value(row, 6, &isnull));
	m->target = oid_of(row, 7);
	m->target_schema = ts_keep(context, ts_sql_text(row, 8));
	m->target_name = ts_keep(context, ts_sql_text(row, 9));
	m->server = ts_keep(context, ts_sql_text(row, 10));
	return m;
}

static List *
load_members(bool all, List *names)
{
	static const Oid types[] = {TEXTARRAYOID};
	MemoryContext context = CurrentMemoryContext;
	Datum	   *elems = palloc(sizeof(Datum) * (list_length(names) + 1));
	Datum		values[1];
	List	   *members = NIL;
	TsCatalog	cat;
	ListCell   *lc;
	uint64		rows;
	int			n = 0;

	foreach(lc, names)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	values[0] = PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
	ts_catalog_enter(&cat);
	rows = ts_sql(QUERY, SPI_OK_SELECT, 1, types, values, all ? "n" : " ");
	for (uint64 i = 0; i < rows; i++)
	{
		Member	   *m = read_member(i, context);
		MemoryContext old = MemoryContextSwitchTo(context);

		members = lappend(members, m);
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return members;
}

static void
check_names(List *names, List *members)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		ListCell   *found;
		bool		known = false;

		foreach(found, members)
			known |= strcmp(((Member *) lfirst(found))->name, lfirst(lc)) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("link or group \"%s\" does not exist", (char *) lfirst(lc)),
					 errhint("See tracksync.status for the links there are.")));
	}
}

/* May the current user push all of the unit, which begins here? */
static bool
check_rights(List *members, int from, bool named)
{
	const Member *first = list_nth(members, from);

	for (int i = from; i < list_length(members); i++)
	{
		const Member *m = list_nth(members, i);
		char	   *owner;

		if (strcmp(m->name, first->name) != 0)
			break;
		if (has_privs_of_role(GetUserId(), m->owner))
			continue;
		owner = GetUserNameFromId(m->owner, true);
		if (named)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for %s \"%s\"", m->group ? "group" : "link", m->name),
					 errdetail("Only members of its owner may use it."),
					 owner ? errhint("Ask for membership in role \"%s\".", owner) : 0));
		return false;
	}
	return true;
}

static void
add_access(Loading *l, int unit, bool writes, Oid rel, const char *place)
{
	TsUnits    *u = l->units;

	if (u->naccesses == l->allocated)
	{
		l->allocated = l->allocated * 2;
		u->accesses = repalloc(u->accesses, sizeof(TsAccess) * l->allocated);
	}
	u->accesses[u->naccesses++] = (TsAccess)
	{
		unit, writes, rel, place
	};
}

/* A table with all that is part of it; one that is gone is nobody's. */
static void
add_table(Loading *l, int unit, bool writes, Oid rel)
{
	ListCell   *lc;

	if (get_rel_name(rel) == NULL)
		return;
	foreach(lc, find_all_inheritors(rel, NoLock, NULL))
	{
		add_access(l, unit, writes, lfirst_oid(lc), NULL);
		if (writes)
		{
			TsAccess   *write = palloc(sizeof(TsAccess));

			*write = l->units->accesses[l->units->naccesses - 1];
			l->writes = lappend(l->writes, write);
		}
	}
}

static void
add_member(Loading *l, int unit, const Member *m)
{
	Oid			target = m->target;
	ListCell   *lc;

	foreach(lc, m->by_diff ? ts_source_relations(m->source) : list_make1_oid(m->source))
		add_table(l, unit, false, lfirst_oid(lc));
	/* made since by hand */
	if (m->server == NULL && !OidIsValid(target))
		target = get_relname_relid(m->target_name, get_namespace_oid(m->target_schema, true));
	if (OidIsValid(target) && m->server == NULL)
		add_table(l, unit, true, target);
	else
		add_access(l, unit, true, InvalidOid, psprintf("%s %s", m->server ? quote_identifier(m->server) : "",
													   quote_qualified_identifier(m->target_schema, m->target_name)));
}

/*
 * What foreign keys have to do with the tables in $1: those that are written when these are, and those that are read. They are few: all of them
 * are asked for at once.
 */
#define REFERENCES \
	"WITH RECURSIVE k AS MATERIALIZED (SELECT conrelid, confrelid, confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd') AS acts FROM pg_constraint WHERE contype = 'f'), " \
	"reached AS (SELECT t AS from_rel, t AS rel FROM unnest($1) AS t UNION SELECT r.from_rel, k.conrelid FROM reached r JOIN k ON k.confrelid = r.rel AND k.acts) " \
	"SELECT from_rel, rel, true FROM reached WHERE from_rel <> rel " \
	"UNION ALL SELECT r.from_rel, k.confrelid, false FROM reached r JOIN k ON k.conrelid = r.rel ORDER BY 1, 2, 3"

static int
compare_rels(const ListCell *a, const ListCell *b)
{
	Oid			x = ((TsAccess *) lfirst(a))->rel,
				y = ((TsAccess *) lfirst(b))->rel;

	return x < y ? -1 : x > y;
}

static void
add_references(Loading *l)
{
	static const Oid types[] = {OIDARRAYOID};
	Datum	   *rels = palloc(sizeof(Datum) * (list_length(l->writes) + 1));
	Datum		values[1];
	TsCatalog	cat;
	uint64		rows;
	int			n = 0,
				at = 0;
	ListCell   *lc;

	list_sort(l->writes, compare_rels);
	foreach(lc, l->writes)
		if (n == 0 || DatumGetObjectId(rels[n - 1]) != ((TsAccess *) lfirst(lc))->rel)
			rels[n++] = ObjectIdGetDatum(((TsAccess *) lfirst(lc))->rel);
	values[0] = PointerGetDatum(construct_array(rels, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	ts_catalog_enter(&cat);
	rows = ts_sql(REFERENCES, SPI_OK_SELECT, 1, types, values, NULL);
	/* both by the table */
	for (uint64 i = 0; i < rows; i++)
	{
		Oid			from = oid_of(i, 1);
		bool		isnull;

		while (at < list_length(l->writes) && ((TsAccess *) list_nth(l->writes, at))->rel < from)
			at++;
		for (int k = at; k < list_length(l->writes) && ((TsAccess *) list_nth(l->writes, k))->rel == from; k++)
			add_access(l, ((TsAccess *) list_nth(l->writes, k))->unit, DatumGetBool(ts_sql_value(i, 3, &isnull)), oid_of(i, 2), NULL);
	}
	ts_catalog_leave(&cat);
}

TsUnits *
ts_units_load(bool all, List *names)
{
	List	   *members = load_members(all, names);
	TsUnits    *u = palloc0(sizeof(TsUnits));
	Loading		l = {.units = u, .allocated = 64};
	const char *skipped = NULL;

	check_names(names, members);
	u->units = palloc(sizeof(TsUnit) * (list_length(members) + 1));
	u->accesses = palloc(sizeof(TsAccess) * l.allocated);
	for (int i = 0; i < list_length(members); i++)
	{
		const Member *m = list_nth(members, i);

		if (skipped != NULL && strcmp(skipped, m->name) == 0)
			continue;
		if (u->n == 0 || strcmp(u->units[u->n - 1].name, m->name) != 0)
		{
			if (!check_rights(members, i, !all))
			{
				skipped = m->name;
				continue;
			}
			u->units[u->n++] = (TsUnit)
			{
				m->name, m->group, 0
			};
		}
		u->units[u->n - 1].cost += m->cost;
		if (m->link != NULL)
			add_member(&l, u->n - 1, m);
	}
	if (l.writes != NIL)
		add_references(&l);
	return u;
}
