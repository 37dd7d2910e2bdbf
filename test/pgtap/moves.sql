-- Keys that change: one UPDATE of the target's row, and what must not come of it.
SET client_min_messages = warning;
SELECT plan(32);
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION all_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text), '''') FROM %s t', t) INTO r; RETURN r; END $$;

-- looking a row up twice must leave the index as it is
CREATE TABLE s (id int PRIMARY KEY, v text, w int) WITH (fillfactor = 50); CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s SELECT i, 'v', i FROM generate_series(1, 40) i;
SELECT tracksync.create_link('l', 's', 'public.t'), done('l');
UPDATE s SET id = 125 WHERE id = 13; UPDATE s SET v = 'hot' WHERE id = 125; UPDATE s SET v = 'hotter' WHERE id = 125;
SELECT is(planned('l'), 'update1', 'a moved row that was updated afterwards');
SELECT is(planned('l'), 'update1', 'once more');
SET enable_seqscan = off;
SELECT is((SELECT v FROM s WHERE id = 125), 'hotter', 'its index entry is there');
RESET enable_seqscan;
SELECT is((SELECT concat(op, key, old ->> 'id', new ->> 'id', changed) FROM tracksync.net_changes('l')), 'UPDATE{"id": 125}13125{id,v,w}', 'the net change');
SELECT is(done('l'), 'update1', 'pushed');
SELECT is(all_of('t'), all_of('s'), 'equal');

-- there and back; through a key that is taken again
BEGIN; UPDATE s SET id = 200 WHERE id = 1; UPDATE s SET id = 1 WHERE id = 200; COMMIT;
SELECT is(planned('l'), '', 'there and back is nothing');
UPDATE s SET id = 300 WHERE id = 2; INSERT INTO s VALUES (2, 'new', 0); DELETE FROM s WHERE id = 300;
SELECT is(done('l'), 'update1', 'a row that moved away and was deleted, and a new one');
SELECT is(all_of('t'), all_of('s'), 'equal');

-- a circle under a deferrable key, in one statement
CREATE TABLE ds (id int PRIMARY KEY DEFERRABLE, v text); CREATE TABLE dt (id int PRIMARY KEY, v text);
INSERT INTO ds SELECT i, 'v' || i FROM generate_series(1, 10) i;
SELECT tracksync.create_link('d', 'ds', 'public.dt'), done('d');
UPDATE dt SET v = v; CREATE TABLE dc (id int REFERENCES dt ON UPDATE CASCADE ON DELETE CASCADE); INSERT INTO dc SELECT id FROM dt;
UPDATE ds SET id = id % 10 + 1;
SELECT is(done('d'), 'update10', 'all keys go round in one circle');
SELECT is(all_of('dt'), all_of('ds'), 'equal');
SELECT is((SELECT count(*)::int FROM dc), 10, 'children survive');

-- conflicts of moved rows
INSERT INTO s VALUES (50, 'x', 1), (51, 'x', 1), (52, 'x', 1); SELECT done('l');
DELETE FROM t WHERE id = 50; UPDATE s SET id = 60 WHERE id = 50;
SELECT throws_like($$SELECT done('l')$$, '%update_missing%', 'the row to be moved is missing');
INSERT INTO t VALUES (60, 'x', 1);
SELECT is(done('l'), 'update1', 'it is there already');
UPDATE t SET v = 'mine' WHERE id = 51; UPDATE s SET id = 61 WHERE id = 51;
SELECT throws_like($$SELECT done('l')$$, '%update_differs%', 'the row to be moved was edited');
SELECT tracksync.alter_link('l', on_conflict => 'source_wins');
SELECT is(done('l'), 'update1', 'the source wins');
DELETE FROM t WHERE id = 52; UPDATE s SET id = 62 WHERE id = 52;
SELECT is(done('l'), 'update1', 'a missing one is inserted');
SELECT is(all_of('t'), all_of('s'), 'equal');

-- text and composite keys, swapped
CREATE TABLE cs (a text, b uuid, v int, PRIMARY KEY (a, b)); CREATE TABLE ct (LIKE cs INCLUDING ALL);
INSERT INTO cs SELECT 'k' || i, ('00000000-0000-0000-0000-00000000000' || i)::uuid, i FROM generate_series(1, 5) i;
SELECT tracksync.create_link('c', 'cs', 'public.ct'), done('c');
BEGIN; UPDATE cs SET a = 'x' WHERE a = 'k1'; UPDATE cs SET a = 'k1', b = '00000000-0000-0000-0000-000000000001' WHERE a = 'k2';
UPDATE cs SET a = 'k2', b = '00000000-0000-0000-0000-000000000002' WHERE a = 'x'; COMMIT;
SELECT is(done('c'), 'update2', 'a swap of composite keys');
SELECT is(all_of('ct'), all_of('cs'), 'equal');
-- a row that is not there must not be taken for another one that comes to its key
CREATE TABLE m (id int PRIMARY KEY, v text, w int); CREATE TABLE mt (LIKE m INCLUDING ALL); INSERT INTO m SELECT i, 'v', 0 FROM generate_series(1, 3) i;
SELECT tracksync.create_link('m', 'm', 'public.mt'), done('m');
DELETE FROM mt WHERE id = 2; UPDATE m SET id = 9 WHERE id = 2; UPDATE m SET id = 2 WHERE id = 1;
SELECT throws_like($$SELECT done('m')$$, '%1 conflicting row: 1 update_missing%', 'a chain with a row missing is a conflict');
SELECT is(all_of('mt'), '(1,v,0) (3,v,0)', 'and nothing is written');
SELECT tracksync.alter_link('m', on_conflict => 'source_wins'); SELECT is(done('m'), 'update2', 'the source wins');
SELECT is(all_of('mt'), all_of('m'), 'all rows');
DELETE FROM mt WHERE id = 3; BEGIN; UPDATE m SET id = 99 WHERE id = 9; UPDATE m SET id = 9 WHERE id = 3; UPDATE m SET id = 3 WHERE id = 2; UPDATE m SET id = 2 WHERE id = 99; COMMIT;
SELECT lives_ok($$SELECT done('m')$$, 'a circle with a row missing'); SELECT is(all_of('mt'), all_of('m'), 'all rows');
-- rows of a circle that the target keeps; one of them in the way of the other
SELECT tracksync.alter_link('m', on_conflict => 'target_wins'); UPDATE mt SET v = 'mine';
BEGIN; UPDATE m SET id = 99 WHERE id = 2; UPDATE m SET id = 2 WHERE id = 3; UPDATE m SET id = 3 WHERE id = 99; COMMIT;
SELECT lives_ok($$SELECT done('m')$$, 'the target keeps both');
SELECT is(all_of('mt'), '(2,mine,0) (3,mine,0) (9,mine,0)', 'nothing is done');
SELECT tracksync.alter_link('m', on_conflict => 'source_wins'); UPDATE m SET v = 'w'; SELECT done('m'); SELECT is(all_of('mt'), all_of('m'), 'equal');
SELECT tracksync.alter_link('m', on_conflict => 'target_wins'); UPDATE mt SET v = 'mine' WHERE id = 2;
BEGIN; UPDATE m SET id = 99 WHERE id = 2; UPDATE m SET id = 2 WHERE id = 3; UPDATE m SET id = 3 WHERE id = 99; COMMIT;
SELECT throws_ok($$SELECT done('m')$$, '23505', NULL, 'nobody gets a key that the source never had');
SELECT is(all_of('mt'), '(2,mine,0) (3,w,0) (9,w,0)', 'nothing is done');
SELECT tracksync.alter_link('m', on_conflict => 'source_wins'); SELECT done('m'); SELECT is((SELECT string_agg(id::text, ' ' ORDER BY id) FROM mt), '2 3 9', 'the source wins');
SELECT * FROM finish();
