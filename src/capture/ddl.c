/*
 * ddl.c: what DDL does to tracked tables, written down as it happens.
 *
 * Event triggers only keep the books early and say what is lost. Without them (dropped, or a restore ran with them off) the next
 * plan sees the same from the catalog: shapes (link/evolve.c), files and triggers of the source's leaves (ts_source_storage).
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "tcop/cmdtag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/quote.h"
#include "capture/track.h"
#include "log/logtable.h"
#include "log/shape.h"
#include "log/survivor.h"
#include "log/tracked.h"
#include "log/watch.h"

PG_FUNCTION_INFO_V1(tracksync_ddl_done);
PG_FUNCTION_INFO_V1(tracksync_ddl_dropped);

/* What the command did to a tracked table besides what the catalog shows. */
typedef struct Effect
{
	bool		gap;			/* rows changed, or may change from here on, without an event */
	bool		attached;		/* rows came with a partition */
	bool		enable;			/* triggers were enabled: ours are to fire always */
	bool		detached;
} Effect;

static bool
names_our_trigger(const AlterTableCmd *cmd)
{
	return strcmp(cmd->name, TS_ROW_TRIGGER) == 0 || strcmp(cmd->name, TS_TRUNCATE_TRIGGER) == 0;
}

/* Does a key column get another type, or by USING other values? */
static bool
retypes(const AlterTableCmd *cmd, const TsTracked *tracked)
{
	AttrNumber	attnum = cmd->subtype == AT_AlterColumnType ? get_attnum(tracked->source, cmd->name) : InvalidAttrNumber;

	for (int i = 0; attnum != InvalidAttrNumber && i < tracked->nkeys; i++)
		if (tracked->keys[i] == attnum)
			return true;
	return false;
}

static bool
retypes_key(const EventTriggerData *data, const TsTracked *tracked)
{
	ListCell   *lc;

	if (!IsA(data->parsetree, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) data->parsetree)->cmds)
		if (retypes(lfirst_node(AlterTableCmd, lc), tracked))
			return true;
	return false;
}

static void
add_effect(Effect *effect, const AlterTableCmd *cmd, const TsTracked *tracked)
{
	switch (cmd->subtype)
	{
		case AT_AlterColumnType:
			effect->gap |= retypes(cmd, tracked);
			break;
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
			effect->enable |= names_our_trigger(cmd);
			effect->gap |= names_our_trigger(cmd);
			break;
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
			effect->gap |= names_our_trigger(cmd);
			break;
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			effect->enable = effect->gap = true;
			break;
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			effect->gap = true;
			break;
		case AT_AttachPartition:
			effect->attached = true;
			break;
		case AT_DetachPartition:
#if PG_VERSION_NUM >= 140000
		case AT_DetachPartitionFinalize:
#endif
			effect->gap = effect->detached = true;
			break;
		default:
			break;
	}
}

static Effect
effect_of(const EventTriggerData *data, const TsTracked *tracked)
{
	Effect		effect = {0};
	ListCell   *lc;

	if (!IsA(data->parsetree, AlterTableStmt))
		return effect;
	foreach(lc, ((AlterTableStmt *) data->parsetree)->cmds)
		add_effect(&effect, lfirst_node(AlterTableCmd, lc), tracked);
	return effect;
}

static void
note_shape(Oid source)
{
	Relation	rel = relation_open(source, AccessShareLock);
	TsSchemaEvent schema;

	schema.after = ts_shape_register(rel, &schema.before);
	relation_close(rel, NoLock);
	if (schema.before != 0)
		ts_track_add_event(source, (TsEvent) {.op = TS_OP_SCHEMA, .image = (char *) &schema, .image_size = sizeof(schema)});
}

/* Runs a query for OIDs; $1 is this database's identity. */
static List *
find_oids(const char *sql)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(ts_system_identity())};

	return ts_catalog_oids(sql, 1, types, values);
}

