/*
 * fact.h: what is known of one row of a link, and how explain_row tells it: facts, each of one aspect, with details as JSON.
 */
#ifndef TS_FACT_H
#define TS_FACT_H

#include "api/args.h"
#include "plan/change.h"
#include "plan/key.h"
#include "plan/mapper.h"

/* In the order in which they are told. */
typedef enum TsAspect
{
	TS_ASPECT_LINK,
	TS_ASPECT_EVENT,
	TS_ASPECT_NET,
	TS_ASPECT_SOURCE,
	TS_ASPECT_MAPPING,
	TS_ASPECT_TARGET,
	TS_ASPECT_QUARANTINE,
	TS_ASPECT_CONFLICT,
	TS_ASPECT_PUSHED,
	TS_ASPECT_PUSH
} TsAspect;

/* What is known of the row; lives as long as the link is open. */
typedef struct TsExplained
{
	TsLink	   *link;
	TsOpened   *opened;
	Snapshot	snapshot;
	List	   *facts;
	TsKeySet   *keys;			/* the one asked for, then those that its row comes from or goes to */
	TsMapper   *mapper;		/* while events are told */
	List	   *changes;		/* TsChange: the net changes of these keys */
	const TsChange *change;		/* the one at hand */
	bool		planned;		/* they could be found out */
	bool		compared;		/* by a comparison of whole tables */
	bool		text_keys;
	bool		quarantined;
	char	   *image;			/* of the row in quarantine, JSON; NULL = there was none */
	/* of the key asked for: */
	bool		in_source;
	bool		in_target;
	bool		differs;		/* both are there */
} TsExplained;

typedef struct TsFact
{
	TsAspect	aspect;
	TimestampTz at;
	char	   *what;
	Datum		detail;
} TsFact;

/* at: 0 = none; detail: a jsonb, 0 = none. */
extern TsFact *ts_fact_add(TsExplained *e, TsAspect aspect, TimestampTz at, char *what, Datum detail);
extern const char *ts_aspect_name(TsAspect aspect);

#define TS_DETAILS 12

/* An object on its way; what is NULL is left out. */
typedef struct TsDetail
{
	int			n;
	char	   *names[TS_DETAILS];
	Oid			types[TS_DETAILS];
	Datum		values[TS_DETAILS];
	bool		nulls[TS_DETAILS];
} TsDetail;

extern void ts_detail_add(TsDetail *detail, const char *name, Oid type, Datum value, bool isnull);
extern void ts_detail_text(TsDetail *detail, const char *name, const char *value);
extern void ts_detail_json(TsDetail *detail, const char *name, const char *json);
extern Datum ts_detail_done(const TsDetail *detail);
/* A JSON text as jsonb. */
extern Datum ts_detail_of(const char *json);

/* The target's names of the columns with the bit in mask: "a, b"; the key's only if there is nothing else. */
extern char *ts_fact_columns(const TsLink *link, const unsigned char *mask, int bit);

/* The i-th key as JSON, by the target's column names. */
extern char *ts_fact_key(const TsExplained *e, int i);

/*
 * Runs a query as the current user under the active snapshot; $1 is a text, $2 … the columns of the i-th key, in the source's types.
 * Returns the number of rows.
 */
extern uint64 ts_fact_query(const TsExplained *e, const char *sql, const char *text, int i);
/* The same where the target is; the query ends with a condition. Rows of texts. */
extern List *ts_fact_ask(const TsExplained *e, const char *sql, const char *text, int i);
/* SQL: the row "alias" of the source, of the target (t), or the record q of keys that were read from JSON, has that key. */
extern char *ts_fact_is_source(const TsExplained *e, const char *alias);
extern char *ts_fact_is_target(const TsExplained *e);
extern char *ts_fact_is_record(const TsExplained *e);

/* side.c: the row at the source, */
extern void ts_side_source(TsExplained *e);
/* what the target would get of it (row filters would be told here, too), */
extern void ts_side_mapping(TsExplained *e);
/* the row at the target, and how it differs. */
extern void ts_side_target(TsExplained *e);

/* forecast.c: what the next push would do about the change at hand, and the conflict that it would find, */
extern void ts_forecast(TsExplained *e);
/* and the same where no change is pending. */
extern void ts_forecast_nothing(TsExplained *e);

/* record.c: what earlier pushes left behind about the row: its record in quarantine, */
extern void ts_record_quarantine(TsExplained *e);
/* its conflicts that were resolved, */
extern void ts_record_conflicts(TsExplained *e);
/* and the last push itself. */
extern void ts_record_pushed(TsExplained *e);

#endif
