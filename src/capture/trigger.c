/*
 * trigger.c: the functions that PostgreSQL calls for each changed row and for TRUNCATE.
 *
 * They decide what an event is (which operation, which key, which old values) and hand it to the buffer. An UPDATE that
 * changes no column, or only ignored ones, is no event. One that changes the key is a D and an I, marked as a pair.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "capture/buffer.h"
#include "capture/compare.h"
#include "capture/origin.h"
#include "capture/source.h"
#include "log/image.h"

/* Bytes of the buffer that events are packed in, and how large it may stay. */
#define SCRATCH_SIZE 1024
#define SCRATCH_KEPT (256 * 1024)

PG_FUNCTION_INFO_V1(tracksync_capture_row);
PG_FUNCTION_INFO_V1(tracksync_capture_truncate);

/*
 * The command that made the change. Arrival does not tell the order of a row's versions: changes made by a trigger, or by a
 * function that the statement calls, reach us before those of the statement itself.
 */
static CommandId
command_of(TriggerData *trig)
{
	if (trig->tg_relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return TS_NO_COMMAND;	/* a foreign partition's rows have none */
	if (TRIGGER_FIRED_BY_INSERT(trig->tg_event))
		return HeapTupleHeaderGetCmin(trig->tg_trigtuple->t_data);
	return HeapTupleHeaderGetCmax(trig->tg_trigtuple->t_data);
}

/* The row's key in log order; false if a part of it is NULL, which a key that lost its NOT NULL may be. */
static bool
read_key(TsSource *source, TupleTableSlot *slot, Datum *keys, bool *nulls)
{
	bool		whole = true;

	for (int i = 0; i < source->nkeys; i++)
	{
		keys[i] = slot_getattr(slot, source->keys[i], &nulls[i]);
		whole &= !nulls[i];
	}
	return whole;
}

static bool
same_key(TsSource *source, const Datum *a, const Datum *b)
{
	for (int i = 0; i < source->nkeys; i++)
		if (!OidIsValid(source->key_eq[i].fn_oid) ||
			!DatumGetBool(FunctionCall2Coll(&source->key_eq[i], source->key_collation[i], a[i], b[i])))
			return false;
	return true;
}

/* An event without key and image. */
static void
add_bare_event(TsSource *source, char op)
{
	TsEvent		event = {.op = op, .cid = TS_NO_COMMAND};

	ts_buffer_add(source->log, &event);
}

/* Empties a buffer that lives as long as the session, and does not keep what one huge row made of it. */
static void
empty(TsBytes *bytes)
{
	if (bytes->data != NULL && bytes->size > SCRATCH_KEPT)
	{
		pfree(bytes->data);
		bytes->data = NULL;
	}
	if (bytes->data == NULL)
	{
		bytes->size = SCRATCH_SIZE;
		bytes->data = MemoryContextAlloc(TopMemoryContext, SCRATCH_SIZE);
	}
	bytes->used = 0;
}

/*
 * Adds the event of a row: its key, and with image flags the image of source->values. A row without a whole key can only be told
 * as a gap.
 */
static void
add_event(TsSource *source, TsEvent event, TupleTableSlot *slot, int image)
{
	static TsBytes scratch;
	Datum		keys[INDEX_MAX_KEYS];
	bool		keynulls[INDEX_MAX_KEYS];

	if (!source->keys_fit || !read_key(source, slot, keys, keynulls))
	{
		add_bare_event(source, TS_OP_GAP);
		return;
	}
	empty(&scratch);
	for (int i = 0; i < source->nkeys; i++)
		ts_pack_value(&scratch, source->key_atts[i]->attbyval, source->key_atts[i]->attlen, keys[i]);
	event.key_size = scratch.used;
	if (image != 0)
		ts_image_pack(&scratch, image, ts_source_shape(source), source->rootdesc, source->changed, source->values, source->nulls);
	event.key = scratch.data;
	event.image = image != 0 ? scratch.data + event.key_size : NULL;
	event.image_size = scratch.used - event.key_size;
	ts_buffer_add(source->log, &event);
}

/* The old row in the root's attribute numbers. */
static void
read_row(TsSource *source, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	for (int i = 0; i < source->rootdesc->natts; i++)
	{
		AttrNumber	attnum = source->attmap[i];

		source->nulls[i] = attnum == 0 || slot->tts_isnull[attnum - 1];
		source->values[i] = source->nulls[i] ? (Datum) 0 : slot->tts_values[attnum - 1];
	}
}

static void
capture_delete(TsSource *source, TupleTableSlot *slot, CommandId cid, const char *origin, bool pair)
{
	TsEvent		event = {.op = TS_OP_DELETE, .cid = cid, .origin = origin, .pair = pair};

	if (source->images)
		read_row(source, slot);
	add_event(source, event, slot, source->images ? TS_IMAGE_ROW | TS_IMAGE_VALUES : 0);
}

static void
capture_insert(TsSource *source, TupleTableSlot *slot, CommandId cid, const char *origin, bool pair)
{
	TsEvent		event = {.op = TS_OP_INSERT, .cid = cid, .origin = origin, .pair = pair};

	add_event(source, event, slot, 0);
}

/* Fills in source->changed from the values. */
static void
compare_values(TsSource *source, TupleTableSlot *oldslot, TupleTableSlot *newslot)
{
	read_row(source, oldslot);
	slot_getallattrs(newslot);
	for (int i = 0; i < source->rootdesc->natts; i++)
	{
		AttrNumber	attnum = source->attmap[i];
		bool		isnull = attnum == 0 || newslot->tts_isnull[attnum - 1];

		source->changed[i] = isnull != source->nulls[i] ||
			(!isnull && !ts_same_value(TupleDescAttr(source->rootdesc, i), source->values[i], newslot->tts_values[attnum - 1]));
	}
}

/* Fills in source->changed; returns whether a column that matters changed, and whether one of the key did. */
static bool
find_changes(TsSource *source, TriggerData *trig, bool *key_touched)
{
	bool		matters = false;

	if (!source->same_columns ||
		!ts_compare_tuples(RelationGetDescr(trig->tg_relation), trig->tg_trigtuple, trig->tg_newtuple, source->changed))
		compare_values(source, trig->tg_trigslot, trig->tg_newslot);
	*key_touched = false;
	for (int i = 0; i < source->rootdesc->natts; i++)
		if (source->changed[i])
		{
			matters |= !source->ignored[i];
			*key_touched |= source->is_key[i];
		}
	return matters;
}

/* The old values of the changed columns. */
static void
read_changed(TsSource *source, TupleTableSlot *slot)
{
	for (int i = 0; i < source->rootdesc->natts; i++)
		if (source->changed[i])
			source->values[i] = slot_getattr(slot, source->attmap[i], &source->nulls[i]);
}

/*
 * An UPDATE that brought changes from another table says of all columns that it wrote what they hold there, also of those that held it
 * already.
 */
static void
add_written(TsSource *source, const TriggerData *trig)
{
	for (int i = 0; i < source->rootdesc->natts; i++)
		if (source->attmap[i] != 0 && bms_is_member(source->attmap[i] - FirstLowInvalidHeapAttributeNumber, trig->tg_updatedcols))
			source->changed[i] = true;
}

static void
capture_update(TsSource *source, TriggerData *trig, CommandId cid, const char *origin)
{
	TupleTableSlot *oldslot = trig->tg_trigslot;
	TupleTableSlot *newslot = trig->tg_newslot;
	TsEvent		event = {.op = TS_OP_UPDATE, .cid = cid, .origin = origin};
	bool		key_touched;

	if (!find_changes(source, trig, &key_touched) && origin == NULL)
		return;
	if (key_touched && source->keys_fit)
	{
		Datum		oldkeys[INDEX_MAX_KEYS],
					newkeys[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (!read_key(source, oldslot, oldkeys, nulls) || !read_key(source, newslot, newkeys, nulls) ||
			!same_key(source, oldkeys, newkeys))
		{
			capture_delete(source, oldslot, cid, origin, true);
			capture_insert(source, newslot, cid, origin, true);
			return;
		}
	}
	if (origin != NULL)
		add_written(source, trig);
	if (source->images)
		read_changed(source, oldslot);
	add_event(source, event, newslot, source->images ? TS_IMAGE_MASK | TS_IMAGE_VALUES : TS_IMAGE_MASK);
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, bool row)
{
	TriggerData *trig = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trig->tg_event) ||
		(bool) TRIGGER_FIRED_FOR_ROW(trig->tg_event) != row)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as the trigger that tracksync.track creates"),
				 errhint("Use tracksync.track to track a table.")));
	return trig;
}

Datum
tracksync_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *trig = trigger_data(fcinfo, true);
	TsSource   *source = ts_source_lookup(trig->tg_relation);
	CommandId	cid;
	const char *origin;

	if (source == NULL)
		return PointerGetDatum(NULL);
	cid = command_of(trig);
	origin = ts_origin_of(source->top, cid);
	if (TRIGGER_FIRED_BY_INSERT(trig->tg_event))
		capture_insert(source, trig->tg_trigslot, cid, origin, false);
	else if (TRIGGER_FIRED_BY_DELETE(trig->tg_event))
		capture_delete(source, trig->tg_trigslot, cid, origin, false);
	else
		capture_update(source, trig, cid, origin);
	return PointerGetDatum(NULL);
}

/* Truncating one partition alone is a gap: which of the root's rows are gone is not known. */
Datum
tracksync_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trig = trigger_data(fcinfo, false);
	TsSource   *source = ts_source_lookup(trig->tg_relation);

	if (source != NULL)
		add_bare_event(source, source->root == source->relid ? TS_OP_TRUNCATE : TS_OP_GAP);
	return PointerGetDatum(NULL);
}
