-- What a review of filters, expressions and shared targets found.
SET client_min_messages = warning;
SELECT plan(61);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION rows_of(t text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(whole::text, '' '' ORDER BY whole), '''') FROM (%s) whole', t) INTO r; RETURN r; END $$;
SELECT current_user AS me, current_database() || '_evil' AS evil \gset
CREATE ROLE :"evil"; GRANT USAGE ON SCHEMA tracksync TO :"evil"; CREATE SCHEMA evil AUTHORIZATION :"evil"; GRANT USAGE ON SCHEMA public TO :"evil";

-- another link's expressions are not run with the rights of this one's owner
CREATE TABLE ms (id int PRIMARY KEY, v text); CREATE TABLE mt (id int PRIMARY KEY, v text);
GRANT SELECT, INSERT, UPDATE, DELETE ON mt TO :"evil";
INSERT INTO ms VALUES (1, 'a');
SELECT tracksync.create_link('mine', 'ms', 'mt', filter => 'v < ''m''');
SET ROLE :"evil";
CREATE TABLE evil.s (id int PRIMARY KEY, v text, q int); INSERT INTO evil.s VALUES (5, 'z', 5);
CREATE FUNCTION evil.seen(i int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;
SELECT tracksync.create_link('plain', 'evil.s', 'mt', filter => 'v > ''m''');
RESET ROLE;
SELECT is(done('mine'), 'insert1', 'a link beside it that calls what everybody calls');
SET ROLE :"evil";
SELECT tracksync.alter_link('plain', filter => 'evil.seen(id)', target_filter => 'evil.seen(id)');
RESET ROLE;
UPDATE ms SET v = 'b';
SELECT throws_ok($$SELECT done('mine')$$, '55000', 'link "mine" cannot be told from another link that writes to its target', 'one that calls functions of its own');
SELECT tracksync.drop_link('plain');
SELECT is(done('mine'), 'update1', 'without it');

-- nor is a cast that the source's owner made up
CREATE TABLE ht (id int PRIMARY KEY, v text);
SELECT tracksync.create_link('h', 'evil.s', 'ht', filter => 'q > 0', columns => '{"id": "id", "v": "v"}'), done('h');
SET ROLE :"evil";
CREATE TYPE evil.e AS (i int);
CREATE FUNCTION evil.to_int(evil.e) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'evil cast runs as %', current_user; END $$;
RESET ROLE;
SELECT is((SELECT count(*)::int FROM ht), 1, 'copied');
SET ROLE :"evil";
CREATE CAST (evil.e AS int) WITH FUNCTION evil.to_int(evil.e) AS IMPLICIT;
ALTER TABLE evil.s ALTER q TYPE evil.e USING row(q)::evil.e;
RESET ROLE;
SELECT throws_ok($$SELECT done('h')$$, '42501', 'the filter of link "h" casts values by a function of somebody else', 'refused');
SELECT lives_ok($$SELECT tracksync.alter_link('h', filter => 'v <> ''x''')$$, 'and mended');
SELECT is(done('h'), '', 'in step');

-- a filter that cannot be read any more
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TABLE bs (id int PRIMARY KEY, v text, region text, k kind); CREATE TABLE bt (id int PRIMARY KEY, v text);
INSERT INTO bs VALUES (1, 'a', 'eu', 'a'), (2, 'b', 'us', 'b');
SELECT tracksync.create_link('b', 'bs', 'bt', filter => 'region = ''eu''', columns => '{"id": "id", "v": "upper(v)"}'), done('b');
ALTER TABLE bs DROP COLUMN region;
SELECT throws_ok($$SELECT done('b')$$, '42703', NULL, 'its column is gone');
SELECT lives_ok($$SELECT tracksync.alter_link('b', filter => 'k = ''a''')$$, 'another filter');
SELECT is(done('b'), '', 'goes on');
ALTER TYPE kind RENAME VALUE 'a' TO 'A';
SELECT throws_ok($$SELECT done('b')$$, '22P02', NULL, 'its value has another name');
SELECT lives_ok($$SELECT tracksync.alter_link('b', filter => 'k = ''A''', columns => '{"id": "id", "v": "v"}')$$, 'another filter and other columns');
SELECT is(done('b'), 'update1', 'goes on');

-- rows that leave and enter because they were rewritten
CREATE TABLE cs (id int PRIMARY KEY, qty int); CREATE TABLE ct (id int PRIMARY KEY, qty bigint);
INSERT INTO cs SELECT i, i FROM generate_series(1, 5) i; INSERT INTO ct VALUES (70, 7);
SELECT tracksync.create_link('c', 'cs', 'ct', filter => 'qty > 2'), done('c');
ALTER TABLE cs ALTER qty TYPE bigint USING 10 - qty * 2;
SELECT is(done('c'), 'delete2 backfill1 insert2', 'deleted, filled in, inserted');
SELECT is(rows_of('SELECT * FROM ct'), '(1,8) (2,6) (3,4) (70,7)', 'the rows that pass; the target''s own stay');
UPDATE cs SET qty = 0 WHERE id = 1; DELETE FROM cs WHERE id = 2; VACUUM FULL cs;
SELECT is(done('c'), 'delete2', 'together with what the log tells');
SELECT is(rows_of('SELECT * FROM ct'), '(3,4) (70,7)', 'as it is');
CREATE TABLE ces (a text, n int, q int, PRIMARY KEY (a, n)); CREATE TABLE cet (k text PRIMARY KEY, q int);
INSERT INTO ces SELECT 'a', i, i FROM generate_series(1, 6) i;
SELECT tracksync.create_link('ce', 'ces', 'cet', filter => 'q > 2', columns => '{"k": "a || n::text", "q": "100 / (q - 2)"}'), done('ce');
UPDATE ces SET q = 0 WHERE n = 6; UPDATE ces SET n = 50 WHERE n = 5; ALTER TABLE ces ALTER q TYPE bigint USING 6 - q; DELETE FROM ces WHERE n = 3;
SELECT alike(done('ce'), 'delete3 %', 'keys of expressions, and columns that have no value where a row does not pass');
SELECT is(rows_of('SELECT * FROM cet'), rows_of('SELECT a || n AS k, (100 / (q - 2))::int AS q FROM ces WHERE q > 2'), 'as they are');

-- target_filter follows renamed columns of the target
CREATE TABLE ds (id int PRIMARY KEY, region text); CREATE TABLE dt (id int PRIMARY KEY, region text);
SELECT tracksync.create_link('d', 'ds', 'dt', filter => 'region = ''eu''', target_filter => 'region = ''eu'''), done('d');
ALTER TABLE ds RENAME region TO rgn; INSERT INTO ds VALUES (1, 'eu');
SELECT is(done('d'), 'rename_column0 insert1', 'renamed by the push');
SELECT is((SELECT target_filter FROM tracksync.link WHERE name = 'd'), '("rgn" = ''eu''::"text")', 'it says so');
ALTER TABLE dt RENAME rgn TO area; INSERT INTO ds VALUES (2, 'eu');
SELECT is(done('d'), 'insert1', 'renamed by hand');
SELECT tracksync.alter_link('d', filter => 'rgn = ''eu'' AND id > 1'); ALTER TABLE dt RENAME area TO zone;
SELECT is(done('d'), 'delete1', 'and after another filter');

-- a key that is equal, but written otherwise
CREATE TABLE fs (n numeric PRIMARY KEY, v text); CREATE TABLE ft (k text PRIMARY KEY, v text); CREATE TABLE fns (LIKE fs INCLUDING ALL); CREATE TABLE fnt (LIKE ft INCLUDING ALL);
SELECT tracksync.track('fns', images => 'none');
INSERT INTO fs VALUES (1.0, 'a'), (2, 'b'); INSERT INTO fns TABLE fs;
SELECT tracksync.create_link('f', 'fs', 'ft', columns => '{"k": "n::text", "v": "v"}'), done('f'), tracksync.create_link('fn', 'fns', 'fnt', columns => '{"k": "n::text", "v": "v"}'), done('fn');
UPDATE fs SET n = 1.00 WHERE n = 1; UPDATE fs SET n = 2.0, v = 'B' WHERE n = 2;
SELECT is(done('f'), 'update2', 'the target''s key changes, though the source''s does not');
SELECT is(rows_of('SELECT * FROM ft'), '(1.00,a) (2.0,B)', 'rows');
UPDATE fs SET n = 1.000 WHERE n = 1; ALTER TABLE fs ALTER v TYPE text USING v || '!';
SELECT alike(done('f'), 'delete1 %', 'and where rows were rewritten');
SELECT is(rows_of('SELECT * FROM ft'), '(1.000,a!) (2.0,B!)', 'rows');
UPDATE fns SET n = 1.00 WHERE n = 1; UPDATE fns SET n = 2.0 WHERE n = 2; DELETE FROM fns WHERE n = 2;
SELECT is(done('fn'), 'delete2 insert1', 'without images: compared');
SELECT is(rows_of('SELECT * FROM fnt'), '(1.00,a)', 'rows');

-- expressions that have no value where a row does not pass
CREATE TABLE gs (id int PRIMARY KEY, p int, q int); CREATE TABLE gt (id int PRIMARY KEY, x int);
INSERT INTO gs VALUES (1, 10, 0), (2, 10, 2);
SELECT tracksync.create_link('g', 'gs', 'gt', filter => 'q <> 0', columns => '{"id": "id", "x": "p / q"}'), done('g');
UPDATE gs SET q = 5 - q; UPDATE gs SET q = 0 WHERE id = 2;
SELECT is(done('g'), 'delete1 insert1', 'one enters, one leaves');
SELECT is(rows_of('SELECT * FROM gt'), '(1,2)', 'its value');
SELECT tracksync.alter_link('g', filter => 'id > 0');
SELECT throws_ok($$SELECT done('g')$$, '22012', NULL, 'without the filter there is an error');
CREATE FUNCTION said(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE c text; BEGIN EXECUTE q; RETURN ''; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS c = PG_EXCEPTION_CONTEXT; RETURN c; END $$;
UPDATE gs SET q = 1 WHERE id = 2; SELECT done('g'); UPDATE gs SET q = 0 WHERE id = 2;
SELECT alike(said($$SELECT done('g')$$), '%column "x" of link "g", of the source''s row {"id": 2}%', 'which says of which row');
UPDATE gs SET q = 3 WHERE id = 2;
SELECT is(done('g'), 'update1', 'mended');

-- ignored columns within expressions: what the target holds of them is not known
CREATE TABLE hs (id int PRIMARY KEY, a text, ign text, c text); CREATE TABLE hht (id int PRIMARY KEY, x text, c text);
SELECT tracksync.track('hs', ignore => '{ign}');
INSERT INTO hs VALUES (1, 'a', 'i', 'c');
SELECT tracksync.create_link('hh', 'hs', 'hht', columns => '{"id": "id", "x": "a || ign", "c": "c"}'), done('hh');
UPDATE hs SET ign = 'j';
SELECT is(done('hh'), '', 'alone they ship nothing');
UPDATE hs SET c = 'cc'; SELECT done('hh');
SELECT is(rows_of('SELECT * FROM hht'), '(1,aj,cc)', 'they go along');
UPDATE hs SET ign = 'k'; UPDATE hs SET a = 'b';
SELECT is(done('hh'), 'update1', 'and are no conflict');
UPDATE hs SET ign = 'l'; DELETE FROM hs;
SELECT is(done('hh'), 'delete1', 'nor when the row goes');

-- stable expressions: what they gave under other settings
CREATE TABLE zs (id int PRIMARY KEY, at timestamptz); CREATE TABLE zt (id int PRIMARY KEY, d text);
SET timezone = 'UTC'; INSERT INTO zs VALUES (1, '2020-01-01 23:00'), (2, '2020-01-01 23:00');
SELECT tracksync.create_link('z', 'zs', 'zt', columns => '{"id": "id", "d": "at::date::text"}'), done('z');
SET timezone = 'Asia/Tokyo'; UPDATE zs SET at = '2020-02-01' WHERE id = 1; DELETE FROM zs WHERE id = 2;
SELECT is(done('z'), 'delete1 update1', 'are no conflict');
RESET timezone;

-- a filter altered twice, or before the target
CREATE TABLE as_ (id int PRIMARY KEY, q int, z int); CREATE TABLE at_ (LIKE as_ INCLUDING ALL); CREATE TABLE au (id int PRIMARY KEY, q int);
INSERT INTO as_ VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3); INSERT INTO at_ VALUES (50, -5, 0); INSERT INTO au VALUES (50, -5), (51, 2);
SELECT tracksync.create_link('a', 'as_', 'at_', filter => 'q > 1'), done('a');
SELECT tracksync.alter_link('a', filter => 'q > 7'), tracksync.alter_link('a', filter => 'q < 0 AND id < 9'), tracksync.alter_link('a', filter => 'q = 2');
SELECT is(done('a'), 'delete1', 'what passed one of the former filters goes');
SELECT is(rows_of('SELECT * FROM at_'), '(2,2,2) (50,-5,0)', 'the target''s own rows stay');
SELECT tracksync.alter_link('a', filter => 'z = 3'), tracksync.alter_link('a', target => 'au', columns => '{"id": "id", "q": "q"}', filter => 'q > 2');
SELECT is(done('a'), 'insert1', 'another target has nothing of the former filters');
SELECT is(rows_of('SELECT * FROM au'), '(3,3) (50,-5) (51,2)', 'its own rows stay');

-- a link beside it takes a row over, deletes it, and goes
CREATE TABLE ss (id int PRIMARY KEY, region text); CREATE TABLE st (LIKE ss INCLUDING ALL); CREATE TABLE su (LIKE ss INCLUDING ALL);
INSERT INTO ss VALUES (1, 'eu'), (2, 'eu'), (3, 'eu');
SELECT tracksync.create_link('s1', 'ss', 'st', filter => 'region = ''eu'''), tracksync.create_link('s2', 'ss', 'st', filter => 'region = ''us'''), tracksync.create_link('s3', 'ss', 'st', filter => 'region = ''asia''');
SELECT done('s1'), done('s2'), done('s3');
UPDATE ss SET region = 'us' WHERE id = 1; SELECT done('s2'); UPDATE ss SET region = 'eu' WHERE id = 1; SELECT done('s2');
UPDATE ss SET region = 'asia' WHERE id = 2; SELECT done('s3'); UPDATE ss SET region = 'eu' WHERE id = 2; SELECT done('s3');
SELECT tracksync.alter_link('s3', target => 'su'); SELECT tracksync.drop_link('s2');
SELECT is(done('s1'), 'insert2', 'the rows come back');
SELECT is(rows_of('SELECT * FROM st'), '(1,eu) (2,eu) (3,eu)', 'all of them');

-- values that are cut do not tell whether a row passes
CREATE TABLE ls (id int PRIMARY KEY, p numeric); CREATE TABLE lt (id int PRIMARY KEY, p numeric(10, 1));
INSERT INTO ls VALUES (1, 1.04), (2, 2.5);
SELECT tracksync.create_link('lossy', 'ls', 'lt', filter => 'p > 1.01', on_cast => 'lossy'), done('lossy');
TRUNCATE ls;
SELECT is(done('lossy'), 'delete2', 'all of the link''s rows go');

-- two sources, one target: types that the server itself casts, columns that were renamed
CREATE TABLE f1 (id int PRIMARY KEY, v text); CREATE TABLE f2 (id int PRIMARY KEY, v text); CREATE TABLE fan (tenant varchar(10), id bigint, v text, PRIMARY KEY (tenant, id));
INSERT INTO f1 VALUES (1, 'a'); INSERT INTO f2 VALUES (1, 'b');
SELECT tracksync.create_link('f1', 'f1', 'fan', columns => '{"tenant": "''one''", "id": "id", "v": "v"}', target_filter => 'tenant = ''one'''), done('f1');
SELECT tracksync.create_link('f2', 'f2', 'fan', columns => '{"tenant": "''two''", "id": "id", "v": "v"}', target_filter => 'tenant = ''two'''), done('f2');
TRUNCATE f1; INSERT INTO f1 VALUES (3, 'c');
SELECT is(done('f1'), 'delete1 insert1', 'compared');
SELECT is(rows_of('SELECT * FROM fan'), '(one,3,c) (two,1,b)', 'rows');
CREATE TABLE u1 (id int PRIMARY KEY, v text); CREATE TABLE u2 (id int PRIMARY KEY, v text); CREATE TABLE ut (id int PRIMARY KEY, v text);
INSERT INTO u1 VALUES (1, 'a'); INSERT INTO u2 VALUES (2, 'b');
SELECT tracksync.create_link('u1', 'u1', 'ut'), tracksync.create_link('u2', 'u2', 'ut'); SELECT done('u1'), done('u2');
ALTER TABLE u1 RENAME id TO i; SELECT done('u1'); TRUNCATE u1;
SELECT is(done('u1'), 'delete1', 'the other link''s rows stay, though a key column has another name since its last push');
-- columns of the source are renamed and retyped under links of one target
CREATE TABLE xs (id int PRIMARY KEY, r text); CREATE TABLE xt (LIKE xs INCLUDING ALL);
INSERT INTO xs VALUES (1, 'a'), (2, 'b');
SELECT tracksync.create_link('xa', 'xs', 'xt', filter => 'r = ''a'''), tracksync.create_link('xb', 'xs', 'xt', filter => 'r = ''b'''); SELECT done('xa'), done('xb');
ALTER TABLE xs RENAME r TO rr; UPDATE xs SET rr = CASE rr WHEN 'a' THEN 'b' ELSE 'a' END;
SELECT is(done('xb'), 'rename_column0 delete1 insert1', 'the one renames, and takes a row over');
SELECT is(done('xa'), 'delete1 insert1', 'the other follows');
ALTER TABLE xs ALTER rr TYPE varchar(3); UPDATE xs SET rr = 'c' WHERE id = 1;
SELECT is(done('xa'), 'alter_column0 delete1', 'another type, to which the target''s values are cast');
SELECT is(done('xb'), 'delete1', 'and the other link''s');
SELECT is(rows_of('SELECT * FROM xt'), '(2,a)', 'rows');
ALTER TABLE xs RENAME rr TO r3; TRUNCATE xs; INSERT INTO xs VALUES (2, 'b');
SELECT is(done('xa'), 'rename_column0 delete1', 'a row that was the link''s goes, whoever has the key now');

-- a stranger's row is not written without a word
CREATE TABLE p1 (id int PRIMARY KEY, region text, v text); CREATE TABLE p2 (LIKE p1 INCLUDING ALL); CREATE TABLE pt (LIKE p1 INCLUDING ALL);
INSERT INTO p1 VALUES (1, 'eu', 'x'); INSERT INTO p2 VALUES (1, 'us', 'x');
SELECT tracksync.create_link('p1', 'p1', 'pt', filter => 'region = ''eu'''), tracksync.create_link('p2', 'p2', 'pt', filter => 'region = ''us''', on_conflict => 'source_wins'); SELECT done('p1'), done('p2');
UPDATE p1 SET v = 'new';
SELECT throws_like($$SELECT done('p1')$$, '%1 update_differs%', 'a conflict');

-- words that are no names
CREATE TABLE ks (id int PRIMARY KEY); CREATE TABLE kt (id int PRIMARY KEY, b boolean, d date, n text); CREATE TABLE ku (LIKE kt INCLUDING ALL);
INSERT INTO ks VALUES (1);
SELECT lives_ok($$SELECT tracksync.create_link('k', 'ks', 'kt', columns => '{"id": "id", "b": "true", "d": "current_date", "n": "NULL"}')$$, 'TRUE and CURRENT_DATE');
SELECT is(done('k'), 'insert1', 'copied');
SELECT lives_ok($$SELECT tracksync.alter_link('k', target => 'ku')$$, 'and kept');
SELECT is(done('k'), 'insert1', 'copied');
SELECT throws_ok($$SELECT tracksync.alter_link('k', columns => '{"id": "id", "n": "nul"}')$$, '42703', 'column "nul" of table "ks" does not exist', 'a name');

SELECT tracksync.drop_link(name) FROM tracksync.link;
DROP SCHEMA evil CASCADE; DROP OWNED BY :"evil"; DROP ROLE :"evil";
SELECT * FROM finish();
