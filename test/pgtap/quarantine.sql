-- on_error => 'quarantine': what the target does not take is left out, recorded, and tried again by each push.
SET client_min_messages = warning;
SELECT plan(54);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION bad(l text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s %s', op, key, sqlstate), ', ' ORDER BY key), '') FROM tracksync.quarantine WHERE link = l $$;
CREATE FUNCTION all_of(t text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text), '''') FROM %s t', t) INTO r; RETURN r; END $$;

CREATE TABLE s (id int PRIMARY KEY, v text, n int); CREATE TABLE t (id int PRIMARY KEY, v varchar(5) CHECK (v <> 'bad'), n int UNIQUE);
INSERT INTO s SELECT i, 'v' || i, i FROM generate_series(1, 50) i;
SELECT tracksync.create_link('l', 's', 'public.t', on_error => 'quarantine'), done('l');
-- all kinds of errors, one good row among them
UPDATE s SET v = 'bad' WHERE id = 1; UPDATE s SET v = 'much too long' WHERE id = 2; UPDATE s SET v = 'good' WHERE id = 3;
INSERT INTO s VALUES (60, 'x', 7), (61, 'y', 61); CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'P0777'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON t FOR EACH ROW WHEN (OLD.id = 5) EXECUTE FUNCTION refuse(); DELETE FROM s WHERE id IN (5, 6);
SELECT is(done('l'), 'l delete1, l update1, l insert1', 'the good rows');
SELECT is(bad('l'), 'UPDATE {"id": 1} 23514, UPDATE {"id": 2} 22001, DELETE {"id": 5} P0777, INSERT {"id": 60} 23505', 'and the others, with SQLSTATE');
SELECT results_eq($$SELECT "constraint", "row" ->> 'v', attempts FROM tracksync.quarantine ORDER BY key$$,
  $$VALUES ('t_v_check', 'bad', 1), (NULL, 'much too long', 1), (NULL, NULL, 1), ('t_n_key', 'x', 1)$$, 'constraint, row and attempts');
SELECT is(all_of('(SELECT * FROM t WHERE id IN (1, 2, 3, 5, 6, 60, 61)) '), '(1,v1,1) (2,v2,2) (3,good,3) (5,v5,5) (61,y,61)', 'bad rows are as before');
SELECT is((SELECT quarantined FROM tracksync.status WHERE name = 'l'), 4::bigint, 'status counts them');
SELECT is((SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.plan('l')), 'delete1 update2 insert1', 'they are pending');
SELECT is(done('l'), 'l delete0, l update0, l insert0', 'tried again');
SELECT is((SELECT string_agg(attempts::text, ' ') FROM tracksync.quarantine), '2 2 2 2', 'and counted');
-- their then net change: mended at the source, taken back there, mended at the target, deleted
UPDATE s SET v = 'fine' WHERE id = 1; DELETE FROM s WHERE id = 2; INSERT INTO s VALUES (5, 'v5', 5); UPDATE t SET n = 100 WHERE n = 7; UPDATE s SET n = 100 WHERE id = 7;
UPDATE s SET v = 'more' WHERE id = 10;
SELECT lives_ok($$SELECT done('l')$$, 'mended here and there');
SELECT is(bad('l'), '', 'none is left');
SELECT is(all_of('s'), all_of('t'), 'equal');
SELECT is(done('l'), '', 'in step');
-- rows that fail only together: of two that want the same value the first one is taken
INSERT INTO s VALUES (70, 'a', 500), (71, 'b', 500);
SELECT done('l'); SELECT is(bad('l'), 'INSERT {"id": 71} 23505', 'two rows that cannot both be');
UPDATE s SET n = 501 WHERE id = 71; SELECT done('l');
SELECT is(bad('l') || all_of('s'), all_of('t'), 'until one changes');
-- release and discard
UPDATE s SET v = 'bad' WHERE id IN (20, 21); SELECT done('l');
SELECT tracksync.release('l', '{"id": 20}'); SELECT is(bad('l'), 'UPDATE {"id": 21} 23514', 'a released row is off the list');
SELECT done('l'); SELECT is(bad('l'), 'UPDATE {"id": 20} 23514, UPDATE {"id": 21} 23514', 'until it fails again');
SELECT is(tracksync.discard('l', '{"id": 20}'), 1::bigint, 'discarded'); SELECT done('l');
SELECT is(bad('l'), 'UPDATE {"id": 21} 23514', 'it is not tried any more');
UPDATE s SET v = 'ok' WHERE id = 20;
SELECT throws_like($$SELECT done('l')$$, '%update_differs%', 'the next change of the row meets the one that was given up');
SELECT tracksync.alter_link('l', on_conflict => 'source_wins'); SELECT done('l'); SELECT is((SELECT v FROM t WHERE id = 20), 'ok', 'the source wins');
SELECT tracksync.alter_link('l', on_conflict => 'error');
SELECT throws_ok($$SELECT tracksync.discard('l', '{"id": 999}')$$, '42704', NULL, 'no such row');
SELECT is(tracksync.release('l'), 1::bigint, 'all'); UPDATE s SET v = 'ok' WHERE id = 21; SELECT done('l');
-- what is not a row's fault is an error; so is a conflict
UPDATE t SET v = 'mine' WHERE id = 30; UPDATE s SET v = 'src' WHERE id = 30;
SELECT throws_like($$SELECT done('l')$$, '%update_differs%', 'a conflict is no matter for quarantine');
UPDATE t SET v = 'v30' WHERE id = 30;

-- rows that a foreign key leads to a quarantined one wait with it, through several tables; in any order, and for a row that must not go
CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, a int); CREATE TABLE c (x int, y int, b int, PRIMARY KEY (x, y));
CREATE TABLE ta (id int PRIMARY KEY, v text CHECK (v <> 'bad')); CREATE TABLE tb (id int PRIMARY KEY, a int REFERENCES ta); CREATE TABLE tc (x int, y int, b int REFERENCES tb ON DELETE CASCADE, PRIMARY KEY (x, y), CHECK (y <> 13));
SELECT tracksync.create_link('a', 'a', 'public.ta', on_error => 'quarantine'), tracksync.create_link('b', 'b', 'public.tb', on_error => 'quarantine'),
  tracksync.create_link('c', 'c', 'public.tc', on_error => 'quarantine');
SELECT tracksync.create_group('g', '{a,b,c}');
INSERT INTO a VALUES (1, 'ok'), (2, 'bad'); INSERT INTO b VALUES (10, 1), (20, 2); INSERT INTO c VALUES (1, 1, 10), (2, 1, 20);
SELECT is(done('g'), 'a insert1, b insert1, c insert1', 'the family of the good row');
SELECT is(bad('a') || '; ' || bad('b') || '; ' || bad('c'), 'INSERT {"id": 2} 23514; INSERT {"id": 20} 23503; INSERT {"x": 2, "y": 1} 23503', 'the family of the bad one waits');
UPDATE a SET v = 'mended' WHERE id = 2;
SELECT lives_ok($$SELECT done('g')$$, 'it comes');
SELECT ok(all_of('a') = all_of('ta') AND all_of('b') = all_of('tb') AND all_of('c') = all_of('tc') AND bad('a') || bad('b') || bad('c') = '', 'all of it');
-- a child that does not take its new parent keeps the former one, which must not go
INSERT INTO b VALUES (30, 1); UPDATE c SET b = 30, y = 13 WHERE x = 1; DELETE FROM b WHERE id = 10; UPDATE a SET v = 'changed' WHERE id = 1;
SELECT throws_ok($$SELECT done('g')$$, '23514', NULL, 'a row that gets another key is not left out');
SELECT is(all_of('tb') || ' ' || (SELECT v FROM ta WHERE id = 1), '(10,1) (20,2) ok', 'nothing is done');
DELETE FROM c WHERE x = 1; SELECT done('g'); 
SELECT ok(all_of('a') = all_of('ta') AND all_of('b') = all_of('tb') AND all_of('c') = all_of('tc'), 'equal in the end');

-- a row of the target that somebody changed while its change was in quarantine: a conflict, if it is about the same columns
CREATE TABLE p (id int PRIMARY KEY, a int, b text); CREATE TABLE tp (id int PRIMARY KEY, a int CHECK (a < 100), b text, own text); INSERT INTO p VALUES (1, 1, 'x'), (2, 2, 'x'), (3, 3, 'x');
CREATE FUNCTION no_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.own = 'keep' THEN RAISE EXCEPTION 'not now'; END IF; RETURN OLD; END $$;
CREATE TRIGGER no_delete BEFORE DELETE ON tp FOR EACH ROW EXECUTE FUNCTION no_delete();
SELECT tracksync.create_link('p', 'p', 'public.tp', on_error => 'quarantine'), done('p');
UPDATE tp SET own = 'keep' WHERE id = 3;
UPDATE p SET a = 200 WHERE id = 1; DELETE FROM p WHERE id = 3; INSERT INTO p VALUES (4, 400, 'x'); SELECT done('p');
SELECT is(bad('p'), 'UPDATE {"id": 1} 23514, DELETE {"id": 3} P0001, INSERT {"id": 4} 23514', 'three rows wait');
UPDATE p SET a = a / 10 WHERE id IN (1, 4); UPDATE tp SET own = 'go' WHERE id = 3; UPDATE tp SET b = 'theirs' WHERE id IN (1, 3); INSERT INTO tp VALUES (4, 4, 'theirs');
SELECT throws_like($$SELECT done('p')$$, '%2 conflicting rows: 1 insert_exists, 1 delete_differs%', 'the target is not overwritten; other columns than the source''s are no conflict');
SELECT tracksync.alter_link('p', on_conflict => 'merge'); UPDATE tp SET b = 'x', a = 3 WHERE id = 3; DELETE FROM tp WHERE id = 4;
SELECT lives_ok($$SELECT done('p')$$, 'rows as they were are no conflict');
SELECT is((SELECT string_agg(id || ' ' || a || ' ' || b, ', ' ORDER BY id) FROM tp), '1 20 theirs, 2 2 x, 4 40 x', 'each side''s columns are merged');
UPDATE p SET a = 200 WHERE id = 1; SELECT done('p'); UPDATE p SET a = 21 WHERE id = 1; UPDATE tp SET a = 5 WHERE id = 1;
SELECT tracksync.alter_link('p', on_conflict => 'target_wins'); SELECT done('p');
SELECT is((SELECT a || b FROM tp WHERE id = 1) || bad('p'), '5theirs', 'the target wins');
SELECT is((SELECT string_agg(kind || ' ' || resolution, ', ' ORDER BY id) FROM tracksync.conflict WHERE link = 'p'), 'update_differs target_wins', 'that is recorded');
-- what the target had changed before the row went into quarantine stays as well; a merged row that it does not take waits, the others go on
CREATE TABLE w (id int PRIMARY KEY, a int, b int, c bigint); CREATE TABLE tw (id int PRIMARY KEY, a int CHECK (a < 100), b int, c int); INSERT INTO w SELECT i, i, i, i FROM generate_series(1, 4) i;
SELECT tracksync.create_link('w', 'w', 'public.tw', on_error => 'quarantine'), done('w');
UPDATE tw SET b = 9; UPDATE w SET a = 200 WHERE id = 1; UPDATE w SET a = 300, b = 33 WHERE id = 3; UPDATE tw SET b = 3 WHERE id = 3; UPDATE w SET c = 3000000000 WHERE id = 4; SELECT done('w');
SELECT is(bad('w'), 'UPDATE {"id": 1} 23514, UPDATE {"id": 3} 23514, UPDATE {"id": 4} 22003', 'three rows wait');
UPDATE w SET a = 20 WHERE id = 1; UPDATE tw SET b = 5 WHERE id = 3; UPDATE w SET a = 2 WHERE id = 2;
SELECT throws_like($$SELECT done('w')$$, '%1 conflicting row: 1 update_differs%', 'only what both changed is a conflict');
SELECT tracksync.alter_link('w', on_conflict => 'source_wins'); SELECT done('w');
SELECT is(all_of('tw') || ' ' || bad('w'), '(1,20,9,1) (2,2,9,2) (3,3,5,3) (4,4,9,4) UPDATE {"id": 3} 23514, UPDATE {"id": 4} 22003', 'one does not stop the others');
UPDATE w SET a = 30, c = 4 WHERE id > 2; SELECT done('w');
SELECT is(all_of('tw') || bad('w'), '(1,20,9,1) (2,2,9,2) (3,30,33,4) (4,30,9,4)', 'the source''s columns, and no others');
CREATE FUNCTION by_hand(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'by hand, please'; END $$;
SELECT tracksync.alter_link('p', on_conflict => 'public.by_hand'); UPDATE p SET a = 22 WHERE id = 1;
SELECT throws_like($$SELECT done('p')$$, '%by hand, please%', 'what decides conflicts is not the target');
-- a comparison does not forget what waits
SELECT tracksync.alter_link('p', on_conflict => 'source_wins'); SELECT done('p'); UPDATE tp SET own = 'keep' WHERE id = 2; DELETE FROM p WHERE id = 2; SELECT done('p');
SET client_min_messages = error; ALTER TABLE p ALTER b TYPE varchar(10); RESET client_min_messages; SELECT done('p');
SELECT is(bad('p'), 'DELETE {"id": 2} P0001', 'a rewritten source does not take a waiting DELETE off the list');
-- keys that JSON shows in another way than the type does; domains of the target that take no NULL
CREATE DOMAIN filled AS int CHECK (VALUE IS NOT NULL);
CREATE TABLE k (id int[] PRIMARY KEY, a int); CREATE TABLE tk (id int[] PRIMARY KEY, a filled CHECK (a < 100)); INSERT INTO k VALUES ('{1,2}', 1), ('{2}', 200);
SELECT tracksync.create_link('k', 'k', 'public.tk', on_error => 'quarantine'), done('k');
SELECT is(bad('k'), 'INSERT {"id": [2]} 23514', 'an array waits'); SELECT done('k');
UPDATE k SET a = 2 WHERE id = '{2}'; SELECT done('k'); SELECT ok(all_of('k') = all_of('tk'), 'and comes');
-- a key change is not left out, and leaves the session usable
UPDATE k SET id = '{3}', a = 300 WHERE id = '{2}';
SELECT throws_ok($$SELECT done('k')$$, '23514', NULL, 'a row that gets another key fails the push');
UPDATE k SET id = '{2}', a = 2 WHERE id = '{3}'; SELECT done('k');
-- other rows get their keys as ever: what hangs on them in the target stays
CREATE TABLE hangs (id int[] REFERENCES tk ON UPDATE CASCADE ON DELETE CASCADE); INSERT INTO hangs VALUES ('{1,2}'); INSERT INTO k VALUES ('{4}', 400); SELECT done('k');
UPDATE k SET id = '{5}' WHERE id = '{1,2}';
SELECT lives_ok($$SELECT done('k')$$, 'a key change beside a row in quarantine');
SELECT is((SELECT id::text FROM hangs), '{5}', 'is one');
UPDATE k SET id = '{6}' WHERE id = '{4}';
SELECT throws_ok($$SELECT done('k')$$, '55000', NULL, 'but not of the row in quarantine');
-- foreign keys to a table that is not in the push
CREATE TABLE country (code text PRIMARY KEY); INSERT INTO country VALUES ('de'), ('fr');
CREATE TABLE city (id int PRIMARY KEY, country text); CREATE TABLE tcity (id int PRIMARY KEY, country text REFERENCES country);
INSERT INTO city VALUES (1, 'de'), (2, 'xx'), (3, 'fr'), (4, NULL);
SELECT tracksync.create_link('city', 'city', 'public.tcity', on_error => 'quarantine'); SELECT done('city');
SELECT is(bad('city') || (SELECT message FROM tracksync.quarantine WHERE link = 'city'), 'INSERT {"id": 2} 23503table public.country has no row with the key {"code": "xx"}', 'a row that refers to none');
INSERT INTO country VALUES ('xx'); SELECT done('city'); SELECT ok(all_of('city') = all_of('tcity') AND bad('city') = '', 'comes when there is one');
-- a key that looks otherwise in another time zone
CREATE TABLE z (b int, a text, at timestamptz, v int, PRIMARY KEY (b, a, at)); CREATE TABLE tz (LIKE z INCLUDING ALL, CHECK (v < 100)); INSERT INTO z VALUES (1, 'x', '2026-01-01', 1);
SELECT tracksync.create_link('z', 'z', 'public.tz', on_error => 'quarantine'), done('z'); UPDATE z SET v = 200; SELECT done('z');
UPDATE z SET v = 20; UPDATE tz SET v = 50; SET timezone = 'Asia/Tokyo';
SELECT throws_like($$SELECT done('z')$$, '%1 update_differs%', 'is the same key');
UPDATE tz SET v = 1; SELECT done('z'); RESET timezone; SELECT ok(all_of('z') = all_of('tz') AND bad('z') = '', 'and comes');
-- what fails for every row is no row's fault
CREATE TABLE f (id int PRIMARY KEY); CREATE TABLE tf (LIKE f INCLUDING ALL); INSERT INTO f SELECT generate_series(1, 10);
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO no_such_table VALUES (1); RETURN NEW; END $$;
CREATE TRIGGER broken BEFORE INSERT ON tf FOR EACH ROW EXECUTE FUNCTION broken();
SELECT tracksync.create_link('f', 'f', 'public.tf', on_error => 'quarantine');
SELECT throws_ok($$SELECT done('f')$$, '42P01', NULL, 'a trigger that is broken'); SELECT is(bad('f'), '', 'fills no quarantine');
SELECT * FROM finish();
