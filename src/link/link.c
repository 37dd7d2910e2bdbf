/* link.c: loading links. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "base/expression.h"
#include "base/quote.h"
#include "link/link.h"

char *
ts_link_target(const TsLink *link)
{
	return quote_qualified_identifier(link->target_schema, link->target_name);
}

static TsInitial
read_initial(const char *text)
{
	return strcmp(text, "copy") == 0 ? TS_INITIAL_COPY : strcmp(text, "mirror") == 0 ? TS_INITIAL_MIRROR : TS_INITIAL_NONE;
}

static TsLinkState
read_state(const char *text)
{
	return strcmp(text, "initial") == 0 ? TS_STATE_INITIAL : strcmp(text, "active") == 0 ? TS_STATE_ACTIVE : TS_STATE_RESYNC;
}

static TsConflictPolicy
read_conflict_policy(const char *text)
{
	static const char *const names[] = {"error", "source_wins", "target_wins", "merge"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (TsConflictPolicy) i;
	return TS_CONFLICT_FUNCTION;
}

static TsSchemaPolicy
read_policy(const char *text)
{
	return strcmp(text, "apply") == 0 ? TS_SCHEMA_APPLY : strcmp(text, "additive") == 0 ? TS_SCHEMA_ADDITIVE :
		strcmp(text, "ignore") == 0 ? TS_SCHEMA_IGNORE : TS_SCHEMA_ERROR;
}

static void
read_columns(TsLink *link, MemoryContext context)
{
	bool		isnull;
	Datum	   *attnums,
			   *names,
			   *there;
	int			n,
				nthere;

	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(0, 21, &isnull)), INT2OID, 2, true, TYPALIGN_SHORT, &there, NULL, &nthere);
	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(0, 10, &isnull)), INT2OID, 2, true, TYPALIGN_SHORT, &attnums, NULL, &n);
	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(0, 11, &isnull)), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	link->ncolumns = n;
	link->columns = MemoryContextAllocZero(context, sizeof(TsColumn) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		link->columns[i].attnum = DatumGetInt16(attnums[i]);
		link->columns[i].target_name = link->columns[i].stored_name = ts_keep(context, TextDatumGetCString(names[i]));
		link->columns[i].target_attnum = nthere == n ? DatumGetInt16(there[i]) : 0;
	}
	link->target_names = MemoryContextAllocZero(context, sizeof(TsNames));
	link->target_names->names = MemoryContextAlloc(context, sizeof(char *) * (n + 1));
	link->target_names->attnums = MemoryContextAlloc(context, sizeof(AttrNumber) * (n + 1));
	for (int i = 0; i < n; i++)
		if (link->columns[i].target_attnum > 0)
		{
			link->target_names->names[link->target_names->n] = link->columns[i].target_name;
			link->target_names->attnums[link->target_names->n++] = link->columns[i].target_attnum;
		}
}

/* Elements of a text array, kept; NULL where there is none. */
static char **
read_texts(int column, MemoryContext context, int *n)
{
	bool		isnull;
	Datum	   *elems;
	bool	   *nulls;
	char	  **texts;

	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(0, column, &isnull)), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, n);
	texts = MemoryContextAllocZero(context, sizeof(char *) * (*n + 1));
	for (int i = 0; i < *n; i++)
		texts[i] = nulls[i] ? NULL : ts_keep(context, TextDatumGetCString(elems[i]));
	return texts;
}

/* The expressions, the filter, and what they call the source's columns. */
static void
read_expressions(TsLink *link, MemoryContext context)
{
	bool		isnull;
	int			n;
	char	  **expressions = read_texts(28, context, &n);
	Datum	   *attnums;

	for (int i = 0; i < n && i < link->ncolumns; i++)
		link->columns[i].expression = expressions[i];
	link->filter = ts_keep(context, ts_sql_text(0, 29));
	link->target_filter = ts_keep(context, ts_sql_text(0, 30));
	link->former = ts_keep(context, ts_sql_text(0, 31));
	link->names = MemoryContextAllocZero(context, sizeof(TsNames));
	link->names->names = read_texts(32, context, &link->names->n);
	deconstruct_array(DatumGetArrayTypeP(ts_sql_value(0, 33, &isnull)), INT2OID, 2, true, TYPALIGN_SHORT, &attnums, NULL, &n);
	link->names->attnums = MemoryContextAllocZero(context, sizeof(AttrNumber) * (n + 1));
	for (int i = 0; i < n; i++)
		link->names->attnums[i] = DatumGetInt16(attnums[i]);
	link->by_diff = DatumGetBool(ts_sql_value(0, 34, &isnull));
}

