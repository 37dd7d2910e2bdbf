-- Targets on other servers, with an eye on what could get lost: what happens to a link after a push that was committed there only, tables made
-- (psql tells of the pushes that are to fail.)
-- anew there, values on their way, transactions. The servers are this one: other databases of it.
SET client_min_messages = error;
SELECT plan(70);
SELECT current_database() || '_a' AS da, current_database() || '_b' AS db, current_database() || '_copy' AS copy, current_database() AS here,
  current_setting('unix_socket_directories') AS host, current_setting('port') AS port \gset
CREATE DATABASE :"da"; CREATE DATABASE :"db";
CREATE EXTENSION dblink;
CREATE SERVER a FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'da'); CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (password_required 'false');
CREATE SERVER b FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'db'); CREATE USER MAPPING FOR PUBLIC SERVER b OPTIONS (password_required 'false');
ALTER USER MAPPING FOR PUBLIC SERVER a OPTIONS (ADD user :'USER'); ALTER USER MAPPING FOR PUBLIC SERVER b OPTIONS (ADD user :'USER');
-- at(server): a connection string; run: SQL there; rows: what a query there says
CREATE FUNCTION at(server text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(o, ' ') || ' user=' || session_user FROM pg_foreign_server, unnest(srvoptions) o WHERE srvname = server $$;
CREATE FUNCTION run(server text, sql text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM dblink_exec(at(server), sql); END $$;
CREATE FUNCTION rows(server text, sql text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(v, ' ' ORDER BY v COLLATE "C"), '') FROM dblink(at(server), format('SELECT x::text FROM (%s) x', sql)) AS t(v text) $$;
CREATE FUNCTION rows(sql text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(x::text, '' '' ORDER BY x::text COLLATE "C"), '''') FROM (%s) x', sql) INTO r; RETURN r; END $$;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END $$;
CREATE FUNCTION same(target text = 't', source text = 's') RETURNS boolean LANGUAGE sql AS $$ SELECT rows('a', 'SELECT * FROM public.' || target) = rows('SELECT * FROM ' || source) $$;

-- halves(): all that there is to push is committed on server a, and fails here, because server b refuses to commit
SELECT run('b', $$CREATE TABLE t (id int PRIMARY KEY, v text); CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not me''; END';
  CREATE CONSTRAINT TRIGGER no AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()$$);
CREATE TABLE z (id int PRIMARY KEY, v text);
SELECT tracksync.create_link('zz', 'z', 'public.t', server => 'b');
SELECT done('zz');
INSERT INTO z VALUES (1);
SELECT run('a', 'CREATE TABLE t (id int PRIMARY KEY, v text, w text); CREATE TABLE t2 (LIKE t INCLUDING ALL)');
CREATE TABLE s (id int PRIMARY KEY, v text, w text);
INSERT INTO s VALUES (1, 'a', 'x');
SELECT tracksync.create_link('l', 's', 'public.t', server => 'a', columns => '{"id":"id","v":"v"}');
SELECT tracksync.create_group('g', '{l,zz}', transactions => 'per_server');
\set ON_ERROR_STOP off
-- with the initial copy
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT is(rows('a', 'TABLE t'), '(1,a,)', 'the one half was committed');
SELECT is((SELECT state FROM tracksync.link WHERE name = 'l'), 'initial', 'the other was not');
SELECT is(planned('l'), '', 'the plan knows');
SELECT is(done('l'), '', 'and so does the push');
INSERT INTO s VALUES (2, 'b', 'y');
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT is(rows('a', 'TABLE t'), '(1,a,) (2,b,)', 'committed there only');
SELECT tracksync.alter_link('l', columns => '{"id":"id","v":"v","w":"w"}');
SELECT is(planned('l'), 'l update2', 'another column since: planned');
SELECT is(done('l'), 'l update2', 'pushed');
SELECT ok(same(), 'all is there');
INSERT INTO s VALUES (3, 'c', 'z');
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT is(rows('a', 'SELECT id FROM t'), '(1) (2) (3)', 'committed there only');
SELECT tracksync.alter_link('l', target => 'public.t2');
SELECT is(planned('l'), 'l insert3', 'another target since: planned');
SELECT is(done('l'), 'l insert3', 'pushed');
SELECT ok(same('t2'), 'all is there');
UPDATE s SET v = v || '!';
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT tracksync.alter_link('l', server => 'b', target => 'public.tb', create_target => true);
SELECT is(done('l'), 'l create_table0, l insert3', 'another server since');
UPDATE s SET v = v || '?';
SELECT tracksync.alter_link('l', server => 'a', target => 'public.t2');
SELECT is(done('l'), 'l update3', 'and back');
SELECT ok(same('t2'), 'all is there');
-- in doubt since
SELECT run('a', 'TRUNCATE t2'); 
INSERT INTO s VALUES (4, 'd', 'd');
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
UPDATE tracksync.link SET state = 'resync' WHERE name = 'l';
SELECT is(done('l'), 'l insert3', 'a link that was to compare does so');
SELECT ok(same('t2'), 'all is there');
-- again and again
INSERT INTO s VALUES (20, 'q', 'q');
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
INSERT INTO s VALUES (21, 'q', 'q');
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
DELETE FROM s WHERE id = 20;
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT ok(same('t2'), 'three that failed here in a row');
SELECT is(done('l'), '', 'nothing twice');
-- dropped, and made anew
UPDATE s SET v = 'new';
SELECT tracksync.disconnect() AS n \gset
SELECT done('g') AS n \gset
SELECT tracksync.drop_link('l');
UPDATE s SET v = 'newer' WHERE id < 10; DELETE FROM s WHERE id = 21;
SELECT tracksync.create_link('l', 's', 'public.t2', server => 'a', initial => 'mirror');
SELECT is(done('l'), 'l delete1, l update4', 'a link made anew has its own beginning');
SELECT ok(same('t2'), 'all is there');
SELECT tracksync.drop_link('l');
SELECT tracksync.create_link('l', 's', 'public.t3', server => 'b', create_target => true);
SELECT is(done('l'), 'l create_table0, l insert4', 'on a server where it has not been');
SELECT tracksync.alter_link('l', server => 'a', target => 'public.t2');
INSERT INTO s VALUES (22);
SELECT is(done('l'), 'l insert1', 'altered to where a namesake pushed more often');
SELECT ok(same('t2'), 'all is there');
\set ON_ERROR_STOP on

-- tables made anew
SELECT run('a', 'DROP TABLE t2; CREATE TABLE t2 (id int PRIMARY KEY, v text, w text)');
INSERT INTO s VALUES (30);
SELECT is(planned('l'), 'l insert6', 'a table made anew by hand: planned');
SELECT is(done('l'), 'l insert6', 'pushed');
SELECT is(done('l'), '', 'once');
SELECT run('a', 'ALTER TABLE t2 RENAME TO t2_old; CREATE TABLE t2 (LIKE t2_old INCLUDING ALL)');
SELECT is(done('l'), 'l insert6', 'another one of that name');
SELECT run('a', 'DROP TABLE t2');
INSERT INTO s VALUES (31);
SELECT is(said($$SELECT done('l')$$), '42P01 target table public.t2 of link "l" does not exist', 'dropped');
SELECT tracksync.alter_link('l', create_target => true);
SELECT is(done('l'), 'l create_table0, l insert7', 'created again, and filled');
SELECT ok(same('t2'), 'all is there');
SELECT run('a', 'CREATE TABLE was AS TABLE tracksync_target.position; CREATE TABLE t2_was AS TABLE t2');
DELETE FROM s WHERE id = 31; SELECT done('l');
SELECT run('a', 'TRUNCATE t2, tracksync_target.position; INSERT INTO t2 TABLE t2_was; INSERT INTO tracksync_target.position TABLE was');
SELECT is(done('l'), 'l delete1', 'a database set back');
SELECT run('a', 'DROP SCHEMA tracksync_target CASCADE; TRUNCATE t2');
SELECT is(done('l'), 'l insert6', 'the position dropped');


-- transactions
INSERT INTO s VALUES (40);
BEGIN; SAVEPOINT x; SELECT done('l') AS n \gset
ROLLBACK TO x; COMMIT;
SELECT is(planned('l'), 'l insert1', 'rolled back to a savepoint: nothing is there');
BEGIN; SELECT done('l') AS n \gset
SAVEPOINT x; SELECT count(*) AS n FROM tracksync.push('l', dry_run => true) \gset
ROLLBACK TO x; COMMIT;
SELECT ok(same('t2'), 'what was pushed before the savepoint is');
INSERT INTO s VALUES (41);
SELECT is((SELECT string_agg(kind || rows, ' ') FROM tracksync.push('l', dry_run => true)), 'insert1', 'dry run');
SELECT is(planned('l'), 'l insert1', 'wrote nothing');
BEGIN; SELECT done('l') AS n \gset
ROLLBACK;
SELECT is(done('l'), 'l insert1', 'rolled back, and pushed');
SELECT dblink_connect('here', format('host=%s port=%s dbname=%s user=%s', :'host', :'port', :'here', session_user)) AS n \gset
INSERT INTO s VALUES (42);
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) AS n FROM s \gset
SELECT a AS n FROM dblink('here', $$SELECT done('l')$$) AS x(a text) \gset
SELECT planned('l') AS planned, said($$SELECT done('l')$$) AS said \gset
COMMIT;
SELECT is(:'planned'::text, '', 'a plan under an older snapshot knows that another session has pushed');
SELECT alike(:'said'::text, '40001 %', 'a push must not go on');
SELECT is(said($$DO 'BEGIN INSERT INTO s VALUES (50); PERFORM tracksync.push(''l''); END'$$), '25001 link "l" cannot push changes that this transaction made itself to server "a"', 'own changes');
SELECT is(said($$DO 'BEGIN TRUNCATE s; PERFORM tracksync.push(''l''); END'$$), '25001 link "l" cannot push changes that this transaction made itself to server "a"', 'TRUNCATE');
SELECT is(said($$DO 'BEGIN ALTER TABLE s ALTER v SET DEFAULT 1; PERFORM tracksync.push(''l''); END'$$), '25001 link "l" cannot push changes that this transaction made itself to server "a"', 'ALTER TABLE');
CREATE TABLE s_new (id int PRIMARY KEY); SELECT run('a', 'CREATE TABLE t_new (id int PRIMARY KEY)');
SELECT is(said($$DO 'BEGIN INSERT INTO s_new VALUES (1); PERFORM tracksync.create_link(''n'', ''s_new'', ''public.t_new'', server => ''a''); PERFORM tracksync.push(''n''); END'$$),
  '25001 link "n" cannot push to server "a" in the transaction that began to track its source', 'changes of before the table was tracked');
SELECT is(rows('a', 'TABLE t_new'), '', 'they did not get there');

-- errors that pass: each step is told once
SELECT run('a', $$CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.v = ''retry'' AND nextval(''public.tries'') % 3 <> 0 THEN
  RAISE EXCEPTION ''again'' USING ERRCODE = ''40001''; END IF; IF NEW.v = ''bad'' THEN RAISE EXCEPTION ''no''; END IF; RETURN NEW; END'; CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t2 FOR EACH ROW EXECUTE FUNCTION fail()$$);
INSERT INTO s SELECT i, 'v' FROM generate_series(1001, 13000) i; UPDATE s SET w = 'w' WHERE id < 100; UPDATE s SET v = 'retry' WHERE id = 9000;
SELECT is(done('l'), 'l update9, l insert12000', 'tried again');
SELECT ok(same('t2'), 'all is there');
UPDATE s SET w = 'w' WHERE id < 9000; DELETE FROM s WHERE id > 12500; UPDATE s SET v = 'bad' WHERE id = 4567;
SELECT is(said($$SELECT done('l')$$), 'P0001 no', 'a bad row among many on their way');
SELECT run('a', 'UPDATE t2 SET w = ''there'' WHERE id % 1000 = 77; DELETE FROM t2 WHERE id % 1000 = 78'); UPDATE s SET v = 'good' WHERE id = 4567;
SELECT alike(said($$SELECT done('l')$$), '40001 push of link "l" to table public.t2 found 16 conflicting rows: 8 update_missing, 8 update_differs', 'conflicts among them');
SELECT tracksync.alter_link('l', on_conflict => 'source_wins');
SELECT is(done('l'), 'l delete500, l update7999', 'the source wins');
SELECT tracksync.alter_link('l', target => 'public.t2');
SELECT is(done('l'), 'l update4, l insert4', 'what the source did not touch is found by a comparison');
SELECT ok(same('t2'), 'all is there');
SELECT is((SELECT string_agg(format('%s %s', kind, n), ', ' ORDER BY kind) FROM (SELECT kind, count(*) n FROM tracksync.conflict GROUP BY 1) x), 'update_differs 8, update_missing 8', 'each is told once');

-- values: what the session, the role and functions set must not matter
ALTER DATABASE :"here" SET extra_float_digits = -10; ALTER DATABASE :"here" SET datestyle = 'SQL, DMY'; ALTER DATABASE :"here" SET intervalstyle = sql_standard;
ALTER DATABASE :"here" SET bytea_output = 'escape'; ALTER DATABASE :"here" SET timezone = 'America/New_York';
SET extra_float_digits = -10; SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET bytea_output = 'escape'; SET timezone = 'America/New_York';
CREATE SCHEMA "S x"; CREATE TABLE "S x".foo (id int); CREATE TABLE now_ (id int);
SELECT run('a', 'CREATE SCHEMA "S x"; CREATE TABLE "S x".foo (id int); CREATE TABLE now_ (id int)');
\set columns 'f8 float8, f4 float4, d date, ts timestamp, tz timestamptz, ttz timetz, iv interval, m money, b bytea, x xml, j json, jb jsonb, n numeric, nn numeric(10,2), bp char(8), vc varchar(5), t text, na name, c "char", u uuid, ip inet, bi bit(5), vb varbit, tv tsvector, pt point, r4 int4range, tr tstzrange, ar int[], a2 text[][], ta timestamptz[], o oid, lsn pg_lsn, bo bool, ti tid, iv3 interval day to second(3), tz3 timestamptz(3), rc regclass, rca regclass[], rp regproc, rt regtype'
SELECT run('a', format('CREATE TABLE v1 (id int PRIMARY KEY, %1$s); CREATE TABLE v2 (id int PRIMARY KEY, %1$s)', :'columns'));
CREATE TABLE v (id int PRIMARY KEY, :columns);
INSERT INTO v VALUES (1, 0.1::float8 + 0.2, 1.1::float4 / 3, 'today', now(), now(), '10:00+05:30', '-1 mon +3 days -04:05:06.789', (-1234.56)::numeric::money, '\x00ff5c27', '<a>&amp;</a>', '{"a" :  1}',
  '{"a":1e3}', 1e-20, 1.005, 'ab  ', 'abcde', E'tab\t nl\n cr\r bs\\ q'' "\\N" \\. \001 ü', 'Nä"me', 'x', '00000000-0000-0000-0000-000000000001', '10.0.0.0/8', B'10101', B'', 'fat:1A cat',
  '(0.1,-0)', '[1,5)', '[now,infinity]', '{NULL,1}', '{{"a,b","NULL"},{NULL,"x\\"}}', '{-infinity,now}', 4000000000, '1/AB', true, '(0,1)', '3 04:05:06.7899', now(), 'now_', '{now_,"\"S x\".foo"}', 'now', 'now_');
INSERT INTO v (id, f8, f4, d, n, t, ar, rc) VALUES (2, '-0', 'NaN', 'infinity', 'NaN', '\N', '[2:3]={1,2}', '"S x".foo');
INSERT INTO v (id, t, vc, bp, b, na, c, ar, a2, f8, n, jb) VALUES (3, '', '', '', '', '', '', '{}', '{}', 4.9e-324, 1e300, 'null');
INSERT INTO v SELECT i, sqrt(i), sqrt(i), 'epoch'::date + i FROM generate_series(100, 1200) i;
CREATE FUNCTION step(name text, push bigint) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('datestyle', 'German, DMY', false), set_config('extra_float_digits', '-12', false), set_config('bytea_output', 'escape', false); END $$;
SELECT tracksync.create_link('v1', 'v', 'public.v1', server => 'a'), tracksync.create_link('v2', 'v', 'public.v2', server => 'a');
SELECT tracksync.add_step('v1', 5, 'step(text, bigint)');
-- as it is in a plain session
CREATE FUNCTION plain(target text) RETURNS boolean LANGUAGE sql SET datestyle = iso SET timezone = 'UTC' SET extra_float_digits = 1 SET bytea_output = hex SET intervalstyle = postgres
  SET search_path = public AS $$ SELECT same(target, 'public.v') $$;
SELECT run('a', format('ALTER DATABASE %I SET timezone = ''UTC''', :'da'));
SELECT is(done('v1'), 'v1 user0, v1 insert1104', 'streamed');
SELECT ok(plain('v1'), 'all values are there');
SET tracksync.batch_rows = 100;
SELECT is(done('v2'), 'v2 insert1104', 'in batches');
SELECT ok(plain('v2'), 'all values are there');
RESET tracksync.batch_rows;
UPDATE v SET f8 = f8 + 1, f4 = f4 / 3, d = d + 1, tz = tz + '1 day', iv = iv + '1 sec', t = t || 'ü', a2 = NULL, rc = 'now_' WHERE id < 1000;
DELETE FROM v WHERE id BETWEEN 200 AND 210;
SELECT is(done('v1'), 'v1 user0, v1 delete11, v1 update892', 'changed');
SELECT is(done('v2'), 'v2 delete11, v2 update892', 'changed');
SELECT ok(plain('v1') AND plain('v2'), 'all values are there');
SELECT tracksync.alter_link('v1', target => 'public.v1');
SELECT is(planned('v1'), 'v1 user0', 'what is read from there is the same, too');

-- names and types that make trouble
SELECT run('a', $$CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE SCHEMA "Ty"; CREATE TYPE "Ty"."Mo""od" AS ENUM ('a', 'B b', '''q'); CREATE TYPE "Ty".comp AS (a int, m "Ty"."Mo""od");
  CREATE DOMAIN "Ty".there AS varchar(5); CREATE SCHEMA "Sch""ema.x";
  CREATE TABLE "Sch""ema.x"."Ta'b""le; DROP TABLE x; -- ÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜ" ("I D" ext.citext, "Key\2" text, "select" int UNIQUE DEFERRABLE, "Ä""'$1" "Ty"."Mo""od"[], c "Ty".comp, o "Ty".there, ser serial, PRIMARY KEY ("I D", "Key\2"))$$);
CREATE EXTENSION citext; CREATE SCHEMA "Ty"; CREATE TYPE "Ty"."Mo""od" AS ENUM ('a', 'B b', '''q'); CREATE TYPE "Ty".comp AS (a int, m "Ty"."Mo""od");
CREATE TABLE "S'rc""" ("I D" citext, "Key\2" text, "select" int, "Ä""'$1" "Ty"."Mo""od"[], c "Ty".comp, o text, ser int, PRIMARY KEY ("I D", "Key\2"));
INSERT INTO "S'rc""" SELECT 'Key' || i, 'k''\"' || i, i, '{''q,"B b",NULL}', '(1,"B b")', 'o', i FROM generate_series(1, 800) i;
SELECT tracksync.create_link('Li"n''k %s ü', '"S''rc"""', '"Sch""ema.x"."Ta''b""le; DROP TABLE x; -- ÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜ"', server => 'a');
CREATE FUNCTION same_there() RETURNS boolean LANGUAGE sql AS $$ SELECT rows('a', 'TABLE "Sch""ema.x"."Ta''b""le; DROP TABLE x; -- ÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜ"') = rows('TABLE "S''rc"""') $$;
SELECT is(said($$SELECT done('Li"n''k %s ü')$$), 'no error', 'names and types');
SELECT ok(same_there(), 'all is there');
UPDATE "S'rc""" SET "select" = 801 - "select", c = '(2,a)'; UPDATE "S'rc""" SET "I D" = upper("I D"::text) WHERE "select" % 3 = 0; UPDATE "S'rc""" SET "I D" = 'n' || "I D" WHERE "select" % 5 = 0;
DELETE FROM "S'rc""" WHERE "select" % 7 = 0; UPDATE "S'rc""" SET "Ä""'$1" = '{}', o = 'p' WHERE "select" % 2 = 0;
SELECT is(said($$SELECT done('Li"n''k %s ü')$$), 'no error', 'changed');
SELECT ok(same_there(), 'all is there');
SELECT tracksync.alter_link('Li"n''k %s ü', columns => NULL, target => '"Sch""ema.x"."Ta''b""le; DROP TABLE x; -- ÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜÜ"');
SELECT is(planned('Li"n''k %s ü'), '', 'what is read from there is the same, too');

-- encodings
CREATE DATABASE :"copy" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
CREATE SERVER c FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host :'host', port :'port', dbname :'copy'); CREATE USER MAPPING FOR PUBLIC SERVER c OPTIONS (user :'USER', password_required 'false');
SELECT run('c', 'CREATE TABLE t (id text PRIMARY KEY, "ü" text)');
CREATE TABLE e (id text PRIMARY KEY, "ü" text); INSERT INTO e SELECT 'kü' || i, 'äé\' || i FROM generate_series(1, 600) i;
SELECT tracksync.create_link('e', 'e', 'public.t', server => 'c', initial => 'mirror');
SELECT is(done('e'), 'e insert600', 'LATIN1');
UPDATE e SET "ü" = "ü" || 'é' WHERE id LIKE '%7'; DELETE FROM e WHERE id LIKE '%8';
SELECT is(done('e'), 'e delete60, e update60', 'changed');
SELECT tracksync.alter_link('e', target => 'public.t');
SELECT is(planned('e'), '', 'the same');
INSERT INTO e VALUES ('€', '');
SELECT alike(said($$SELECT done('e')$$), '22P05 character % has no equivalent in encoding "LATIN1"', 'a character that is not there');
SELECT * FROM finish();
SELECT tracksync.disconnect() AS n \gset
SELECT dblink_disconnect('here') AS n \gset
DROP DATABASE :"da" WITH (FORCE); DROP DATABASE :"db" WITH (FORCE); DROP DATABASE :"copy" WITH (FORCE);