/* Is the table's key one no more, as far as the catalog shows it without a lock? Else an index of the key is written down. */
static bool
is_keyless(Oid source)
{
	static const Oid types[] = {OIDOID, OIDOID};
	Datum		values[2] = {ObjectIdGetDatum(source)};
	List	   *indexes = ts_catalog_oids("SELECT i.indexrelid FROM tracksync.tracked_table t JOIN pg_index i ON i.indrelid = t.source "
										  "WHERE t.source OPERATOR(pg_catalog.=) $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL "
										  "AND i.indexprs IS NULL AND i.indnkeyatts = cardinality(t.keys) "
										  "AND (SELECT array_agg(u.k) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(k, n) WHERE u.n <= i.indnkeyatts) @> t.keys "
										  "AND NOT EXISTS (SELECT FROM unnest(t.keys) k LEFT JOIN pg_attribute a ON a.attrelid = t.source AND a.attnum = k "
										  "AND a.attnotnull AND NOT a.attisdropped WHERE a.attnum IS NULL) ORDER BY i.indexrelid = t.key_index DESC", 1, types, values);

	if (indexes == NIL)
		return true;
	values[1] = ObjectIdGetDatum(linitial_oid(indexes));
	ts_sql("UPDATE tracksync.tracked_table SET key_index = $2 WHERE source OPERATOR(pg_catalog.=) $1 AND key_index <> $2", SPI_OK_UPDATE,
		   2, types, values, NULL);
	return false;
}

/* Says what a tracked table lacks; true if it is complete. */
static bool
check_health(Oid source)
{
	bool		keyless = is_keyless(source);
	bool		watched = ts_track_is_watched(source);

	if (keyless)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("tracked table %s has no key any more", ts_quote_relation(source)),
				 errdetail("A column of the key it is tracked by is gone or may be NULL, or they have no unique index."),
				 errhint("Restore the key, or untrack the table and track it by another one. Until then it cannot be pushed.")));
	if (!watched)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("not all changes of tracked table %s are recorded any more", ts_quote_relation(source)),
				 errdetail("A trigger of tracksync is disabled or gone."),
				 errhint("tracksync.track(%s) puts it right. Until then each push compares.",
						 quote_literal_cstr(ts_quote_relation(source)))));
	return !keyless && watched;
}

/* Partitions that are ones no more lose the trigger that PostgreSQL does not take away itself. */
static void
leave_partitions(void)
{
	List	   *left = find_oids("SELECT g.tgrelid FROM pg_trigger g WHERE " TS_IS_TRUNCATE_TRIGGER
								 " AND NOT EXISTS (SELECT FROM tracksync.tracked_table t WHERE t.source = g.tgrelid "
								 "OR t.source IN (SELECT relid FROM pg_partition_ancestors(g.tgrelid))) AND $1 IS NOT NULL");
	ListCell   *lc;

	foreach(lc, left)
		ts_track_leave(lfirst_oid(lc));
}

/* Writes down what became of a tracked table. */
static void
note_table(Oid source, const Effect *effect)
{
	note_shape(source);
	/* one that has none yet; that of one which a crash emptied is another one than links remember */
	ts_survivors_note(source);
	if (!check_health(source) || effect->gap)
		ts_track_add_event(source, (TsEvent) {.op = TS_OP_GAP});
	else if (effect->attached)
		ts_track_add_event(source, (TsEvent) {.op = TS_OP_GAP, .image = TS_GAP_ATTACHED, .image_size = strlen(TS_GAP_ATTACHED)});
	if (effect->detached)
		leave_partitions();
}

/* The relations that the command names. */
#define COMMANDED "SELECT c.objid AS relid FROM pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_class'::regclass"
/* They, and what they are partitions of. */
#define ABOVE \
	"above AS (" COMMANDED " UNION SELECT i.inhparent FROM above a JOIN pg_class k ON k.oid = a.relid AND k.relispartition " \
	"JOIN pg_inherits i ON i.inhrelid = a.relid)"
/* And what inherits from them. */
#define BELOW "below AS (" COMMANDED " UNION SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.relid)"

