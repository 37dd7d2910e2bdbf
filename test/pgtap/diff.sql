-- diff: keys, what is the same, messages, rights, rows as they come. That it is right: diff_oracle.sql.
SET client_min_messages = warning;
SELECT plan(73);
CREATE EXTENSION IF NOT EXISTS citext;
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE d text; h text; BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
     RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(d, ''), nullif(h, '')); END $$;
CREATE FUNCTION seen(a regclass, b regclass, key text[] = NULL) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(concat_ws(' ', kind, d.key, columns), ', ' ORDER BY n), '') FROM tracksync.diff(a, b, key) WITH ORDINALITY AS d(kind, key, a, b, columns, n) $$;

-- what comes
CREATE TABLE a (id int PRIMARY KEY, v text, n numeric, only_a int); CREATE TABLE b (v text, only_b int, id int PRIMARY KEY, n numeric);
INSERT INTO a VALUES (1, 'x', 1, 1), (2, 'y', 2, 2), (3, NULL, 3, 3), (5, 'e', 5, 5); INSERT INTO b VALUES ('x', 9, 1, 1), ('z', 9, 2, 2.0), ('', 9, 3, 3), ('d', 9, 4, 4);
SELECT results_eq($$SELECT * FROM tracksync.diff('a', 'b')$$, $$VALUES
  ('differs', '{"id": 2}'::jsonb, '{"id": 2, "v": "y", "n": 2}'::jsonb, '{"id": 2, "v": "z", "n": 2.0}'::jsonb, '{v,n}'::text[]), ('differs', '{"id": 3}', '{"id": 3, "v": null, "n": 3}', '{"id": 3, "v": "", "n": 3}', '{v}'),
  ('only_b', '{"id": 4}', NULL, '{"id": 4, "v": "d", "n": 4}', NULL), ('only_a', '{"id": 5}', '{"id": 5, "v": "e", "n": 5}', NULL, NULL)$$, 'in the order of the key, columns by name');
SELECT is(seen('a', 'a') || seen('b', 'b'), '', 'a table and itself');
SELECT results_eq($$SELECT kind, a FROM tracksync.diff(b => 'b', a => 'a', key => '{n,id}')$$, $$SELECT kind, a FROM tracksync.diff('a', 'b', '{n,id}')$$, 'arguments by name');
CREATE TABLE k1 (id int PRIMARY KEY, x int); CREATE TABLE k2 (id int PRIMARY KEY, y int); INSERT INTO k1 VALUES (1, 1), (2, 2); INSERT INTO k2 VALUES (2, 9), (3, 9);
SELECT is(seen('k1', 'k2'), 'only_a {"id": 1}, only_b {"id": 3}', 'nothing in common but the key');
CREATE TABLE empty (LIKE a); SELECT is(seen('empty', 'empty', '{id}') || seen('empty', 'k1', '{id}'), 'only_b {"id": 1}, only_b {"id": 2}', 'empty tables');
CREATE SCHEMA "od""d"; CREATE TABLE "od""d"."t""'; -- %s" ("i""d %1$s" int PRIMARY KEY, "Col'u$mn" text); INSERT INTO "od""d"."t""'; -- %s" VALUES (1, 'a');
CREATE VIEW "V 1" AS SELECT 1 AS "i""d %1$s", 'b'::text AS "Col'u$mn";
SELECT is(seen('"od""d"."t""''; -- %s"', '"V 1"'), 'differs {"i\"d %1$s": 1} {Col''u$mn}', 'names');
BEGIN; UPDATE a SET v = 'own' WHERE id = 1; SELECT is(seen('a', 'b'), seen('a', 'b'), 'within a transaction'); SELECT alike(seen('a', 'b'), 'differs {"id": 1} {v}%', 'its own changes are seen'); ROLLBACK;

