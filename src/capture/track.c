/*
 * track.c: starting and ending the tracking of a table.
 *
 * The row trigger is made on the tracked table; PostgreSQL clones it to partitions, also to those attached later. Truncate
 * triggers are not cloned: each partition that exists gets one of its own, and an event trigger sees to later ones.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/quote.h"
#include "capture/buffer.h"
#include "capture/track.h"
#include "log/logtable.h"
#include "log/shape.h"
#include "log/tracked.h"

#define ROW_TRIGGER "00_tracksync_row"
#define TRUNCATE_TRIGGER "00_tracksync_truncate"

static void
check_kind(Relation rel)
{
	char		kind = rel->rd_rel->relkind;
	const char *name = RelationGetRelationName(rel);

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errdetail("Only tables and partitioned tables can be tracked."),
				 errhint("Track the tables that \"%s\" is made from.", name)));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a temporary table", name),
				 errdetail("A temporary table's changes are seen by one session only."),
				 errhint("Use an ordinary or an unlogged table.")));
	if (IsCatalogRelation(rel) || RelationGetRelid(rel) < FirstNormalObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a system catalog", name),
				 errhint("Track a user's table.")));
	if (strcmp(get_namespace_name(RelationGetNamespace(rel)), TS_LOG_SCHEMA) == 0 ||
		strcmp(get_namespace_name(RelationGetNamespace(rel)), "tracksync") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" belongs to tracksync itself", name),
				 errhint("Track a user's table.")));
}

/* A table and a partition of it cannot both be tracked: one event would be logged twice. */
static void
check_family(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Oid			root = ts_tracked_root(relid);
	ListCell   *lc;

	if (OidIsValid(root) && root != relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is a partition of tracked table \"%s\"", RelationGetRelationName(rel), get_rel_name(root)),
				 errhint("Use the partitioned table as source.")));
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		if (lfirst_oid(lc) != relid && ts_tracked_load(lfirst_oid(lc)) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("partition \"%s\" of \"%s\" is tracked already", get_rel_name(lfirst_oid(lc)), RelationGetRelationName(rel)),
					 errhint("Untrack the partition first.")));
}

PG_FUNCTION_INFO_V1(tracksync_partition_added);

static List *
family(Oid relid)
{
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		return find_all_inheritors(relid, AccessShareLock, NULL);
	return list_make1_oid(relid);
}

/* Rows written in replica role are changes too. */
static void
enable_always(Oid relid, const char *name)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %s", ts_quote_relation(relid), quote_identifier(name));
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

static void
make_trigger(Oid relid, const char *name, const char *when, const char *level, const char *function)
{
	StringInfoData sql;

	initStringInfo(&sql);
	/* CREATE TRIGGER name AFTER … ON table FOR EACH … EXECUTE FUNCTION tracksync.f() */
	appendStringInfo(&sql, "CREATE TRIGGER %s AFTER %s ON %s FOR EACH %s EXECUTE FUNCTION tracksync.%s()",
					 quote_identifier(name), when, ts_quote_relation(relid), level, function);
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

static void
track_partition(Oid relid)
{
	/* what a user did to the triggers of a partition that has them is left as it is */
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE || OidIsValid(get_trigger_oid(relid, TRUNCATE_TRIGGER, true)))
		return;
	enable_always(relid, ROW_TRIGGER);
	make_trigger(relid, TRUNCATE_TRIGGER, "TRUNCATE", "STATEMENT", "capture_truncate");
	enable_always(relid, TRUNCATE_TRIGGER);
}

/* Our own ALTER TABLE fires the event trigger again. */
static bool adding_partitions = false;

void
ts_track_partitions(Oid root)
{
	List	   *members = family(root);

	adding_partitions = true;
	PG_TRY();
	{
		ListCell   *lc;

		foreach(lc, members)
			track_partition(lfirst_oid(lc));
	}
	PG_FINALLY();
	{
		adding_partitions = false;
	}
	PG_END_TRY();
}

/* The relation must not be open: ALTER TABLE takes part. */
static void
make_triggers(Oid relid)
{
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	make_trigger(relid, ROW_TRIGGER, "INSERT OR UPDATE OR DELETE", "ROW", "capture_row");
	ts_track_partitions(relid);
	ts_catalog_leave(&cat);
}

static void
drop_trigger(Oid relid, const char *name)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DROP TRIGGER IF EXISTS %s ON %s", quote_identifier(name), ts_quote_relation(relid));
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

static Datum
attnum_array(int n, const AttrNumber *attnums)
{
	Datum	   *elems = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int16GetDatum(attnums[i]);
	return PointerGetDatum(construct_array(elems, n, INT2OID, 2, true, TYPALIGN_SHORT));
}