/* What the command brought or enabled is looked after: the relations that it names, and the partitions below, of tracked families. */
static void
look_after(const Effect *effect)
{
	List	   *named = find_oids("WITH RECURSIVE above AS (SELECT c.objid AS top, c.objid AS relid FROM pg_event_trigger_ddl_commands() c "
								  "WHERE c.classid = 'pg_class'::regclass UNION SELECT a.top, i.inhparent FROM above a "
								  "JOIN pg_class k ON k.oid = a.relid AND k.relispartition JOIN pg_inherits i ON i.inhrelid = a.relid) "
								  "SELECT DISTINCT a.top FROM above a JOIN tracksync.tracked_table t ON t.source::oid = a.relid "
								  "JOIN pg_class c ON c.oid = a.top AND c.relkind IN ('r', 'p') WHERE t.system_identity = $1 AND a.top <> a.relid "
								  "UNION SELECT t.source::oid FROM pg_event_trigger_ddl_commands() c JOIN tracksync.tracked_table t "
								  "ON t.source::oid = c.objid WHERE c.classid = 'pg_class'::regclass AND t.system_identity = $1 ORDER BY 1");
	ListCell   *lc;

	foreach(lc, named)
	{
		if (get_rel_relispartition(lfirst_oid(lc)) || get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			ts_track_partitions(lfirst_oid(lc));
		if (effect->enable)
			ts_track_enable(lfirst_oid(lc));
	}
}

/* At the end of CREATE TABLE, ALTER TABLE and ALTER TYPE. */
Datum
tracksync_ddl_done(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	TsCatalog	cat;
	ListCell   *lc;
	List	   *touched,
			   *heirs;
	Effect		effect;

	if (ts_track_is_altering())
		PG_RETURN_NULL();
	ts_catalog_enter(&cat);
	/* not while a dump is restored, whose books are about other numbers */
	touched = find_oids("WITH RECURSIVE " ABOVE " SELECT t.source::oid FROM tracksync.tracked_table t "
						"WHERE t.system_identity = $1 AND t.source::oid IN (SELECT relid FROM above) ORDER BY 1");
	heirs = find_oids("WITH RECURSIVE " ABOVE ", " BELOW " SELECT t.source::oid FROM tracksync.tracked_table t WHERE t.system_identity = $1 "
					  "AND t.source::oid IN (SELECT relid FROM below) AND t.source::oid NOT IN (SELECT relid FROM above) ORDER BY 1");
	foreach(lc, touched)
	{
		TsTracked  *tracked = ts_tracked_load_newest(lfirst_oid(lc));

		if (tracked == NULL)
			continue;
		effect = effect_of(data, tracked);
		look_after(&effect);
		note_table(lfirst_oid(lc), &effect);
	}
	/* columns are altered for those that inherit, too; triggers are not */
	foreach(lc, heirs)
	{
		TsTracked  *tracked = ts_tracked_load_newest(lfirst_oid(lc));

		if (tracked == NULL)
			continue;
		effect = (Effect) {.gap = retypes_key(data, tracked)};
		note_table(lfirst_oid(lc), &effect);
	}
	ts_catalog_leave(&cat);
	PG_RETURN_NULL();
}

/* A source that was dropped takes its books with it; its links stay, to be dropped by whoever made them. */
static void
note_dropped_source(Oid source)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	bool		isnull;
	Oid			halves[TS_LOG_HALVES];
	char	   *links;

	if (ts_sql("SELECT log::oid, spare::oid, (SELECT string_agg(quote_ident(name), ', ' ORDER BY name) FROM tracksync.link l "
			   "WHERE l.source OPERATOR(pg_catalog.=) t.source AND l.detect = 'log') FROM tracksync.tracked_table t WHERE source OPERATOR(pg_catalog.=) $1",
			   SPI_OK_SELECT, 1, types, values, NULL) == 0)
		return;
	halves[0] = DatumGetObjectId(ts_sql_value(0, 1, &isnull));
	halves[1] = DatumGetObjectId(ts_sql_value(0, 2, &isnull));
	links = ts_sql_text(0, 3);
	if (links != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("a source was dropped that has links: %s", links),
				 errhint("Drop them, too, with tracksync.drop_link. Their targets keep their rows.")));
	ts_sql("DELETE FROM tracksync.tracked_table WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE, 1, types, values, NULL);
	ts_logtable_drop(halves);
}

