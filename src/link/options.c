/* options.c: the options of links, checked. */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "base/catalog.h"
#include "link/options.h"

static void
check_choice(const char *option, const char *value, const char *const *choices, const char *hint)
{
	if (value == NULL)
		return;
	for (int i = 0; choices[i] != NULL; i++)
		if (strcmp(value, choices[i]) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for %s: \"%s\"", option, value),
			 errhint("%s", hint)));
}

void
ts_not_yet(const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s not supported yet", what),
			 errhint("%s", hint)));
}

/* A policy, or a function's name, which is made a qualified one. */
static void
check_conflict_policy(TsLinkOptions *o)
{
	static const char *const policies[] = {"error", "source_wins", "target_wins", "merge"};
	static const Oid args[] = {TEXTOID, JSONBOID, JSONBOID, JSONBOID, JSONBOID};
	List	   *names;
	List	   *values = NIL;
	ListCell   *lc;
	Oid			function;

	if (o->on_conflict == NULL)
		return;
	for (int i = 0; i < lengthof(policies); i++)
		if (strcmp(o->on_conflict, policies[i]) == 0)
			return;
	if (!SplitIdentifierString(pstrdup(o->on_conflict), '.', &names) || names == NIL)
		names = list_make1(o->on_conflict);
	foreach(lc, names)
		values = lappend(values, makeString(lfirst(lc)));
	function = LookupFuncName(values, lengthof(args), args, true);
	if (!OidIsValid(function) || get_func_rettype(function) != JSONBOID || get_func_prokind(function) != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for on_conflict: \"%s\"", o->on_conflict),
				 errhint("Use 'error', 'source_wins', 'target_wins', 'merge', or the name of a function (kind text, key jsonb, old jsonb, "
						 "source jsonb, target jsonb) that returns jsonb.")));
	o->on_conflict = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), get_func_name(function));
}

void
ts_link_check_options(TsLinkOptions *o)
{
	static const char *const initials[] = {"copy", "mirror", "none", NULL};
	static const char *const on_errors[] = {"abort", "quarantine", NULL};
	static const char *const policies[] = {"apply", "additive", "ignore", "error", NULL};
	static const char *const detects[] = {"log", "diff", NULL};
	static const char *const on_casts[] = {"error", "lossy", NULL};

	check_choice("initial", o->initial, initials, "Use 'copy', 'mirror' or 'none'.");
	check_choice("on_error", o->on_error, on_errors, "Use 'abort' or 'quarantine'.");
	check_choice("schema_policy", o->schema_policy, policies, "Use 'apply', 'additive', 'ignore' or 'error'.");
	check_choice("detect", o->detect, detects, "Use 'log' or 'diff'.");
	check_choice("on_cast", o->on_cast, on_casts, "Use 'error' or 'lossy'.");
	check_conflict_policy(o);
}

void
ts_link_set_on_cast(const char *name, const char *on_cast)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		values[2];
	TsCatalog	cat;

	if (on_cast == NULL)
		return;
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(on_cast);
	ts_catalog_enter(&cat);
	ts_sql("UPDATE tracksync.link SET on_cast = $2 WHERE name = $1 AND on_cast <> $2", SPI_OK_UPDATE, 2, types, values, NULL);
	ts_catalog_leave(&cat);
}
