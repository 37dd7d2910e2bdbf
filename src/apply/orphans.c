/* orphans.c: rows that wait with a row in quarantine, because a foreign key leads from the one to the other. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "apply/quarantine.h"
#include "base/catalog.h"
#include "base/quote.h"
#include "plan/keep.h"

/* A foreign key; columns are quoted lists, pairs and JSON arguments of aliases t (it refers) and p (it is referred to). */
typedef struct Reference
{
	char	   *name;
	Oid			child;
	Oid			parent;
	bool		inside;			/* the parent is a target of the push, too */
	char	   *filled;			/* t.a IS NOT NULL AND … */
	char	   *match;			/* p.x = t.a AND … */
	char	   *parent_key;		/* 'x', t.a, … */
} Reference;

/* Can we see all its rows? */
static bool
is_readable(Oid table)
{
	return pg_class_aclcheck(table, GetUserId(), ACL_SELECT) == ACLCHECK_OK && check_enable_rls(table, InvalidOid, true) != RLS_ENABLED;
}

/* The foreign keys of the writers' targets. */
static List *
read_references(int n, TsWriter **writers)
{
	static const Oid types[] = {OIDOID};
	MemoryContext context = CurrentMemoryContext;
	List	   *references = NIL;

	for (int c = 0; c < n; c++)
	{
		Datum		values[] = {ObjectIdGetDatum(writers[c]->link->target)};
		TsCatalog	cat;
		uint64		rows;

		ts_catalog_enter(&cat);
		rows = ts_sql("SELECT c.conname::text, string_agg(format('t.%I IS NOT NULL', a.attname), ' AND ' ORDER BY k.n), "
					  "string_agg(format('p.%I OPERATOR(%I.%s) t.%I', b.attname, s.nspname, o.oprname, a.attname), ' AND ' ORDER BY k.n), "
					  "string_agg(format('%L, t.%I', b.attname, a.attname), ', ' ORDER BY k.n), c.confrelid, c.conparentid <> 0 "
					  "FROM pg_constraint c, unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY k(a, b, o, n), pg_attribute a, pg_attribute b, "
					  "pg_operator o, pg_namespace s WHERE c.contype = 'f' AND c.conrelid = $1 AND a.attrelid = c.conrelid "
					  "AND a.attnum = k.a AND b.attrelid = c.confrelid AND b.attnum = k.b AND o.oid = k.o AND s.oid = o.oprnamespace "
					  "GROUP BY c.oid, c.conname, c.confrelid, c.conparentid ORDER BY 1, c.oid", SPI_OK_SELECT, 1, types, values, NULL);
		for (uint64 i = 0; i < rows; i++)
		{
			Reference  *r = MemoryContextAlloc(context, sizeof(Reference));
			MemoryContext old = MemoryContextSwitchTo(context);
			bool		isnull;

			r->name = pstrdup(ts_sql_text(i, 1));
			r->child = writers[c]->link->target;
			r->parent = DatumGetObjectId(ts_sql_value(i, 5, &isnull));
			r->filled = pstrdup(ts_sql_text(i, 2));
			r->match = pstrdup(ts_sql_text(i, 3));
			r->parent_key = pstrdup(ts_sql_text(i, 4));
			r->inside = false;
			for (int p = 0; p < n; p++)
				r->inside |= writers[p]->link->target == r->parent;
			/* a partition has its part of the foreign key, which alone says nothing */
			if (r->inside || !DatumGetBool(ts_sql_value(i, 6, &isnull)))
				references = lappend(references, r);
			MemoryContextSwitchTo(old);
		}
		ts_catalog_leave(&cat);
	}
	return references;
}

/* A row that refers to none waits. If it is left out already, or has no change, the row that it refers to must not go. */
static bool
hold_back(const Reference *r, int n, TsWriter **writers, const char *child_key, const char *parent_key)
{
	char	   *why = psprintf(r->inside ? "waits for the row of %s with the key %s" : "table %s has no row with the key %s", ts_quote_relation(r->parent), parent_key);

	for (int i = 0; i < n; i++)
		if (writers[i]->link->target == r->child && writers[i]->link->quarantine &&
			ts_quarantine_exclude(writers[i], child_key, ERRCODE_FOREIGN_KEY_VIOLATION, r->name, why))
			return true;
	why = psprintf("is referred to by the row of %s with the key %s", ts_quote_relation(r->child), child_key);
	for (int i = 0; i < n; i++)
		if (writers[i]->link->target == r->parent && writers[i]->link->quarantine &&
			ts_quarantine_exclude(writers[i], parent_key, ERRCODE_FOREIGN_KEY_VIOLATION, r->name, why))
			return true;
	return false;
}

bool
ts_quarantine_references(int n, TsWriter **writers)
{
	bool		more = false;
	ListCell   *lc;

	foreach(lc, read_references(n, writers))
	{
		const Reference *r = lfirst(lc);
		const TsLink *link = NULL;

		if (!r->inside && !is_readable(r->parent))
			continue;
		for (int i = 0; i < n; i++)
			if (writers[i]->link->target == r->child)
				link = writers[i]->link;
		if (SPI_execute(psprintf("SELECT %s, pg_catalog.jsonb_build_object(%s)::pg_catalog.text "
								 "FROM %s AS t WHERE %s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)", ts_statement_key_text(link, "t"), r->parent_key,
								 ts_quote_relation(r->child), r->filled, ts_quote_relation(r->parent), r->match), false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not look for rows without the one that they refer to");
		for (uint64 i = 0; i < SPI_processed; i++)
			more |= hold_back(r, n, writers, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
							  SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	}
	return more;
}
