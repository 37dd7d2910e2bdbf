-- append: what becomes of duplicates, which queries and targets it takes, and what it refuses.
SET client_min_messages = warning;
SELECT plan(120);
CREATE EXTENSION IF NOT EXISTS citext;

-- what append returns: inserted, updated, skipped
CREATE FUNCTION put(target regclass, query text, on_duplicate text = 'error', key text[] = NULL) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', inserted, updated, skipped) FROM tracksync.append(target, query, on_duplicate, key) $$;
CREATE FUNCTION rows_of(target regclass, by text = '1') RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY %s), '''') FROM %s t', by, target) INTO result;
  RETURN result;
END $$;

-- the policies
CREATE TABLE p (id int PRIMARY KEY, v text DEFAULT 'none', n numeric(10,2));
SELECT is(put('p', 'SELECT i AS id, ''v'' || i AS v FROM generate_series(1, 3) i'), '3 0 0', 'rows into an empty table');
SELECT is(put('p', 'SELECT i AS id, ''v'' || i AS v FROM generate_series(1, 4) i'), '1 0 3', 'equal rows are skipped');
SELECT throws_ok($$SELECT put('p', 'SELECT i AS id, ''w'' || i AS v FROM generate_series(2, 5) i')$$, '23505',
  '3 duplicate keys in the rows for table "p"', 'error: other values are duplicates');
SELECT is(rows_of('p', 'id'), '(1,v1,) (2,v2,) (3,v3,) (4,v4,)', '... and nothing is appended');
SELECT is(put('p', 'SELECT i AS id, ''w'' || i AS v FROM generate_series(4, 5) i', 'first'), '1 0 1', 'first');
SELECT is(put('p', 'SELECT i AS id, ''x'' || i AS v FROM generate_series(5, 6) i', 'last'), '1 1 0', 'last');
SELECT is(rows_of('p', 'id'), '(1,v1,) (2,v2,) (3,v3,) (4,v4,) (5,x5,) (6,x6,)', '... as they are to be');
SELECT is(put('p', 'SELECT id, n FROM (VALUES (1, 1), (7, 2)) x (id, n)', 'last'), '1 1 0', 'some columns only');
SELECT is(rows_of('p', 'id'), '(1,v1,1.00) (2,v2,) (3,v3,) (4,v4,) (5,x5,) (6,x6,) (7,none,2.00)', '... the others stay, or are defaults');
SELECT is(put('p', 'SELECT id, n FROM (VALUES (1, 1.00), (1, 1.001)) x (id, n)'), '0 0 2', 'compared as they would be stored');
SELECT is(put('p', 'SELECT 1 AS id WHERE false'), '0 0 0', 'no row');

-- duplicates that come
TRUNCATE p;
SELECT is(put('p', 'SELECT 1 + i % 2 AS id, ''v'' || i AS v FROM generate_series(1, 6) i', 'last'), '2 0 4', 'last: the later one');
SELECT is(rows_of('p', 'id'), '(1,v6,) (2,v5,)', '... in the order of the query');
TRUNCATE p;
SELECT is(put('p', 'SELECT 1 + i % 2 AS id, ''v'' || i AS v FROM generate_series(1, 6) i', 'first'), '2 0 4', 'first: the earlier one');
SELECT is(rows_of('p', 'id'), '(1,v2,) (2,v1,)', '... in the order of the query');
TRUNCATE p;
SELECT throws_ok($$SELECT put('p', 'SELECT 1 + i % 2 AS id, ''v'' || i AS v FROM generate_series(1, 6) i')$$, '23505',
  '2 duplicate keys in the rows for table "p"', 'error: named as well');
SELECT is(put('p', 'SELECT 1 + i % 2 AS id, ''v'' AS v FROM generate_series(1, 6) i'), '2 0 4', 'error: equal ones are no duplicates');
SELECT is(put('p', 'SELECT i AS id, ''same'' AS v FROM generate_series(10, 14) i'), '5 0 0', 'the same values under different keys are all kept');

-- the keys named, in order
TRUNCATE p;
INSERT INTO p SELECT i FROM generate_series(1, 5000) i;
CREATE FUNCTION detail_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
  RETURN d;
END $$;
SELECT is(detail_of($$SELECT put('p', 'SELECT 5100 - i AS id, CASE WHEN i % 400 = 0 THEN ''x'' ELSE ''none'' END AS v FROM generate_series(1, 5000) i')$$),
  'Rows with other values are there already, or come twice: {"id": 300}, {"id": 700}, {"id": 1100}, {"id": 1500}, {"id": 1900}, {"id": 2300}, {"id": 2700}, {"id": 3100}, {"id": 3500}, {"id": 3900} and 2 more.',
  'the first ten keys, in order, and the count');
SELECT is((SELECT count(*) FROM p), 5000::bigint, '... and nothing is appended');

-- several batches
SET tracksync.batch_rows = 7;
TRUNCATE p;
SELECT is(put('p', 'SELECT i % 300 AS id, ''v'' || i AS v FROM generate_series(0, 999) i', 'last'), '300 0 700', 'last: batches of seven');
SELECT is((SELECT count(*) FROM p WHERE v = 'v' || CASE WHEN id < 100 THEN 900 + id ELSE 600 + id END), 300::bigint, '... the later one');
SELECT is(put('p', 'SELECT i AS id, ''w'' || i AS v FROM generate_series(250, 549) i', 'last'), '250 50 0', '... again');
SELECT is(put('p', 'SELECT i AS id, ''w'' || i AS v FROM generate_series(250, 549) i', 'last'), '0 0 300', '... and again');
RESET tracksync.batch_rows;

-- all
CREATE TABLE a (at timestamptz DEFAULT now(), sensor int, v float8);
SELECT is(put('a', 'SELECT 1 AS sensor, 2 AS v FROM generate_series(1, 5)', 'all'), '5 0 0', 'all: every row');
SELECT is(put('a', 'SELECT sensor, v FROM a', 'all'), '5 0 0', '... of the table itself as it was');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS sensor')$$, '42P10', 'table "a" has no usable key', 'other policies need a key');
SELECT throws_ok($$SELECT put('p', 'SELECT 9999 AS id', 'all')$$, '55000', '"p_pkey" of table "p" forbids duplicates', 'all: not with a primary key');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS sensor', 'all', '{sensor}')$$, '22023', 'a key has no meaning with on_duplicate => ''all''', 'all: no key');
CREATE TABLE a2 (id serial PRIMARY KEY, v text, u uuid DEFAULT gen_random_uuid() UNIQUE, w int UNIQUE, c int DEFAULT 1);
SELECT is(put('a2', 'SELECT ''x'' AS v FROM generate_series(1, 3)', 'all'), '3 0 0', 'all: a key that comes from a sequence forbids nothing');
CREATE UNIQUE INDEX a2_c ON a2 (c) WHERE v = 'y';
SELECT throws_ok($$SELECT put('a2', 'SELECT ''x'' AS v', 'all')$$, '55000', '"a2_c" of table "a2" forbids duplicates', '... a constant default does');
DROP INDEX a2_c;
CREATE UNIQUE INDEX a2_e ON a2 ((lower(v)), id);
SELECT is(put('a2', 'SELECT ''x'' AS v FROM generate_series(1, 3)', 'all'), '3 0 0', '... not an expression beside it');
CREATE TABLE a3 (r int4range, EXCLUDE USING gist (r WITH &&));
SELECT throws_ok($$SELECT put('a3', 'SELECT ''[1,2)'' AS r', 'all')$$, '55000', '"a3_r_excl" of table "a3" forbids duplicates', 'all: not with an exclusion constraint');

