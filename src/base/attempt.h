/* attempt.h: work that may fail. */
#ifndef TS_ATTEMPT_H
#define TS_ATTEMPT_H

/*
 * Does the work in a subtransaction, in the current context. What it did stays if it succeeds, unless "undo". An error is caught, its
 * work undone, and given back, in the current context; NULL: there was none.
 */
extern ErrorData *ts_attempt(void (*work) (void *), void *arg, bool undo);

/* Is an error about values? Not a cancel, a time-out, a lost lock, a full disk, a conflict with other sessions, a bug or a function that is gone. */
extern bool ts_error_is_about_values(int sqlstate);

#endif
