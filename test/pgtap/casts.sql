-- Columns of other types: values that the target does not hold are errors, or rounded and cut if the link says so; where there is no cast
-- text is in between. Pairs of types in a table, then keys, quarantine, settings, other servers.
SET client_min_messages = error;
SELECT no_plan();
SELECT current_database() || '_there' AS there, current_setting('unix_socket_directories') AS host, current_setting('port') AS port \gset
CREATE DATABASE :"there";
CREATE SERVER hq FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'there');
CREATE USER MAPPING FOR PUBLIC SERVER hq OPTIONS (user :'USER', password_required 'false');
CREATE EXTENSION dblink;
CREATE FUNCTION there(sql text) RETURNS text LANGUAGE sql AS
  $$ SELECT dblink_exec((SELECT string_agg(o, ' ') || ' user=' || current_user FROM pg_foreign_server, unnest(srvoptions) o WHERE srvname = 'hq'), sql) $$;
CREATE FUNCTION rows(sql text, remote boolean = false) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; q text = format('SELECT coalesce(string_agg(x::text, '' '' ORDER BY x::text COLLATE "C"), '''') FROM (%s) x', sql); BEGIN
     IF remote THEN SELECT v INTO r FROM dblink((SELECT string_agg(o, ' ') || ' user=' || current_user FROM pg_foreign_server, unnest(srvoptions) o WHERE srvname = 'hq'), q) AS t(v text);
     ELSE EXECUTE q INTO r; END IF; RETURN r; END $$;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END $$;
CREATE FUNCTION hint(command text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE h text; BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT; RETURN h; END $$;
CREATE FUNCTION bad(l text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s %s', op, key, sqlstate), ', ' ORDER BY key), '') FROM tracksync.quarantine WHERE link = l $$;
-- a comparison of all rows finds nothing to do
CREATE FUNCTION in_step(l text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN UPDATE tracksync.link SET state = 'resync' WHERE name = l; RETURN done(l); END $$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'no');
SELECT there('CREATE TYPE mood AS ENUM (''sad'', ''ok'', ''it''''s "fine"''); CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> ''no'')');
-- one pair of types, to a table here and to one there: values that are held as they are, and one that is not, with what it is under lossy (NULL: an error, too)
CREATE FUNCTION pair(source text, target text, good text[], bad text, state text, lossy text, remote boolean) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  what text = source || ' to ' || target || CASE WHEN remote THEN ', there: ' ELSE ': ' END;
  maker text = format('CREATE TABLE pt (id int PRIMARY KEY, v %s)', target);
  n int = cardinality(good);
