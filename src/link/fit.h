/*
 * fit.h: a value of one type as a column of another one holds it: by the assignment cast, or by text where there is none.
 *
 * Text: the value is cast to text and what that says is read by the other type, as (value::text)::type does in SQL.
 *
 * It is the same value if it comes back: cast to the source's type again, explicitly or by text, it is equal by that type's default equality;
 * by its text if the type has none. Not so for a string that is read as something else, '012' as a number say: what it means must be the
 * same, not how it is written. json as jsonb loses nothing that JSON knows of.
 */
#ifndef TS_FIT_H
#define TS_FIT_H

#include "link/link.h"

typedef struct TsFit TsFit;

/* What a value of the one type needs to become one of the other. Base types. */
extern TsBridge ts_fit_bridge(Oid source, int32 source_typmod, Oid target, int32 target_typmod);
/* In the current context, to be used by whoever may call the casts' functions: they are looked up and checked here. */
extern TsFit *ts_fit_create(Oid source, Oid target, int32 target_typmod);
/* The value as the target holds it, in the current context. Throws what the cast throws. */
extern Datum ts_fit_cast(TsFit *fit, Datum value, bool *isnull);
/* Is that the same value? May throw, too, which is a no. */
extern bool ts_fit_is_exact(TsFit *fit, Datum value, Datum held);
/* What comes back of it, as text; NULL: nothing that would be compared. May throw. */
extern char *ts_fit_again(TsFit *fit, Datum held);
/* An error that says something about a value: not a cancel, a full disk, a bug. */
extern bool ts_fit_is_about_value(int sqlstate);

#endif