-- what is the same
CREATE TABLE s1 (id int PRIMARY KEY, f float8, n numeric, i interval, t text, j json, x float4); CREATE TABLE s2 (LIKE s1 INCLUDING ALL);
INSERT INTO s1 VALUES (1, 0, 'NaN', '1 day', 'NULL', '{"a":1}', 0.1), (2, 'NaN', 1.0, '24:00', 'é', NULL, 'NaN'); INSERT INTO s2 VALUES (1, '-0', 'NaN', '24:00', NULL, '{"a": 1}', 0.1), (2, 'NaN', 1.00, '24:00', 'é', NULL, 'NaN');
SELECT is(seen('s1', 's2'), 'differs {"id": 1} {f,i,t,j}, differs {"id": 2} {n}', 'what is written, not what is equal');
CREATE TABLE c1 (id citext PRIMARY KEY, v int); CREATE TABLE c2 (LIKE c1 INCLUDING ALL); INSERT INTO c1 VALUES ('a', 1), ('B', 2), ('c', 3); INSERT INTO c2 VALUES ('A', 1), ('B', 2), ('C', 4);
SELECT is(seen('c1', 'c2'), 'differs {"id": "a"} {id}, differs {"id": "c"} {id,v}', 'a key in other letters');
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE o1 (id text COLLATE nocase PRIMARY KEY); CREATE TABLE o2 (id text PRIMARY KEY); INSERT INTO o1 VALUES ('a'), ('b'); INSERT INTO o2 VALUES ('A'), ('b');
SELECT is(seen('o1', 'o2'), 'differs {"id": "a"} {id}', 'the key''s own collation'); SELECT is(seen('o2', 'o1'), 'only_a {"id": "A"}, only_b {"id": "a"}', 'is that of the first');
CREATE TABLE n1 (id numeric PRIMARY KEY, v int); CREATE TABLE n2 (LIKE n1 INCLUDING ALL); INSERT INTO n1 VALUES (1.0, 1), ('NaN', 2); INSERT INTO n2 VALUES (1.00, 1), ('NaN', 2);
SELECT is(seen('n1', 'n2'), 'differs {"id": 1.0} {id}', 'a key of another scale');
CREATE TABLE g1 (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, y int GENERATED ALWAYS AS (x * 2) STORED); CREATE TABLE g2 (id int PRIMARY KEY, x int, y int); INSERT INTO g1 (x) VALUES (1), (2); INSERT INTO g2 VALUES (1, 1, 2), (2, 2, 5);
SELECT is(seen('g1', 'g2'), 'differs {"id": 2} {y}', 'generated columns are columns');
CREATE TABLE t1 (id int PRIMARY KEY, v text, w text); ALTER TABLE t1 ALTER v SET STORAGE external; CREATE TABLE t2 (id int PRIMARY KEY, v text, w text);
INSERT INTO t1 SELECT i, repeat(i || 'abc', 5000), repeat(md5(i::text), 200) FROM generate_series(1, 20) i; INSERT INTO t2 SELECT * FROM t1; UPDATE t2 SET v = v || 'x' WHERE id = 7; UPDATE t2 SET w = reverse(w) WHERE id = 9;
SELECT is(seen('t1', 't2'), 'differs {"id": 7} {v}, differs {"id": 9} {w}', 'compressed, out of line, or neither');
ALTER TABLE k1 ADD z text DEFAULT 'same', DROP COLUMN x; ALTER TABLE k2 DROP COLUMN y, ADD z text; UPDATE k2 SET z = 'same'; SELECT is(seen('k1', 'k2'), 'only_a {"id": 1}, only_b {"id": 3}', 'a default that is stored in no row');

