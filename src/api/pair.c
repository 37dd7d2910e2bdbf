/* pair.c: pushes of links that go there and back. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "api/pair.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "base/srf.h"
#include "capture/buffer.h"
#include "capture/origin.h"
#include "link/ask.h"
#include "link/back.h"
#include "link/remote.h"
#include "link/rows.h"
#include "log/tracked.h"
#include "netchange/scan.h"

PG_FUNCTION_INFO_V1(tracksync_link_back);
PG_FUNCTION_INFO_V1(tracksync_link_back_is_whole);
PG_FUNCTION_INFO_V1(tracksync_note_gone);

/* One lock, wherever it is. */
typedef struct PairLock
{
	int64		key;
	TsConnection *connection;	/* of the server where it is; NULL: here */
} PairLock;

static int
compare_locks(const void *a, const void *b)
{
	int64		x = ((const PairLock *) a)->key,
				y = ((const PairLock *) b)->key;

	return x < y ? -1 : x > y;
}

void
ts_pair_refuse_own(const TsLink *link)
{
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("link \"%s\" cannot push changes that this transaction made itself to server \"%s\"", link->name, link->server),
			 errdetail("They would stay there if the transaction failed here."),
			 errhint("Commit, then push.")));
}

/* Whoever holds the lock may wait for rows that this transaction has written, and no server would see the circle. */
static void
refuse_own_changes(const TsLink *link)
{
	TsTracked  *tracked = ts_tracked_need(link->source);
	TsPending	pending;

	if (ts_own_txid() == 0)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	pending = ts_log_pending(tracked, GetActiveSnapshot(), link->position, false);
	PopActiveSnapshot();
	if (pending.last_seq != 0)
		ts_pair_refuse_own(link);
}

/* All in one order, whichever links are pushed together. */
void
ts_pair_lock(const TsOpening *opening)
{
	PairLock   *locks = palloc(sizeof(PairLock) * (opening->n + 1));
	int			n = 0;

	for (int i = 0; i < opening->n; i++)
	{
		const TsLink *link = opening->links[i].link;
		char	   *a,
				   *both;
		bool		here;

		if (link->server == NULL || !link->remote->tracked || link->by_diff)
			continue;
		refuse_own_changes(link);
		a = ts_link_origin(link);
		here = strcmp(a, link->remote->identity) < 0;
		both = here ? psprintf("%s %s", a, link->remote->identity) : psprintf("%s %s", link->remote->identity, a);
		locks[n].key = (int64) hash_bytes_extended((unsigned char *) both, (int) strlen(both), 0);
		locks[n++].connection = here ? NULL : link->remote->connection;
	}
	qsort(locks, n, sizeof(PairLock), compare_locks);
	for (int i = 0; i < n; i++)
	{
		char	   *key = psprintf(INT64_FORMAT, locks[i].key);
		const char *values[] = {key};

		if (locks[i].connection == NULL)
			DirectFunctionCall1(pg_advisory_xact_lock_int8, Int64GetDatum(locks[i].key));
		else
			ts_remote_execute(locks[i].connection, NULL, "SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)", 1, values, NULL, NULL);
	}
}

void
ts_pair_check_snapshot(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	List	   *names;
	ListCell   *lc;

	if (!IsolationUsesXactSnapshot() || ts_link_back(link) == TS_BACK_NONE)
		return;
	if (link->server != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("link \"%s\" goes to server \"%s\" and back, and cannot be pushed with a snapshot of before", link->name, link->server),
				 errhint("Push it in a READ COMMITTED transaction.")));
	names = ts_back_links(link->target, ts_link_origin(link));
	foreach(lc, names)
	{
		Datum		values[] = {CStringGetTextDatum(lfirst(lc))};
		TsCatalog	cat;

		/* raises 40001 if the row is a newer one */
		ts_catalog_enter(&cat);
		ts_sql("SELECT FROM tracksync.link WHERE name = $1 FOR SHARE", SPI_OK_SELECT, 1, types, values, NULL);
		ts_catalog_leave(&cat);
	}
}

/* A link, and where its rows come from. */
typedef struct Origin
{
	const char *text;
	const TsLink *link;
} Origin;

static int
compare_origins(const void *a, const void *b)
{
	const Origin *x = a,
			   *y = b;
	int			order = strcmp(x->text, y->text);

	return order != 0 ? order : strcmp(x->link->name, y->link->name);
}

