/* alter.c: altering and dropping links. */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/expression.h"
#include "capture/buffer.h"
#include "capture/track.h"
#include "link/compared.h"
#include "link/create.h"
#include "link/detect.h"
#include "link/fit.h"
#include "link/ledger.h"
#include "link/mapping.h"
#include "link/options.h"
#include "link/remote.h"
#include "link/rule.h"
#include "link/step.h"
#include "log/shape.h"

static void
update_columns(const TsLink *link, const TsLinkOptions *o)
{
	static const Oid types[] = {TEXTOID, INT2ARRAYOID, TEXTARRAYOID, JSONBOID, TEXTOID, TEXTOID, OIDOID, INT4OID, INT2ARRAYOID, TEXTOID, INT8OID,
	TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2ARRAYOID, TEXTOID, INT2ARRAYOID, TEXTOID};
	TsStoredColumns columns = ts_link_stored_columns(link);
	const char *texts[] = {link->server, link->filter, link->target_filter, link->former, link->remote ? link->remote->identity : NULL};
	const int	places[] = {9, 12, 13, 16, 18};
	Datum		values[19];
	char		nulls[20] = "                   ";
	TsCatalog	cat;

	values[0] = CStringGetTextDatum(link->name);
	values[7] = Int32GetDatum(ts_shape_of(link->source));
	values[1] = columns.attnums;
	values[2] = columns.names;
	values[8] = columns.target_attnums;
	values[3] = JsonbPGetDatum(o->columns);
	nulls[3] = o->columns ? ' ' : 'n';
	values[4] = CStringGetTextDatum(link->target_schema);
	values[5] = CStringGetTextDatum(link->target_name);
	values[6] = ObjectIdGetDatum(link->target);
	nulls[6] = OidIsValid(link->target) && link->server == NULL ? ' ' : 'n';
	values[10] = Int64GetDatum(link->generation);
	values[11] = columns.expressions;
	values[14] = columns.read_names;
	values[15] = columns.read_attnums;
	values[17] = columns.keys;
	nulls[17] = link->by_diff ? ' ' : 'n';
	for (int i = 0; i < lengthof(texts); i++)
	{
		values[places[i]] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		nulls[places[i]] = texts[i] ? ' ' : 'n';
	}
	ts_catalog_enter(&cat);
	/* other columns or rows, or another table: what the log says since the last push is not enough */
	ts_sql("UPDATE tracksync.link SET source_attnums = $2, target_columns = $3, columns = coalesce($4, columns), target_schema = $5, "
		   "target_name = $6, target = $7, shape = $8, followed = $8, target_attnums = $9, server = $10, generation = $11, expressions = $12, "
		   "filter = $13, target_filter = $14, read_names = $15, read_attnums = $16, former_filter = $17, keys = $18, target_identity = $19, "
		   "state = CASE state WHEN 'initial' THEN state ELSE 'resync' END WHERE name = $1",
		   SPI_OK_UPDATE, 19, types, values, nulls);
	ts_catalog_leave(&cat);
}

static void
update_options(const char *name, const TsLinkOptions *o)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	const char *given[] = {name, o->initial, o->on_conflict, o->on_error, o->schema_policy, o->detect};
	Datum		values[7];
	char		nulls[8] = "       ";
	TsCatalog	cat;

	for (int i = 0; i < lengthof(given); i++)
	{
		values[i] = given[i] ? CStringGetTextDatum(given[i]) : (Datum) 0;
		nulls[i] = given[i] ? ' ' : 'n';
	}
	values[6] = BoolGetDatum(o->create_target);
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET initial = coalesce($2, initial), on_conflict = coalesce($3, on_conflict), "
		   "on_error = coalesce($4, on_error), schema_policy = coalesce($5, schema_policy), detect = coalesce($6, detect), "
		   "create_target = create_target OR $7, "
		   "state = CASE WHEN state = 'initial' AND $2 = 'none' THEN 'active' ELSE state END WHERE name = $1",
		   SPI_OK_UPDATE, 7, types, values, nulls);
	ts_catalog_leave(&cat);
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = pstrdup(text);
	value.val.string.len = strlen(text);
	(void) pushJsonbValue(state, token, &value);
}