-- which key
CREATE TABLE k (id serial PRIMARY KEY, sensor int NOT NULL, at date NOT NULL, v int, UNIQUE (sensor, at));
SELECT is(put('k', 'SELECT 1 AS sensor, date ''2020-01-01'' + i AS at, i AS v FROM generate_series(1, 3) i', 'last'), '3 0 0', 'the key that the query has');
SELECT is(put('k', 'SELECT 1 AS sensor, date ''2020-01-01'' + i AS at, i % 3 AS v FROM generate_series(1, 4) i', 'last'), '1 1 2', '... is the natural one');
SELECT throws_ok($$SELECT put('k', 'SELECT 1 AS sensor, 2 AS v')$$, '42P10', 'key column "id" of table "k" is not among the query''s columns', 'no key is whole');
SELECT throws_ok($$SELECT put('k', 'SELECT 1 AS sensor, 2 AS v', 'last', '{id}')$$, '42P10', 'key column "id" of table "k" is not among the query''s columns', 'nor the one given');
SELECT is(put('k', 'SELECT 2 AS id, 1 AS sensor, date ''2021-01-01'' AS at', 'last', '{id}'), '0 1 0', 'a key given');
SELECT throws_ok($$SELECT put('k', 'SELECT 2 AS id, 2 AS sensor, date ''2021-01-01'' AS at', 'last', '{sensor}')$$, '42P10', 'the columns given as key of table "k" have no unique index', 'no unique index');
SELECT throws_ok($$SELECT put('k', 'SELECT 2 AS id', 'last', '{nope}')$$, '42703', 'column "nope" of table "k" does not exist', 'an unknown column in the key');
SELECT throws_ok($$SELECT put('k', 'SELECT 2 AS id', 'last', '{id,id}')$$, '42701', 'column "id" comes twice in the key', 'a column twice in the key');
SELECT throws_ok($$SELECT put('k', 'SELECT 2 AS id', 'last', '{}')$$, '42P10', NULL, 'an empty key');
SELECT throws_ok($$SELECT put('k', 'SELECT 900 AS id, 1 AS sensor, date ''2021-01-01'' AS at', 'last', '{id}')$$, '23505',
  'duplicate key value violates unique constraint "k_sensor_at_key"', 'another unique constraint is its own error');