/* The first link, by origin and name, that comes from where this one goes, and goes to where it comes from; NULL: none does. */
static const TsLink *
find_back(int n, const Origin *origins, const Origin *there)
{
	const char *echo = there->link->position->echo;
	int			from = 0,
				to = echo != NULL ? n : 0;

	while (from < to)
	{
		int			middle = (from + to) / 2;

		if (strcmp(origins[middle].text, echo) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; echo != NULL && from < n && strcmp(origins[from].text, echo) == 0; from++)
		if (origins[from].link != there->link && origins[from].link->position->echo != NULL &&
			strcmp(origins[from].link->position->echo, there->text) == 0)
			return origins[from].link;
	return NULL;
}

void
ts_pair_refuse_group(const TsOpening *opening)
{
	Origin	   *origins = palloc(sizeof(Origin) * (opening->n + 1));

	for (int i = 0; i < opening->n; i++)
		origins[i] = (Origin) {ts_link_origin(opening->links[i].link), opening->links[i].link};
	qsort(origins, opening->n, sizeof(Origin), compare_origins);
	for (int i = 0; i < opening->n; i++)
	{
		const TsLink *link = opening->links[i].link;
		Origin		there = {ts_link_origin(link), link};
		const TsLink *back = opening->n > 1 ? find_back(opening->n, origins, &there) : NULL;

		if (back != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("links \"%s\" and \"%s\" of group \"%s\" go there and back", link->name, back->name, opening->name),
					 errdetail("What the one brings the other one would have to know, and both plans are made of the same moment."),
					 errhint("Make a group for each direction, and push one after the other.")));
	}
}

/* Keeps everybody else from writing to the target, and asks what of it is not at the source. */
static TsBack
lock_and_ask(const TsLink *link)
{
	char	   *oid,
			   *origin = ts_link_origin(link);
	List	   *rows;
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2];

	if (link->server == NULL)
	{
		LockRelationOid(link->target, ShareRowExclusiveLock);
		(void) find_all_inheritors(link->target, ShareRowExclusiveLock, NULL);
		return ts_back_of(link->target, origin);
	}
	ts_remote_run(link->remote->connection, psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", ts_link_target(link)));
	oid = link->remote->oid;
	values[0] = CStringGetTextDatum(oid);
	values[1] = CStringGetTextDatum(origin);
	rows = ts_target_ask(link, "SELECT tracksync.link_back($1::pg_catalog.oid::pg_catalog.regclass, $2)", 2, types, values, NULL, false);
	return ts_back_read(((char **) linitial(rows))[0]);
}

static bool
is_opened(const TsOpening *opening, const char *name)
{
	for (int i = 0; i < opening->n; i++)
		if (strcmp(opening->links[i].link->name, name) == 0)
			return true;
	return false;
}

/*
 * A row of another link's that is not in its source any more, and not deleted yet, looks like one that only the target has. Links of the
 * same source bring nobody else's rows; where a filter tells the rows of links, they are told by it.
 */
void
ts_pair_check_beside(const TsOpening *opening, const TsLink *link)
{
	ListCell   *lc;

	foreach(lc, link->target_condition == NULL ? ts_links_beside(link) : NIL)
	{
		TsLink	   *other = ts_link_load_any(lfirst(lc));
		TsTracked  *tracked;
		TsPending	pending;

		if (other == NULL || other->source == link->source || other->by_diff || other->state != TS_STATE_ACTIVE ||
			is_opened(opening, other->name) || get_rel_name(other->source) == NULL)
			continue;
		tracked = ts_tracked_load(other->source);
		if (tracked == NULL)
			continue;
		/* one that compares finds what misses */
		pending = ts_log_pending(tracked, opening->snapshot, other->position, false);
		if (pending.rows > 0 && !pending.wholesale)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("link \"%s\" has to wait for link \"%s\", which writes to the same table and has changes that are not pushed",
							link->name, other->name),
					 errdetail("Until then a row that only table %s has may be one of either link.", ts_link_target(link)),
					 errhint("Push link \"%s\" first.", other->name)));
	}
}

void
ts_pair_check_compared(const TsOpening *opening, const TsMerged *merged)
{
	for (int i = 0; i < opening->n; i++)
	{
		const TsPlan *plan = merged->plans[i];
		const TsLink *link = plan->link;
		bool		writes = false,
					deletes = false;

		for (int s = 0; s < plan->nsteps; s++)
			if (plan->steps[s].store != NULL && plan->steps[s].rows > 0)
			{
				writes = true;
				deletes |= plan->steps[s].op == TS_CHANGE_DELETE;
			}
		if (plan->compared && deletes)
			ts_pair_check_beside(opening, link);
		if (!plan->compared || !writes || ts_link_back(link) == TS_BACK_NONE || lock_and_ask(link) < TS_BACK_PENDING)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("link \"%s\" has to compare, and table %s has changes of its own that are not in %s yet", link->name, ts_link_target(link),
						get_rel_name(link->source)),
				 errdetail("The comparison would undo them."),
				 errhint("Push the link in the other direction first. If that one has to compare, too, say which table wins: tracksync.pull of the link that comes from the other one, with discard => true.")));
	}
}

