/*
 * references.c: foreign keys between the tables that a push writes.
 *
 * An AFTER trigger's event names its trigger; what that trigger does is looked up when the event is fired, in the trigger descriptor of
 * the result relation that the executor state has for the table. A copy of it, which says RI_FKey_noaction where the catalog says
 * RI_FKey_cascade, is all it takes.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "apply/references.h"

static const struct
{
	Oid			acts;
	Oid			checks;
}			functions[] = {
	{F_RI_FKEY_CASCADE_DEL, F_RI_FKEY_NOACTION_DEL}, {F_RI_FKEY_SETNULL_DEL, F_RI_FKEY_NOACTION_DEL},
	{F_RI_FKEY_SETDEFAULT_DEL, F_RI_FKEY_NOACTION_DEL}, {F_RI_FKEY_RESTRICT_DEL, F_RI_FKEY_NOACTION_DEL},
	{F_RI_FKEY_CASCADE_UPD, F_RI_FKEY_NOACTION_UPD}, {F_RI_FKEY_SETNULL_UPD, F_RI_FKEY_NOACTION_UPD},
	{F_RI_FKEY_SETDEFAULT_UPD, F_RI_FKEY_NOACTION_UPD}, {F_RI_FKEY_RESTRICT_UPD, F_RI_FKEY_NOACTION_UPD},
};

/* Is the table, or what it is a partition of, one of these? */
static bool
is_among(Oid table, int n, const Oid *tables)
{
	List	   *family = list_make1_oid(table);
	ListCell   *lc;

	if (get_rel_relispartition(table))
		family = list_concat(family, get_partition_ancestors(table));
	foreach(lc, family)
		for (int i = 0; i < n; i++)
			if (lfirst_oid(lc) == tables[i])
				return true;
	return false;
}

/* Has the table triggers that act on one of these? Then what they are to do instead is put into the descriptor. */
static bool
replace_actions(TriggerDesc *trigdesc, int n, const Oid *tables)
{
	bool		found = false;

	for (int t = 0; trigdesc != NULL && t < trigdesc->numtriggers; t++)
	{
		Trigger    *trigger = &trigdesc->triggers[t];

		for (int f = 0; f < lengthof(functions); f++)
			if (trigger->tgfoid == functions[f].acts && is_among(trigger->tgconstrrelid, n, tables))
			{
				trigger->tgfoid = functions[f].checks;
				found = true;
				break;
			}
	}
	return found;
}

static bool
acts_outside(Oid table, int n, const Oid *tables)
{
	Relation	rel = table_open(table, AccessShareLock);
	bool		found = false;

	for (int t = 0; rel->trigdesc != NULL && t < rel->trigdesc->numtriggers; t++)
		for (int f = 0; f < lengthof(functions); f++)
			found |= rel->trigdesc->triggers[t].tgfoid == functions[f].acts && functions[f].acts != F_RI_FKEY_RESTRICT_DEL &&
				functions[f].acts != F_RI_FKEY_RESTRICT_UPD && !is_among(rel->trigdesc->triggers[t].tgconstrrelid, n, tables);
	table_close(rel, NoLock);
	return found;
}

bool
ts_acts_outside(int n, const Oid *tables)
{
	for (int i = 0; i < n; i++)
		if (acts_outside(tables[i], n, tables))
			return true;
	return false;
}

static void
check_table(EState *estate, Oid table, int n, const Oid *tables)
{
	Relation	rel = table_open(table, RowExclusiveLock);
	ResultRelInfo *info;

	if (rel->trigdesc != NULL)
	{
		info = makeNode(ResultRelInfo);
		InitResultRelInfo(info, rel, 0, NULL, 0);
		if (replace_actions(info->ri_TrigDesc, n, tables))
		{
			estate->es_trig_target_relations = lappend(estate->es_trig_target_relations, info);
			return;				/* closed with the other result relations */
		}
	}
	table_close(rel, NoLock);
}

void
ts_only_check(EState *estate, int n, const Oid *tables)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

	for (int i = 0; i < n; i++)
	{
		List	   *family = list_make1_oid(tables[i]);
		ListCell   *lc;
		bool		twice = false;

		for (int j = 0; j < i; j++)
			twice |= tables[j] == tables[i];
		if (twice)
			continue;
		if (get_rel_relkind(tables[i]) == RELKIND_PARTITIONED_TABLE)
			family = find_all_inheritors(tables[i], RowExclusiveLock, NULL);
		foreach(lc, family)
			check_table(estate, lfirst_oid(lc), n, tables);
	}
	MemoryContextSwitchTo(old);
}