-- types
CREATE TABLE w1 (id int PRIMARY KEY, n numeric(10,2), m int, c char(5), f float4, d date); CREATE TABLE w2 (id bigint PRIMARY KEY, n numeric(12,4), m numeric(8,3), c char(8), f float8, d timestamp);
INSERT INTO w1 VALUES (1, 1.5, 7, 'ab', 0.5, '2020-01-01'), (2, 1.5, 7, 'ab', 0.5, '2020-01-01'); INSERT INTO w2 SELECT * FROM w1; UPDATE w2 SET n = 1.5001, m = 7.1, c = 'abc', f = 0.51, d = '2020-01-01 00:00:01' WHERE id = 2;
SELECT is(seen('w1', 'w2'), 'differs {"id": 2} {n,m,c,f,d}', 'one holds all that the other does'); SELECT is(seen('w2', 'w1'), 'differs {"id": 2} {n,m,c,f,d}', 'or the other way round');
CREATE TABLE big (id bigint PRIMARY KEY, v bigint); CREATE TABLE flt (id bigint PRIMARY KEY, v float8); INSERT INTO big VALUES (1, 9007199254740993), (2, 5); INSERT INTO flt VALUES (1, 9007199254740992), (2, 5);
SELECT is(seen('big', 'flt'), 'differs {"id": 1} {v}', 'no rounding');
CREATE TABLE x1 (id text PRIMARY KEY, b boolean, i int[]); CREATE TABLE x2 (id int PRIMARY KEY, b text, i text); INSERT INTO x1 VALUES ('1', true, '{1}'), ('02', false, NULL); INSERT INTO x2 VALUES (1, 'true', '{1}'), (2, 'false', NULL);
SELECT is(seen('x1', 'x2'), 'only_a {"id": "02"}, only_b {"id": 2}', 'else the text counts');
CREATE VIEW j1 AS SELECT '{"a": 1}'::json AS k, point(1, 2) AS p, 1 AS v UNION ALL SELECT '{"a":1}', point(1, 3), 2; CREATE VIEW j2 AS SELECT '{"a": 1}'::json AS k, point(1, 2) AS p, 9 AS v;
SELECT is(seen('j1', 'j2', '{k}'), 'differs {"k": {"a": 1}} {v}, only_a {"k": {"a": 1}}', 'a key without an order of its own'); SELECT is(seen('j1', 'j2', '{p}'), 'differs {"p": "(1,2)"} {v}, only_a {"p": "(1,3)"}', 'or without an equality');

-- keys
CREATE TABLE r1 (id int PRIMARY KEY, code text NOT NULL UNIQUE, big text NOT NULL UNIQUE, free int UNIQUE); CREATE TABLE r2 (LIKE r1 INCLUDING ALL); INSERT INTO r1 VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2); INSERT INTO r2 VALUES (2, 'a', 'A', 1), (1, 'b', 'C', 2);
SELECT alike(seen('r1', 'r2'), 'differs {"id": 1}%', 'the primary key');
ALTER TABLE r1 REPLICA IDENTITY USING INDEX r1_code_key; SELECT is(seen('r1', 'r2'), 'differs {"code": "a"} {id}, differs {"code": "b"} {id,big}', 'before that, the replica identity');
CREATE TABLE r3 (big text NOT NULL, free int); INSERT INTO r3 VALUES ('A', 1); SELECT is(seen('r1', 'r3'), 'only_a {"big": "B"}', 'a unique index whose columns the other side has');
CREATE TABLE r4 (id int); INSERT INTO r4 VALUES (1), (2), (3); SELECT is(seen('r4', 'r1'), 'only_a {"id": 3}', 'or one of the other side');
CREATE MATERIALIZED VIEW m1 AS SELECT id, code FROM r1; SELECT is(said($$SELECT seen('m1', 'r3')$$), '42P10 | materialized view public.m1 and table public.r3 have no key to match their rows by | A key is the replica identity index, the primary key, or a unique index on NOT NULL columns. | Name columns of both that tell rows apart: key => ''{…}''.', 'none');
CREATE UNIQUE INDEX ON m1 (code); CREATE VIEW v1 AS SELECT * FROM r1; SELECT is(seen('m1', 'v1'), '', 'of a materialized view');
SELECT is(seen('r1', 'r2', '{big}'), 'differs {"big": "A"} {id}, only_a {"big": "B"}, only_b {"big": "C"}', 'given');
SELECT is(said($$SELECT seen('r3', 'm1')$$), '42P10 | table public.r3 and materialized view public.m1 have no key to match their rows by | A key has columns that the other side does not have. | Name columns of both that tell rows apart: key => ''{…}''.', 'an index of columns that the other side has not');
SELECT is(said($$SELECT seen('v1', 'v1')$$), '42P10 | view public.v1 and view public.v1 have no key to match their rows by | A key is the replica identity index, the primary key, or a unique index on NOT NULL columns. | Name columns of both that tell rows apart: key => ''{…}''.', 'views');
SELECT is(said($$SELECT seen('r1', 'r3', '{id}')$$), '42703 | key column "id" of table public.r3 does not exist | Name columns that both sides have.', 'no such column');
SELECT is(said($$SELECT seen('r1', 'r2', '{ctid}')$$), '42703 | key column "ctid" of table public.r1 does not exist | Name columns that both sides have.', 'a system column');
SELECT is(said($$SELECT seen('r1', 'r2', '{id,code,id}')$$), '42701 | column "id" appears twice in the key | Name each column once.', 'twice');
SELECT is(said($$SELECT seen('r1', 'r2', '{}')$$), '42P10 | the key has no column | Name the columns that tell rows apart, or leave the argument out.', 'no column');
SELECT is(said($$SELECT seen('r1', 'r2', '{id,NULL}')$$), '22004 | a name must not be NULL | Leave it out of the list.', 'NULL for a column');
CREATE SEQUENCE q; CREATE TYPE ct AS (a int);
SELECT is(said(format('SELECT seen(%L, %L)', x, 'a')), format('42809 | "%s" has no rows to compare | Name tables, partitioned tables, views, materialized views or foreign tables.', x), x) FROM unnest('{q,ct,a_pkey}'::text[]) x;
SELECT is(said($$SELECT seen('a', 1::oid)$$), '42P01 | relation with OID 1 does not exist', 'nothing there');
SELECT is(said($$SELECT seen(NULL, 'a')$$), '22004 | argument "a" must not be NULL | Leave optional arguments out to get their defaults.', 'NULL'); SELECT is(said($$SELECT seen('a', NULL)$$), '22004 | argument "b" must not be NULL | Leave optional arguments out to get their defaults.', 'NULL');