void
ts_pair_check_pull(const TsLink *link)
{
	if (link->by_diff || ts_link_back(link) == TS_BACK_NONE || lock_and_ask(link) != TS_BACK_PENDING)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("link \"%s\" cannot be pulled: table %s has changes that a link in the other direction is to bring", link->name,
					ts_link_target(link)),
			 errdetail("They would count twice."),
			 errhint("Push that link first.")));
}

/* A question of another server's: may it ask? False: there is no such table. */
static bool
may_ask(FunctionCallInfo fcinfo)
{
	Oid			source;

	ts_need_arg(fcinfo, 0, "source");
	ts_need_arg(fcinfo, 1, "origin");
	source = PG_GETARG_OID(0);
	if (get_rel_name(source) == NULL)
		return false;
	if (pg_class_aclcheck(source, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(source)), get_rel_name(source));
	ts_buffer_flush();
	return true;
}

/* link_back(source, origin): NULL, idle, pending or compares */
Datum
tracksync_link_back(PG_FUNCTION_ARGS)
{
	const char *name = may_ask(fcinfo) ? ts_back_name(ts_back_of(PG_GETARG_OID(0), ts_text_arg(fcinfo, 1))) : NULL;

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* link_back_is_whole(source, origin) */
Datum
tracksync_link_back_is_whole(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(may_ask(fcinfo) && ts_back_is_whole(PG_GETARG_OID(0), ts_text_arg(fcinfo, 1)));
}

/* SELECT q.k1, … FROM jsonb_to_record($1::jsonb) AS q(k1 type, …), in the log's order; NULL if the keys are of other columns. */
static char *
key_query(const TsSource *source)
{
	StringInfoData names,
				types,
				there;

	initStringInfo(&names);
	initStringInfo(&types);
	initStringInfo(&there);
	for (int i = 0; i < source->nkeys; i++)
	{
		Form_pg_attribute att = source->key_atts[i];
		const char *name = quote_identifier(NameStr(att->attname));

		appendStringInfo(&names, "%sq.%s", i ? ", " : "", name);
		appendStringInfo(&types, "%s%s %s", i ? ", " : "", name, ts_quote_type(getBaseType(att->atttypid), -1));
		appendStringInfo(&there, "%s%s", i ? ", " : "", quote_literal_cstr(NameStr(att->attname)));
	}
	return psprintf("SELECT %s FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v(j), pg_catalog.jsonb_to_record(v.j::pg_catalog.jsonb) AS q(%s) "
					"WHERE pg_catalog.jsonb_exists_all(v.j::pg_catalog.jsonb, ARRAY[%s]::pg_catalog.text[])", names.data, types.data, there.data);
}

static void
note_gone(TsSource *source, Datum keys, const char *origin)
{
	static const Oid types[] = {TEXTARRAYOID};
	TsEvent		event = {.op = TS_OP_GONE, .cid = GetCurrentCommandId(false), .origin = ts_origin_intern(origin)};
	TsBytes		key = {0};

	SPI_connect();
	if (SPI_execute_with_args(key_query(source), 1, (Oid *) types, &keys, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read keys");
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		bool		whole = true;

		key.used = 0;
		for (int i = 0; i < source->nkeys && whole; i++)
		{
			bool		isnull;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[r], SPI_tuptable->tupdesc, i + 1, &isnull);

			whole = !isnull;
			if (whole)
				ts_pack_value(&key, source->key_atts[i]->attbyval, source->key_atts[i]->attlen, value);
		}
		event.key = key.data;
		event.key_size = key.used;
		if (whole)
			ts_buffer_add(source->log, &event);
	}
	SPI_finish();
}

/* note_gone(target, keys, origin) */
Datum
tracksync_note_gone(PG_FUNCTION_ARGS)
{
	Relation	rel;
	TsSource   *source;

	ts_need_arg(fcinfo, 0, "target");
	ts_need_arg(fcinfo, 1, "keys");
	ts_need_arg(fcinfo, 2, "origin");
	rel = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	/* who may delete rows may say that they are gone */
	if (pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_DELETE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind), RelationGetRelationName(rel));
	source = ts_source_lookup(rel);
	if (source != NULL && source->keys_fit)
		note_gone(source, PG_GETARG_DATUM(1), ts_text_arg(fcinfo, 2));
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}
