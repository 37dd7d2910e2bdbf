/*
 * kept.c: plans kept for the session, found by the statement's text.
 *
 * They are generic plans, made once: what the statements ask for they find by an index. ts_catalog_enter has sequential scans off, or a plan
 * that was made when a table had one page would still be used when it has a thousand.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "nodes/parsenodes.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/kept.h"

typedef struct KeptPlan
{
	const char *sql;			/* hash key, by what it points to; of the plan's own memory */
	SPIPlanPtr	plan;
} KeptPlan;

static HTAB *plans = NULL;
static Oid	made_for = InvalidOid;

static uint32
hash_text(const void *key, Size size)
{
	const char *text = *(const char *const *) key;

	return hash_bytes((const unsigned char *) text, (int) strlen(text));
}

static int
compare_texts(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

void
ts_kept_for(Oid extension)
{
	HASH_SEQ_STATUS seq;
	KeptPlan   *entry;

	if (extension == made_for)
		return;
	made_for = extension;
	if (plans == NULL)
		return;
	hash_seq_init(&seq, plans);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		SPI_freeplan(entry->plan);
		pfree(unconstify(char *, entry->sql));
	}
	hash_destroy(plans);
	plans = NULL;
}

static SPIPlanPtr
make_plan(const char *sql, int nargs, const Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(SPI_result), sql);
	return plan;
}

SPIPlanPtr
ts_kept_plan(const char *sql, int nargs, const Oid *types)
{
	KeptPlan   *entry;
	SPIPlanPtr	plan;

	if (plans == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(char *), .entrysize = sizeof(KeptPlan), .hash = hash_text, .match = compare_texts};

		plans = hash_create("tracksync plans", 128, &ctl, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE);
	}
	entry = hash_search(plans, &sql, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->plan;
	plan = make_plan(sql, nargs, types);
	sql = MemoryContextStrdup(TopMemoryContext, sql);
	entry = hash_search(plans, &sql, HASH_ENTER, NULL);
	entry->plan = plan;
	SPI_keepplan(plan);
	return plan;
}
