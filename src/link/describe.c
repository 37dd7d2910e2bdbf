/*
 * describe.c: what the catalog of another server says of a target.
 *
 * Four queries, sent together: the table, its columns, its unique constraints, its foreign keys; of a tracked table a fifth. They read what PostgreSQL 10 has;
 * what came later is looked for in the catalog's row as JSON. search_path is pg_catalog there, so that what is deparsed is qualified.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

#include "link/remote.h"

#define TABLE "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"

static const char *const table_query =
"SELECT c.relkind, c.relhassubclass, EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.is_instead), "
"c.relhasrules, pg_catalog.row_security_active(c.oid), "
"pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.has_table_privilege(c.oid, 'INSERT'), "
"pg_catalog.has_table_privilege(c.oid, 'UPDATE'), pg_catalog.has_table_privilege(c.oid, 'DELETE'), "
"pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL, c.oid, "
/* is it tracked there? */
"EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid JOIN pg_catalog.pg_depend d ON d.objid = p.oid "
"AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e' JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid "
"AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass WHERE g.tgrelid = c.oid AND p.proname = 'capture_row' AND x.extname = 'tracksync'), "
"(WITH RECURSIVE up(oid) AS (SELECT c.oid UNION ALL SELECT i.inhparent FROM up JOIN pg_catalog.pg_class k ON k.oid = up.oid AND k.relispartition "
"JOIN pg_catalog.pg_inherits i ON i.inhrelid = k.oid) SELECT up.oid FROM up JOIN pg_catalog.pg_class k ON k.oid = up.oid WHERE NOT k.relispartition LIMIT 1) " TABLE;

/* b: the type and the domains below it, down to the base type; e: the base type's elements, or itself */
static const char *const column_query =
"SELECT a.attnum, a.attisdropped, a.attname, pg_catalog.format_type(a.atttypid, NULL), pg_catalog.format_type(b.type, NULL), "
"pg_catalog.quote_ident(s.nspname), (SELECT x.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid "
"WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = e.oid AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass "
"AND d.deptype = 'e'), (CASE WHEN e.oid = b.type THEN e.typname::pg_catalog.text END), a.atttypmod, b.mod, a.attnotnull, "
"CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || "
"pg_catalog.quote_ident(co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace "
"WHERE co.oid = a.attcollation) END, a.attidentity, coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '', "
"(SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum), "
"(SELECT pg_catalog.quote_ident(qn.nspname) || '.' || pg_catalog.quote_ident(q.relname) FROM pg_catalog.pg_depend d "
"JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S' JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace "
"WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid AND d.refobjid = c.oid AND d.refobjsubid = a.attnum "
"AND d.deptype IN ('a', 'i') ORDER BY q.oid LIMIT 1) "
"FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
"LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN LATERAL (WITH RECURSIVE b(type, mod, below, depth) AS ("
"SELECT t.oid, a.atttypmod, CASE WHEN t.typtype = 'd' THEN t.typbasetype END, 0 UNION ALL SELECT p.oid, q.typtypmod, "
"CASE WHEN p.typtype = 'd' THEN p.typbasetype END, b.depth + 1 FROM b JOIN pg_catalog.pg_type p ON p.oid = b.below "
"JOIN pg_catalog.pg_type q ON q.oid = b.type) SELECT type, mod FROM b ORDER BY depth DESC LIMIT 1) b ON true "
"LEFT JOIN pg_catalog.pg_type bt ON bt.oid = b.type LEFT JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN bt.typcategory = 'A' AND bt.typelem <> 0 "
"THEN bt.typelem ELSE bt.oid END LEFT JOIN pg_catalog.pg_namespace s ON s.oid = e.typnamespace "
"WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 ORDER BY a.attnum";

/* A constraint's definition, or what follows the table's name in that of an index; NULL if it does not begin as expected. */
static const char *const index_query =
"SELECT pg_catalog.pg_get_constraintdef(k.oid), CASE WHEN pg_catalog.left(d.def, pg_catalog.length(d.head)) = d.head "
"THEN pg_catalog.substr(d.def, pg_catalog.length(d.head) + 1) END, "
"(CASE WHEN k.condeferrable THEN pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(k.conname) END) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid "
"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid "
"LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x'), "
"LATERAL (SELECT pg_catalog.pg_get_indexdef(i.indexrelid) AS def, pg_catalog.format('CREATE UNIQUE INDEX %I ON %s%I.%I ', x.relname, "
"CASE WHEN x.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname) AS head) d "
"WHERE n.nspname = $1 AND c.relname = $2 AND (i.indisunique OR i.indisexclusion) AND i.indisready AND i.indislive ORDER BY x.relname";

