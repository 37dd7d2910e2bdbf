/*
 * operation.c: the operation level of the change log.
 *
 * Image of an O event: nine numbers (ts_pack_number): inserts, updates, deletes, truncates, tags, started, how long after that it was logged,
 * shape before and after, or 0; then user, application name and context as zero-terminated strings; an absent context is one byte 0xFF.
 * Numbers of fixed size made the log row of a transaction of a single row half as long again.
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

#define NNUMBERS 9
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
	const char *why;

	ts_operation_current(&op);
	why = op.context && op.context[0] ? op.context : NO_CONTEXT;
	ts_pack_number(bytes, count->inserts);
	ts_pack_number(bytes, count->updates);
	ts_pack_number(bytes, count->deletes);
	ts_pack_number(bytes, count->truncates);
	ts_pack_number(bytes, count->tags);
	ts_pack_number(bytes, op.started);
	/* of a clock that was set back, the difference of two's complement is right, too, if long */
	ts_pack_number(bytes, (uint64) op.logged - (uint64) op.started);
	ts_pack_number(bytes, count->schema.before);
	ts_pack_number(bytes, count->schema.after);
	ts_pack(bytes, op.user, strlen(op.user) + 1);
	ts_pack(bytes, op.application, strlen(op.application) + 1);
	ts_pack(bytes, why, strlen(why) + 1);
}

void
ts_operation_read(const TsEvent *event, TsOperation *result)
{
	const char *at = event->image;
	const char *end = event->image + event->image_size;
	uint64		numbers[NNUMBERS];
	char	   *p;

	for (int i = 0; i < NNUMBERS; i++)
		at = ts_unpack_number(at, end, &numbers[i]);
	result->count.inserts = numbers[0];
	result->count.updates = numbers[1];
	result->count.deletes = numbers[2];
	result->count.truncates = numbers[3];
	result->count.tags = numbers[4];
	result->started = numbers[5];
	result->logged = numbers[5] + numbers[6];
	result->count.schema.before = (int32) numbers[7];
	result->count.schema.after = (int32) numbers[8];
	p = palloc(end - at + 1);
	memcpy(p, at, end - at);
	p[end - at] = '\0';
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
