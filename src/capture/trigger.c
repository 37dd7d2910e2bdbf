/*
 * trigger.c: the functions that PostgreSQL calls for each changed row and for TRUNCATE.
 *
 * They decide what an event is (which operation, which key, which old values) and hand it to the buffer. An UPDATE that
 * changes no column, or only ignored ones, is no event. One that changes the key is a D and an I, marked as a pair.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "capture/buffer.h"
#include "capture/source.h"
#include "log/image.h"
#include "log/logtable.h"

PG_FUNCTION_INFO_V1(tracksync_capture_row);
PG_FUNCTION_INFO_V1(tracksync_capture_truncate);

/* Are two stored values of a column the same, after detoasting? The cheap cases first. */
static bool
same_value(Form_pg_attribute att, Datum a, Datum b)
{
	if (att->attbyval)
		return a == b;
	if (att->attlen > 0)
		return memcmp(DatumGetPointer(a), DatumGetPointer(b), att->attlen) == 0;
	if (att->attlen == -1)
	{
		struct varlena *x = (struct varlena *) DatumGetPointer(a);
		struct varlena *y = (struct varlena *) DatumGetPointer(b);
		Size		size = VARSIZE_ANY(x);

		/* also an unchanged pointer into the toast table */
		if (size == VARSIZE_ANY(y) && memcmp(x, y, size) == 0)
			return true;
		if (!VARATT_IS_EXTENDED(x) && !VARATT_IS_EXTENDED(y))
			return false;
		if (VARATT_IS_SHORT(x) && VARATT_IS_SHORT(y))
			return false;
	}
	return datum_image_eq(a, b, false, att->attlen);
}

/*
 * The command that made the change. Arrival does not tell the order of a row's versions: changes made by a trigger, or by a
 * function that the statement calls, reach us before those of the statement itself. Sets TS_IMAGE_CID in flags.
 */
static CommandId
note_command(TriggerData *trig, int *flags)
{
	if (trig->tg_relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return 0;				/* a foreign partition's rows have no command */
	*flags |= TS_IMAGE_CID;
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

/* Builds the image of source->values and adds the event. A row without a whole key can only be told as a gap. */
static void
add_event(TsSource *source, char op, TupleTableSlot *slot, int flags, CommandId cid)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		keynulls[INDEX_MAX_KEYS];
	struct varlena *image = NULL;

	if (!source->keys_fit || !read_key(source, slot, keys, keynulls))
	{
		ts_buffer_add(source->log, TS_OP_GAP, NULL, NULL, NULL);
		return;
	}
	if (flags != 0)
	{
		int32		shape = (flags & (TS_IMAGE_MASK | TS_IMAGE_ROW)) != 0 ? ts_source_shape(source) : 0;
		MemoryContext old = MemoryContextSwitchTo(ts_buffer_context());

		image = ts_image_build(flags, cid, shape, source->rootdesc, source->changed, source->values, source->nulls);
		MemoryContextSwitchTo(old);
	}
	ts_buffer_add(source->log, op, keys, keynulls, image);
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
capture_delete(TsSource *source, TupleTableSlot *slot, int flags, CommandId cid)
{
	if (source->images)
	{
		read_row(source, slot);
		flags |= TS_IMAGE_ROW | TS_IMAGE_VALUES;
	}
	add_event(source, TS_OP_DELETE, slot, flags, cid);
}

/* Fills in source->changed; returns whether a column that matters changed, and whether one of the key did. */
static bool
compare_rows(TsSource *source, TupleTableSlot *newslot, bool *key_touched)
{
	TupleDesc	desc = source->rootdesc;
	bool		matters = false;

	*key_touched = false;
	slot_getallattrs(newslot);
	for (int i = 0; i < desc->natts; i++)
	{
		AttrNumber	attnum = source->attmap[i];
		bool		isnull;

		source->changed[i] = false;
		if (attnum == 0)
			continue;
		isnull = newslot->tts_isnull[attnum - 1];
		if (isnull != source->nulls[i] ||
			(!isnull && !same_value(TupleDescAttr(desc, i), source->values[i], newslot->tts_values[attnum - 1])))
		{
			source->changed[i] = true;
			matters |= !source->ignored[i];
			*key_touched |= source->is_key[i];
		}
	}
	return matters;
}

static void
capture_update(TsSource *source, TriggerData *trig, int flags, CommandId cid)
{
	TupleTableSlot *oldslot = trig->tg_trigslot;
	TupleTableSlot *newslot = trig->tg_newslot;
	int			values = source->images ? TS_IMAGE_VALUES : 0;
	bool		key_touched;

	read_row(source, oldslot);
	if (!compare_rows(source, newslot, &key_touched))
		return;
	if (key_touched && source->keys_fit)
	{
		Datum		oldkeys[INDEX_MAX_KEYS],
					newkeys[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (!read_key(source, oldslot, oldkeys, nulls) || !read_key(source, newslot, newkeys, nulls) ||
			!same_key(source, oldkeys, newkeys))
		{
			/* the D carries the row as it was; the I tells nothing but that it is the other half */
			capture_delete(source, oldslot, flags | TS_IMAGE_PAIR, cid);
			add_event(source, TS_OP_INSERT, newslot, flags | TS_IMAGE_PAIR, cid);
			return;
		}
	}
	add_event(source, TS_OP_UPDATE, newslot, flags | TS_IMAGE_MASK | values, cid);
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
	int			flags = 0;
	CommandId	cid;

	if (source == NULL)
		return PointerGetDatum(NULL);
	cid = note_command(trig, &flags);
	if (TRIGGER_FIRED_BY_INSERT(trig->tg_event))
		add_event(source, TS_OP_INSERT, trig->tg_trigslot, flags, cid);
	else if (TRIGGER_FIRED_BY_DELETE(trig->tg_event))
		capture_delete(source, trig->tg_trigslot, flags, cid);
	else
		capture_update(source, trig, flags, cid);
	return PointerGetDatum(NULL);
}

/* Truncating one partition alone is a gap: which of the root's rows are gone is not known. */
Datum
tracksync_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trig = trigger_data(fcinfo, false);
	TsSource   *source = ts_source_lookup(trig->tg_relation);

	if (source != NULL)
		ts_buffer_add(source->log, source->root == source->relid ? TS_OP_TRUNCATE : TS_OP_GAP, NULL, NULL, NULL);
	return PointerGetDatum(NULL);
}