-- keys that tell nothing apart
CREATE VIEW d1 AS SELECT i % 40 AS id, i AS v FROM generate_series(1, 50) i; CREATE VIEW d2 AS SELECT i AS id, i AS v FROM generate_series(1, 50) i;
SELECT is(said($$SELECT seen('d1', 'd2', '{id}')$$), '21000 | more than one row of view public.d1 has the key {"id": 1} | Name columns that tell all rows apart: key => ''{…}''.', 'twice in the first');
SELECT is(said($$SELECT seen('d2', 'd1', '{id}')$$), '21000 | more than one row of view public.d1 has the key {"id": 1} | Name columns that tell all rows apart: key => ''{…}''.', 'twice in the second');
SELECT is(said($$SELECT seen('d1', 'd1', '{id}')$$), '21000 | more than one row of view public.d1 has the key {"id": 1} | Name columns that tell all rows apart: key => ''{…}''.', 'twice in both');
SELECT is(said($$SELECT seen('k1', 'd1', '{id}')$$), '21000 | more than one row of view public.d1 has the key {"id": 1} | Name columns that tell all rows apart: key => ''{…}''.', 'also beyond the end of the other'); SELECT is(said($$SELECT seen('d1', 'd2', '{id,v}')$$), 'no error', 'with another column');
CREATE VIEW z1 AS SELECT NULL::int AS k, 1 AS l, 'x' AS v UNION ALL SELECT 1, NULL, 'y'; CREATE VIEW z2 AS SELECT NULL::int AS k, 1 AS l, 'z' AS v UNION ALL SELECT 2, NULL, 'y'; CREATE VIEW z3 AS TABLE z1 UNION ALL TABLE z2;
SELECT is(seen('z1', 'z2', '{k,l}'), 'only_a {"k": 1, "l": null}, only_b {"k": 2, "l": null}, differs {"k": null, "l": 1} {v}', 'NULL is a value of a key');
SELECT is(said($$SELECT seen('z1', 'z3', '{k,l}')$$), '21000 | more than one row of view public.z3 has the key {"k": null, "l": 1} | Name columns that tell all rows apart: key => ''{…}''.', 'and not one of its own');
CREATE TABLE df (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); BEGIN; INSERT INTO df VALUES (1), (1); SELECT alike(said($$SELECT seen('df', 'df')$$), '21000 %', 'a deferred key'); ROLLBACK;
CREATE TABLE heir () INHERITS (a); INSERT INTO heir VALUES (6, 'h', 6); SELECT alike(seen('a', 'b'), '%, only_a {"id": 6}', 'children are among the rows'); INSERT INTO heir VALUES (1, 'h', 6); SELECT alike(said($$SELECT seen('a', 'b')$$), '21000 %', 'and not under the parent''s key'); DROP TABLE heir;
-- an index whose order is not that of today's comparisons
CREATE FUNCTION backwards() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TYPE num AS (n int); CREATE FUNCTION lt(num, num) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.n * backwards() < $2.n * backwards()'; CREATE FUNCTION le(num, num) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.n * backwards() <= $2.n * backwards()';
CREATE FUNCTION eq(num, num) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.n = $2.n'; CREATE FUNCTION ge(num, num) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT le($2, $1)'; CREATE FUNCTION gt(num, num) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT lt($2, $1)';
CREATE FUNCTION cmp(num, num) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN sign(($1.n - $2.n) * backwards()); END';
CREATE OPERATOR <~ (leftarg = num, rightarg = num, procedure = lt, commutator = '>~'); CREATE OPERATOR <=~ (leftarg = num, rightarg = num, procedure = le, commutator = '>=~'); CREATE OPERATOR =~ (leftarg = num, rightarg = num, procedure = eq, commutator = '=~', merges, hashes);
CREATE OPERATOR >=~ (leftarg = num, rightarg = num, procedure = ge, commutator = '<=~'); CREATE OPERATOR >~ (leftarg = num, rightarg = num, procedure = gt, commutator = '<~');
CREATE OPERATOR CLASS num_ops FOR TYPE num USING btree AS OPERATOR 1 <~, OPERATOR 2 <=~, OPERATOR 3 =~, OPERATOR 4 >=~, OPERATOR 5 >~, FUNCTION 1 cmp(num, num);
CREATE TABLE i1 (id num NOT NULL, v int); CREATE UNIQUE INDEX i1_id ON i1 (id num_ops); INSERT INTO i1 SELECT ROW(i)::num, i FROM generate_series(1, 9) i; CREATE TABLE i2 (LIKE i1 INCLUDING ALL); INSERT INTO i2 SELECT id, v + (v % 4 = 0)::int FROM i1 WHERE v <> 5;
SET enable_sort = off; SELECT is(seen('i1', 'i2'), 'differs {"id": {"n": 4}} {v}, only_a {"id": {"n": 5}}, differs {"id": {"n": 8}} {v}', 'an operator class of one''s own');
CREATE OR REPLACE FUNCTION backwards() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -1';
SELECT is(said($$SELECT seen('i1', 'i2')$$), 'XX002 | the rows of table public.i1 do not come in the order of their key | The first out of order has the key {"id": {"n": 2}}. | Its index may be corrupt: see whether REINDEX helps.', 'an index out of order'); RESET enable_sort;

