/* lookup.c: rows by their key. */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/itup.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "netchange/lookup.h"

/* So many entries are stepped over before a search from the root. */
#define MOST_STEPS 64
/* A search whose walk does not serve so many keys on average was not worth reading a whole leaf page for. */
#define LEAST_SERVED 7
/* Over so many searches that is judged; so many keys are then searched for one by one before walking is tried again. */
#define TRIAL_SEARCHES 4
#define SINGLE_KEYS 512

struct TsLookup
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	int			nkeys;
	int		   *key_of;			/* per column of the index: the key's */
	ScanKeyData *equal;			/* per column of the index */
	ScanKeyData *from;			/* the same, but at or behind in the last column */
	FmgrInfo   *order;			/* per column of the index: three-way comparison */
	Oid		   *collation;
	Form_pg_attribute *atts;	/* of the index */
	IndexScanDesc scan;
	TupleTableSlot *slot;
	MemoryContext home;			/* index scans allocate as they go: always here */
	bool		can_walk;
	bool		at_entry;		/* the scan stands at an entry that no key went past yet */
	int			searches;		/* of the trial under way */
	int			served;			/* keys that needed no search in it */
	int			single;			/* so many keys more without walking */
	Datum	   *last;			/* the key asked for last, per column of the index */
	bool		last_found;		/* it has a row, which the slot still holds */
	MemoryContext last_context;
	Datum	   *from_keys;		/* the key that the scan began at, in the key's order */
	MemoryContext from_context;
	/* of rows that are only read */
	bool		collects;		/* the index is walked first, for several keys; then their entries' pages are looked at */
	int			first[TS_LOOKUP_AHEAD + 1]; /* per key: the first of its entries */
	int			nentries;
	int			room;
	ItemPointerData *entries;
	Buffer	   *pages;			/* per entry, pinned; once where the next one's is the same */
	HeapTupleData tuple;		/* the slot points here */
};

TsLookup *
ts_lookup_begin(Relation rel, const TsKeyIndex *index, Snapshot snapshot, bool to_write)
{
	TsLookup   *lookup = palloc0(sizeof(TsLookup));
	int			n = index->nkeys;

	lookup->home = CurrentMemoryContext;
	lookup->last_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync key", ALLOCSET_SMALL_SIZES);
	lookup->from_keys = palloc0(sizeof(Datum) * n);
	lookup->from_context = AllocSetContextCreate(CurrentMemoryContext, "tracksync key", ALLOCSET_SMALL_SIZES);
	lookup->rel = rel;
	lookup->snapshot = snapshot;
	lookup->index = index_open(index->index, AccessShareLock);
	lookup->nkeys = n;
	/* as the planner does: an index built over broken HOT chains does not serve snapshots older than itself */
	if (lookup->index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(lookup->index->rd_indextuple->t_data), TransactionXmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" is too new to be read under this snapshot", RelationGetRelationName(lookup->index)),
				 errhint("Try again when the transactions that are older than the index have ended.")));
	lookup->key_of = palloc(sizeof(int) * n);
	lookup->equal = palloc0(sizeof(ScanKeyData) * n);
	lookup->from = palloc0(sizeof(ScanKeyData) * n);
	lookup->order = palloc0(sizeof(FmgrInfo) * n);
	lookup->collation = palloc(sizeof(Oid) * n);
	lookup->atts = palloc(sizeof(Form_pg_attribute) * n);
	lookup->last = palloc0(sizeof(Datum) * n);
	lookup->can_walk = true;
	for (int i = 0; i < n; i++)
	{
		const TsKeyColumn *col = &index->columns[i];
		int			at = col->indexattno - 1;
		int			indoption = lookup->index->rd_indoption[at];
		Oid			at_or_behind = get_opfamily_member(col->opfamily, col->opcintype, col->opcintype, BTGreaterEqualStrategyNumber);

		lookup->key_of[at] = i;
		lookup->collation[at] = col->collation;
		lookup->atts[at] = TupleDescAttr(RelationGetDescr(lookup->index), at);
		ScanKeyEntryInitialize(&lookup->equal[at], 0, col->indexattno, BTEqualStrategyNumber, col->opcintype,
							   col->collation, get_opcode(col->eq_op), (Datum) 0);
		lookup->from[at] = lookup->equal[at];
		if (at == n - 1 && OidIsValid(at_or_behind))
			ScanKeyEntryInitialize(&lookup->from[at], 0, col->indexattno, BTGreaterEqualStrategyNumber, col->opcintype,
								   col->collation, get_opcode(at_or_behind), (Datum) 0);
		fmgr_info(get_opfamily_proc(col->opfamily, col->opcintype, col->opcintype, BTORDER_PROC), &lookup->order[at]);
		/* an entry that holds another form of the value cannot be compared in place, nor can one be walked backwards */
		lookup->can_walk &= at == i && OidIsValid(at_or_behind) && (indoption & INDOPTION_DESC) == 0 &&
			lookup->atts[at]->atttypid == TupleDescAttr(RelationGetDescr(rel), col->attnum - 1)->atttypid;
	}
	lookup->scan = ts_index_beginscan(rel, lookup->index, snapshot, n);
	/* the entries are wanted too; to be asked for before the first rescan */
	lookup->scan->xs_want_itup = lookup->can_walk;
	lookup->slot = table_slot_create(rel, NULL);
	lookup->collects = !to_write && rel->rd_tableam == GetHeapamTableAmRoutine();
	lookup->room = 2 * TS_LOOKUP_AHEAD;
	lookup->entries = palloc(sizeof(ItemPointerData) * lookup->room);
	lookup->pages = palloc(sizeof(Buffer) * lookup->room);
	return lookup;
}

