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
#include "log/survivor.h"
#include "log/watch.h"
#include "log/tracked.h"

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
	if (OidIsValid(get_trigger_oid(relid, TS_TRUNCATE_TRIGGER, true)))
		return;
	enable_always(relid, TS_ROW_TRIGGER);
	make_trigger(relid, TS_TRUNCATE_TRIGGER, "TRUNCATE", "STATEMENT", "capture_truncate");
	enable_always(relid, TS_TRUNCATE_TRIGGER);
}

/* Our own DDL fires event triggers, too. */
static int	own_ddl = 0;

bool
ts_track_is_altering(void)
{
	return own_ddl > 0;
}

/* Calls work on each of these relations; event triggers know that it is us. */
static void
for_each(List *members, void (*work) (Oid member))
{
	int			outer = own_ddl;

	own_ddl++;
	PG_TRY();
	{
		ListCell   *lc;

		foreach(lc, members)
			if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
				work(lfirst_oid(lc));
	}
	PG_FINALLY();
	{
		own_ddl = outer;
	}
	PG_END_TRY();
}

void
ts_track_partitions(Oid top)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(top)};

	/* found without locks: others may be at work on their siblings */
	for_each(ts_catalog_oids("SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid IN " TS_FAMILY
							 " AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = '" TS_TRUNCATE_TRIGGER "') ORDER BY 1",
							 1, types, values), track_partition);
}

/* A trigger of ours that is disabled, or enabled in another way. */
static void
enable_triggers(Oid relid)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	List	   *weak = ts_catalog_oids("SELECT g.oid FROM pg_trigger g WHERE g.tgrelid = $1 AND g.tgenabled <> 'A' AND (" TS_IS_ROW_TRIGGER
									   " OR " TS_IS_TRUNCATE_TRIGGER ")", 1, types, values);
	ListCell   *lc;

	foreach(lc, weak)
		enable_always(relid, lfirst_oid(lc) == get_trigger_oid(relid, TS_ROW_TRIGGER, true) ? TS_ROW_TRIGGER : TS_TRUNCATE_TRIGGER);
}

void
ts_track_enable(Oid top)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(top)};

	for_each(ts_catalog_oids("SELECT DISTINCT g.tgrelid FROM pg_trigger g WHERE g.tgrelid IN " TS_FAMILY " AND g.tgenabled <> 'A' "
							 "AND (" TS_IS_ROW_TRIGGER " OR " TS_IS_TRUNCATE_TRIGGER ") ORDER BY 1", 1, types, values), enable_triggers);
}

/* The relation must not be open: ALTER TABLE takes part. */
static void
make_triggers(Oid relid)
{
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	make_trigger(relid, TS_ROW_TRIGGER, "INSERT OR UPDATE OR DELETE", "ROW", "capture_row");
	ts_track_partitions(relid);
	ts_catalog_leave(&cat);
}

static void
drop_trigger(Oid relid, const char *name)
{
	StringInfoData sql;

	if (!OidIsValid(get_trigger_oid(relid, name, true)))
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "DROP TRIGGER %s ON %s", quote_identifier(name), ts_quote_relation(relid));
	ts_sql(sql.data, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

/* A partition's row trigger goes with the root's. */
static void
drop_triggers(Oid relid)
{
	if (!get_rel_relispartition(relid) || ts_tracked_load(relid) != NULL)
		drop_trigger(relid, TS_ROW_TRIGGER);
	drop_trigger(relid, TS_TRUNCATE_TRIGGER);
}

bool
ts_track_is_watched(Oid root)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(root)};

	return ts_catalog_oids("SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid IN " TS_FAMILY " AND 2 <> "
						   "(SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgenabled = 'A' "
						   "AND (" TS_IS_ROW_TRIGGER " OR " TS_IS_TRUNCATE_TRIGGER "))", 1, types, values) == NIL;
}

void
ts_track_add_event(Oid source, TsEvent event)
{
	Relation	rel = relation_open(source, AccessShareLock);
	TsSource   *entry = ts_source_lookup(rel);

	event.cid = TS_NO_COMMAND;
	if (entry != NULL)
		ts_buffer_add(entry->log, &event);
	relation_close(rel, NoLock);
}

