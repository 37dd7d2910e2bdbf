/* source.c: the session's cache of tracked relations, as the trigger needs them. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "capture/source.h"
#include "log/logtable.h"
#include "log/shape.h"
#include "log/tracked.h"

static HTAB *sources = NULL;
static HTAB *logs = NULL;
static TsSource *last = NULL;
static int	new_shapes = 0;

static void
source_invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	TsSource   *entry;

	if (sources == NULL)
		return;
	hash_seq_init(&seq, sources);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (relid == InvalidOid || relid == entry->relid || relid == entry->root || (entry->log != NULL && relid == entry->log->logid))
			entry->valid = false;
}

static void
source_init(void)
{
	HASHCTL		source_ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(TsSource)};
	HASHCTL		log_ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(TsLog)};

	sources = hash_create("tracksync sources", 64, &source_ctl, HASH_ELEM | HASH_BLOBS);
	logs = hash_create("tracksync logs", 64, &log_ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(source_invalidate, (Datum) 0);
}

static TsLog *
log_lookup(const TsTracked *tracked)
{
	bool		found;
	TsLog	   *log = hash_search(logs, &tracked->log, HASH_ENTER, &found);

	if (!found)
	{
		log->seqid = InvalidOid;
		log->desc = NULL;
		memset(&log->aim, 0, sizeof(log->aim));
		memset(log->slots, 0, sizeof(log->slots));
	}
	log->seqid = tracked->seq;
	log->written = tracked->halves[tracked->written];
	log->source = tracked->source;
	if (log->desc == NULL)
	{
		Relation	rel = table_open(tracked->log, AccessShareLock);
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		log->desc = CreateTupleDescCopy(RelationGetDescr(rel));
		MemoryContextSwitchTo(old);
		table_close(rel, NoLock);
	}
	return log;
}

TupleTableSlot *
ts_log_slot(TsLog *log, int i)
{
	if (log->slots[i] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		log->slots[i] = MakeSingleTupleTableSlot(log->desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	return log->slots[i];
}

/* root attnum → the relation's attnum, by name, as partitions are matched. */
static AttrNumber *
map_columns(TupleDesc root, Relation rel)
{
	AttrNumber *map = palloc0(sizeof(AttrNumber) * (root->natts + 1));

	for (int i = 0; i < root->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(root, i);

		if (att->attisdropped || ts_is_virtual(att))
			continue;
		map[i] = get_attnum(RelationGetRelid(rel), NameStr(att->attname));
	}
	return map;
}

static void
build_keys(TsSource *entry, Relation root, const TsTracked *tracked)
{
	TsKeyIndex *index = ts_key_index_find(root, tracked->nkeys, tracked->keys);

	entry->nkeys = tracked->nkeys;
	entry->keys = palloc0(sizeof(AttrNumber) * entry->nkeys);
	entry->key_atts = palloc0(sizeof(Form_pg_attribute) * entry->nkeys);
	entry->key_eq = palloc0(sizeof(FmgrInfo) * entry->nkeys);
	entry->key_collation = palloc0(sizeof(Oid) * entry->nkeys);
	for (int i = 0; i < entry->nkeys; i++)
	{
		AttrNumber	attnum = tracked->keys[i];

		/* a dropped one: its events are told as gaps, the user's writes go on */
		if (attnum > root->rd_att->natts || TupleDescAttr(root->rd_att, attnum - 1)->attisdropped)
			continue;
		entry->keys[i] = entry->attmap[attnum - 1];
		entry->key_atts[i] = TupleDescAttr(entry->rootdesc, attnum - 1);
		entry->is_key[attnum - 1] = true;
		for (int j = 0; index != NULL && j < index->nkeys; j++)
			if (index->columns[j].attnum == attnum)
			{
				fmgr_info_cxt(get_opcode(index->columns[j].eq_op), &entry->key_eq[i], entry->context);
				entry->key_collation[i] = index->columns[j].collation;
			}
	}
}

