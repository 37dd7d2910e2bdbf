-- Values of unique and exclusion constraints that move between rows: chains, swaps, longer circles; freed by rows that are deleted or
-- moved in the same push; taken by rows that are not part of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap; CREATE EXTENSION IF NOT EXISTS tracksync; CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE EXTENSION IF NOT EXISTS citext;
SELECT no_plan();
CREATE FUNCTION same(s regclass, t regclass, what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE %1$s)) x', s, t) INTO n;
  RETURN is(n, 0, what);
END $$;
CREATE TABLE writes (t text, id int);
CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO writes VALUES (TG_TABLE_NAME, NEW.id); RETURN NEW; END';
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'WITH d AS (DELETE FROM writes RETURNING 1) SELECT count(*)::int FROM d';
-- plain: of NULLs, of NOT NULL, of text, two columns; written directly, and by statements because of a trigger
CREATE TABLE s (id int PRIMARY KEY, u int UNIQUE DEFERRABLE, n int NOT NULL UNIQUE DEFERRABLE, x text, y int, v int, UNIQUE (x, y) DEFERRABLE);
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, n int NOT NULL UNIQUE, x text, y int, v int, UNIQUE (x, y));
CREATE TABLE tt (LIKE t INCLUDING ALL);
CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES tt (n) ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO s SELECT i, i, i, 'x' || i, 0, 0 FROM generate_series(1, 100) i;
SELECT tracksync.create_link('l', 's', 'public.t'), tracksync.create_link('ll', 's', 'public.tt');
CREATE FUNCTION push(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tracksync.push('l'); PERFORM tracksync.push('ll');
  RETURN NEXT same('s', 't', what || ': t');
  RETURN NEXT same('s', 'tt', what || ': tt');
END $$;
SELECT push('at first');
CREATE TRIGGER note_write AFTER UPDATE ON tt FOR EACH ROW EXECUTE FUNCTION note_write();
INSERT INTO child SELECT id, n FROM tt;
UPDATE s SET u = u + 1; SELECT push('a chain upwards'); SELECT is(writes(), 100, 'each row is written once');
UPDATE s SET u = u - 1; SELECT push('a chain downwards'); SELECT is(writes(), 100, 'each row is written once');
UPDATE s SET u = 3 - u WHERE u IN (1, 2); SELECT push('a swap'); SELECT is(writes(), 3, 'one row is parked');
UPDATE s SET n = 3 - n WHERE n IN (1, 2); SELECT push('a swap of what cannot be NULL'); SELECT is(writes(), 3, 'one row is parked');
SELECT is((SELECT string_agg(child::text, ' ' ORDER BY id) FROM child WHERE id < 3), '(1,2) (2,1)', 'children followed');
UPDATE s SET u = u % 10 + 1 WHERE u BETWEEN 1 AND 10; SELECT push('a circle of ten'); SELECT is(writes(), 11, 'one row is parked');
UPDATE s SET u = 101 - u, v = id; SELECT push('fifty swaps'); SELECT is(writes(), 150, 'half of the rows are parked');
UPDATE s SET n = 101 - n; SELECT push('fifty more'); SELECT is(writes(), 150, 'half of the rows are parked');
UPDATE s SET u = 101 - u, n = n % 100 + 1; SELECT push('swaps, and a circle of another column');
SELECT writes();
UPDATE s SET x = 'x' || (101 - substr(x, 2)::int), y = 1 - y WHERE id <= 50; SELECT push('two columns');
UPDATE s SET x = 'x1' WHERE id = 1; UPDATE s SET x = 'x2', y = 7 WHERE id = 2; SELECT push('two columns again');
-- freed by rows that are deleted, moved, and moved as well
DELETE FROM s WHERE id = 10; UPDATE s SET u = (SELECT min(g) FROM generate_series(1, 200) g WHERE g NOT IN (SELECT u FROM s)) WHERE id = 11; SELECT push('freed by a deleted row');
BEGIN;
UPDATE s SET u = -1 WHERE id = 20; UPDATE s SET u = (SELECT o.u FROM tt o WHERE o.id = 20) WHERE id = 21; UPDATE s SET u = (SELECT o.u FROM tt o WHERE o.id = 21), id = 220 WHERE id = 20;
COMMIT;
SELECT push('a swap with a row that gets another key');
BEGIN;
UPDATE s SET u = -1, id = 222 WHERE id = 22; UPDATE s SET u = (SELECT o.u FROM tt o WHERE o.id = 22), id = 22 WHERE id = 23; UPDATE s SET u = (SELECT o.u FROM tt o WHERE o.id = 23), id = 23 WHERE id = 222;
COMMIT;
SELECT push('keys and values change places');
BEGIN;
UPDATE s SET u = 1000 WHERE id = 31; INSERT INTO s SELECT 331, o.u, 331, 'x', 0, 0 FROM tt o WHERE o.id = 31; DELETE FROM s WHERE id = 33; UPDATE s SET u = (SELECT o.u FROM tt o WHERE o.id = 33), v = 1 WHERE id = 32;
COMMIT;
SELECT push('freed for a new row');
SELECT is((SELECT count(*)::int FROM child), 98, 'children of rows that are there are there');
-- a value that a row has which is not part of the push
UPDATE s SET n = 100000 WHERE id = 50; INSERT INTO t VALUES (777, NULL, 100000, 'only', NULL, 0); INSERT INTO tt VALUES (777, NULL, 100000, 'only', NULL, 0);
CREATE FUNCTION failure(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; c text; s text;
BEGIN
  EXECUTE q; RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, c = CONSTRAINT_NAME, s = RETURNED_SQLSTATE;
  RETURN s || ' ' || c || ' ' || d;
END $$;
SELECT is(failure($$SELECT count(*) FROM tracksync.push('l')$$), '23505 t_n_key Key (n)=(100000) already exists.
Before this push the row {"id": 777} of table public.t had it.', 'the row is named');
SELECT is(failure($$SELECT count(*) FROM tracksync.push('ll')$$), '23505 tt_n_key Key (n)=(100000) already exists.
Before this push the row {"id": 777} of table public.tt had it.', 'the row is named');
DELETE FROM t WHERE id = 777; DELETE FROM tt WHERE id = 777; SELECT push('when it is gone');
-- expressions, predicates, NULLs that are equal, exclusion constraints, a target with partitions, a key that is one of its columns
CREATE TABLE e (id int PRIMARY KEY, a text, b citext NOT NULL, live boolean, p int, room int NOT NULL, during int4range NOT NULL, own text DEFAULT 'own');
CREATE TABLE te (id int PRIMARY KEY, a text, b citext NOT NULL UNIQUE, live boolean, p int, room int NOT NULL, during int4range NOT NULL, own text, EXCLUDE USING gist (room WITH =, during WITH &&));
CREATE UNIQUE INDEX ON te (lower(a)); CREATE UNIQUE INDEX ON te (p) WHERE live;
INSERT INTO e SELECT i, 'A' || i, 'b' || i, i % 2 = 0, i, i / 10, int4range(i, i + 1) FROM generate_series(1, 60) i;
SELECT tracksync.create_link('e', 'e', 'public.te'); SELECT count(*) FROM tracksync.push('e');
CREATE FUNCTION go(q text, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF q <> '' THEN EXECUTE q; END IF;
  PERFORM tracksync.push('e');
  RETURN same('e', 'te', what);
END $$;
SELECT go('UPDATE e SET a = ''a'' || 61 - id', 'an expression');
SELECT go('UPDATE e SET b = ''B'' || (id % 60 + 1)', 'a type with an equality of its own');
SELECT go('UPDATE e SET live = NOT live', 'a predicate');
SELECT go('UPDATE e SET p = 61 - p, live = true', 'a predicate and its column');
SELECT go('UPDATE e SET during = int4range(lower(during) + 1, upper(during) + 1)', 'ranges that move by one');
SELECT go('UPDATE e SET during = int4range(100 - upper(during), 100 - lower(during)), room = 6 - room', 'ranges that change places');
SELECT go('UPDATE e SET room = room + 1 WHERE room < 3; UPDATE e SET during = int4range(id, id + 1), room = 0', 'other groups');
-- one that overlaps with several
SELECT go('DELETE FROM e WHERE id BETWEEN 11 AND 20; UPDATE e SET during = int4range(5, 25) WHERE id = 15; UPDATE e SET during = int4range(100 + id, 101 + id) WHERE id BETWEEN 5 AND 24', 'moved away');
SELECT go('UPDATE e SET during = int4range(id, id + 1); DELETE FROM e WHERE id BETWEEN 30 AND 35; UPDATE e SET during = int4range(30, 36) WHERE id = 1; UPDATE e SET during = int4range(1, 2) WHERE id = 36', 'long and short');
CREATE TABLE pk (a int, b int, c int, v int, PRIMARY KEY (a, b));
CREATE TABLE tpk (a int, b int, c int, v int, PRIMARY KEY (a, b), UNIQUE (a, c)) PARTITION BY LIST (a);
CREATE TABLE tpk1 PARTITION OF tpk FOR VALUES IN (1); CREATE TABLE tpk2 PARTITION OF tpk DEFAULT;
INSERT INTO pk SELECT i % 3, i, i, i FROM generate_series(1, 30) i;
SELECT tracksync.create_link('pk', 'pk', 'public.tpk'); SELECT count(*) FROM tracksync.push('pk');
UPDATE pk SET c = 31 - c WHERE a <> 2; SELECT count(*) FROM tracksync.push('pk'); SELECT same('pk', 'tpk', 'partitions');
UPDATE pk SET c = c + 1; SELECT count(*) FROM tracksync.push('pk'); SELECT same('pk', 'tpk', 'partitions, a chain');
-- a group: values freed by another link's rows
CREATE TABLE f1 (id int PRIMARY KEY, u int); CREATE TABLE f2 (LIKE f1 INCLUDING ALL); CREATE TABLE tf (id int PRIMARY KEY, u int UNIQUE);
INSERT INTO f1 SELECT i, i FROM generate_series(1, 9) i; INSERT INTO f2 SELECT i, i FROM generate_series(11, 19) i;
SELECT tracksync.create_link('f1', 'f1', 'public.tf'), tracksync.create_link('f2', 'f2', 'public.tf'), tracksync.create_group('f', '{f1,f2}');
SELECT count(*) FROM tracksync.push('f');
CREATE VIEW f AS TABLE f1 UNION ALL TABLE f2;
UPDATE f1 SET u = 20 - u; UPDATE f2 SET u = 20 - u; SELECT count(*) FROM tracksync.push('f'); SELECT same('f', 'tf', 'two links exchange values');
UPDATE f1 SET u = 9 WHERE id = 1; UPDATE f2 SET u = 12 WHERE id = 11; UPDATE f1 SET u = 19 WHERE id = 8; SELECT count(*) FROM tracksync.push('f'); SELECT same('f', 'tf', 'a circle through both');
UPDATE f1 SET id = id + 100 WHERE id < 5; UPDATE f2 SET id = id - 15 WHERE id > 15; UPDATE f1 SET id = id + 10 WHERE id BETWEEN 6 AND 9; SELECT count(*) FROM tracksync.push('f'); SELECT same('f', 'tf', 'two links hand over keys');
BEGIN; UPDATE f1 SET id = -id; UPDATE f2 SET id = -id; CREATE TEMP TABLE ff AS TABLE f1; UPDATE f1 SET id = (SELECT -min(f2.id) FROM f2) WHERE id = (SELECT max(id) FROM f1); UPDATE f2 SET id = (SELECT -max(ff.id) FROM ff) WHERE id = (SELECT min(id) FROM f2);
UPDATE f1 SET id = -id WHERE id < 0; UPDATE f2 SET id = -id WHERE id < 0; COMMIT;
SELECT count(*) FROM tracksync.push('f'); SELECT same('f', 'tf', 'two links exchange keys');
-- a comparison, too: never pushed, and after a TRUNCATE
CREATE TABLE c (id int PRIMARY KEY, u int); CREATE TABLE tc (id int PRIMARY KEY, u int UNIQUE); INSERT INTO c SELECT i, 101 - i FROM generate_series(1, 100) i; INSERT INTO tc SELECT i, i FROM generate_series(1, 100) i;
SELECT tracksync.create_link('c', 'c', 'public.tc'); SELECT count(*) FROM tracksync.push('c'); SELECT same('c', 'tc', 'never pushed');
TRUNCATE c; INSERT INTO c SELECT i, i % 100 + 1 FROM generate_series(1, 100) i; SELECT count(*) FROM tracksync.push('c'); SELECT same('c', 'tc', 'after a TRUNCATE');
-- a conflict in a circle is a conflict
UPDATE c SET u = 101 - u; UPDATE tc SET u = 1000 WHERE id = 7;
SELECT throws_like($$SELECT count(*) FROM tracksync.push('c')$$, '%1 conflicting row: 1 update_differs', 'is a conflict');
UPDATE tc SET u = 8 WHERE id = 7; SELECT count(*) FROM tracksync.push('c'); SELECT same('c', 'tc', 'mended');
UPDATE c SET u = u % 100 + 1; UPDATE tc SET u = 1007 WHERE id = 7; UPDATE c SET u = 7777 WHERE id = 7; UPDATE tc SET u = 7776 WHERE id = 7;
SELECT throws_ok($$SELECT count(*) FROM tracksync.push('c')$$, '40001', NULL, 'and not a value that is taken');
SELECT tracksync.alter_link('c', on_conflict => 'source_wins'); SELECT count(*) FROM tracksync.push('c'); SELECT same('c', 'tc', 'the source wins');
-- a free value is beyond those to come, too; deferrable keys; a trigger that stamps
CREATE TABLE k (id int PRIMARY KEY DEFERRABLE, v int, at text DEFAULT 'now'); CREATE TABLE tk (id int PRIMARY KEY DEFERRABLE, v int NOT NULL UNIQUE, at text);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.at = OLD.at THEN NEW.at := clock_timestamp()::text; END IF; RETURN NEW; END';
INSERT INTO k SELECT i, i FROM generate_series(1, 9) i; SELECT tracksync.create_link('k', 'k', 'public.tk'); SELECT count(*) FROM tracksync.push('k');
CREATE TRIGGER stamp BEFORE UPDATE ON tk FOR EACH ROW EXECUTE FUNCTION stamp();
UPDATE k SET v = CASE WHEN id < 3 THEN 3 - v ELSE v + 1 END, id = CASE WHEN id < 5 THEN 5 - id ELSE id + 1 END, at = 'then'; SELECT count(*) FROM tracksync.push('k'); SELECT same('k', 'tk', 'keys and values at once');
UPDATE k SET id = 11 - id, v = 20 - v, at = 'later'; SELECT count(*) FROM tracksync.push('k'); SELECT same('k', 'tk', 'again');
-- nothing can be made that is free
CREATE TYPE mood AS ENUM ('ok', 'so so', 'ill'); CREATE TABLE m (id int PRIMARY KEY, u mood); CREATE TABLE tm (id int PRIMARY KEY, u mood NOT NULL UNIQUE);
INSERT INTO m VALUES (1, 'ok'), (2, 'ill'); SELECT tracksync.create_link('m', 'm', 'public.tm'); SELECT count(*) FROM tracksync.push('m');
UPDATE m SET u = CASE u WHEN 'ok' THEN 'ill'::mood ELSE 'ok' END;
SELECT throws_ok($$SELECT count(*) FROM tracksync.push('m')$$, '0A000', 'rows of target table public.tm cannot exchange their values of constraint "tm_u_key"', 'is told');
ALTER TABLE tm ALTER u DROP NOT NULL; SELECT count(*) FROM tracksync.push('m'); SELECT same('m', 'tm', 'NULL is free');
-- quarantine: a row that the target does not take takes those with it that wait for its value; other circles are closed
CREATE TABLE q (id int PRIMARY KEY, u int, v int DEFAULT 0); CREATE TABLE tq (id int PRIMARY KEY, u int UNIQUE, v int CHECK (v < 9)); INSERT INTO q SELECT i, i FROM generate_series(1, 20) i;
SELECT tracksync.create_link('q', 'q', 'public.tq', on_error => 'quarantine'); SELECT count(*) FROM tracksync.push('q');
UPDATE q SET u = u % 5 + 1 WHERE u <= 5; UPDATE q SET u = 31 - u WHERE u > 10; UPDATE q SET v = 9 WHERE id = 2; UPDATE q SET v = 1 WHERE id > 5;
SELECT count(*) FROM tracksync.push('q');
SELECT is((SELECT string_agg(key->>'id' || ':' || sqlstate, ' ' ORDER BY key) FROM tracksync.quarantine), '1:23514 2:23514 3:23514 4:23514 5:23514', 'a circle as a whole');
SELECT is((SELECT string_agg(id || ':' || u || ':' || v, ' ' ORDER BY id) FROM tq WHERE id < 7), '1:1:0 2:2:0 3:3:0 4:4:0 5:5:0 6:6:1', 'nothing of it is written');
SELECT is((SELECT count(*)::int FROM q JOIN tq USING (id, u, v)), 15, 'all others are');
UPDATE q SET u = u + 100 WHERE id > 17; UPDATE q SET u = 1 WHERE id = 20; SELECT count(*) FROM tracksync.push('q');
SELECT is((SELECT message FROM tracksync.quarantine WHERE key = '{"id": 20}'), 'duplicate key value violates unique constraint "tq_u_key": row {"id": 1} has it', 'the row is named');
UPDATE q SET u = 120 WHERE id = 20; UPDATE q SET v = 1 WHERE id = 2; SELECT count(*) FROM tracksync.push('q'); SELECT same('q', 'tq', 'all is well');
SELECT is_empty('TABLE tracksync.quarantine', 'and nothing waits');
SELECT * FROM finish();