BEGIN
  RETURN NEXT 'DROP TABLE IF EXISTS ps, pt';
  RETURN NEXT 'SELECT tracksync.drop_link(name) FROM tracksync.link';
  RETURN NEXT format('CREATE TABLE ps (id int PRIMARY KEY, v %s)', source);
  RETURN NEXT CASE WHEN remote THEN format('SELECT there(%L)', 'DROP TABLE IF EXISTS pt; ' || maker) ELSE maker END;
  RETURN NEXT format('SELECT tracksync.create_link(''p'', ''ps'', ''public.pt'', server => %L)', CASE WHEN remote THEN 'hq' END);
  RETURN NEXT 'INSERT INTO ps VALUES (0, NULL)';
  RETURN QUERY SELECT format('INSERT INTO ps VALUES (%s, %L)', i, v) FROM unnest(good) WITH ORDINALITY u(v, i);
  RETURN NEXT format('SELECT is(done(''p''), ''insert%s'', %L)', n + 1, what || 'held');
  RETURN NEXT format('SELECT is(in_step(''p''), '''', %L)', what || 'nothing to do');
  -- updates and deletes find their old values
  IF n > 0 THEN
    RETURN NEXT 'UPDATE ps SET v = NULL WHERE id = 1';
    RETURN NEXT format('SELECT is(done(''p''), ''update1'', %L)', what || 'an update');
    RETURN NEXT format('UPDATE ps SET v = %L WHERE id = 0', good[1]);
    RETURN NEXT format('DELETE FROM ps WHERE id = %s', CASE WHEN n > 1 THEN 2 ELSE 1 END);
    RETURN NEXT format('SELECT is(done(''p''), ''delete1 update1'', %L)', what || 'one, and a delete');
    RETURN NEXT format('SELECT is(in_step(''p''), '''', %L)', what || 'still nothing to do');
  END IF;
  IF bad IS NULL THEN
    RETURN;
  END IF;
  RETURN NEXT format('INSERT INTO ps VALUES (50, %L)', bad);
  RETURN NEXT format('SELECT alike(said(''SELECT done(''''p'''')''), %L, %L)', state || ' column "v" of link "p" cannot hold the value "%" of row {"id": 50}: %', what || 'not held');
  RETURN NEXT 'SELECT tracksync.alter_link(''p'', on_cast => ''lossy'')';
  IF lossy IS NULL THEN
    RETURN NEXT format('SELECT alike(said(''SELECT done(''''p'''')''), %L, %L)', state || ' column "v" of link "p" cannot hold the value "%" of row {"id": 50}: %', what || 'nor rounded');
  ELSE
    RETURN NEXT format('SELECT is(done(''p''), ''insert1'', %L)', what || 'made to fit');
    RETURN NEXT format('SELECT is(rows(''SELECT v FROM public.pt WHERE id = 50'', %L), %L, %L)', remote, lossy, what || 'as the cast does it');
    RETURN NEXT format('SELECT is(in_step(''p''), '''', %L)', what || 'nothing to do then');
  END IF;
END $$;
SELECT c FROM (VALUES
  -- numbers
  ('numeric', 'int', '{1,1.0,-7.000}', '1.5', '22000', '(2)'),
  ('numeric', 'int', '{1}', 'NaN', '0A000', NULL),
  ('numeric(10,4)', 'numeric(10,2)', '{1.2300,0,-9.9900}', '1.005', '22000', '(1.01)'),
  ('numeric', 'numeric(4,2)', '{1.23,NaN}', '123.4', '22003', NULL),
  ('bigint', 'int', '{2147483647,-5}', '2147483648', '22003', NULL),
  ('int', 'smallint', '{1,-32768}', '32768', '22003', NULL),
  ('smallint', 'bigint', '{1,-32768}', NULL, NULL, NULL),
  ('int', 'numeric(3,1)', '{1,-99}', '100', '22003', NULL),
  ('bigint', 'float8', '{1,9007199254740992}', '9007199254740993', '22000', '(9.007199254740992e+15)'),
  ('float8', 'float4', '{0.5,NaN,-Infinity,-0}', '0.1', '22000', '(0.1)'),
  ('float8', 'int', '{1,-0,12}', '1.5', '22000', '(2)'),
  ('float8', 'numeric', '{0.1,12345.678}', '0.30000000000000004', '22000', '(0.3)'),
  ('numeric', 'float8', '{0.1,1e10,NaN}', '0.12345678901234567890', '22000', '(0.12345678901234568)'),
  ('float4', 'float8', '{0.1,0.5}', NULL, NULL, NULL),
  ('numeric[]', 'int[]', '{"{1,2.0,NULL}","{}"}', '{1,2.5}', '22000', '("{1,3}")'),
  -- strings
  ('text', 'varchar(3)', '{abc,"",ab," "}', 'abc   ', '22000', '(abc)'),
  ('text', 'varchar(3)', '{é€x}', 'abcd', '22001', NULL),
  ('text', 'char(5)', '{abc,"",abcde}', 'ab ', '22000', '("ab   ")'),
  ('varchar(10)', 'varchar(3)', '{abc}', 'abcd', '22001', NULL),
  ('char(5)', 'varchar(3)', '{abc,a}', 'abcd', '22001', NULL),
  ('char(5)', 'text', '{abc,a}', NULL, NULL, NULL),
  ('text', 'name', '{abc,""}', repeat('x', 70), '22000', '(' || repeat('x', 63) || ')'),
  ('text', 'short', '{abc,"yes"}', 'abcd', '22001', NULL),
  -- moments
  ('timestamp(6)', 'timestamp(0)', '{2024-01-01 12:00:01}', '2024-01-01 12:00:01.5', '22000', '("2024-01-01 12:00:02")'),
  ('timestamp', 'date', '{2024-01-01,infinity}', '2024-01-01 12:00', '22000', '(2024-01-01)'),
  ('date', 'timestamp', '{2024-01-01,-infinity,0044-03-15 BC}', '294277-01-01', '22008', NULL),
  ('timestamptz', 'timestamp', '{2024-01-01 00:00+00,infinity}', NULL, NULL, NULL),
  ('timestamp', 'timestamptz', '{2024-01-01 00:00}', NULL, NULL, NULL),
  ('timestamptz', 'time', '{}', '2024-01-01 12:00+00', '22000', '(12:00:00)'),
  ('interval', 'time', '{1:30:00}', '1 day 2:00', '22000', '(02:00:00)'),
  ('timestamptz', 'text', '{2024-01-01 12:00:00.123456+02,infinity}', NULL, NULL, NULL),
  -- by text
  ('text', 'int', '{1,-5,012," 7 "}', 'x', '22P02', NULL),
  ('text', 'int', '{1}', '', '22P02', NULL),
  ('int', 'text', '{1,-5}', NULL, NULL, NULL),
  ('text', 'numeric(5,2)', '{1.5,01.250}', '1.555', '22000', '(1.56)'),
  ('text', 'float8', '{0.10,1e3,NaN,Infinity}', '0.12345678901234567890', '22000', '(0.12345678901234568)'),
  ('text', 'float4', '{0.1,-0}', '0.123456789', '22000', '(0.12345679)'),
  ('text', 'boolean', '{t,yes,off,1}', 'maybe', '22P02', NULL),
  ('text', 'mood', '{sad,"it''s \"fine\""}', 'happy', '22P02', NULL),
  ('mood', 'text', '{sad,"it''s \"fine\""}', NULL, NULL, NULL),
  ('mood', 'varchar(3)', '{sad,ok}', 'it''s "fine"', '22001', NULL),
  ('text', 'jsonb', E'{"{\\"b\\":1,\\"a\\":[1,2]}",null}', '{', '22P02', NULL),
  ('jsonb', 'text', E'{"{\\"b\\":1,\\"a\\":[1,2]}"}', NULL, NULL, NULL),
  ('json', 'jsonb', E'{"{\\"b\\":1,\\"a\\":[1,2]}"}', NULL, NULL, NULL),
  ('jsonb', 'int', '{1,-5}', '"1"', '22P02', NULL),
  ('text', 'uuid', '{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}', 'x', '22P02', NULL),
  ('uuid', 'text', '{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}', NULL, NULL, NULL),
  ('text', 'inet', '{10.0.0.1,::1}', '10.0.0', '22P02', NULL),
  ('inet', 'text', '{10.0.0.1,10.0.0.0/8}', NULL, NULL, NULL),
  ('text', 'date', '{2024-01-31,2024-1-31,infinity}', '2024-01-31 10:00', '22000', '(2024-01-31)'),
  ('text', 'date', '{2024-01-31}', '2024-02-31', '22008', NULL),
  ('text', 'timestamp', '{2024-01-31 10:00,2024-01-31T10:00:00.5}', '2024-01-31 10:00+02', '22000', '("2024-01-31 10:00:00")'),
  ('text', 'timestamptz', '{2024-01-31 10:00+02,infinity}', '2024-01-31 10:00:00.1234567+00', '22000', '("2024-01-31 10:00:00.123457+00")'),
  ('text', 'time', '{10:00:00}', '2024-01-31 10:00', '22000', '(10:00:00)'),
  ('text', 'bytea', '{"\\\\x0aff","a"}', '\x0', '22023', NULL),
  ('bytea', 'text', '{"\\\\x0aff"}', NULL, NULL, NULL),
  ('text', 'int[]', '{"{1, 2}","{}"}', '{1', '22P02', NULL),
  ('int[]', 'text', '{"{1,2}","{}"}', NULL, NULL, NULL),
  ('text', 'point', '{"(1,2)"}', '1, 2', '22000', '("(1,2)")'),
  ('point', 'text', '{"(1,2)"}', NULL, NULL, NULL),
  ('text', 'regtype', '{integer,text}', 'no_such_type', '22018', NULL),
  ('int', 'boolean', '{0,1}', '2', '22P02', NULL),
  ('boolean', 'int', '{}', 't', '22P02', NULL),
  ('boolean', 'jsonb', '{t,f}', NULL, NULL, NULL),
  ('text', 'bit(3)', '{101}', '10', '22026', NULL),
  ('text', 'int4range', '{"[1,5)"}', '[1,4]', '22000', '("[1,5)")')) v(s, t, g, b, e, l), unnest('{f,t}'::boolean[]) r,
  pair(s, t, g::text[], b, e, l, r) WITH ORDINALITY c(c, m) ORDER BY s, t, b, r, m \gexec
DROP TABLE ps; SELECT tracksync.drop_link('p');

-- what an error says
CREATE TABLE s (a int, "B c" text, v numeric(10,4), w text, PRIMARY KEY (a, "B c")); CREATE TABLE t (a bigint, "B c" varchar, v numeric(10,2), "W" smallint, PRIMARY KEY (a, "B c"));
SELECT tracksync.create_link('l', 's', 'public.t', columns => '{"a": "a", "B c": "B c", "v": "v", "W": "w"}');
INSERT INTO s SELECT i, 'x"''' || i, i, i FROM generate_series(1, 2500) i;
SELECT is(done('l'), 'insert2500', 'many rows');
UPDATE s SET v = v + 1, w = 3; UPDATE s SET v = 1.2345 WHERE a = 1234;
SELECT is(said('SELECT done(''l'')'), '22000 column "v" of link "l" cannot hold the value "1.2345" of row {"a": 1234, "B c": "x\"''1234"}: numeric(10,4) to numeric(10,2) makes it "1.23"', 'inexact');
SELECT is(hint('SELECT done(''l'')'), 'Change the value, give the target''s column a type that holds it, or have such values rounded and cut: tracksync.alter_link(''l'', on_cast => ''lossy'').', 'hint');
UPDATE s SET v = 1, w = 'many' WHERE a = 1234;
SELECT is(said('SELECT done(''l'')'), '22P02 column "W" of link "l" cannot hold the value "many" of row {"a": 1234, "B c": "x\"''1234"}: text to smallint: invalid input syntax for type smallint: "many"', 'a cast that fails');
SELECT is(hint('SELECT done(''l'')'), 'Change the value, or give the target''s column a type that takes it.', 'hint');
SELECT is(rows('SELECT count(*) FROM t WHERE v = a'), '(2500)', 'nothing was written');
UPDATE s SET w = repeat('lengthy ', 1000) WHERE a = 1234;
SELECT ok(length(said('SELECT done(''l'')')) < 500, 'a long value is cut in the message');
SELECT is((SELECT count(*) FROM tracksync.explain_row('l', '{"a": 1234, "B c": "x\"''1234"}') WHERE aspect = 'push' AND what LIKE 'the push fails: column "W" of link "l" cannot hold%'), 1::bigint, 'explained');
SELECT lives_ok($$SELECT * FROM tracksync.plan('l')$$, 'the plan does not look at values');

-- quarantine: just those rows
SELECT tracksync.alter_link('l', on_error => 'quarantine');
UPDATE s SET v = 1.005 WHERE a IN (1, 2500); INSERT INTO s VALUES (3000, '', 1, '3'), (3001, '', 1.001, '3');
SELECT is(done('l'), 'update2497 insert1', 'the others');
SELECT is(bad('l'), 'UPDATE {"a": 1, "B c": "x\"''1"} 22000, UPDATE {"a": 1234, "B c": "x\"''1234"} 22P02, UPDATE {"a": 2500, "B c": "x\"''2500"} 22000, INSERT {"a": 3001, "B c": ""} 22000', 'these not');
SELECT is((SELECT message FROM tracksync.quarantine WHERE key ->> 'a' = '3001'), 'column "v" of link "l" cannot hold the value "1.0010" of row {"a": 3001, "B c": ""}: numeric(10,4) to numeric(10,2) makes it "1.00"', 'with the reason');
SELECT is(done('l'), 'update0 insert0', 'tried again');
UPDATE s SET w = 5 WHERE a = 1234; UPDATE s SET v = 9 WHERE a = 1; DELETE FROM s WHERE a = 3001;
SELECT is(done('l'), 'update2', 'mended');
SELECT is(bad('l'), 'UPDATE {"a": 2500, "B c": "x\"''2500"} 22000', 'one is left');
SELECT tracksync.alter_link('l', on_cast => 'lossy');
SELECT is(done('l') || bad('l'), 'update1', 'rounded now');
SELECT is(rows('SELECT v FROM t WHERE a = 2500'), '(1.01)', 'as the cast does it');
SELECT is(in_step('l'), '', 'in step');
SELECT tracksync.alter_link('l', on_cast => 'error');
SELECT is(in_step('l') || bad('l'), 'update0UPDATE {"a": 2500, "B c": "x\"''2500"} 22000', 'not by the strict measure');
UPDATE s SET v = 1 WHERE a = 2500;
SELECT is(done('l') || bad('l') || in_step('l'), 'update1', 'mended');
-- an old value that the target could not hold was never there
UPDATE s SET w = 'x' WHERE a IN (1, 2, 3); SELECT done('l'); SELECT tracksync.discard('l', key) FROM tracksync.quarantine;
UPDATE s SET w = 7 WHERE a = 1; DELETE FROM s WHERE a = 2; UPDATE s SET v = 5 WHERE a = 3;
SELECT alike(said('SELECT done(''l'')'), '40001 %1 update_differs, 1 delete_differs', 'conflicts');
SELECT tracksync.alter_link('l', on_conflict => 'source_wins');
SELECT is(done('l'), 'delete1 update2', 'the source wins');
UPDATE s SET w = 7 WHERE a = 3; SELECT done('l');
SELECT ok(rows('SELECT a, "B c", v::numeric(10,2), w::int FROM s') = rows('TABLE t'), 'the same rows');
-- conflicts and policies under other types
SELECT tracksync.alter_link('l', on_conflict => 'error', on_error => 'abort');
UPDATE t SET v = 77 WHERE a = 10; UPDATE s SET v = 78 WHERE a = 10; UPDATE t SET "W" = 8 WHERE a = 11; UPDATE s SET w = '08' WHERE a = 11; UPDATE s SET v = 3 WHERE a = 12; UPDATE t SET v = 3 WHERE a = 12;
SELECT alike(said('SELECT done(''l'')'), '40001 %found 1 conflicting row: 1 update_differs', 'what holds the new value is no conflict');
SELECT tracksync.alter_link('l', on_conflict => 'target_wins');
SELECT is(done('l'), 'update3', 'the target wins'); SELECT is(rows('SELECT v FROM t WHERE a = 10'), '(77.00)', 'it did');
SELECT is(done('l'), '', 'nothing is left');
DROP TABLE s, t; SELECT tracksync.drop_link('l');
-- a merge is written as JSON, and rounds neither
CREATE TABLE s (id int PRIMARY KEY, v numeric, w int); CREATE TABLE t (id int PRIMARY KEY, v numeric(10,2), w int);
INSERT INTO s VALUES (1, 1, 1), (2, 2, 2); SELECT tracksync.create_link('l', 's', 'public.t', on_conflict => 'merge', on_error => 'quarantine'), done('l');
UPDATE s SET v = 1.555 WHERE id = 1; UPDATE t SET w = 5 WHERE id = 1; UPDATE s SET v = 3.5 WHERE id = 2; UPDATE t SET w = 6 WHERE id = 2;
SELECT is(done('l') || bad('l'), 'update1UPDATE {"id": 1} 22000', 'left out of a merge');
SELECT is(rows('TABLE t'), '(1,1.00,5) (2,3.50,6)', 'the other is merged');
UPDATE t SET w = 7 WHERE id = 1; SELECT is(done('l') || bad('l'), 'update0UPDATE {"id": 1} 22000', 'again');
UPDATE s SET v = 1.5 WHERE id = 1; SELECT is(done('l') || bad('l') || rows('TABLE t'), 'update1(1,1.50,7) (2,3.50,6)', 'merged when it fits');
DROP TABLE s, t; SELECT tracksync.drop_link('l');

-- keys: only where they stay what they are
CREATE FUNCTION key_of(source text, target text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN
  EXECUTE format('CREATE TABLE ks (id %s PRIMARY KEY, v int); CREATE TABLE kt (id %s PRIMARY KEY, v int)', source, target);
  r := said($q$SELECT tracksync.create_link('k', 'ks', 'public.kt')$q$);
  DROP TABLE ks, kt; PERFORM tracksync.drop_link(name) FROM tracksync.link WHERE name = 'k';
  RETURN left(r, 8); END $$;
SELECT is(key_of(s, t), r, s || ' to ' || t || ' as key') FROM (VALUES
  ('uuid', 'text', 'no error'), ('mood', 'text', 'no error'), ('date', 'varchar', 'no error'), ('uuid', 'varchar(40)', 'no error'), ('text', 'varchar(3)', 'no error'), ('macaddr', 'text', 'no error'),
  ('text', 'uuid', '42804 ke'), ('numeric', 'text', '42804 ke'), ('timestamptz', 'text', '42804 ke'), ('int', 'text', '42804 ke'), ('uuid', 'char(40)', '42804 ke'), ('numeric', 'int', '42804 ke'), ('bigint', 'int', '42804 ke'), ('text', 'int', '42804 ke'),
  ('float8', 'float4', '42804 ke')) v(s, t, r);
CREATE TABLE s (id uuid, m mood, d date, v int, PRIMARY KEY (id, m, d)); CREATE TABLE t (d varchar(10), id text, m text, v int, PRIMARY KEY (id, m, d));
SELECT tracksync.create_link('l', 's', 'public.t', on_error => 'quarantine');
INSERT INTO s SELECT md5(i::text)::uuid, (enum_range(NULL::mood))[i % 3 + 1], DATE '2024-01-01' + i % 7, i FROM generate_series(1, 100) i;
SELECT is(done('l'), 'insert100', 'keys by text');
UPDATE s SET v = v + 1 WHERE v % 3 = 0; DELETE FROM s WHERE v % 5 = 0; UPDATE s SET m = 'ok', d = d + 1 WHERE v % 7 = 0;
SELECT ok(done('l') LIKE 'delete% update% update%', 'changed, deleted, changed keys');
SELECT is(rows('SELECT id, m, d, v FROM s'), rows('SELECT id, m, d, v FROM t'), 'the same rows');
SELECT is(in_step('l'), '', 'in step');
INSERT INTO t VALUES ('x', 'y', 'z', 1); SELECT is(in_step('l'), 'delete1', 'what is no such key goes');
INSERT INTO s VALUES (md5('x')::uuid, 'ok', '12024-01-01', 1), (md5('y')::uuid, 'ok', '2024-01-01', 1);
SELECT tracksync.alter_link('l', on_cast => 'lossy');
SELECT is(done('l') || bad('l'), 'insert1INSERT {"d": "12024-01-01", "m": "ok", "id": "9dd4e461-268c-8034-f5c8-564e155c67a6"} 22001', 'a key is never cut');
DELETE FROM s WHERE d > '2100-01-01'; SELECT is(done('l') || bad('l') || rows('SELECT id, m, d, v FROM s'), rows('SELECT id, m, d, v FROM t'), 'it goes as it came');
DROP TABLE s, t; SELECT tracksync.drop_link('l');
CREATE TABLE s (id text PRIMARY KEY, v int); CREATE TABLE t (id varchar(3) PRIMARY KEY, v int); INSERT INTO s VALUES ('abc', 1);
SELECT tracksync.create_link('l', 's', 'public.t', on_cast => 'lossy'), done('l'); INSERT INTO s VALUES ('abc  ', 2);
SELECT alike(said('SELECT done(''l'')'), '22000 column "id" of link "l" cannot hold the value "abc  " of row {"id": "abc  "}%', 'not even blanks');
SELECT is(hint('SELECT done(''l'')'), 'Change the value, or give the key''s column of the target a type that holds it.', 'hint');
UPDATE s SET id = 'x' WHERE v = 2; SELECT done('l'); UPDATE s SET id = 'x   ' WHERE v = 2;
SELECT alike(said('SELECT done(''l'')'), '22000 column "id" of link "l" cannot hold the value "x   "%', 'nor of a key that changes');
DELETE FROM s WHERE v = 2; SELECT is(done('l'), 'delete1', 'deleted');
SELECT is(rows('TABLE t'), '(abc,1)', 'the other is there');
DROP TABLE s, t; SELECT tracksync.drop_link('l');

-- unique values of other types that move between rows
CREATE TABLE s (id int PRIMARY KEY, u text UNIQUE, n numeric UNIQUE); CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE NOT NULL, n int UNIQUE NOT NULL);
INSERT INTO s SELECT i, i, i FROM generate_series(1, 20) i; SELECT tracksync.create_link('l', 's', 'public.t', on_error => 'quarantine'), done('l');
UPDATE s SET u = '-' || u, n = -n; UPDATE s SET u = 21 - id, n = 21 - id + 0.00;
SELECT is(done('l'), 'update20', 'swapped');
SELECT is(rows('SELECT id, u::int, n::int FROM s'), rows('TABLE t'), 'the same rows');
UPDATE s SET u = '-' || u WHERE id IN (1, 2, 3); UPDATE s SET u = id % 3 + 18 WHERE id IN (1, 2, 3) AND id <> 2; UPDATE s SET u = 'x' WHERE id = 2;
SELECT is((SELECT done('l') || bad('l')) <> '', true, 'one that does not go'); UPDATE s SET u = 100 WHERE id = 2; SELECT done('l');
SELECT is(rows('SELECT id, u::int, n::int FROM s') || bad('l'), rows('TABLE t'), 'the same rows in the end');
DROP TABLE s, t; SELECT tracksync.drop_link('l');

-- whose settings count: not the caller's
CREATE TABLE s (id int PRIMARY KEY, a timestamptz, b date, c interval, d float8, e bytea, f text, g text);
CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text, d text, e text, f date, g timestamptz);
SELECT tracksync.create_link('l', 's', 'public.t');
INSERT INTO s VALUES (1, '2024-01-31 12:00+00', '2024-01-31', '1 day 2 hours', 0.1, '\x00ff', '2024-02-01', '2024-01-31 12:00');
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German, DMY'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = -10; SET bytea_output = 'escape';
SELECT is(done('l'), 'insert1', 'pushed');
RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
SELECT is(rows('TABLE t'), '(1,"2024-01-31 12:00:00+00",2024-01-31,"1 day 02:00:00",0.1,"\\x00ff",2024-02-01,"2024-01-31 12:00:00+00")', 'as ever');
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German, DMY'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = -10; SET bytea_output = 'escape';
SELECT is(in_step('l'), '', 'compared, too');
RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output;
-- an hour that there is twice
SELECT format('ALTER ROLE %I SET TimeZone = %L', current_user, 'Europe/Berlin') \gexec
CREATE TABLE ds (id int PRIMARY KEY, v timestamptz); CREATE TABLE dt (id int PRIMARY KEY, v timestamp); SELECT tracksync.create_link('d', 'ds', 'public.dt', on_error => 'quarantine');
INSERT INTO ds VALUES (1, '2024-10-27 02:30+02'), (2, '2024-10-27 02:30+01'), (3, '2024-06-01 00:00+02');
SELECT is(done('d'), 'insert2', 'of two moments one is held');
SELECT alike(message, '%makes it "2024-10-27 02:30:00"%', 'the other is not') FROM tracksync.quarantine;
SELECT is(rows('SELECT v FROM dt WHERE id = 3'), '("2024-06-01 00:00:00")', 'in the owner''s zone');
SELECT format('ALTER ROLE %I RESET TimeZone', current_user) \gexec
DROP TABLE s, t, ds, dt; SELECT tracksync.drop_link(name) FROM tracksync.link;