static void
source_build(TsSource *entry, Relation rel)
{
	Oid			rootid = ts_tracked_root(RelationGetRelid(rel));
	MemoryContext old;
	TsTracked  *tracked;
	Relation	root;

	entry->tracked = OidIsValid(rootid);
	entry->root = rootid;
	entry->top = ts_topmost(rootid);
	entry->shape = 0;
	entry->shape_is_new = false;
	if (entry->context != NULL)
		MemoryContextDelete(entry->context);
	entry->context = NULL;
	if (!entry->tracked)
		return;

	tracked = ts_tracked_load_newest(rootid);
	if (tracked == NULL)
	{
		entry->tracked = false;
		return;
	}
	/* no lock: the one on the leaf that fires keeps columns as they are, and waiting for the root's could be a deadlock */
	root = RelationIdGetRelation(rootid);
	if (root == NULL)
		elog(ERROR, "could not open relation with OID %u", rootid);
	entry->context = AllocSetContextCreate(TopMemoryContext, "tracksync source", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry->context);
	entry->log = log_lookup(tracked);
	entry->images = tracked->images;
	entry->rootdesc = CreateTupleDescCopy(RelationGetDescr(root));
	entry->attmap = map_columns(entry->rootdesc, rel);
	entry->same_columns = RelationGetNumberOfAttributes(rel) == entry->rootdesc->natts;
	for (int i = 0; i < entry->rootdesc->natts; i++)
		if (entry->attmap[i] != 0 ? entry->attmap[i] != i + 1 : !TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			entry->same_columns = false;
	entry->ignored = palloc0(sizeof(bool) * (entry->rootdesc->natts + 1));
	entry->is_key = palloc0(sizeof(bool) * (entry->rootdesc->natts + 1));
	entry->values = palloc0(sizeof(Datum) * (entry->rootdesc->natts + 1));
	entry->nulls = palloc0(sizeof(bool) * (entry->rootdesc->natts + 1));
	entry->changed = palloc0(sizeof(bool) * (entry->rootdesc->natts + 1));
	for (int i = 0; i < tracked->nignored; i++)
		if (tracked->ignored[i] <= entry->rootdesc->natts)
			entry->ignored[tracked->ignored[i] - 1] = true;
	build_keys(entry, root, tracked);
	entry->keys_fit = ts_tracked_keys_fit(tracked, entry->rootdesc);
	MemoryContextSwitchTo(old);
	RelationClose(root);
}

TsSource *
ts_source_lookup(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	bool		found;
	TsSource   *entry;

	if (last != NULL && last->relid == relid && last->valid)
		return last->tracked ? last : NULL;
	if (sources == NULL)
		source_init();
	entry = hash_search(sources, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->root = InvalidOid;
		entry->context = NULL;
		entry->log = NULL;
	}
	while (!entry->valid)
	{
		entry->valid = true;	/* an invalidation while building resets it */
		PG_TRY();
		{
			source_build(entry, rel);
		}
		PG_CATCH();
		{
			entry->valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	last = entry;
	return entry->tracked ? entry : NULL;
}

int32
ts_source_shape(TsSource *source)
{
	if (source->shape == 0)
	{
		Relation	root = RelationIdGetRelation(source->root);

		if (root == NULL)
			elog(ERROR, "could not open relation with OID %u", source->root);
		source->shape = ts_shape_register(root, NULL);
		/* whoever wrote it down in this transaction, it may still be undone */
		source->shape_is_new = true;
		new_shapes++;
		RelationClose(root);
	}
	return source->shape;
}

void
ts_source_settle_new_shapes(bool keep)
{
	HASH_SEQ_STATUS seq;
	TsSource   *entry;

	if (new_shapes == 0)
		return;
	new_shapes = 0;
	hash_seq_init(&seq, sources);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->shape_is_new && !keep)
			entry->shape = 0;
		entry->shape_is_new = false;
	}
}