SELECT throws_ok($$SELECT put('k', 'SELECT 3 AS id, 1 AS sensor, date ''2021-01-01'' AS at', 'last', '{id}')$$, '23505',
  'duplicate key value violates unique constraint "k_sensor_at_key"', '... of an update, too');

-- which queries
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS sensor; SELECT 2 AS sensor', 'all')$$, '42601', 'the query is more than one statement', 'two statements');
SELECT throws_ok($$SELECT put('a', ' ', 'all')$$, '42601', 'the query is empty', 'none');
SELECT throws_ok($$SELECT put('a', 'SHOW work_mem', 'all')$$, '42601', 'the statement is not a query', 'SHOW');
SELECT throws_ok($$SELECT put('a', 'EXPLAIN SELECT 1', 'all')$$, '42601', 'the statement is not a query', 'EXPLAIN');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS sensor INTO b', 'all')$$, '42601', 'the statement is not a query', 'SELECT INTO');
SELECT throws_ok($$SELECT put('a', 'DELETE FROM a', 'all')$$, '42601', 'the statement is not a query', 'DML without RETURNING');
SELECT throws_ok($$SELECT put('a', 'SELECT', 'all')$$, '42601', 'the query has no columns', 'no column');
SELECT throws_ok($$SELECT put('a', 'SELEC', 'all')$$, '42601', NULL, 'a syntax error');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS nope', 'all')$$, '42703', 'column "nope" of table "a" does not exist', 'an unknown column');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS ctid', 'all')$$, '42703', 'column "ctid" of table "a" does not exist', 'a system column');
SELECT throws_ok($$SELECT put('a', 'SELECT 1', 'all')$$, '42703', 'column "?column?" of table "a" does not exist', 'a column without name');
SELECT throws_ok($$SELECT put('a', 'SELECT 1 AS v, 2 AS v', 'all')$$, '42701', 'column "v" comes twice in the query', 'a column twice');
SELECT throws_ok($$SELECT put('a', 'SELECT now() AS v', 'all')$$, '42804',
  'column "v" of table "a" is of type double precision, but the query''s is of type timestamp with time zone', 'no cast');
