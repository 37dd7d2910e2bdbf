/* options.c: the options of links, checked. */
#include "postgres.h"

#include "catalog/namespace.h"
#include "nodes/value.h"
#include "utils/varlena.h"

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

static void
check_conflict_policy(const char *policy)
{
	static const char *const later[] = {"target_wins", "merge", NULL};
	List	   *names;

	if (policy == NULL || strcmp(policy, "error") == 0 || strcmp(policy, "source_wins") == 0)
		return;
	for (int i = 0; later[i] != NULL; i++)
		if (strcmp(policy, later[i]) == 0)
			ts_not_yet(psprintf("on_conflict => '%s' is", policy), "Use 'error' or 'source_wins'.");
	if (SplitIdentifierString(pstrdup(policy), '.', &names) && names != NIL)
	{
		FuncCandidateList found;
		List	   *values = NIL;
		ListCell   *lc;

		foreach(lc, names)
			values = lappend(values, makeString(lfirst(lc)));
#if PG_VERSION_NUM >= 140000
		found = FuncnameGetCandidates(values, -1, NIL, false, false, false, true);
#else
		found = FuncnameGetCandidates(values, -1, NIL, false, false, true);
#endif
		if (found != NULL)
			ts_not_yet("a function as conflict policy is", "Use 'error' or 'source_wins'.");
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for on_conflict: \"%s\"", policy),
			 errhint("Use 'error' or 'source_wins'.")));
}

void
ts_link_check_options(const TsLinkOptions *o)
{
	static const char *const initials[] = {"copy", "mirror", "none", NULL};
	static const char *const on_errors[] = {"abort", "quarantine", NULL};
	static const char *const policies[] = {"apply", "additive", "ignore", "error", NULL};
	static const char *const detects[] = {"log", "diff", NULL};

	check_choice("initial", o->initial, initials, "Use 'copy', 'mirror' or 'none'.");
	check_choice("on_error", o->on_error, on_errors, "Use 'abort' or 'quarantine'.");
	check_choice("schema_policy", o->schema_policy, policies, "Use 'apply', 'additive', 'ignore' or 'error'.");
	check_choice("detect", o->detect, detects, "Use 'log' or 'diff'.");
	check_conflict_policy(o->on_conflict);
	if (o->on_error && strcmp(o->on_error, "quarantine") == 0)
		ts_not_yet("on_error => 'quarantine' is", "Use 'abort'.");
	if (o->detect && strcmp(o->detect, "diff") == 0)
		ts_not_yet("detect => 'diff' is", "Use 'log'.");
	if (o->server)
		ts_not_yet("a target on another server is", "Leave \"server\" out.");
	if (o->filter)
		ts_not_yet("a row filter is", "Leave \"filter\" out.");
}
