/*
 * fingerprint.h: 128 bits over a plan's operations, columns and values: another value is another plan.
 *
 * Two independent streams of the server's 64-bit hash, each seeded with what came before. Values are hashed detoasted, so that
 * how a value is stored does not matter. Not cryptographic: it guards against surprise, not against forgery.
 */
#ifndef TS_FINGERPRINT_H
#define TS_FINGERPRINT_H

#include "plan/change.h"

extern void ts_fingerprint_begin(uint64 *state, const TsLink *link);
extern void ts_fingerprint_change(uint64 *state, const TsLink *link, const TsChange *change, bool text_keys);
extern void ts_fingerprint_text(uint64 *state, const char *text);
/* The state before anything was added, and any state as 32 hexadecimal digits. */
extern void ts_fingerprint_clear(uint64 *state);
extern char *ts_fingerprint_show(const uint64 *state);

#endif
