/*
 * operation.c: the operation level of the change log.
 *
 * Image of an O event: four counters (int64 each: inserts, updates, deletes, truncates), tags, started, logged, shape before and
 * after, or 0 (int64 each), then user, application name and context as zero-terminated strings; an absent context is one byte 0xFF.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "capture/operation.h"

#define NCOUNTERS 9
#define NO_CONTEXT "\377"

/* The command tags worth telling apart; anything else is "other". Positions are part of the log's format. */
static const struct
{
	CommandTag	tag;
	const char *name;
}			known_tags[] =
{
	{CMDTAG_INSERT, "INSERT"},
	{CMDTAG_UPDATE, "UPDATE"},
	{CMDTAG_DELETE, "DELETE"},
	{CMDTAG_COPY, "COPY"},
#if PG_VERSION_NUM >= 150000
	{CMDTAG_MERGE, "MERGE"},
#else
	{CMDTAG_UNKNOWN, "MERGE"},
#endif
	{CMDTAG_TRUNCATE_TABLE, "TRUNCATE TABLE"},
	{CMDTAG_SELECT, "SELECT"},
	{CMDTAG_DO, "DO"},
	{CMDTAG_CALL, "CALL"},
	{CMDTAG_EXECUTE, "EXECUTE"},
	{CMDTAG_CREATE_TABLE_AS, "CREATE TABLE AS"},
	{CMDTAG_ALTER_TABLE, "ALTER TABLE"},
	{CMDTAG_UNKNOWN, "logical replication"},
	{CMDTAG_UNKNOWN, "other"},
};

#define TAG_REPLICATION (lengthof(known_tags) - 2)
#define TAG_OTHER (lengthof(known_tags) - 1)

static int
tag_now(void)
{
	if (ActivePortal == NULL)
		return replorigin_session_origin != InvalidRepOriginId ? TAG_REPLICATION : TAG_OTHER;
	for (int i = 0; i < (int) TAG_REPLICATION; i++)
		if (known_tags[i].tag == ActivePortal->commandTag && known_tags[i].tag != CMDTAG_UNKNOWN)
			return i;
	return TAG_OTHER;
}

static void
follow_schema(TsSchemaEvent *sum, const TsSchemaEvent *more)
{
	if (sum->before == 0)
		sum->before = more->before;
	if (more->after != 0)
		sum->after = more->after;
}

void
ts_operation_count(TsOperationCount *count, const TsEvent *event, bool command)
{
	TsSchemaEvent schema;

	switch (event->op)
	{
		case TS_OP_INSERT:
			count->inserts++;
			break;
		case TS_OP_UPDATE:
			count->updates++;
			break;
		case TS_OP_DELETE:
			count->deletes++;
			break;
		case TS_OP_TRUNCATE:
			count->truncates++;
			break;
		case TS_OP_SCHEMA:
			memcpy(&schema, event->image, sizeof(schema));
			follow_schema(&count->schema, &schema);
			break;
		default:
			break;
	}
	if (command)
		count->tags |= UINT64CONST(1) << tag_now();
}

void
ts_operation_add(TsOperationCount *sum, const TsOperationCount *more)
{
	sum->inserts += more->inserts;
	sum->updates += more->updates;
	sum->deletes += more->deletes;
	sum->truncates += more->truncates;
	sum->tags |= more->tags;
	follow_schema(&sum->schema, &more->schema);
}

bool
ts_operation_is_empty(const TsOperationCount *count)
{
	return count->tags == 0;
}

void
ts_operation_current(TsOperation *result)
{
	memset(result, 0, sizeof(*result));
	result->user = GetUserNameFromId(GetSessionUserId(), true);
	if (result->user == NULL)
		result->user = "";
	result->application = application_name ? application_name : "";
	result->context = ts_context;
	result->started = GetCurrentTransactionStartTimestamp();
	result->logged = GetCurrentTimestamp();
}

void
ts_operation_pack(TsBytes *bytes, const TsOperationCount *count)
{
	TsOperation op;
	int64		counters[NCOUNTERS];
	const char *why;

	ts_operation_current(&op);
	why = op.context && op.context[0] ? op.context : NO_CONTEXT;
	counters[0] = count->inserts;
	counters[1] = count->updates;
	counters[2] = count->deletes;
	counters[3] = count->truncates;
	counters[4] = (int64) count->tags;
	counters[5] = op.started;
	counters[6] = op.logged;
	counters[7] = count->schema.before;
	counters[8] = count->schema.after;
	ts_pack(bytes, counters, sizeof(counters));
	ts_pack(bytes, op.user, strlen(op.user) + 1);
	ts_pack(bytes, op.application, strlen(op.application) + 1);
	ts_pack(bytes, why, strlen(why) + 1);
}

void
ts_operation_read(const TsEvent *event, TsOperation *result)
{
	char	   *p = palloc(event->image_size);
	int64		counters[NCOUNTERS];

	memcpy(p, event->image, event->image_size);

	memcpy(counters, p, sizeof(counters));
	p += sizeof(counters);
	result->count.inserts = counters[0];
	result->count.updates = counters[1];
	result->count.deletes = counters[2];
	result->count.truncates = counters[3];
	result->count.tags = (uint64) counters[4];
	result->started = counters[5];
	result->logged = counters[6];
	result->count.schema.before = (int32) counters[7];
	result->count.schema.after = (int32) counters[8];
	result->user = p;
	result->application = p + strlen(p) + 1;
	result->context = result->application + strlen(result->application) + 1;
	if (strcmp(result->context, NO_CONTEXT) == 0)
		result->context = NULL;
}

Datum
ts_operation_commands(uint64 tags)
{
	Datum		names[lengthof(known_tags)];
	int			n = 0;

	for (int i = 0; i < (int) lengthof(known_tags); i++)
		if (tags & (UINT64CONST(1) << i))
			names[n++] = CStringGetTextDatum(known_tags[i].name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}