/* The columns as they were given when the link was made or altered, under the names of now; NULL: those that both sides share. */
static Jsonb *
given_columns(const TsLink *link, Relation source)
{
	JsonbParseState *state = NULL;

	if (link->by_name)
		return NULL;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < link->ncolumns; i++)
	{
		const TsColumn *col = &link->columns[i];
		/* in brackets it is not taken for a name */
		char	   *from = col->expression ? psprintf("(%s)", ts_link_read_text(link, source, col->expression)) : get_attname(link->source, col->attnum, true);

		if (from == NULL)
			continue;
		push_string(&state, WJB_KEY, col->target_name);
		push_string(&state, WJB_VALUE, from);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What is not given stays as it is, under the names of now. */
static void
keep_mapping(TsLink *link, TsLinkOptions *options)
{
	Relation	source = relation_open(link->source, AccessShareLock);

	if (options->columns == NULL)
		options->columns = given_columns(link, source);
	if (options->filter == NULL && link->filter != NULL)
		options->filter = ts_link_read_text(link, source, link->filter);
	relation_close(source, NoLock);
}

/* Which rows of the target were the link's, as it was. */
typedef struct Former
{
	TsLink	   *link;
	char	   *text;			/* over the target's columns; NULL: any */
} Former;

static void
read_former(void *arg)
{
	Former	   *f = arg;
	Relation	source = relation_open(f->link->source, AccessShareLock);
	Relation	target = relation_open(f->link->target, AccessShareLock);
	Node	   *condition = NULL;

	if (ts_link_resolve_source(f->link, source))
		condition = ts_link_derive_condition(f->link, source, target);
	if (condition != NULL)
		f->text = ts_expression_sql(condition, f->link->target, NULL);
	/* altered twice */
	if (condition != NULL && f->link->former != NULL)
		f->text = psprintf("(%s) OR (%s)", f->text, ts_expression_sql(ts_link_read_former(f->link, target), f->link->target, NULL));
	relation_close(target, NoLock);
	relation_close(source, NoLock);
}

/* The target's rows that the link takes for its own until now: they are still its own for the next push, which deletes those that are not. */
static char *
rows_so_far(const TsLink *now)
{
	Former		f = {.link = ts_link_load(now->name, false)};
	ErrorData  *error;

	if (f.link->state == TS_STATE_INITIAL)
		return NULL;
	if (f.link->filter == NULL && f.link->target_filter == NULL)
		return "true";
	f.link->target = now->target;
	f.link->remote = now->remote;
	if (!OidIsValid(f.link->target))
		return NULL;
	/* what it reads or calls may be gone, which is why it is altered */
	error = ts_attempt(read_former, &f, false);
	if (error != NULL && !ts_fit_is_about_value(error->sqlerrcode))
		ReThrowError(error);
	return error == NULL && f.text != NULL ? f.text : "true";
}

/*
 * Links of the same source and target that told rows apart from the link's by their filters: one of theirs may have been the link's for
 * a while, which deleted it. When the link has gone they do not look for such rows any more.
 */
static void
doubt_siblings(const TsLink *link)
{
	static const Oid types[] = {TEXTOID, OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(link->name), ObjectIdGetDatum(link->source), ObjectIdGetDatum(link->target),
	CStringGetTextDatum(link->server ? link->server : ""), CStringGetTextDatum(link->target_schema), CStringGetTextDatum(link->target_name)};
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET doubted = true WHERE name <> $1 AND source::oid = $2 AND filter IS NOT NULL AND "
		   "(target::oid = $3 OR (server = $4 AND target_schema = $5 AND target_name = $6))", SPI_OK_UPDATE, 6, types, values, NULL);
	ts_catalog_leave(&cat);
}