static AttrNumber *
resolve_columns(Relation rel, List *names, int *n)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * (list_length(names) + 1));
	ListCell   *lc;

	*n = 0;
	foreach(lc, names)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), lfirst(lc));

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", (char *) lfirst(lc), RelationGetRelationName(rel)),
					 errhint("Name columns of the source table.")));
		attnums[(*n)++] = attnum;
	}
	return attnums;
}

static void
insert_tracked(Relation rel, const TsKeyIndex *key, Datum ignored, const TsTrackOptions *options)
{
	static const Oid types[] = {OIDOID, OIDOID, OIDOID, INT2ARRAYOID, TEXTOID, INT2ARRAYOID, BOOLOID, INT4OID, BOOLOID, TEXTOID,
	OIDARRAYOID};
	AttrNumber *keys = palloc(sizeof(AttrNumber) * key->nkeys);
	Datum	   *key_types = palloc(sizeof(Datum) * key->nkeys);
	Datum		values[11];
	Oid			logid,
				seqid;
	bool		created;
	TsCatalog	cat;

	for (int i = 0; i < key->nkeys; i++)
	{
		keys[i] = key->columns[i].attnum;
		key_types[i] = ObjectIdGetDatum(getBaseType(TupleDescAttr(RelationGetDescr(rel), keys[i] - 1)->atttypid));
	}
	values[7] = Int32GetDatum(ts_shape_register(rel, &created));
	ts_catalog_enter(&cat);
	ts_logtable_create(rel, &logid, &seqid);
	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[1] = ObjectIdGetDatum(logid);
	values[2] = ObjectIdGetDatum(seqid);
	values[3] = attnum_array(key->nkeys, keys);
	values[4] = CStringGetTextDatum(options->images ? options->images : "changed");
	values[5] = ignored;
	values[6] = BoolGetDatum(options->explicitly);
	values[9] = CStringGetTextDatum(ts_system_identity());
	values[8] = BoolGetDatum(rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED);
	values[10] = PointerGetDatum(construct_array(key_types, key->nkeys, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	ts_sql("INSERT INTO tracksync.tracked_table (source, log, seq, keys, key_types, images, ignored, explicitly, shape, "
		   "system_identity) VALUES ($1, $2, $3, $4, $11, $5, $6, $7, $8, $10)", SPI_OK_INSERT, 11, types, values, NULL);
	/* a crash empties unlogged tables without an event: this row goes with it */
	ts_sql("INSERT INTO tracksync_log.survivor (source) SELECT $1 WHERE $9", SPI_OK_INSERT, 9, types, values, NULL);
	ts_catalog_leave(&cat);
}

static void
alter_tracked(Relation rel, const TsTracked *tracked, Datum ignored, const TsTrackOptions *options)
{
	static const Oid types[] = {OIDOID, TEXTOID, INT2ARRAYOID, BOOLOID};
	Datum		values[4];
	char		nulls[5] = "    ";
	TsCatalog	cat;
	ListCell   *lc;

	if (options->has_key)
	{
		TsKeyIndex *key = ts_key_resolve(rel, options->key, true);
		bool		same = key->nkeys == tracked->nkeys;

		for (int i = 0; same && i < key->nkeys; i++)
			same = key->columns[i].attnum == tracked->keys[i];
		if (!same)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" is tracked with another key", RelationGetRelationName(rel)),
					 errhint("Untrack it first to change the key.")));
	}
	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[1] = options->images ? CStringGetTextDatum(options->images) : (Datum) 0;
	nulls[1] = options->images ? ' ' : 'n';
	values[2] = ignored;
	nulls[2] = options->has_ignore ? ' ' : 'n';
	values[3] = BoolGetDatum(options->explicitly);
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.tracked_table SET images = coalesce($2, images), ignored = coalesce($3, ignored), "
		   "explicitly = explicitly OR $4 WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 4, types, values, nulls);
	ts_catalog_leave(&cat);
	foreach(lc, family(RelationGetRelid(rel)))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

void
ts_check_trackable(Oid source)
{
	Relation	rel = relation_open(source, AccessShareLock);

	check_kind(rel);
	relation_close(rel, NoLock);
}

void
ts_track(Oid source, const TsTrackOptions *options)
{
	Relation	rel;
	TsTracked  *tracked;
	AttrNumber *ignored;
	int			nignored;

	if (options->images && strcmp(options->images, "changed") != 0 && strcmp(options->images, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for images: \"%s\"", options->images),
				 errhint("Use 'changed' or 'none'.")));
	/* writers that are under way are waited for: from here on no change goes past the trigger */
	rel = relation_open(source, AccessShareLock);
	check_kind(rel);
	if (!ts_owns_relation(source, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(rel->rd_rel->relkind), RelationGetRelationName(rel));
	LockRelationOid(source, ShareRowExclusiveLock);
	ts_buffer_flush();
	tracked = ts_tracked_load(source);
	ignored = resolve_columns(rel, options->ignore, &nignored);
	if (tracked != NULL)
		alter_tracked(rel, tracked, attnum_array(nignored, ignored), options);
	else
	{
		check_family(rel);
		insert_tracked(rel, ts_key_resolve(rel, options->key, options->has_key), attnum_array(nignored, ignored), options);
	}
	relation_close(rel, NoLock);
	if (tracked == NULL)
		make_triggers(source);
}