-- options
CREATE TABLE s (id int PRIMARY KEY, v text); CREATE TABLE t (id int PRIMARY KEY, v int);
SELECT is(said($$SELECT tracksync.create_link('l', 's', 'public.t', on_cast => NULL)$$), '22004 argument "on_cast" must not be NULL', 'NULL');
SELECT is(said($$SELECT tracksync.create_link('l', 's', 'public.t', on_cast => 'round')$$), '22023 invalid value for on_cast: "round"', 'no such choice');
SELECT tracksync.create_link('l', 's', 'public.t', on_cast => 'lossy'); SELECT is((SELECT on_cast FROM tracksync.link), 'lossy', 'stored');
SELECT tracksync.alter_link('l', initial => 'mirror'); SELECT is((SELECT on_cast FROM tracksync.link), 'lossy', 'kept');
SELECT is(said($$SELECT tracksync.alter_link('l', on_cast => 'x')$$), '22023 invalid value for on_cast: "x"', 'no such choice');
-- holds
SELECT is(said('SELECT tracksync.holds(1, NULL::text), tracksync.holds(NULL::int, ''x''::text)'), 'no error', 'no error');
SELECT is(array[tracksync.holds(1, '1'::text), tracksync.holds(1, 'x'::text), tracksync.holds(2, 1.5), tracksync.holds(2, 1.5, -1, false), tracksync.holds(NULL::int, NULL::text), tracksync.holds(NULL::int, 'x'::text),
  tracksync.holds(1, NULL::text), tracksync.holds('abc'::varchar, 'abcd'::text, 7)], '{t,f,f,t,t,f,f,f}', 'holds');