SELECT throws_ok($$SELECT put('a', 'SELECT 3000000000 AS sensor', 'all')$$, '22003', NULL, 'a cast that fails');
TRUNCATE a;
SELECT is(put('a', 'SELECT ''2020-01-01'' AS at, NULL AS v, 1.4 AS sensor', 'all'), '1 0 0', 'literals, assignment casts');
SELECT is(put('a', 'TABLE a', 'all'), '1 0 0', 'TABLE');
SELECT is(put('a', 'WITH x AS (SELECT 2 AS sensor) SELECT * FROM x', 'all'), '1 0 0', 'WITH');
SELECT is(put('p', 'DELETE FROM a RETURNING 1000 + sensor AS id, ''moved'' AS v', 'last'), '2 0 1', 'DELETE … RETURNING moves rows');
SELECT is((SELECT count(*) FROM a), 0::bigint, '... all of them');
CREATE TABLE column1 (column1 int PRIMARY KEY);
SELECT is(put('column1', 'VALUES (1), (2)'), '2 0 0', 'VALUES');
CREATE SEQUENCE once;
SELECT is(put('column1', 'SELECT nextval(''once'')::int AS column1 FROM generate_series(1, 10)', 'last'), '8 0 2', 'the query runs');
SELECT is((SELECT last_value FROM once), 10::bigint, '... once');
SELECT is(put('column1', 'SELECT column1 + (SELECT max(column1) FROM column1) AS column1 FROM column1'), '10 0 0', 'it may read the target');