void
ts_untrack(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	TsTracked  *tracked = ts_tracked_need(source);
	TsCatalog	cat;
	ListCell   *lc;

	LockRelationOid(source, ShareRowExclusiveLock);
	ts_catalog_enter(&cat);
	drop_trigger(source, ROW_TRIGGER);
	foreach(lc, family(source))
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
			drop_trigger(lfirst_oid(lc), TRUNCATE_TRIGGER);
	ts_sql("DELETE FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_sql("DELETE FROM tracksync_log.survivor WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE, 1, types, values, NULL);
	CommandCounterIncrement();
	ts_logtable_drop(tracked->log);
	ts_catalog_leave(&cat);
	foreach(lc, family(source))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

/* Did the command give a key column another type, or by USING other values? */
static bool
retypes_key(const EventTriggerData *data, Oid relid)
{
	TsTracked  *tracked = ts_tracked_load_newest(relid);
	ListCell   *lc;

	if (tracked == NULL || !IsA(data->parsetree, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) data->parsetree)->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		AttrNumber	attnum = cmd->subtype == AT_AlterColumnType ? get_attnum(relid, cmd->name) : InvalidAttrNumber;

		for (int i = 0; attnum != InvalidAttrNumber && i < tracked->nkeys; i++)
			if (tracked->keys[i] == attnum)
				return true;
	}
	return false;
}

/* Rows changed in a way that the log does not tell. */
static void
note_gap(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	TsSource   *source = ts_source_lookup(rel);
	TsEvent		event = {.op = TS_OP_GAP, .cid = TS_NO_COMMAND};

	if (source != NULL)
		ts_buffer_add(source->log, &event);
	relation_close(rel, NoLock);
}

/* The OIDs in the first column of the n rows just read, as a list in a context that outlives them. */
static List *
result_oids(uint64 n, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *oids = NIL;

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		oids = lappend_oid(oids, DatumGetObjectId(ts_sql_value(i, 1, &isnull)));
	}
	MemoryContextSwitchTo(old);
	return oids;
}

/*
 * Event trigger at the end of CREATE TABLE and ALTER TABLE: partitions that came get their TRUNCATE trigger, and a tracked table's
 * new shape is written down.
 */
Datum
tracksync_partition_added(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *roots,
			   *altered;
	ListCell   *lc;
	static const Oid types[] = {TEXTOID};
	Datum		values[1];
	TsCatalog	cat;
	uint64		n;

	if (adding_partitions)
		PG_RETURN_NULL();
	ts_catalog_enter(&cat);
	/* the partitioned tables that this command gave partitions, if they are tracked and one of theirs has no trigger yet */
	n = ts_sql("WITH RECURSIVE touched AS (SELECT c.objid AS relid FROM pg_event_trigger_ddl_commands() c "
			   "WHERE c.classid = 'pg_class'::regclass UNION SELECT i.inhparent FROM touched t JOIN pg_inherits i ON i.inhrelid = t.relid), "
			   "family AS (SELECT t.source::oid AS root, t.source::oid AS relid FROM tracksync.tracked_table t JOIN touched x "
			   "ON x.relid = t.source::oid UNION SELECT f.root, i.inhrelid FROM family f JOIN pg_inherits i ON i.inhparent = f.relid) "
			   "SELECT DISTINCT f.root FROM family f JOIN pg_class c ON c.oid = f.root JOIN pg_class l ON l.oid = f.relid "
			   "WHERE c.relkind = 'p' AND l.relkind IN ('r', 'p') "
			   "AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = f.relid AND g.tgname = '" TRUNCATE_TRIGGER "')",
			   SPI_OK_SELECT, 0, NULL, NULL, NULL);
	roots = result_oids(n, context);
	foreach(lc, roots)
		ts_track_partitions(lfirst_oid(lc));
	/* each shape is written down when it comes, with who made it; not while a dump is restored, whose numbers are other ones */
	values[0] = CStringGetTextDatum(ts_system_identity());
	n = ts_sql("SELECT DISTINCT t.source::oid FROM pg_event_trigger_ddl_commands() c JOIN tracksync.tracked_table t "
			   "ON t.source::oid = c.objid AND c.classid = 'pg_class'::regclass WHERE t.system_identity = $1",
			   SPI_OK_SELECT, 1, types, values, NULL);
	altered = result_oids(n, context);
	foreach(lc, altered)
	{
		(void) ts_shape_of(lfirst_oid(lc));
		if (retypes_key((EventTriggerData *) fcinfo->context, lfirst_oid(lc)))
			note_gap(lfirst_oid(lc));
	}
	ts_catalog_leave(&cat);
	PG_RETURN_NULL();
}