-- many rows to another server: by COPY, in flights, and row by row in quarantine
CREATE TABLE rs (id int PRIMARY KEY, v text, n numeric, m mood);
SELECT there('CREATE TABLE rt (n numeric(10,2), m text, v int, id bigint PRIMARY KEY)');
SELECT tracksync.create_link('r', 'rs', 'public.rt', server => 'hq');
INSERT INTO rs SELECT i, i, i, 'ok' FROM generate_series(1, 5000) i; UPDATE rs SET v = 'x' WHERE id = 4321;
SELECT alike(said('SELECT done(''r'')'), '22P02 column "v" of link "r" cannot hold the value "x" of row {"id": 4321}%', 'in a stream');
SELECT is(rows('SELECT count(*) FROM rt', true), '(0)', 'nothing was written');
UPDATE rs SET v = 7 WHERE id = 4321;
SELECT is(done('r'), 'insert5000', 'a stream');
SELECT ok(rows('SELECT id, v::int, n::numeric(10,2), m FROM rs') = rows('SELECT id, v, n, m FROM rt', true), 'the same rows'); SELECT is(in_step('r'), '', 'in step');
UPDATE rs SET v = id + 1, n = n + 0.25; UPDATE rs SET n = 1.001 WHERE id = 4999;
SELECT alike(said('SELECT done(''r'')'), '22000 column "n" of link "r" cannot hold the value "1.001" of row {"id": 4999}%', 'in a flight');
SELECT tracksync.alter_link('r', on_error => 'quarantine'); UPDATE rs SET v = 'y' WHERE id IN (17, 2500);
SELECT is(done('r'), 'update4997', 'the others'); SELECT is(bad('r'), 'UPDATE {"id": 17} 22P02, UPDATE {"id": 2500} 22P02, UPDATE {"id": 4999} 22000', 'these not');
SELECT tracksync.discard('r', '{"id": 17}'), tracksync.discard('r', '{"id": 2500}'), tracksync.alter_link('r', on_conflict => 'source_wins', on_error => 'abort');
UPDATE rs SET v = id, n = id; SELECT is(done('r'), 'update4999', 'old values that were never there');
SELECT ok(rows('SELECT id, v::int, n::numeric(10,2), m FROM rs') = rows('SELECT id, v, n, m FROM rt', true), 'the same rows'); SELECT is(in_step('r') || bad('r'), '', 'in step');
DROP TABLE rs; SELECT tracksync.drop_link('r');