static void
warn_of_dropped_targets(void)
{
	uint64		n = ts_sql("SELECT quote_ident(l.name), quote_ident(l.target_schema) || '.' || quote_ident(l.target_name) FROM tracksync.link l "
						   "JOIN pg_event_trigger_dropped_objects() o ON o.objid = l.target::oid AND o.objsubid = 0 "
						   "AND o.classid = 'pg_class'::regclass ORDER BY l.name", SPI_OK_SELECT, 0, NULL, NULL, NULL);

	for (uint64 i = 0; i < n; i++)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the target of link %s was dropped: %s", ts_sql_text(i, 1), ts_sql_text(i, 2)),
				 errhint("Drop the link with tracksync.drop_link, or make the table anew.")));
}

/* Sources that no log is kept of. */
static void
warn_of_dropped_sources(void)
{
	uint64		n = ts_sql("SELECT quote_ident(l.name) FROM tracksync.link l JOIN pg_event_trigger_dropped_objects() o ON o.objid = l.source::oid "
						   "AND o.objsubid = 0 AND o.classid = 'pg_class'::regclass WHERE l.detect = 'diff' ORDER BY l.name", SPI_OK_SELECT, 0, NULL,
						   NULL, NULL);

	for (uint64 i = 0; i < n; i++)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the source of link %s was dropped", ts_sql_text(i, 1)),
				 errhint("Drop the link with tracksync.drop_link, and make it anew if a relation takes the place of its source.")));
}

/*
 * After a command that dropped something: tables, columns (with their type, say), triggers, indexes. What ALTER TABLE drops is seen
 * at its end.
 */
Datum
tracksync_ddl_dropped(PG_FUNCTION_ARGS)
{
	const Effect none = {0};
	TsCatalog	cat;
	ListCell   *lc;
	List	   *gone,
			   *touched;

	if (ts_track_is_altering() || ((EventTriggerData *) fcinfo->context)->tag == CMDTAG_ALTER_TABLE)
		PG_RETURN_NULL();
	ts_catalog_enter(&cat);
	gone = find_oids("SELECT t.source::oid FROM tracksync.tracked_table t JOIN pg_event_trigger_dropped_objects() o ON o.objid = t.source::oid "
					 "AND o.objsubid = 0 AND o.classid = 'pg_class'::regclass WHERE t.system_identity = $1 ORDER BY 1");
	foreach(lc, gone)
		note_dropped_source(lfirst_oid(lc));
	warn_of_dropped_targets();
	warn_of_dropped_sources();
	touched = find_oids("WITH RECURSIVE o AS (SELECT * FROM pg_event_trigger_dropped_objects()), above AS ("
						"SELECT o.objid AS relid FROM o WHERE o.classid = 'pg_class'::regclass AND o.objsubid > 0 "
						"UNION SELECT to_regclass(quote_ident(o.address_names[1]) || '.' || quote_ident(o.address_names[2]))::oid FROM o "
						"WHERE o.object_type = 'trigger' AND o.address_names[3] IN ('" TS_ROW_TRIGGER "', '" TS_TRUNCATE_TRIGGER "') "
						"UNION SELECT i.inhparent FROM above a JOIN pg_class k ON k.oid = a.relid AND k.relispartition "
						"JOIN pg_inherits i ON i.inhrelid = a.relid) "
						"SELECT t.source::oid FROM tracksync.tracked_table t JOIN pg_class c ON c.oid = t.source "
						"WHERE t.system_identity = $1 AND (t.source::oid IN (SELECT relid FROM above) "
						"OR t.key_index IN (SELECT o.objid FROM o WHERE o.object_type = 'index')) ORDER BY 1");
	foreach(lc, touched)
		note_table(lfirst_oid(lc), &none);
	ts_catalog_leave(&cat);
	PG_RETURN_NULL();
}
