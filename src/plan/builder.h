/* builder.h: what the statements of a plan have in common. */
#ifndef TS_BUILDER_H
#define TS_BUILDER_H

#include "lib/stringinfo.h"
#include "plan/statement.h"

typedef struct TsBuilder
{
	const TsLink *link;
	TsStatement *stmt;
	const unsigned char *mask;
	bool		text_keys;
	StringInfoData sql;
	int			rows_at;		/* where the row source goes, once all parameters are known */
} TsBuilder;

/* Here goes the row source, v. */
extern void ts_build_rows(TsBuilder *b);
/* The number (from 1) of the parameter for a column, added if need be; column -1: the row's number in the batch. */
extern int	ts_build_param(TsBuilder *b, int column, bool old);
/* The value as it was in the source: v.p1, or v.p1::type where it travels as text. */
extern char *ts_build_source_value(TsBuilder *b, int column, bool old);
/* The value as the target would hold it. */
extern char *ts_build_target_form(TsBuilder *b, int column, bool old);
/* The target's column, without its domain. */
extern char *ts_build_target_value(TsBuilder *b, int column);
/* Appends record_image_eq(ROW(t.a, …), ROW(v.p2, …)) of the columns with these bits; false if there are none. */
extern bool ts_build_image_eq(TsBuilder *b, const char *before, int bits, bool old, bool all);
/* Appends the columns' default equality, text where a type has none, NULL equal to NULL. */
extern void ts_build_old_holds(TsBuilder *b, int bits);
/* Appends that t is the row that the change is about. */
extern void ts_build_key_match(TsBuilder *b);
/* Appends SELECT, UPDATE …'s ONLY; partitioned tables have no rows of their own. */
extern const char *ts_build_only(const TsLink *link);
/* The whole text, with the row source in its place. */
extern char *ts_build_finish(TsBuilder *b);

#endif