/* Compares in index order. */
static int
compare(const TsLookup *lookup, const Datum *a, const Datum *keys)
{
	for (int i = 0; i < lookup->nkeys; i++)
	{
		int			order = DatumGetInt32(FunctionCall2Coll(&lookup->order[i], lookup->collation[i], a[i],
														keys[lookup->key_of[i]]));

		if (order != 0)
			return order;
	}
	return 0;
}

/* Compares the entry that the scan stands at with a key; a NULL sorts behind everything, or before: then it is not walked over. */
static int
compare_entry(const TsLookup *lookup, const Datum *keys)
{
	Datum		entry[INDEX_MAX_KEYS];

	for (int i = 0; i < lookup->nkeys; i++)
	{
		bool		isnull;

		entry[i] = index_getattr(lookup->scan->xs_itup, i + 1, RelationGetDescr(lookup->index), &isnull);
		if (isnull)
			return 1;
	}
	return compare(lookup, entry, keys);
}

static void
remember(TsLookup *lookup, const Datum *keys)
{
	MemoryContext old;

	MemoryContextReset(lookup->last_context);
	old = MemoryContextSwitchTo(lookup->last_context);
	for (int i = 0; i < lookup->nkeys; i++)
		lookup->last[i] = datumCopy(keys[lookup->key_of[i]], lookup->atts[i]->attbyval, lookup->atts[i]->attlen);
	MemoryContextSwitchTo(old);
}

/* The keys must stay where they are as long as the scan goes on. */
static void
search(TsLookup *lookup, ScanKeyData *scankeys, const Datum *keys)
{
	for (int i = 0; i < lookup->nkeys; i++)
		scankeys[i].sk_argument = keys[lookup->key_of[i]];
	index_rescan(lookup->scan, scankeys, lookup->nkeys, NULL, 0);
}

/* The entry that the scan stands at has the key: fetches its row, or only notes it. True: the row is found. */
static bool
arrive(TsLookup *lookup)
{
	if (!lookup->collects)
		return index_fetch_heap(lookup->scan, lookup->slot);
	if (lookup->nentries == lookup->room)
	{
		lookup->room *= 2;
		lookup->entries = repalloc(lookup->entries, sizeof(ItemPointerData) * lookup->room);
		lookup->pages = repalloc(lookup->pages, sizeof(Buffer) * lookup->room);
	}
	lookup->entries[lookup->nentries++] = lookup->scan->xs_heaptid;
	return false;
}

/* Goes on until the key is found or passed. With a limit: 0 if it was not reached within so many steps, else 1. */
static int
walk(TsLookup *lookup, const Datum *keys, int limit, bool *found)
{
	*found = false;
	for (int steps = 0; lookup->at_entry; steps++)
	{
		int			order = compare_entry(lookup, keys);

		if (order > 0)
			return 1;
		/* one key may have entries for several versions of its row */
		if (order == 0 && arrive(lookup))
		{
			*found = true;
			return 1;
		}
		if (limit > 0 && steps >= limit)
			return 0;
		lookup->at_entry = index_getnext_tid(lookup->scan, ForwardScanDirection) != NULL;
	}
	/* the end of the scan's range, not of the index */
	return limit > 0 ? 0 : 1;
}

/* A page that is read later is still compared with them. */
static const Datum *
copy_keys(TsLookup *lookup, const Datum *keys)
{
	MemoryContext old;

	MemoryContextReset(lookup->from_context);
	old = MemoryContextSwitchTo(lookup->from_context);
	for (int i = 0; i < lookup->nkeys; i++)
		lookup->from_keys[lookup->key_of[i]] = datumCopy(keys[lookup->key_of[i]], lookup->atts[i]->attbyval, lookup->atts[i]->attlen);
	MemoryContextSwitchTo(old);
	return lookup->from_keys;
}

static bool
walk_or_search(TsLookup *lookup, const Datum *keys)
{
	int			start = lookup->nentries;
	int			order = lookup->at_entry ? compare(lookup, lookup->last, keys) : 1;
	bool		found;

	/*
	 * Never fetch an entry's row twice: the first time changes the entry's tuple id to that of the row version found, and from a
	 * heap-only version the server would conclude that the entry is dead, and mark it so.
	 */
	if (order == 0 && !lookup->collects)
		return lookup->last_found;
	/* what was asked for out of order may lie behind */
	if (order < 0 && walk(lookup, keys, MOST_STEPS, &found))
	{
		lookup->served++;
		return found;
	}
	if (lookup->searches++ == TRIAL_SEARCHES)
	{
		if (lookup->served < LEAST_SERVED * TRIAL_SEARCHES)
			lookup->single = SINGLE_KEYS;
		lookup->searches = lookup->served = 0;
	}
	lookup->nentries = start;
	search(lookup, lookup->from, copy_keys(lookup, keys));
	lookup->at_entry = index_getnext_tid(lookup->scan, ForwardScanDirection) != NULL;
	(void) walk(lookup, keys, 0, &found);
	return found;
}

