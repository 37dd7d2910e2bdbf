/* reclaim.c: giving the space of a log back. */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "log/bound.h"
#include "log/logtable.h"
#include "log/reclaim.h"

/* The pages that a half has when it is left. */
#define TS_LOG_TURN 256
/* The most pages that are looked at for one push, some 50 ms. */
#define MOST_PAGES 8192
/* What may be left of large values in the half that is to be written: autovacuum comes before that, and empties it. */
#define MOST_TOASTED 1024
/* How often it is looked whether somebody waits. */
#define LOOK_PAGES 16

/* An anchor holds nothing: whoever comes for it will find that it is gone. */
static bool
is_anchor(Relation half, HeapTuple tuple)
{
	bool		isnull;

	return DatumGetInt32(heap_getattr(tuple, TS_LOG_N, RelationGetDescr(half), &isnull)) == 0;
}

/* Is no row of the page seen by anybody? */
static bool
page_is_dead(Relation half, BlockNumber block, TransactionId oldest)
{
	Buffer		buffer = ReadBuffer(half, block);
	bool		dead = true;
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (!PageIsNew(page))
		for (OffsetNumber i = FirstOffsetNumber; dead && i <= PageGetMaxOffsetNumber(page); i = OffsetNumberNext(i))
		{
			ItemId		item = PageGetItemId(page, i);
			HeapTupleData tuple;

			if (!ItemIdIsNormal(item))
				continue;
			ItemPointerSet(&tuple.t_self, block, i);
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			tuple.t_tableOid = RelationGetRelid(half);
			dead = HeapTupleSatisfiesVacuum(&tuple, oldest, buffer) == HEAPTUPLE_DEAD || is_anchor(half, &tuple);
		}
	UnlockReleaseBuffer(buffer);
	return dead;
}

/* Under AccessExclusiveLock: how many pages are to stay. */
static BlockNumber
pages_to_keep(Relation half, BlockNumber pages, TransactionId oldest)
{
	BlockNumber least = pages > MOST_PAGES ? pages - MOST_PAGES : 0;

	while (pages > least && page_is_dead(half, pages - 1, oldest))
	{
		pages--;
		if (pages % LOOK_PAGES != 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (LockHasWaitersRelation(half, AccessExclusiveLock))
			break;
	}
	return pages;
}

static void
cut(Relation half)
{
	TransactionId oldest = ts_oldest_nonremovable(half);
	BlockNumber pages = RelationGetNumberOfBlocks(half),
				keep;

	/* mostly nothing is to be done: that is found out without the lock */
	if (pages == 0 || !page_is_dead(half, pages - 1, oldest) || !ConditionalLockRelation(half, AccessExclusiveLock))
		return;
	/* nobody writes or reads it now */
	pages = RelationGetNumberOfBlocks(half);
	keep = pages_to_keep(half, pages, oldest);
	if (keep < pages)
	{
		ts_log_was_cut();
		RelationTruncate(half, keep);
	}
	/* others learn of it at once, not when the transaction ends */
	UnlockRelation(half, AccessExclusiveLock);
}

void
ts_log_reclaim(const TsTracked *tracked)
{
	Oid			id = tracked->halves[1 - tracked->written];
	Relation	half;

	if (RecoveryInProgress() || !ConditionalLockRelationOid(id, AccessShareLock))
		return;
	half = try_relation_open(id, NoLock);
	if (half != NULL)
	{
		/* a query of this session may be at it */
		if (half->rd_refcnt == 1)
			cut(half);
		relation_close(half, NoLock);
	}
	UnlockRelationOid(id, AccessShareLock);
}

/* The pages of a half, and of the values too large for it. */
static void
count_pages(Oid id, BlockNumber *pages, BlockNumber *toasted)
{
	Relation	half = relation_open(id, AccessShareLock);
	Oid			toast = half->rd_rel->reltoastrelid;

	*pages = RelationGetNumberOfBlocks(half);
	*toasted = 0;
	if (OidIsValid(toast))
	{
		Relation	rel = relation_open(toast, AccessShareLock);

		*toasted = RelationGetNumberOfBlocks(rel);
		relation_close(rel, AccessShareLock);
	}
	relation_close(half, NoLock);
}

void
ts_log_exchange(Oid source, const Oid *halves, int written)
{
	static const Oid types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(source)};
	BlockNumber pages[TS_LOG_HALVES],
				toasted[TS_LOG_HALVES];

	for (int i = 0; i < TS_LOG_HALVES; i++)
		count_pages(halves[i], &pages[i], &toasted[i]);
	if (pages[written] + toasted[written] < TS_LOG_TURN || pages[1 - written] > 0 || toasted[1 - written] > MOST_TOASTED)
		return;
	ts_bound_forget(halves[1 - written]);
	ts_sql("UPDATE tracksync.tracked_table SET in_spare = NOT in_spare WHERE source OPERATOR(pg_catalog.=) $1", SPI_OK_UPDATE, 1, types,
		   values, NULL);
	/* writers look again; the log's own entry, for plans on the source should not be made anew */
	CacheInvalidateRelcacheByRelid(halves[0]);
}