-- which targets
CREATE VIEW pv AS SELECT * FROM p;
SELECT throws_ok($$SELECT put('pv', 'SELECT 1 AS id')$$, '42809', 'cannot append to "pv"', 'no view');
SELECT throws_ok($$SELECT put('pg_class', 'SELECT 1 AS oid')$$, '42809', 'cannot append to "pg_class"', 'no system catalog');
SELECT throws_ok($$SELECT put(0::regclass, 'SELECT 1 AS oid')$$, '42P01', NULL, 'no table at all');
SELECT throws_ok($$SELECT put(NULL, 'SELECT 1 AS oid')$$, '22004', NULL, 'no target');
SELECT throws_ok($$SELECT put('p', NULL)$$, '22004', NULL, 'no query');
SELECT throws_ok($$SELECT put('p', 'SELECT 1 AS id', NULL)$$, '22004', NULL, 'no policy');
SELECT throws_ok($$SELECT put('p', 'SELECT 1 AS id', 'sometimes')$$, '22023', 'invalid value for on_duplicate: "sometimes"', 'an unknown policy');
CREATE TABLE ru (id int PRIMARY KEY);
CREATE RULE r AS ON INSERT TO ru DO INSTEAD NOTHING;
SELECT throws_ok($$SELECT put('ru', 'SELECT 1 AS id')$$, '42809', 'table "ru" has a rule for INSERT or UPDATE', 'no rules');
CREATE TABLE "Odd ""t" ("Key one" int, gone int, "ähm; --" text, c1 int, n int, excluded int, PRIMARY KEY ("Key one", n));
ALTER TABLE "Odd ""t" DROP COLUMN gone;
INSERT INTO "Odd ""t" VALUES (1, 'a', 1, 1, 1);
SELECT is(put('"Odd ""t"', 'SELECT 1 AS n, ''b'' AS "ähm; --", i AS "Key one", 3 AS c1 FROM generate_series(1, 2) i', 'last'), '1 1 0', 'names that need quotes, dropped columns');
SELECT is(rows_of('"Odd ""t"', '"Key one"'), '(1,b,3,1,1) (2,b,3,1,)', '... in their order');
CREATE TEMP TABLE tmp (id int PRIMARY KEY, v int);
SELECT is(put('tmp', 'SELECT i AS id, i AS v FROM generate_series(1, 2) i'), '2 0 0', 'a temporary table');
CREATE TABLE gen (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED);
SELECT throws_ok($$SELECT put('gen', 'SELECT 1 AS id, 2 AS g')$$, '428C9', 'column "g" of table "gen" is a generated column', 'a generated column');
SELECT is(put('gen', 'SELECT 1 AS id, i AS v FROM generate_series(1, 2) i', 'last') || rows_of('gen'), '1 0 1(1,2,4)', '... beside others');
CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE NOT NULL, v int);
SELECT is(put('ident', 'SELECT 5 AS id, ''a'' AS code', 'last'), '1 0 0', 'an identity column');
SELECT is(put('ident', 'SELECT 5 AS id, ''b'' AS code', 'last') || rows_of('ident'), '0 1 0(5,b,)', '... as key');
SELECT throws_ok($$SELECT put('ident', 'SELECT 6 AS id, ''b'' AS code', 'last', '{code}')$$, '428C9', 'identity column "id" of table "ident" cannot be updated', '... not to be updated');
SELECT is(put('ident', 'SELECT 6 AS id, ''b'' AS code', 'first', '{code}'), '0 0 1', '... but looked at');
CREATE TABLE part (sensor int, at date, v int, PRIMARY KEY (at, sensor)) PARTITION BY RANGE (at);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE part2 (v int, junk int, at date NOT NULL, sensor int NOT NULL);
ALTER TABLE part2 DROP COLUMN junk;
ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
SELECT is(put('part', 'SELECT 1 AS sensor, date ''2020-01-01'' + i AS at, i AS v FROM generate_series(0, 59) i'), '60 0 0', 'a partitioned table');
SELECT is(put('part', 'SELECT 1 AS sensor, date ''2020-01-01'' + i AS at, i / 2 * 2 AS v FROM generate_series(0, 59) i', 'last'), '0 30 30', '... updated');
SELECT throws_ok($$SELECT put('part', 'SELECT 1 AS sensor, date ''2021-01-01'' AS at')$$, '23514', NULL, '... no partition for it');

