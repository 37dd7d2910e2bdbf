/* conflict.c: counting, recording and reporting conflicts. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "apply/conflict.h"
#include "base/catalog.h"

static const char *const names[TS_CONFLICT_KINDS] = {
	[TS_INSERT_EXISTS] = "insert_exists",
	[TS_UPDATE_MISSING] = "update_missing",
	[TS_UPDATE_DIFFERS] = "update_differs",
	[TS_DELETE_MISSING] = "delete_missing",
	[TS_DELETE_DIFFERS] = "delete_differs",
};

const char *
ts_conflict_name(TsConflictKind kind)
{
	return names[kind];
}

void
ts_conflict_record(const TsLink *link, TsConflictKind kind, const char *key, const char *source, const char *target, const char *resolution)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[6];
	char		nulls[7] = "      ";
	TsCatalog	cat;

	values[0] = CStringGetTextDatum(link->name);
	values[1] = CStringGetTextDatum(names[kind]);
	values[2] = CStringGetTextDatum(key);
	values[3] = source ? CStringGetTextDatum(source) : (Datum) 0;
	values[4] = target ? CStringGetTextDatum(target) : (Datum) 0;
	values[5] = CStringGetTextDatum(resolution);
	nulls[3] = source ? ' ' : 'n';
	nulls[4] = target ? ' ' : 'n';
	ts_catalog_enter(&cat);
	ts_sql("INSERT INTO tracksync.conflict_record (link, kind, key, source, target, resolution) "
		   "VALUES ($1, $2, $3::jsonb, $4::jsonb, $5::jsonb, $6)", SPI_OK_INSERT, 6, types, values, nulls);
	ts_catalog_leave(&cat);
}

void
ts_conflict_refuse(TsConflicts *conflicts, TsConflictKind kind, const char *key, const char *source, const char *target, MemoryContext keep)
{
	MemoryContext old;

	conflicts->count[kind]++;
	conflicts->total++;
	if (list_length(conflicts->listed) >= TS_CONFLICTS_LISTED)
		return;
	old = MemoryContextSwitchTo(keep);
	conflicts->listed = lappend(conflicts->listed, psprintf("%s %s: source %s, target %s", names[kind], key, source ? source : "(no row)",
															target ? target : "(no row)"));
	MemoryContextSwitchTo(old);
}

void
ts_conflict_raise(const TsConflicts *conflicts, const TsLink *link)
{
	StringInfoData counts,
				keys;
	ListCell   *lc;

	if (conflicts->total == 0)
		return;
	initStringInfo(&counts);
	initStringInfo(&keys);
	for (int i = 0; i < TS_CONFLICT_KINDS; i++)
		if (conflicts->count[i] > 0)
			appendStringInfo(&counts, "%s" INT64_FORMAT " %s", counts.len ? ", " : "", conflicts->count[i], names[i]);
	foreach(lc, conflicts->listed)
		appendStringInfo(&keys, "\n%s", (char *) lfirst(lc));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("push of link \"%s\" to table %s found " INT64_FORMAT " conflicting row%s: %s", link->name,
					ts_link_target(link), conflicts->total, conflicts->total == 1 ? "" : "s", counts.data),
			 errdetail("The first ones:%s", keys.data),
			 link->on_conflict == TS_CONFLICT_MERGE ?
			 errhint("Give the columns that both sides changed a rule: tracksync.set_merge_rule(%s, …).", quote_literal_cstr(link->name)) :
			 errhint("Mend the target's rows, or let the source win: tracksync.alter_link(%s, on_conflict => 'source_wins').",
					 quote_literal_cstr(link->name))));
}
