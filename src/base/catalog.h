/*
 * catalog.h: SQL on the extension's own tables, whoever the caller is.
 *
 * Between ts_catalog_enter and ts_catalog_leave statements run as the extension's owner, with search_path pinned to
 * pg_catalog, under SPI. Calls may be nested. After an error the (sub)transaction's end restores everything.
 */
#ifndef TS_CATALOG_H
#define TS_CATALOG_H

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

typedef struct TsIdentity
{
	Oid			user;
	int			context;
	int			guc_level;
} TsIdentity;

/*
 * Take on a role: all settings that change how values read or write are pinned, and search_path, to pg_catalog or the path
 * given. Statements of ours qualify every name; the path is for the triggers of a target.
 */
extern void ts_become(TsIdentity *saved, Oid role, bool restricted, const char *search_path);
extern void ts_unbecome(const TsIdentity *saved);
/*
 * Both, within ts_become: values become text for another server. What is not PostgreSQL's own goes by its full name then: a regclass value
 * say, which search_path of the role would make one of another table there. And a function of the user's that was called meanwhile, a step
 * of the push, may have changed settings.
 */
extern int	ts_texts_enter(void);
extern void ts_texts_leave(int level);

typedef struct TsCatalog
{
	TsIdentity	identity;
} TsCatalog;

/* What a role has by ALTER ROLE or ALTER DATABASE for a setting, else the default given: never what the caller has. */
extern char *ts_role_setting(Oid role, const char *setting, const char *otherwise);

extern Oid	ts_extension_owner(void);
extern void ts_catalog_enter(TsCatalog *cat);
extern void ts_catalog_leave(TsCatalog *cat);

/*
 * Runs a statement with parameters; expect is the SPI result code wanted (SPI_OK_SELECT, …). Returns the number of rows.
 * A "reading" call sees the active snapshot and what this transaction wrote before; others see the newest state.
 */
extern uint64 ts_sql(const char *sql, int expect, int nargs, const Oid *types, const Datum *values, const char *nulls);
extern uint64 ts_sql_reading(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls);

/* Column (from 1) of a row (from 0) of the last result; text results are in the caller's context of SPI (freed by leave). */
extern Datum ts_sql_value(uint64 row, int column, bool *isnull);
extern char *ts_sql_text(uint64 row, int column);
/* The first column of so many rows, in a context that outlives SPI. */
extern List *ts_sql_texts(uint64 rows, MemoryContext context);

/* The OIDs in the first column of a query's result, of the newest state; they live as long as SPI is connected. */
extern List *ts_catalog_oids(const char *sql, int nargs, const Oid *types, const Datum *values);

/* Copies a text into a context that outlives SPI; NULL stays NULL. */
extern char *ts_keep(MemoryContext context, const char *text);

#endif
