/*
 * origin.h: changes that were not made here, but brought from another table, by a push or a pull.
 *
 * They are captured like all others, and say where they came from: the identity of that table (ts_table_identity). A link leaves out of its
 * source's log what came from its own target (TsPosition.echo): there it is already. Other links ship it.
 *
 * Who writes rows that come from elsewhere says so of each of his statements, one command of this session:
 *   ts_origin_begin(identity);
 *   SPI_execute…(one statement);          what it writes itself counts as brought
 *   ts_origin_end();
 * What triggers, rules and functions write meanwhile counts as made here: these are other commands. The triggers that capture may fire
 * later, as in a query level of AFTER triggers. After an error nothing need be done.
 *
 * A push from another server cannot call this. It sets tracksync.origin to "OID identity" for its transaction: what its statements write
 * themselves, no triggers, to the (topmost partitioned) table of that OID counts as brought from there. Anybody may set it: his own changes
 * are then not shipped to the table that he names.
 */
#ifndef TS_ORIGIN_H
#define TS_ORIGIN_H

#include "base/settings.h"

extern void ts_origin_begin(const char *identity);
extern void ts_origin_end(void);

/* The same text at the same place, for the session: events are told apart by it. */
extern const char *ts_origin_intern(const char *identity);

/*
 * Does this server tell rightly which columns a statement wrote? Before 13.19, 14.16, 15.11, 16.7 and 17.3 a trigger may be told of those of
 * another statement of the same push (their commit "Repair incorrect handling of AfterTriggerSharedData.ats_modifiedcols").
 */
extern bool ts_origin_is_exact(void);

/* capture's: is anything marked that way now? */
extern bool ts_origin_marked;
extern const char *ts_origin_find(Oid top, CommandId cid);

/* Where a change came from: of the table whose topmost one this is, made by this command. Interned; NULL: made here. */
static inline const char *
ts_origin_of(Oid top, CommandId cid)
{
	if (likely(!ts_origin_marked && (ts_origin_setting == NULL || ts_origin_setting[0] == '\0')))
		return NULL;
	return ts_origin_find(top, cid);
}

/* Callbacks of transaction ends; registered when the library is loaded. */
extern void ts_origin_init(void);

#endif
