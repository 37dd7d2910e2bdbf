/* create.c: making links. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "capture/buffer.h"
#include "capture/track.h"
#include "link/back.h"
#include "link/compared.h"
#include "link/create.h"
#include "link/group.h"
#include "link/ledger.h"
#include "link/link.h"
#include "link/mapping.h"
#include "link/options.h"
#include "link/remote.h"
#include "log/shape.h"
#include "netchange/scan.h"

/* A name there; without a schema it is that of public, whatever the search_path here is. */
static void
resolve_remote_name(RangeVar *name, TsLink *link)
{
	if (name->catalogname)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the target of link \"%s\" has a database's name before its schema's", link->name),
				 errhint("Name the database in the options of the server.")));
	link->target_name = name->relname;
	link->target_schema = name->schemaname ? name->schemaname : "public";
	if (strcmp(link->target_schema, "tracksync_target") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" belongs to tracksync itself", link->target_name),
				 errhint("Name a user's table as target.")));
	ts_remote_table_open(link);
}

/* Splits the target's name; its schema is looked up if the name has none. */
void
ts_link_resolve_target_name(const char *text, TsLink *link)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(text)));

	if (link->server != NULL)
	{
		resolve_remote_name(name, link);
		return;
	}
	if (name->catalogname && strcmp(name->catalogname, get_database_name(MyDatabaseId)) != 0)
		ts_not_yet("a target in another database is", "Name a table of this database.");
	link->target_name = name->relname;
	link->target = RangeVarGetRelid(name, NoLock, true);
	if (name->schemaname)
		link->target_schema = name->schemaname;
	else if (OidIsValid(link->target))
		link->target_schema = get_namespace_name(get_rel_namespace(link->target));
	else
		link->target_schema = get_namespace_name(RangeVarGetCreationNamespace(name));
	if (OidIsValid(link->target) &&
		(strcmp(link->target_schema, "tracksync") == 0 || strcmp(link->target_schema, "tracksync_log") == 0))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" belongs to tracksync itself", link->target_name),
				 errhint("Name a user's table as target.")));
}

/*
 * Data that goes round in a circle within one transaction would never come to rest. There and back is fine: what a link brings is known
 * by where it came from, if both read the log. Of a longer ring none can tell that it was his.
 */
void
ts_link_check_cycle(const TsLink *link)
{
	static const Oid types[] = {OIDOID, OIDOID, TEXTOID, BOOLOID};
	Oid			from = ts_topmost(link->source);
	/* where data goes from another server is not known here */
	Oid			to = link->server == NULL && OidIsValid(link->target) ? ts_topmost(link->target) : InvalidOid;
	Datum		values[] = {ObjectIdGetDatum(from), ObjectIdGetDatum(to), CStringGetTextDatum(link->name), BoolGetDatum(!link->by_diff)};
	TsCatalog	cat;
	bool		cycle;

	if (from == to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("source and target of link \"%s\" are the same table", link->name),
				 errhint("Name another table as target.")));
	if (!OidIsValid(to))
		return;
	ts_catalog_enter(&cat);
	cycle = ts_sql("WITH RECURSIVE top AS (SELECT coalesce(pg_partition_root(source)::oid, source::oid) AS s, "
				   "coalesce(pg_partition_root(r)::oid, r::oid) AS t, detect FROM tracksync.link, LATERAL coalesce(target, "
				   "to_regclass(quote_ident(target_schema) || '.' || quote_ident(target_name))) r WHERE r IS NOT NULL AND name <> $3), "
				   "reach(relid) AS (SELECT $2 UNION SELECT t FROM top JOIN reach ON s = relid "
				   "WHERE NOT (s = $2 AND t = $1 AND detect = 'log' AND $4)) "
				   "SELECT FROM reach WHERE relid = $1", SPI_OK_SELECT, 4, types, values, NULL) > 0;
	ts_catalog_leave(&cat);
	if (cycle)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("link \"%s\" would close a cycle of links", link->name),
				 errdetail("Changes of table %s already come from table %s.", ts_quote_relation(link->source), ts_link_target(link)),
				 errhint("Link both tables directly there and back, with detect => 'log', or sync in one direction only.")));
}