/* The key of a source that is not tracked for the link. */
static void
read_keys(TsLink *link, MemoryContext context)
{
	bool		isnull;
	Datum		value = ts_sql_value(0, 36, &isnull);
	Datum	   *attnums;

	if (!link->by_diff || isnull)
		return;
	link->tracked = MemoryContextAllocZero(context, sizeof(TsTracked));
	link->tracked->source = link->source;
	deconstruct_array(DatumGetArrayTypeP(value), INT2OID, 2, true, TYPALIGN_SHORT, &attnums, NULL, &link->tracked->nkeys);
	link->tracked->keys = MemoryContextAllocZero(context, sizeof(AttrNumber) * (link->tracked->nkeys + 1));
	for (int i = 0; i < link->tracked->nkeys; i++)
		link->tracked->keys[i] = DatumGetInt16(attnums[i]);
}

static TsLink *
read_link(MemoryContext context)
{
	TsLink	   *link = MemoryContextAllocZero(context, sizeof(TsLink));
	bool		isnull;
	char	   *own;
	MemoryContext old;

	link->name = ts_keep(context, ts_sql_text(0, 1));
	link->owner = DatumGetObjectId(ts_sql_value(0, 2, &isnull));
	link->source = DatumGetObjectId(ts_sql_value(0, 3, &isnull));
	link->target_schema = ts_keep(context, ts_sql_text(0, 4));
	link->target_name = ts_keep(context, ts_sql_text(0, 5));
	link->shape = DatumGetInt32(ts_sql_value(0, 18, &isnull));
	link->followed = DatumGetInt32(ts_sql_value(0, 22, &isnull));
	link->by_name = DatumGetBool(ts_sql_value(0, 19, &isnull));
	link->policy = read_policy(ts_sql_text(0, 20));
	link->create_target = DatumGetBool(ts_sql_value(0, 6, &isnull));
	link->initial = read_initial(ts_sql_text(0, 7));
	link->on_conflict = read_conflict_policy(ts_sql_text(0, 8));
	link->conflict_function = DatumGetObjectId(ts_sql_value(0, 23, &isnull));
	if (isnull)
		link->conflict_function = InvalidOid;
	link->quarantine = DatumGetBool(ts_sql_value(0, 24, &isnull));
	link->doubted = DatumGetBool(ts_sql_value(0, 25, &isnull));
	link->server = ts_keep(context, ts_sql_text(0, 26));
	link->generation = DatumGetInt64(ts_sql_value(0, 27, &isnull));
	link->lossy = DatumGetBool(ts_sql_value(0, 35, &isnull));
	link->state = read_state(ts_sql_text(0, 9));
	read_columns(link, context);
	read_expressions(link, context);
	read_keys(link, context);
	old = MemoryContextSwitchTo(context);
	own = ts_sql_text(0, 13);
	link->position = ts_position_parse(ts_sql_text(0, 12), own ? strtoull(own, NULL, 10) : 0,
									   DatumGetInt64(ts_sql_value(0, 14, &isnull)));
	MemoryContextSwitchTo(old);
	link->storage = ts_keep(context, ts_sql_text(0, 15));
	/* a restored dump, a copied database or a server set back: what the position says means nothing here */
	link->from_elsewhere = strcmp(ts_sql_text(0, 16), ts_system_identity()) != 0;
	if (link->state == TS_STATE_ACTIVE && (link->from_elsewhere || ts_position_is_ahead(link->position)))
		link->state = TS_STATE_RESYNC;
	link->target = DatumGetObjectId(ts_sql_value(0, 17, &isnull));
	link->target_gone = !isnull && get_rel_name(link->target) == NULL;
	if (isnull || link->target_gone)
		link->target = InvalidOid;
	else
	{
		MemoryContext old_context = MemoryContextSwitchTo(context);

		ts_link_follow_target(link);
		link->position->echo = ts_table_identity(link->target);
		MemoryContextSwitchTo(old_context);
	}
	/* as far as it was asked */
	if (link->server != NULL)
		link->position->echo = ts_keep(context, ts_sql_text(0, 37));
	return link;
}

