/*
 * quote.h: the only place where names become SQL text.
 *
 * Values never come here: they go as $n. All functions return palloc'd text and use the server's own quoting.
 */
#ifndef TS_QUOTE_H
#define TS_QUOTE_H

#include "lib/stringinfo.h"

/* "schema"."table" of a relation, always with its schema; error if it does not exist. */
extern char *ts_quote_relation(Oid relid);
/* The same for display: schema left out where quoting it adds nothing is not attempted; NULL if the relation is gone. */
extern char *ts_relation_name(Oid relid);
/* schema.type with type modifier, or the plain built-in name. */
extern char *ts_quote_type(Oid typid, int32 typmod);
/* The same for people: the server's own types without their schema. */
extern char *ts_show_type(Oid typid, int32 typmod);
/* schema.collation */
extern char *ts_quote_collation(Oid collid);
/* OPERATOR(schema.=) */
extern char *ts_quote_operator(Oid oproid);
/* Appends name, quoted. */
extern void ts_append_ident(StringInfo buf, const char *name);
/* Appends alias.name, quoted. */
extern void ts_append_column(StringInfo buf, const char *alias, const char *name);

#endif