/* The index's part. */
static bool
find(TsLookup *lookup, const Datum *keys)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->home);
	bool		found = false;

	if (lookup->can_walk && lookup->single == 0)
	{
		found = walk_or_search(lookup, keys);
		remember(lookup, keys);
		lookup->last_found = found;
	}
	else
	{
		lookup->at_entry = false;
		if (lookup->single > 0)
			lookup->single--;
		search(lookup, lookup->equal, keys);
		while (!found && index_getnext_tid(lookup->scan, ForwardScanDirection) != NULL)
			found = arrive(lookup);
	}
	MemoryContextSwitchTo(old);
	return found;
}

static void
let_go(TsLookup *lookup)
{
	ExecClearTuple(lookup->slot);
	for (int i = 0; i < lookup->nentries; i++)
		if (i == 0 || lookup->pages[i] != lookup->pages[i - 1])
			ReleaseBuffer(lookup->pages[i]);
	lookup->nentries = 0;
}

/*
 * The rows of scattered keys are in nobody's cache: waiting for memory was most of what it took to look at them, so all are asked for at
 * once. Line pointers are read without a lock here, since nothing follows from what they say.
 */
static void
hold_pages(TsLookup *lookup)
{
	for (int i = 0; i < lookup->nentries; i++)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&lookup->entries[i]);

		if (i > 0 && block == ItemPointerGetBlockNumber(&lookup->entries[i - 1]))
			lookup->pages[i] = lookup->pages[i - 1];
		else
			lookup->pages[i] = ReadBuffer(lookup->rel, block);
		__builtin_prefetch(PageGetItemId(BufferGetPage(lookup->pages[i]), ItemPointerGetOffsetNumber(&lookup->entries[i])));
	}
	for (int i = 0; i < lookup->nentries; i++)
	{
		Page		page = BufferGetPage(lookup->pages[i]);
		char	   *row = (char *) page + ItemIdGetOffset(PageGetItemId(page, ItemPointerGetOffsetNumber(&lookup->entries[i])));

		__builtin_prefetch(row);
		__builtin_prefetch(row + 64);
	}
}

void
ts_lookup_ahead(TsLookup *lookup, int n, const Datum *const *keys)
{
	Assert(lookup->collects && n <= TS_LOOKUP_AHEAD);
	let_go(lookup);
	for (int i = 0; i < n; i++)
	{
		lookup->first[i] = lookup->nentries;
		(void) find(lookup, keys[i]);
	}
	lookup->first[n] = lookup->nentries;
	hold_pages(lookup);
}

/*
 * An index scan would prune the pages that it comes by: of a source that was just changed all of them, which takes longer than to find the
 * rows, and is for nothing that a push does. Those who write to these pages prune them as well.
 */
TupleTableSlot *
ts_lookup_nth(TsLookup *lookup, int n)
{
	for (int i = lookup->first[n]; i < lookup->first[n + 1]; i++)
	{
		ItemPointerData tid = lookup->entries[i];
		bool		found;

		LockBuffer(lookup->pages[i], BUFFER_LOCK_SHARE);
		found = heap_hot_search_buffer(&tid, lookup->rel, lookup->pages[i], lookup->snapshot, &lookup->tuple, NULL, true);
		LockBuffer(lookup->pages[i], BUFFER_LOCK_UNLOCK);
		if (!found)
			continue;
		lookup->tuple.t_tableOid = RelationGetRelid(lookup->rel);
		return ExecStoreBufferHeapTuple(&lookup->tuple, lookup->slot, lookup->pages[i]);
	}
	return NULL;
}

TupleTableSlot *
ts_lookup_row(TsLookup *lookup, const Datum *keys)
{
	if (lookup->collects)
	{
		ts_lookup_ahead(lookup, 1, &keys);
		return ts_lookup_nth(lookup, 0);
	}
	return find(lookup, keys) ? lookup->slot : NULL;
}

int
ts_lookup_can_ahead(const TsLookup *lookup)
{
	return lookup->collects ? Max(1, Min(TS_LOOKUP_AHEAD, NBuffers / 512)) : 1;
}

void
ts_lookup_end(TsLookup *lookup)
{
	if (lookup->collects)
		let_go(lookup);
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_endscan(lookup->scan);
	index_close(lookup->index, NoLock);
	MemoryContextDelete(lookup->last_context);
	MemoryContextDelete(lookup->from_context);
	pfree(lookup->entries);
	pfree(lookup->pages);
	pfree(lookup);
}