/* One of a name that another constraint has that is not deferrable cannot be deferred. */
static const char *const reference_query =
"SELECT pg_catalog.quote_ident(kn.nspname) || '.' || pg_catalog.quote_ident(k.conname), cn.nspname, c.relname, pn.nspname, p.relname, "
"k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'), k.condeferrable AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o "
"WHERE o.connamespace = k.connamespace AND o.conname = k.conname AND NOT o.condeferrable), c.relname = $2 AND cn.nspname = $1, "
"p.relname = $2 AND pn.nspname = $1, pg_catalog.array_to_string(k.confkey, ' '), pg_catalog.array_to_string(k.conkey, ' ') "
"FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace kn ON kn.oid = k.connamespace "
"JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace "
"JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace "
"WHERE k.contype = 'f' AND coalesce(pg_catalog.to_jsonb(k) ->> 'conparentid', '0') = '0' AND (k.conrelid IN (SELECT c.oid " TABLE ") "
"OR k.confrelid IN (SELECT c.oid " TABLE ")) ORDER BY 1, 2, 3";

typedef struct Reading
{
	TsRemote   *remote;
	uint64		sharded_oid;
} Reading;

static void
mix(TsRemote *remote, int n, char *const *values)
{
	for (int i = 0; i < n; i++)
	{
		const char *text = values[i] ? values[i] : "\001";

		remote->hash = hash_bytes_extended((const unsigned char *) text, (int) strlen(text) + 1, remote->hash);
	}
}

static bool
is_true(const char *value)
{
	return value != NULL && value[0] == 't';
}

static char *
copy(const char *value)
{
	return value ? pstrdup(value) : NULL;
}

static void
take_table(void *arg, int n, char *const *v)
{
	TsRemote   *remote = ((Reading *) arg)->remote;

	remote->exists = true;
	remote->oid = copy(v[11]);
	remote->kind = copy(v[0]);
	remote->heirs = is_true(v[1]);
	remote->instead = is_true(v[2]);
	remote->rules = is_true(v[3]);
	remote->hidden = is_true(v[4]);
	for (int i = 0; i < 4; i++)
		remote->privileges[i] = is_true(v[5 + i]);
	remote->owned = is_true(v[9]);
	remote->tracked = is_true(v[12]);
	remote->top = copy(v[13] ? v[13] : v[11]);
	((Reading *) arg)->sharded_oid = is_true(v[10]) ? strtoull(v[11], NULL, 10) : 0;
	/* a table made anew is another one */
	mix(remote, n, v);
}

static void
take_column(void *arg, int n, char *const *v)
{
	TsRemote   *remote = ((Reading *) arg)->remote;
	TsRemoteColumn *col = palloc0(sizeof(TsRemoteColumn));

	col->attnum = (AttrNumber) strtol(v[0], NULL, 10);
	col->dropped = is_true(v[1]);
	col->name = copy(v[2]);
	col->declared = copy(v[3]);
	col->base = copy(v[4]);
	col->schema = copy(v[5]);
	col->extension = copy(v[6]);
	col->type_name = copy(v[7]);
	col->typmod = v[8] ? (int32) strtol(v[8], NULL, 10) : -1;
	col->base_typmod = v[9] ? (int32) strtol(v[9], NULL, 10) : -1;
	col->notnull = is_true(v[10]);
	col->collation = copy(v[11]);
	col->identity = v[12] ? v[12][0] : '\0';
	col->generated = is_true(v[13]);
	col->expression = copy(v[14]);
	col->sequence = copy(v[15]);
	remote->columns = lappend(remote->columns, col);
	mix(remote, n, v);
}