-- keys with equalities of their own
CREATE TABLE ci (k citext PRIMARY KEY, v int);
INSERT INTO ci VALUES ('a', 1), ('b', 1);
SELECT is(put('ci', 'SELECT ''A''::citext AS k, 1 AS v', 'last') || rows_of('ci', 'k'), '0 1 0(A,1) (b,1)', 'citext: the same row, otherwise written');
SELECT is(put('ci', 'SELECT k, v FROM (VALUES (''C'', 1), (''c'', 2)) x (k, v)', 'first'), '1 0 1', '... twice');
CREATE TABLE nu (k numeric PRIMARY KEY, v int);
SELECT is(put('nu', 'SELECT k, 1 AS v FROM (VALUES (1.0), (1.00), (2)) x (k)', 'last') || rows_of('nu', 'k'), '2 0 1(1.00,1) (2,1)', 'numeric: the scale does not matter');
SELECT throws_ok($$SELECT put('nu', 'SELECT k, 1 AS v FROM (VALUES (2.0)) x (k)')$$, '23505', NULL, '... but it is another value');
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE nd (k text COLLATE nocase PRIMARY KEY, v int);
SELECT is(put('nd', 'SELECT k, v FROM (VALUES (''a'', 1), (''A'', 2), (''b'', 3)) x (k, v)', 'last') || rows_of('nd', 'k'), '2 0 1(A,2) (b,3)', 'a nondeterministic collation');
CREATE TABLE nn (a int, b int, v int, UNIQUE (a, b));
SELECT is(put('nn', 'SELECT 1 AS a, NULL::int AS b, i AS v FROM generate_series(1, 3) i', 'error', '{a,b}'), '3 0 0', 'NULL in a key is no duplicate');
CREATE DOMAIN pos AS int CHECK (VALUE > 0);
CREATE TABLE dom (k pos[] PRIMARY KEY, e text, f float8);
SELECT is(put('dom', 'SELECT ARRAY[1, i] AS k, 0.0 AS f FROM generate_series(1, 2) i'), '2 0 0', 'arrays, domains');
SELECT throws_ok($$SELECT put('dom', 'SELECT ARRAY[0] AS k')$$, '23514', NULL, '... are checked');
SELECT is(put('dom', 'SELECT k, ''-0''::float8 AS f FROM dom', 'last'), '0 2 0', '-0.0 is another value');
CREATE TABLE def (k int, v int, CONSTRAINT def_k UNIQUE (k) DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE def ALTER k SET NOT NULL;
SELECT is(put('def', 'SELECT i % 3 AS k, i AS v FROM generate_series(1, 9) i', 'last') || rows_of('def', 'k'), '3 0 6(0,9) (1,7) (2,8)', 'a deferrable key');
SELECT is(put('def', 'SELECT i AS k, 8 AS v FROM generate_series(1, 4) i', 'last'), '2 1 1', '... again');

-- triggers and foreign keys
CREATE TABLE trg (id int PRIMARY KEY, v text, stamp int DEFAULT 0);
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.v = 'drop' THEN RETURN NULL; END IF;
  IF NEW.v = 'move' THEN NEW.id := 1; END IF;
  NEW.stamp := NEW.stamp + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER trg BEFORE INSERT OR UPDATE ON trg FOR EACH ROW EXECUTE FUNCTION trg();
SELECT is(put('trg', 'SELECT i AS id, CASE WHEN i % 2 = 0 THEN ''drop'' ELSE ''v'' END AS v FROM generate_series(1, 4) i', 'last'), '2 0 2', 'rows that a trigger leaves out are skipped');
SELECT is(put('trg', 'SELECT i AS id, CASE WHEN i % 2 = 0 THEN ''w'' ELSE ''drop'' END AS v FROM generate_series(1, 4) i', 'last') || rows_of('trg', 'id'),
  '2 0 2(1,v,1) (2,w,1) (3,v,1) (4,w,1)', '... and what it changes is counted once');
SELECT is(put('trg', 'SELECT 9 AS id, ''move'' AS v', 'first'), '0 0 1', 'a key that a trigger changes: first');
SELECT throws_ok($$SELECT put('trg', 'SELECT 9 AS id, ''move'' AS v', 'last')$$, '23505', NULL, '... last');
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, v int);
SET tracksync.batch_rows = 10;
SELECT is(put('tree', 'SELECT i AS id, nullif(i + 1, 501) AS parent FROM generate_series(1, 500) i', 'last'), '500 0 0', 'rows that refer to later ones');
RESET tracksync.batch_rows;
SELECT throws_ok($$SELECT put('tree', 'SELECT 600 AS id, 601 AS parent')$$, '23503', NULL, 'rows that refer to none');
CREATE TABLE src (id int PRIMARY KEY, v int);
SELECT tracksync.track('src');
SELECT put('src', 'SELECT i AS id, i AS v FROM generate_series(1, 3) i'), put('src', 'SELECT i AS id, 3 AS v FROM generate_series(2, 4) i', 'last');
SELECT is((SELECT inserts || ' ' || updates FROM tracksync.summary('src')), '4 0', 'a tracked table: what was appended is tracked');

-- a setting that changes under way
CREATE TABLE grow (id int PRIMARY KEY);
CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET tracksync.batch_rows = 5000; RETURN NEW; END $$;
CREATE TRIGGER grow BEFORE INSERT ON grow FOR EACH ROW EXECUTE FUNCTION grow();
SET tracksync.batch_rows = 3;
SELECT is(put('grow', 'SELECT generate_series(1, 9000) AS id'), '9000 0 0', 'batch_rows may change under way');
RESET tracksync.batch_rows;
CREATE TABLE tracksync_append_rows (id int PRIMARY KEY, v int);
SELECT is(put('tracksync_append_rows', 'SELECT 1 AS id, 1 AS v'), '1 0 0', 'a table that has the name of ours');
SELECT is(put('tracksync_append_rows', 'SELECT id + 1 AS id, v FROM tracksync_append_rows', 'last'), '1 0 0', '... as source, too');