/* Triggers that have our names, and do something else. */
static void
drop_impostors(Oid relid)
{
	static const Oid types[] = {OIDOID};
	static const char *const names[] = {TS_ROW_TRIGGER, TS_TRUNCATE_TRIGGER};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	List	   *impostors = ts_catalog_oids("SELECT g.oid FROM pg_trigger g WHERE g.tgrelid = $1 "
											"AND g.tgname IN ('" TS_ROW_TRIGGER "', '" TS_TRUNCATE_TRIGGER "') "
											"AND NOT (" TS_IS_ROW_TRIGGER " OR " TS_IS_TRUNCATE_TRIGGER ")", 1, types, values);

	for (int i = 0; i < lengthof(names); i++)
		if (list_member_oid(impostors, get_trigger_oid(relid, names[i], true)))
			drop_trigger(relid, names[i]);
}

/* Of a table that is tracked already: triggers that are disabled or gone. What happened meanwhile is a gap. */
static void
restore_triggers(Oid source)
{
	TsCatalog	cat;

	ts_catalog_enter(&cat);
	if (!ts_track_is_watched(source))
	{
		for_each(family(source), drop_impostors);
		if (!OidIsValid(get_trigger_oid(source, TS_ROW_TRIGGER, true)))
			make_trigger(source, TS_ROW_TRIGGER, "INSERT OR UPDATE OR DELETE", "ROW", "capture_row");
		ts_track_partitions(source);
		ts_track_enable(source);
		ts_track_add_event(source, (TsEvent) {.op = TS_OP_GAP});
	}
	ts_catalog_leave(&cat);
}

void
ts_track_leave(Oid partition)
{
	for_each(list_make1_oid(partition), drop_triggers);
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
	static const Oid types[] = {OIDOID, OIDOID, OIDOID, INT2ARRAYOID, TEXTOID, INT2ARRAYOID, BOOLOID, INT4OID, TEXTOID,
	OIDARRAYOID, OIDOID, OIDOID};
	AttrNumber *keys = palloc(sizeof(AttrNumber) * key->nkeys);
	Datum	   *key_types = palloc(sizeof(Datum) * key->nkeys);
	Datum		values[12];
	Oid			halves[TS_LOG_HALVES],
				seqid;
	TsCatalog	cat;

	for (int i = 0; i < key->nkeys; i++)
	{
		keys[i] = key->columns[i].attnum;
		key_types[i] = ObjectIdGetDatum(getBaseType(TupleDescAttr(RelationGetDescr(rel), keys[i] - 1)->atttypid));
	}
	values[7] = Int32GetDatum(ts_shape_register(rel, NULL));
	ts_catalog_enter(&cat);
	ts_logtable_create(rel, halves, &seqid);
	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[1] = ObjectIdGetDatum(halves[0]);
	values[11] = ObjectIdGetDatum(halves[1]);
	values[2] = ObjectIdGetDatum(seqid);
	values[3] = attnum_array(key->nkeys, keys);
	values[4] = CStringGetTextDatum(options->images ? options->images : "changed");
	values[5] = ignored;
	values[6] = BoolGetDatum(options->explicitly);
	values[8] = CStringGetTextDatum(ts_system_identity());
	values[10] = ObjectIdGetDatum(key->index);
	values[9] = PointerGetDatum(construct_array(key_types, key->nkeys, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	ts_sql("INSERT INTO tracksync.tracked_table (source, log, seq, keys, key_types, images, ignored, explicitly, shape, "
		   "system_identity, key_index, spare) VALUES ($1, $2, $3, $4, $10, $5, $6, $7, $8, $9, $11, $12)", SPI_OK_INSERT, 12, types, values, NULL);
	ts_survivors_note(RelationGetRelid(rel));
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
	else
		restore_triggers(source);
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
	for_each(family(source), drop_triggers);
	ts_sql("DELETE FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_survivors_forget(source);
	CommandCounterIncrement();
	ts_logtable_drop(tracked->halves);
	ts_catalog_leave(&cat);
	foreach(lc, family(source))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}