/* What the source's tracking is or would be, for resolving the link before anything is changed. */
static TsTracked *
expected_tracking(const TsLink *link, const TsLinkOptions *options)
{
	TsTracked  *tracked = ts_tracked_load(link->source);
	Relation	source;
	TsKeyIndex *key;

	if (tracked != NULL)
		return tracked;
	source = relation_open(link->source, AccessShareLock);
	key = ts_key_resolve(source, options->key, options->has_key);
	tracked = palloc0(sizeof(TsTracked));
	tracked->source = RelationGetRelid(source);
	tracked->nkeys = key->nkeys;
	tracked->keys = palloc(sizeof(AttrNumber) * key->nkeys);
	for (int i = 0; i < key->nkeys; i++)
		tracked->keys[i] = key->columns[i].attnum;
	relation_close(source, NoLock);
	return tracked;
}

void
ts_link_track(Oid source, const TsLinkOptions *options)
{
	TsTrackOptions track = {.has_key = options->has_key, .key = options->key};

	if (ts_tracked_load(source) == NULL || options->has_key)
		ts_track(source, &track);
	/* a log being pruned and a new link's position must not pass each other */
	else
	{
		static const Oid types[] = {OIDOID};
		Datum		values[] = {ObjectIdGetDatum(source)};
		TsCatalog	cat;

		ts_catalog_enter(&cat);
		ts_sql("SELECT FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1 FOR UPDATE", SPI_OK_SELECT, 1, types,
			   values, NULL);
		ts_catalog_leave(&cat);
	}
}

static const char *
or_default(const char *value, const char *otherwise)
{
	return value ? value : otherwise;
}