-- memory: what this session has at the most, as a trigger sees it with each batch; the rows take twice as much. Not before version 14.
CREATE TABLE mem (id int PRIMARY KEY, v text);
CREATE TABLE mem_seen (bytes bigint);
SELECT current_setting('server_version_num')::int >= 140000 AS tells \gset
\if :tells
CREATE FUNCTION mem() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mem_seen SELECT sum(total_bytes) FROM pg_backend_memory_contexts; RETURN NULL; END $$;
CREATE TRIGGER mem AFTER INSERT ON mem FOR EACH STATEMENT EXECUTE FUNCTION mem();
\else
INSERT INTO mem_seen VALUES (0);
\endif
SET work_mem = '1MB';
SELECT is(put('mem', 'SELECT (i * 7919::bigint % 400000)::int AS id, repeat(''x'', 250) AS v FROM generate_series(1, 400000) i', 'last'), '400000 0 0', 'many rows');
SELECT ok(max(bytes) < 64 * 1024 * 1024, 'in bounded memory') FROM mem_seen;
RESET work_mem;

-- rights
CREATE ROLE append_user;
GRANT EXECUTE ON FUNCTION put(regclass, text, text, text[]) TO append_user;
CREATE TABLE ri (id int PRIMARY KEY, v int, secret int);
INSERT INTO ri VALUES (1, 1, 1);
SET ROLE append_user;
SELECT throws_ok($$SELECT put('ri', 'SELECT 1 AS id')$$, '42501', 'permission denied for table ri', 'no right at all');
RESET ROLE;
GRANT INSERT (id, v), SELECT (id) ON ri TO append_user;
SET ROLE append_user;
SELECT is(put('ri', 'SELECT 1 AS id, 2 AS v', 'first'), '0 0 1', 'first: INSERT, and SELECT on the key');
SELECT throws_ok($$SELECT put('ri', 'SELECT 1 AS id, 2 AS v')$$, '42501', 'permission denied for table ri', 'error: SELECT on what is compared');
SELECT throws_ok($$SELECT put('ri', 'SELECT 2 AS id, 2 AS secret', 'first')$$, '42501', 'permission denied for table ri', 'INSERT on each column');
RESET ROLE;
GRANT SELECT (v) ON ri TO append_user;
SET ROLE append_user;
SELECT is(put('ri', 'SELECT 1 AS id, 1 AS v'), '0 0 1', '... given');
SELECT throws_ok($$SELECT put('ri', 'SELECT 1 AS id, 2 AS v', 'last')$$, '42501', 'permission denied for table ri', 'last: UPDATE');
SELECT throws_ok($$SELECT put('ri', 'SELECT secret AS id FROM ri', 'first')$$, '42501', NULL, 'what the query reads');
RESET ROLE;
GRANT UPDATE (id, v) ON ri TO append_user;
SET ROLE append_user;
SELECT is(put('ri', 'SELECT 1 AS id, 2 AS v', 'last'), '0 1 0', '... given');
RESET ROLE;
ALTER TABLE ri ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ri USING (v > 1);
SET ROLE append_user;
SELECT throws_ok($$SELECT put('ri', 'SELECT 5 AS id, 5 AS v', 'last')$$, '42501', 'row-level security hides rows of table ri', 'row-level security');
RESET ROLE;
DROP OWNED BY append_user;
DROP ROLE append_user;
BEGIN READ ONLY;
SELECT throws_ok($$SELECT put('p', 'SELECT 1 AS id')$$, '25006', NULL, 'a read-only transaction');
COMMIT;
SELECT * FROM finish();