-- rights
SELECT 'ts_diff_some' AS some, 'ts_diff_all' AS every \gset
CREATE ROLE :"some"; CREATE ROLE :"every"; GRANT SELECT (id, n) ON a TO :"some"; GRANT SELECT ON b TO :"some"; GRANT SELECT (id) ON k1, r4 TO :"some"; GRANT SELECT ON v1, r4, a, b TO :"every";
SET ROLE :"some";
SELECT is(said($$SELECT seen('a', 'b')$$), '42501 | permission denied for table public.a | Comparing takes SELECT on all columns that both sides have; that of "v" is missing. | Ask its owner for SELECT, or compare views of the columns that you may read.', 'a column');
SELECT is(said($$SELECT seen('k1', 'a')$$), 'no error', 'columns that are not compared');
SELECT is(said($$SELECT seen('b', 'r1')$$), '42501 | permission denied for table public.r1 | Comparing takes SELECT on all columns that both sides have; that of "id" is missing. | Ask its owner for SELECT, or compare views of the columns that you may read.', 'a table');
RESET ROLE; ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON a USING (id < 3); CREATE VIEW av AS SELECT * FROM a; GRANT SELECT ON av TO :"every"; CREATE VIEW own AS SELECT * FROM a; ALTER VIEW own OWNER TO :"every";
SET ROLE :"every"; SELECT is(said($$SELECT seen('a', 'b')$$), '42501 | row-level security hides rows of table a | Use a role that may see all its rows.', 'rows'); SELECT alike(said($$SELECT seen('own', 'b')$$), '42501 | %row-level security%', 'below a view'); SELECT is(said($$SELECT seen('av', 'b')$$), 'no error', 'the owner of the view sees all');
SELECT is(seen('v1', 'r4', '{id}'), 'only_b {"id": 3}', 'through a view'); RESET ROLE; ALTER TABLE a DISABLE ROW LEVEL SECURITY;