-- with columns that get other names and types on the way, and others that were dropped
CREATE TABLE es (id int PRIMARY KEY, x int, a text, b numeric, c int); CREATE TABLE et (z int, id int PRIMARY KEY, a int, y int, b int, c int); ALTER TABLE et DROP z, DROP y;
INSERT INTO es VALUES (1, 1, '1', 1, 1); SELECT tracksync.create_link('e', 'es', 'public.et'), done('e');
ALTER TABLE es DROP x; ALTER TABLE es RENAME a TO aa; ALTER TABLE es ALTER c TYPE bigint; UPDATE es SET aa = '2', b = 2.0; INSERT INTO es VALUES (2, '7', 8, 9);
UPDATE tracksync.link SET state = 'resync' WHERE name = 'e';
SELECT is(done('e'), 'rename_column0 alter_column0 update1 insert1', 'schema steps'); SELECT is(rows('SELECT id, aa, b, c FROM et'), '(1,2,2,1) (2,7,8,9)', 'and values'); SELECT is(in_step('e'), '', 'in step');
UPDATE es SET aa = 'x' WHERE id = 1; ALTER TABLE es ADD d int DEFAULT 5;
SELECT alike(said('SELECT done(''e'')'), '22P02 column "aa" of link "e" cannot hold%', 'with a step'); SELECT is(rows('SELECT * FROM et'), '(1,2,2,1) (2,7,8,9)', 'all or nothing');
DROP TABLE es, et; SELECT tracksync.drop_link('e');