static void
insert_link(const TsLink *link, const TsLinkOptions *o)
{
	static const Oid types[] = {TEXTOID, OIDOID, OIDOID, TEXTOID, TEXTOID, OIDOID, BOOLOID, INT2ARRAYOID, TEXTARRAYOID,
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, JSONBOID, TEXTOID, INT4OID, INT2ARRAYOID, TEXTOID, INT8OID,
	TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2ARRAYOID, INT2ARRAYOID, TEXTOID};
	TsStoredColumns columns = ts_link_stored_columns(link);
	const char *initial = or_default(o->initial, "copy");
	Snapshot	snapshot = GetTransactionSnapshot();
	TsPending	pending = {0};
	Datum		values[32];
	char		nulls[33] = "                                ";
	TsCatalog	cat;

	/* from here on, what commits is a change; what this transaction did so far is not */
	PushActiveSnapshot(snapshot);
	snapshot = GetActiveSnapshot();
	if (!link->by_diff)
		pending = ts_log_pending(ts_tracked_need(link->source), snapshot, NULL, false);
	values[0] = CStringGetTextDatum(link->name);
	values[1] = ObjectIdGetDatum(GetUserId());
	values[2] = ObjectIdGetDatum(link->source);
	values[3] = CStringGetTextDatum(link->target_schema);
	values[4] = CStringGetTextDatum(link->target_name);
	values[5] = ObjectIdGetDatum(link->target);
	nulls[5] = OidIsValid(link->target) && link->server == NULL ? ' ' : 'n';
	values[6] = BoolGetDatum(link->create_target);
	values[7] = columns.attnums;
	values[8] = columns.names;
	values[22] = columns.target_attnums;
	values[25] = columns.expressions;
	values[26] = link->filter ? CStringGetTextDatum(link->filter) : (Datum) 0;
	nulls[26] = link->filter ? ' ' : 'n';
	values[27] = link->target_filter ? CStringGetTextDatum(link->target_filter) : (Datum) 0;
	nulls[27] = link->target_filter ? ' ' : 'n';
	values[28] = columns.read_names;
	values[29] = columns.read_attnums;
	values[30] = columns.keys;
	nulls[30] = link->by_diff ? ' ' : 'n';
	values[9] = CStringGetTextDatum(initial);
	values[10] = CStringGetTextDatum(or_default(o->on_conflict, "error"));
	values[11] = CStringGetTextDatum(or_default(o->on_error, "abort"));
	values[12] = CStringGetTextDatum(or_default(o->schema_policy, "apply"));
	values[13] = CStringGetTextDatum(or_default(o->detect, "log"));
	values[14] = CStringGetTextDatum(strcmp(initial, "none") == 0 ? "active" : "initial");
	values[15] = CStringGetTextDatum(ts_position_of_snapshot());
	values[16] = CStringGetTextDatum(psprintf(UINT64_FORMAT, pending.last_seq ? ts_own_txid() : 0));
	values[17] = Int64GetDatum(pending.last_seq);
	values[18] = CStringGetTextDatum(ts_source_storage(link->source));
	values[19] = JsonbPGetDatum(o->columns);
	nulls[19] = o->columns ? ' ' : 'n';
	values[20] = CStringGetTextDatum(ts_system_identity());
	values[21] = Int32GetDatum(ts_shape_of(link->source));
	values[23] = link->server ? CStringGetTextDatum(link->server) : (Datum) 0;
	nulls[23] = link->server ? ' ' : 'n';
	values[24] = Int64GetDatum(link->server ? ts_ledger_generation(link) : 0);
	nulls[31] = link->remote && link->remote->identity ? ' ' : 'n';
	values[31] = nulls[31] == ' ' ? CStringGetTextDatum(link->remote->identity) : (Datum) 0;
	PopActiveSnapshot();
	ts_catalog_enter(&cat);
	if (ts_sql("INSERT INTO tracksync.link (name, owner, source, target_schema, target_name, target, create_target, source_attnums, "
			   "target_columns, initial, on_conflict, on_error, schema_policy, detect, state, position, own_txid, own_seq, storage, "
			   "columns, system_identity, shape, followed, target_attnums, server, generation, "
			   "expressions, filter, target_filter, read_names, read_attnums, keys, target_identity) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
			   "$16::pg_snapshot, nullif($17, '0')::xid8, $18, $19, $20, $21, $22, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32) ON CONFLICT (name) DO NOTHING",
			   SPI_OK_INSERT, 32, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("link \"%s\" already exists", link->name),
				 errhint("Choose another name, or drop the link with tracksync.drop_link.")));
	ts_catalog_leave(&cat);
}

void
ts_link_create(const char *name, Oid source, TsLinkOptions *options)
{
	TsLink	   *link = palloc0(sizeof(TsLink));

	ts_link_check_options(options);
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a link's name must not be empty"),
				 errhint("Give the link a name.")));
	link->by_diff = options->detect != NULL && strcmp(options->detect, "diff") == 0;
	if (link->by_diff)
	{
		ts_compared_check_policy(name, options->on_conflict);
		ts_compared_check_source(source);
	}
	else
		ts_check_trackable(source);
	ts_name_reserve(name);
	link->name = pstrdup(name);
	link->owner = GetUserId();
	link->source = source;
	link->create_target = options->create_target;
	link->server = options->server;
	ts_link_resolve_target_name(options->target, link);
	ts_link_check_cycle(link);
	ts_compared_check_cycle(link);
	ts_link_map(link, options, link->by_diff ? ts_compared_key(link, options) : expected_tracking(link, options));
	ts_buffer_flush();
	if (!link->by_diff)
		LockRelationOid(source, ShareUpdateExclusiveLock);
	if (!link->by_diff)
		ts_link_track(source, options);
	insert_link(link, options);
	ts_link_set_on_cast(name, options->on_cast);
	/* 0A000 if this server cannot have both directions */
	(void) ts_link_back(link);
}
