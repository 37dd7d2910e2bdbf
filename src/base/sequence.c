/* sequence.c: reading and moving sequences. */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "storage/bufmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/sequence.h"

/* The sequence's row: there is one, on its only page. */
static FormData_pg_sequence_data
read_state(Oid sequence)
{
	Relation	rel = relation_open(sequence, AccessShareLock);
	FormData_pg_sequence_data state;
	Buffer		buffer;
	Page		page;
	HeapTupleHeader tuple;

	if (rel->rd_rel->relkind != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a sequence", RelationGetRelationName(rel))));
	buffer = ReadBuffer(rel, 0);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	tuple = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	memcpy(&state, (char *) tuple + tuple->t_hoff, sizeof(state));
	UnlockReleaseBuffer(buffer);
	relation_close(rel, NoLock);
	return state;
}

bool
ts_sequence_lags(Oid sequence, int64 value)
{
	FormData_pg_sequence_data state = read_state(sequence);
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		can;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	can = ((Form_pg_sequence) GETSTRUCT(tuple))->seqincrement > 0 && ((Form_pg_sequence) GETSTRUCT(tuple))->seqmax >= value;
	ReleaseSysCache(tuple);
	return can && (state.last_value < value || (state.last_value == value && !state.is_called));
}

void
ts_sequence_advance(Oid sequence, int64 value)
{
	if (ts_sequence_lags(sequence, value))
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(value));
}