-- rows as they come
CREATE TABLE l1 (id int PRIMARY KEY, v text); INSERT INTO l1 SELECT i, i FROM generate_series(1, 20000) i; CREATE TABLE l2 (LIKE l1 INCLUDING ALL); ANALYZE l1; ANALYZE l2; CREATE SEQUENCE reads; CREATE FUNCTION counted(text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM nextval('reads'); RETURN $1; END $$; CREATE VIEW lv AS SELECT id, counted(v) AS v FROM l1;
SET enable_sort = off; SELECT count(*) FROM (SELECT tracksync.diff('lv', 'l2', '{id}') LIMIT 10) x; SELECT cmp_ok(currval('reads'), '<', 100::bigint, 'what nobody wants is not read'); RESET enable_sort;
SELECT is((SELECT array_agg(n ORDER BY g) FROM (SELECT g, count(*) AS n FROM generate_series(1, 3) g, LATERAL (SELECT tracksync.diff('l1', 'l2') LIMIT g * 1000) x GROUP BY g) y), '{1000,2000,3000}', 'begun anew');
CREATE FUNCTION loops() RETURNS int LANGUAGE plpgsql AS $$ DECLARE r record; n int = 0; BEGIN
  FOR r IN SELECT (d).* FROM (SELECT tracksync.diff('l1', 'l2') AS d OFFSET 0) x LOOP
    BEGIN n = n + 1; IF n % 1000 = 0 THEN RAISE EXCEPTION 'back'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END;
    EXIT WHEN n = 5000;
  END LOOP; RETURN n; END $$;
SELECT is(loops(), 5000, 'rolled back in between');
BEGIN; DECLARE c CURSOR FOR SELECT tracksync.diff('l1', 'l2'); FETCH 1 FROM c; INSERT INTO l2 SELECT * FROM l1; MOVE 1000 IN c; CREATE TABLE kept AS SELECT 1; CLOSE c; SELECT is(seen('l1', 'l2'), '', 'under the snapshot of its beginning'); ROLLBACK;
CREATE VIEW lbad AS SELECT id, (1 / (15000 - id))::text || v AS v FROM l1; SELECT is(said($$SELECT count(*) FROM (SELECT tracksync.diff('lbad', 'l2', '{id}')) x$$), '22012 | division by zero', 'an error in the middle'); SELECT is((SELECT count(*) FROM tracksync.diff('l1', 'l2')), 20000::bigint, 'and once more');
SELECT is((SELECT count(*) FROM tracksync.diff('l1', 'l2') x JOIN tracksync.diff('l2', 'l1') y USING (key)), 20000::bigint, 'two at once');
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ DECLARE r record; n int = 0; BEGIN CREATE TABLE counted (n int); FOR r IN SELECT tracksync.diff('l1', 'l2') LOOP n = n + 1; IF n % 5000 = 0 THEN COMMIT; END IF; END LOOP; INSERT INTO counted VALUES (n); END $$;
CALL commits(); SELECT is(n, 20000, 'with commits in between') FROM counted;
-- memory: what is used in the middle is not what was returned (the view is of PostgreSQL 14)
CREATE FUNCTION memory() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint = 0; BEGIN IF to_regclass('pg_backend_memory_contexts') IS NOT NULL THEN EXECUTE 'SELECT sum(total_bytes) FROM pg_backend_memory_contexts' INTO n; END IF; RETURN n; END $$;
BEGIN; DECLARE c CURSOR FOR SELECT tracksync.diff('l1', 'l2'); MOVE 2000 IN c; SELECT memory() AS before \gset
MOVE 15000 IN c; SELECT cmp_ok(memory() - :before, '<', 300000::bigint, 'memory does not grow'); ROLLBACK;
-- settings: the texts of values do not depend on the session
CREATE TABLE f1 (id int PRIMARY KEY, v float8); CREATE TABLE f2 (id int PRIMARY KEY, v text); INSERT INTO f1 VALUES (1, 0.1 + 0.2::float8); INSERT INTO f2 VALUES (1, '0.3');
SET extra_float_digits = -5; SELECT is(seen('f1', 'f2'), 'differs {"id": 1} {v}', 'settings of the session do not count'); SELECT is(current_setting('extra_float_digits'), '-5', 'and stay'); RESET extra_float_digits;
CREATE SCHEMA inner_path; CREATE FUNCTION inner_path.here() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION calls() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN here(); END'; CREATE VIEW pv AS SELECT calls() AS id; SET search_path = public, inner_path; SELECT is(seen('pv', 'k1', '{id}'), 'only_b {"id": 2}', 'a view''s functions find what they call'); RESET search_path;
SELECT * FROM finish();