/* Other columns, or another target. */
static void
map_anew(TsLink *link, const TsLinkOptions *options)
{
	TsLinkOptions kept = *options;

	if (options->target)
		doubt_siblings(link);
	if (options->server)
		link->server = options->server[0] ? options->server : NULL;
	if (link->server != NULL && !options->target)
		ts_remote_table_open(link);
	if (options->target)
	{
		/* what was known of the rows of the former target says nothing of the other's */
		link->former = NULL;
		link->target_names = NULL;
		ts_link_resolve_target_name(options->target, link);
	}
	else if (options->filter || options->target_filter)
		link->former = rows_so_far(link);
	keep_mapping(link, &kept);
	link->create_target |= options->create_target;
	link->ncolumns = 0;
	ts_link_check_cycle(link);
	ts_compared_check_cycle(link);
	ts_link_map(link, &kept, link->by_diff ? link->tracked : ts_tracked_need(link->source));
	/* where it comes to it may have been before */
	if (options->server && link->server != NULL)
		link->generation = ts_ledger_generation(link);
	ts_rules_locate(link, ts_rules_of(link->name));
	update_columns(link, options);
}

/* Other rows: the columns stay as they are, whatever schema changes of the source are still to be followed. */
static void
filter_anew(TsLink *link, const TsLinkOptions *options)
{
	static const Oid types[] = {TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2ARRAYOID, TEXTOID};
	const char *texts[3];
	const int	places[] = {2, 3, 6};
	TsStoredColumns columns;
	Datum		values[7];
	char		nulls[8] = "       ";
	TsCatalog	cat;

	if (link->server != NULL)
		ts_remote_table_open(link);
	link->former = rows_so_far(link);
	ts_link_map_filters(link, options);
	columns = ts_link_stored_columns(link);
	values[0] = CStringGetTextDatum(link->name);
	values[1] = columns.expressions;
	values[4] = columns.read_names;
	values[5] = columns.read_attnums;
	texts[0] = link->filter;
	texts[1] = link->target_filter;
	texts[2] = link->former;
	for (int i = 0; i < lengthof(texts); i++)
	{
		values[places[i]] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		nulls[places[i]] = texts[i] ? ' ' : 'n';
	}
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET expressions = $2, filter = $3, target_filter = $4, read_names = $5, read_attnums = $6, former_filter = $7, "
		   "state = CASE state WHEN 'initial' THEN state ELSE 'resync' END WHERE name = $1", SPI_OK_UPDATE, 7, types, values, nulls);
	ts_catalog_leave(&cat);
}

void
ts_link_alter(const char *name, TsLinkOptions *options)
{
	TsLink	   *link = ts_link_load(name, true);
	bool		switched;

	ts_link_check_options(options);
	if (options->has_key)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of link \"%s\" cannot be changed", name),
				 link->by_diff ? errhint("Drop the link, and make it anew with the other key.") :
				 errhint("Drop the link, untrack the table and make both anew with the other key.")));
	if (options->server && !options->target)
		options->target = ts_link_target(link);
	switched = ts_link_switch_detection(link, options);
	if (options->target || options->columns)
		map_anew(link, options);
	else if (options->filter || options->target_filter)
		filter_anew(link, options);
	update_options(name, options);
	ts_link_set_on_cast(name, options->on_cast);
	if (switched && link->by_diff)
		ts_link_let_go(link->source);
}

void
ts_link_set_merge_rule(const char *name, const char *column, const char *rule)
{
	static const char *const rules[] = {"source", "target", "greatest", "least", "add"};
	static const char *const row_rules[] = {"keep", "delete"};
	static const Oid types[] = {TEXTOID, INT2OID, TEXTOID, TEXTOID};
	TsLink	   *link = ts_link_load(name, true);
	const TsColumn *col = NULL;
	Datum		values[4];
	bool		known = false,
				whole_row;
	TsCatalog	cat;

	for (int i = 0; i < link->ncolumns; i++)
		if (strcmp(link->columns[i].target_name, column) == 0)
			col = &link->columns[i];
	whole_row = col == NULL && strcmp(column, "*") == 0;
	for (int i = 0; !whole_row && i < lengthof(rules); i++)
		known |= strcmp(rule, rules[i]) == 0;
	for (int i = 0; whole_row && i < lengthof(row_rules); i++)
		known |= strcmp(rule, row_rules[i]) == 0;
	if (whole_row && !known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid merge rule for rows: \"%s\"", rule),
				 errhint("Use 'keep' or 'delete', for rows that one side deleted and the other one changed.")));
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid merge rule: \"%s\"", rule),
				 errhint("Use 'source', 'target', 'greatest', 'least' or 'add'.")));
	if (col == NULL && !whole_row)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("link \"%s\" has no column \"%s\"", name, column),
				 errhint("Name a column of the target that the link writes, or '*' for rows that one side deleted.")));
	values[0] = CStringGetTextDatum(name);
	values[1] = Int16GetDatum(whole_row ? InvalidAttrNumber : col->attnum);
	values[2] = CStringGetTextDatum(rule);
	values[3] = CStringGetTextDatum(!whole_row && col->expression ? col->target_name : "");
	ts_catalog_enter(&cat);
	ts_sql("INSERT INTO tracksync.merge_rule (link, attnum, column_name, rule) VALUES ($1, $2, $4, $3) ON CONFLICT (link, attnum, column_name) DO UPDATE SET rule = excluded.rule",
		   SPI_OK_INSERT, 4, types, values, NULL);
	ts_catalog_leave(&cat);
}