void
ts_link_follow_target(TsLink *link)
{
	char	   *name = OidIsValid(link->target) ? get_rel_name(link->target) : NULL;

	if (link->server != NULL)
		return;
	if (name != NULL)
	{
		link->target_schema = get_namespace_name(get_rel_namespace(link->target));
		link->target_name = name;
	}
	else if (OidIsValid(link->target))
	{
		link->target = InvalidOid;
		link->target_gone = true;
	}
}

/* A link's books are put right with those of its source. */
static void
put_right(const char *name)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(ts_system_identity())};
	bool		isnull;
	Oid			source;
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	/* the newest row: somebody may have done it already */
	if (ts_sql("SELECT source::oid FROM tracksync.link WHERE name = $1 AND system_identity <> $2", SPI_OK_SELECT, 2, types, values, NULL) == 1)
	{
		source = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
		if (ts_tracked_load(source) == NULL && get_rel_name(source) != NULL)
			ts_tracked_adopt_links(source);
	}
	ts_catalog_leave(&cat);
}

static TsLink *
load(const char *name, bool lock, bool newest, MemoryContext context)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	char	   *sql = psprintf("SELECT name, owner::oid, source::oid, target_schema, target_name, create_target, initial, on_conflict, "
							   "state, source_attnums, target_columns, position::text, own_txid::text, own_seq, storage, system_identity, "
							   "target::oid, shape, columns IS NULL, schema_policy, target_attnums, followed, "
							   "CASE WHEN on_conflict LIKE '%%.%%' THEN to_regprocedure(on_conflict || '(text, jsonb, jsonb, jsonb, jsonb)')::oid END, on_error = 'quarantine', doubted, server, generation, expressions, filter, target_filter, former_filter, read_names, read_attnums, detect = 'diff', on_cast = 'lossy', keys, target_identity FROM tracksync.link WHERE name = $1%s", lock ? " FOR UPDATE" : "");
	TsCatalog	cat;
	TsLink	   *link = NULL;

	ts_catalog_enter(&cat);
	/* without lock the active snapshot counts: position and log must be of the same moment */
	if ((lock || newest ? ts_sql(sql, SPI_OK_SELECT, 1, types, values, NULL) : ts_sql_reading(sql, 1, types, values, NULL)) == 1)
		link = read_link(context);
	ts_catalog_leave(&cat);
	return link;
}

TsLink *
ts_link_load_any(const char *name)
{
	return load(name, false, false, CurrentMemoryContext);
}

static TsLink *
load_checked(const char *name, bool lock, bool newest)
{
	TsLink	   *link;

	/* the caller's right is checked before anything is locked */
	link = load(name, false, newest, CurrentMemoryContext);
	if (link != NULL && link->from_elsewhere)
	{
		put_right(name);
		link = load(name, false, newest, CurrentMemoryContext);
	}
	if (link == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" does not exist", name),
				 errhint("See tracksync.status for the links there are.")));
	if (GetUserNameFromId(link->owner, true) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of link \"%s\" does not exist any more", name),
				 errhint("Let a superuser drop the link, and make it anew.")));
	if (!has_privs_of_role(GetUserId(), link->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for link \"%s\"", name),
				 errdetail("Only members of the link's owner may use it."),
				 errhint("Ask for membership in role \"%s\".", GetUserNameFromId(link->owner, false))));
	if (lock)
		link = load(name, true, true, CurrentMemoryContext);
	if (link == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("link \"%s\" was dropped by another session", name)));
	if (get_rel_name(link->source) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the source of link \"%s\" does not exist any more", name),
				 errhint("Call tracksync.drop_link for it.")));
	return link;
}

TsLink *
ts_link_load(const char *name, bool lock)
{
	return load_checked(name, lock, lock);
}

TsLink *
ts_link_load_newest(const char *name)
{
	return load_checked(name, false, true);
}