static void
take_index(void *arg, int n, char *const *v)
{
	TsRemote   *remote = ((Reading *) arg)->remote;
	TsRemoteIndex *index = palloc0(sizeof(TsRemoteIndex));

	index->constraint = copy(v[0]);
	index->definition = copy(v[1]);
	index->deferrable = copy(v[2]);
	remote->indexes = lappend(remote->indexes, index);
	mix(remote, n, v);
}

static void
take_reference(void *arg, int n, char *const *v)
{
	TsRemote   *remote = ((Reading *) arg)->remote;
	TsRemoteReference *r = palloc0(sizeof(TsRemoteReference));
	char	   *end = v[9];

	r->name = copy(v[0]);
	r->child_schema = copy(v[1]);
	r->child = copy(v[2]);
	r->parent_schema = copy(v[3]);
	r->parent = copy(v[4]);
	r->acts = is_true(v[5]);
	r->deferrable = is_true(v[6]);
	r->from_here = is_true(v[7]);
	r->to_here = is_true(v[8]);
	while (r->to_here && end != NULL && *end != '\0')
		r->referred = lappend_int(r->referred, (int) strtol(end, &end, 10));
	end = v[10];
	while (r->from_here && end != NULL && *end != '\0')
		r->referring = lappend_int(r->referring, (int) strtol(end, &end, 10));
	remote->references = lappend(remote->references, r);
}

static void
take_sharded(void *arg, int n, char *const *v)
{
	((Reading *) arg)->remote->sharded = true;
}

/* Citus writes down there which tables are spread over nodes by a column's hash or range. */
static void
ask_sharded(TsConnection *connection, Reading *reading)
{
	char	   *oid = psprintf(UINT64_FORMAT, reading->sharded_oid);
	const char *values[] = {oid};

	if (reading->sharded_oid != 0)
		ts_remote_execute(connection, "ts_describe_sharded", "SELECT FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid::pg_catalog.oid = $1::pg_catalog.oid "
						  "AND p.partmethod <> 'n'", 1, values, take_sharded, reading);
}

static void
take_identity(void *arg, int n, char *const *v)
{
	TsRemote   *remote = ((Reading *) arg)->remote;

	remote->identity = copy(v[0]);
	remote->back = ts_back_read(v[1]);
}

/* Which table it is of all tables of all servers, and whether its changes come back here. */
static void
ask_identity(const TsLink *link, Reading *reading)
{
	TsRemote   *remote = reading->remote;
	char	   *origin = ts_link_origin(link);
	const char *values[] = {remote->top, remote->oid, origin};

	if (!remote->tracked)
	{
		remote->identity = psprintf("%s/%s", link->server, ts_link_target(link));
		return;
	}
	ts_remote_execute(remote->connection, "ts_describe_identity", "SELECT c.system_identifier || '/' || d.oid || '/' || $1, "
					  "tracksync.link_back($2::pg_catalog.oid::pg_catalog.regclass, $3) FROM pg_catalog.pg_control_system() AS c, "
					  "pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()", 3, values, take_identity, reading);
	if (remote->identity != NULL && strcmp(remote->identity, origin) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s on server \"%s\" cannot be told from the source of link \"%s\"", ts_link_target(link), link->server, link->name),
				 errdetail("That server is a physical copy of this one, and the table is tracked there, too."),
				 errhint("Untrack it there, or make that database anew from a dump.")));
}

TsRemote *
ts_remote_describe(const TsLink *link, TsConnection *connection)
{
	static const struct
	{
		const char *name;
		const char *const *query;
		TsRowFunction take;
	}			parts[] = {
		{"ts_describe_table", &table_query, take_table},
		{"ts_describe_columns", &column_query, take_column},
		{"ts_describe_indexes", &index_query, take_index},
		{"ts_describe_references", &reference_query, take_reference},
	};
	const char *values[] = {link->target_schema, link->target_name};
	TsRequest  *requests[lengthof(parts)];
	Reading		reading = {.remote = palloc0(sizeof(TsRemote))};

	reading.remote->connection = connection;
	for (int i = 0; i < lengthof(parts); i++)
		requests[i] = ts_request_send(connection, parts[i].name, *parts[i].query, 2, values);
	for (int i = 0; i < lengthof(parts); i++)
		ts_request_wait(requests[i], parts[i].take, &reading);
	ask_sharded(connection, &reading);
	ask_identity(link, &reading);
	return reading.remote;
}