void
ts_link_take_over(const char *name)
{
	static const Oid types[] = {TEXTOID};
	TsLink	   *link = ts_link_load(name, true);
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;

	if (link->server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the target of link \"%s\" is in this database", name),
				 errhint("There is nobody to take over from.")));
	ts_remote_table_open(link);
	ts_ledger_forget(link);
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET generation = 0, state = CASE state WHEN 'initial' THEN state ELSE 'resync' END WHERE name = $1",
		   SPI_OK_UPDATE, 1, types, values, NULL);
	ts_catalog_leave(&cat);
}

List *
ts_links_of(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	MemoryContext context = CurrentMemoryContext;
	List	   *names = NIL;
	TsCatalog	cat;
	uint64		n;

	ts_catalog_enter(&cat);
	n = ts_sql("SELECT name FROM tracksync.link WHERE source OPERATOR(pg_catalog.=) $1 AND detect = 'log' ORDER BY name", SPI_OK_SELECT, 1, types, values,
			   NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		names = lappend(names, ts_keep(context, ts_sql_text(i, 1)));
		MemoryContextSwitchTo(old);
	}
	ts_catalog_leave(&cat);
	return names;
}

/* The link may outlive its source: then there is nothing to load or to untrack. */
static Oid
source_of(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	TsCatalog	cat;
	bool		isnull;
	Oid			source = InvalidOid,
				owner = InvalidOid;

	ts_catalog_enter(&cat);
	if (ts_sql("SELECT source::oid, owner::oid FROM tracksync.link WHERE name = $1 FOR UPDATE", SPI_OK_SELECT, 1, types, values, NULL) == 1)
	{
		source = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
		owner = DatumGetObjectId(ts_sql_value(0, 2, &isnull));
	}
	ts_catalog_leave(&cat);
	return OidIsValid(owner) && get_rel_name(source) == NULL && has_privs_of_role(GetUserId(), owner) ? source : InvalidOid;
}

void
ts_link_drop(const char *name)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	Oid			source = source_of(name);
	bool		orphan = OidIsValid(source);
	TsCatalog	cat;

	if (!orphan)
	{
		TsLink	   *link = ts_link_load(name, true);

		source = link->source;
		doubt_siblings(link);
		/* links come and go one after the other, or the last one to go would not be known */
		LockRelationOid(source, ShareUpdateExclusiveLock);
	}
	ts_buffer_flush();
	ts_catalog_enter(&cat);
	ts_sql("DELETE FROM tracksync.link WHERE name = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("DELETE FROM tracksync.group_member WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("DELETE FROM tracksync.merge_rule WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_steps_forget(name);
	ts_rules_forget(name);
	ts_sql("DELETE FROM tracksync.quarantine_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	/* its history goes with it: the next link of that name may be somebody else's */
	ts_sql("DELETE FROM tracksync.push_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("DELETE FROM tracksync.conflict_record WHERE link = $1", SPI_OK_DELETE, 1, types, values, NULL);
	if (orphan)
		ts_sql("DELETE FROM tracksync.tracked_table t WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.source)",
			   SPI_OK_DELETE, 0, NULL, NULL, NULL);
	ts_catalog_leave(&cat);
	if (!orphan)
		ts_link_let_go(source);
}
