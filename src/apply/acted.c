/* acted.c: rows of a push's targets on other servers that foreign keys changed, not the push. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "apply/acted.h"
#include "apply/quarantine.h"
#include "link/ask.h"
#include "link/remote.h"

/* Is it the table that the foreign key of the other refers to? */
static bool
is_parent(const TsLink *link, const TsLink *child, const TsRemoteReference *r)
{
	return link->server != NULL && strcmp(link->server, child->server) == 0 && strcmp(link->target_schema, r->parent_schema) == 0 &&
		strcmp(link->target_name, r->parent) == 0;
}

/* The columns of such a foreign key, but for the key: a row whose key was changed is looked for under both. */
static void
note_columns(TsWriter *writer, const TsRemoteReference *r)
{
	const TsLink *link = writer->link;

	if (writer->acted == NULL)
		writer->acted = palloc0(sizeof(bool) * (link->ncolumns + 1));
	for (int i = 0; i < link->ncolumns; i++)
		writer->acted[i] |= !link->columns[i].is_key && list_member_int(r->referring, link->columns[i].target_attnum);
}

/* Does a foreign key act on the target when another target of the push, or itself, is written? */
static void
find_actions(TsWriter *writer, int n, TsWriter **writers)
{
	const TsLink *link = writer->link;
	ListCell   *lc;

	writer->counted = false;
	writer->acted = NULL;
	if (link->remote == NULL)
		return;
	foreach(lc, link->remote->references)
	{
		const TsRemoteReference *r = lfirst(lc);

		for (int i = 0; r->from_here && r->acts && i < n; i++)
			if (writers[i]->disturbs && is_parent(writers[i]->link, link, r))
			{
				writer->counted = true;
				note_columns(writer, r);
			}
	}
}

void
ts_acted_forget(const TsWriter *writer, TsBatch *batch)
{
	for (int r = 0; r < batch->n; r++)
		for (int i = 0; i < writer->link->ncolumns; i++)
			if (writer->acted[i])
				batch->rows[r].mask[i] &= ~TS_COLUMN_KNOWN;
}

/* Rows updated and deleted so far, by whatever; -1: nobody counts. */
static int64
count(const TsLink *link)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(ts_link_target(link))};
	List	   *rows = ts_target_ask(link, "WITH RECURSIVE r(t) AS (SELECT $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid UNION "
									 "SELECT i.inhrelid FROM r JOIN pg_catalog.pg_inherits i ON i.inhparent = r.t) "
									 "SELECT CASE pg_catalog.current_setting('track_counts') WHEN 'on' THEN pg_catalog.sum("
									 "pg_catalog.pg_stat_get_xact_tuples_updated(t) + pg_catalog.pg_stat_get_xact_tuples_deleted(t)) ELSE -1 END FROM r",
									 1, types, values, NULL, true);
	char	   *text = rows ? ((char **) linitial(rows))[0] : NULL;

	return text ? strtoll(text, NULL, 10) : -1;
}

void
ts_acted_begin(int n, TsWriter **writers)
{
	for (int i = 0; i < n; i++)
	{
		find_actions(writers[i], n, writers);
		writers[i]->counted_before = writers[i]->counted ? count(writers[i]->link) : 0;
	}
}

/* Rows of one table may be another link's, too. */
static int64
done_to(const TsLink *link, int n, TsWriter **writers)
{
	int64		done = 0;

	for (int i = 0; i < n; i++)
		if (writers[i]->link->server != NULL && strcmp(writers[i]->link->server, link->server) == 0 &&
			strcmp(ts_link_target(writers[i]->link), ts_link_target(link)) == 0)
			done += writers[i]->target->ops->written(writers[i]->target);
	return done;
}

/* Is it a row that was left out, and is as the target had it? One that was to be updated must still be there. */
static bool
is_left_out(const TsWriter *writer, const char *key, TsChangeOp found)
{
	ListCell   *lc;

	foreach(lc, writer->bad)
	{
		const TsBad *bad = lfirst(lc);

		if (strcmp(bad->key, key) == 0)
			return bad->op == TS_CHANGE_INSERT || (bad->op == TS_CHANGE_UPDATE && found == TS_CHANGE_UPDATE);
	}
	return false;
}

static void
compare(TsWriter *writer)
{
	TsLink	   *link = writer->link;
	List	   *only = link->only;
	TsChangeSource *diff;
	TsChange	change;
	char	   *key = NULL;

	link->only = NIL;
	/* the relation only tells that there is one */
	diff = ts_diff_all_source(link);
	link->only = only;
	ts_change_init(&change, link->ncolumns);
	while (key == NULL && diff->next(diff, &change))
	{
		key = ts_batch_describe_key(writer, &change);
		if (is_left_out(writer, key, change.op))
			key = NULL;
	}
	diff->end(diff);
	if (key != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("foreign keys of table %s on server \"%s\" changed rows that the source of link \"%s\" has otherwise", ts_link_target(link),
						link->server, link->name),
				 errdetail("The first one is %s.", key),
				 errhint("Let the target's foreign keys do nothing but check, without CASCADE, SET NULL or SET DEFAULT; DEFERRABLE, so that they wait for the end.")));
}

List *
ts_acted_check(int n, TsWriter **writers)
{
	List	   *unsure = NIL;

	for (int i = 0; i < n; i++)
	{
		TsWriter   *writer = writers[i];
		int64		now = writer->counted ? count(writer->link) : 0;

		if (!writer->counted || (now >= 0 && now - writer->counted_before == done_to(writer->link, n, writers)))
			continue;
		if (writer->link->on_conflict != TS_CONFLICT_ERROR && writer->link->on_conflict != TS_CONFLICT_SOURCE_WINS)
			unsure = lappend(unsure, writer->link->name);
		else
			compare(writer);
	}
	return unsure;
}
