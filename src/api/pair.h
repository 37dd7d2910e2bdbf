/*
 * pair.h: pushes of links that go there and back.
 *
 * One of two such links is pushed at a time. In one database the locks on both tables see to that (args.c); between servers an advisory
 * lock on the one of the two whose table's identity comes first. A comparison knows nothing of what the target has of its own: it must not
 * run while that is yet to be brought to the source.
 */
#ifndef TS_PAIR_H
#define TS_PAIR_H

#include "api/args.h"
#include "plan/merge.h"

/* Before the snapshot is taken: waits for pushes in the other direction, on other servers. 25001 for own changes that could not be pushed anyway. */
extern void ts_pair_lock(const TsOpening *opening);
/* 40001 if a push in the other direction came after this transaction's snapshot; 0A000 if that cannot be told. */
extern void ts_pair_check_snapshot(const TsLink *link);
/* 55000 for a group of links that go there and back: their plans would be made of the same moment, and contradict each other. */
extern void ts_pair_refuse_group(const TsOpening *opening);
/* 55000 if a plan compares, and would overwrite what links in the other direction have yet to ship; locks such targets. */
extern void ts_pair_check_compared(const TsOpening *opening, const TsMerged *merged);
/* 55000 if links in the other direction have changes to ship: a pull would bring them, too, and they would count twice. Locks the target. */
extern void ts_pair_check_pull(const TsLink *link);
/* 25001: what is committed on another server while this transaction may still roll back must not depend on it. */
extern void ts_pair_refuse_own(const TsLink *link);

/* 55000: another link to the same target has changes that are not pushed, and nothing else tells whose rows of the target are. */
extern void ts_pair_check_beside(const TsOpening *opening, const TsLink *link);

#endif