-- casts of somebody else's: with the owner's rights, and only if he may call them
CREATE TYPE pair_type AS (a int, b int);
CREATE TABLE cs (id int PRIMARY KEY, v pair_type); CREATE TABLE ct (id int PRIMARY KEY, v jsonb);
CREATE FUNCTION to_j(pair_type) RETURNS jsonb LANGUAGE sql AS $$ SELECT CASE WHEN $1.a = 7 THEN NULL ELSE jsonb_build_array($1.a, $1.b) END $$;
CREATE CAST (pair_type AS jsonb) WITH FUNCTION to_j AS ASSIGNMENT;
SELECT tracksync.create_link('c', 'cs', 'public.ct', on_cast => 'lossy'); INSERT INTO cs VALUES (1, '(1,2)'), (2, NULL);
SELECT is(done('c') || rows('TABLE ct'), 'insert2(1,"[1, 2]") (2,)', 'a cast by function');
SELECT is(in_step('c'), '', 'in step');
SELECT tracksync.alter_link('c', on_cast => 'error'); UPDATE cs SET v = '(3,4)' WHERE id = 1;
SELECT alike(said('SELECT done(''c'')'), '22000 column "v" of link "c" cannot hold the value "(3,4)" of row {"id": 1}: %pair_type to jsonb makes it "[3, 4]"', 'no way back');
UPDATE cs SET v = '(7,4)' WHERE id = 1;
SELECT alike(said('SELECT done(''c'')'), '22000 % makes it NULL', 'nothing is not the same');
-- a link of a role that is no superuser, pushed by another one
SELECT current_database() || '_o' AS o \gset
CREATE ROLE :"o"; CREATE SCHEMA mine AUTHORIZATION :"o"; SET ROLE :"o";
CREATE TABLE mine.s (id int PRIMARY KEY, v text, n numeric); CREATE TABLE mine.t (id int PRIMARY KEY, v int, n int); INSERT INTO mine.s VALUES (1, '5', 5);
SELECT tracksync.create_link('m', 'mine.s', 'mine.t'); RESET ROLE;
SELECT is(done('m'), 'insert1', 'as its owner'); SELECT is(in_step('m'), '', 'in step'); UPDATE mine.s SET n = 5.5;
SELECT alike(said('SELECT done(''m'')'), '22000 column "n"%', 'refused');
DROP SCHEMA mine CASCADE; SELECT tracksync.drop_link('m'); DROP ROLE :"o";
SELECT * FROM finish();
SELECT dblink_disconnect(c) FROM unnest(dblink_get_connections()) c;
SELECT tracksync.disconnect() AS n \gset
DROP DATABASE :"there";
