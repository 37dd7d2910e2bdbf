-- create_link, alter_link, drop_link, net_changes, plan, plan_fingerprint, push, status, push_history, conflict.
SET client_min_messages = warning;
SELECT plan(52);
CREATE FUNCTION done(name text, dry boolean = false) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name, dry_run => dry) $$;
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.plan(name) $$;

CREATE TABLE s (id int PRIMARY KEY, v text, w varchar(10), n int, arr text[]);
CREATE TABLE t (own text DEFAULT 'mine', key bigserial PRIMARY KEY, label text, w text, arr text[]);
SELECT lives_ok($$SELECT tracksync.create_link('l', 's', 'public.t', columns => '{"key": "id", "label": "v", "w": "w", "arr": "arr"}')$$, 'a link with named columns of other types');
INSERT INTO s VALUES (1, 'one', 'w', 1, '{a,"b c"}'), (2, 'two', NULL, 2, NULL);
SELECT is(planned('l'), 'insert2 sequence1', 'plan');
SELECT is(done('l', true), 'insert2 sequence1', 'a dry run tells what a push would do');
SELECT is((SELECT count(*) FROM t), 0::bigint, 'and leaves nothing behind');
SELECT is((SELECT last_value FROM t_key_seq), 1::bigint, 'not even in the sequence');
SELECT is(done('l'), 'insert2 sequence1', 'push');
SELECT results_eq('SELECT own, key, label, w, arr FROM t ORDER BY key', $$VALUES ('mine', 1::bigint, 'one', 'w', '{a,"b c"}'::text[]), ('mine', 2, 'two', NULL, NULL)$$, 'rows arrive under the target''s names and types');
UPDATE s SET n = 99;
SELECT is(planned('l'), '', 'a column that is not mapped does not matter');
UPDATE s SET v = 'ONE' WHERE id = 1;
DELETE FROM s WHERE id = 2;
INSERT INTO s VALUES (3, 'three');
SELECT results_eq($$SELECT op, key::text, old ->> 'v', new ->> 'v', changed FROM tracksync.net_changes('l')$$,
  $$VALUES ('UPDATE', '{"id": 1}', 'one', 'ONE', '{v}'::text[]), ('DELETE', '{"id": 2}', 'two', NULL, NULL), ('INSERT', '{"id": 3}', NULL, 'three', NULL)$$, 'net changes, in key order');

-- fingerprints
CREATE TABLE fp AS SELECT tracksync.plan_fingerprint('l') AS f;
SELECT is(tracksync.plan_fingerprint('l'), (SELECT f FROM fp), 'the same plan has the same fingerprint');
UPDATE s SET v = 'TRE' WHERE id = 3;
SELECT isnt(tracksync.plan_fingerprint('l'), (SELECT f FROM fp), 'another value is another plan');
SELECT throws_ok($$SELECT * FROM tracksync.push('l', expect => (SELECT f FROM fp))$$, '55000', NULL, 'a stale fingerprint is refused');
SELECT lives_ok($$SELECT * FROM tracksync.push('l', expect => tracksync.plan_fingerprint('l'))$$, 'the right one is not');
SELECT results_eq($$SELECT state, pending, last_rows FROM tracksync.status WHERE link = 'l'$$, $$VALUES ('active', 0::bigint, 3::bigint)$$, 'status');
SELECT results_eq($$SELECT outcome, deletes, updates, inserts FROM tracksync.push_history WHERE link = 'l' ORDER BY id$$,
  $$VALUES ('dry run', 0::bigint, 0::bigint, 2::bigint), ('done', 0, 0, 2), ('done', 1, 1, 1)$$, 'push_history');
SELECT is((SELECT count(*) FROM tracksync.changes('s')), 0::bigint, 'the log is pruned');

-- conflicts: each kind, under error
CREATE TABLE cs (id int PRIMARY KEY, v numeric, w text);
CREATE TABLE ct (LIKE cs INCLUDING ALL);
INSERT INTO cs SELECT i, i, 'w' FROM generate_series(1, 10) i;
SELECT tracksync.create_link('c', 'cs', 'public.ct');
SELECT done('c');
INSERT INTO ct VALUES (11, 0, 'there');
INSERT INTO cs VALUES (11, 11, 'w');
SELECT throws_like($$SELECT done('c')$$, '%1 insert_exists%', 'insert_exists');
DELETE FROM cs WHERE id = 11;
UPDATE cs SET w = 'new' WHERE id = 1;
DELETE FROM ct WHERE id = 1;
SELECT throws_like($$SELECT done('c')$$, '%1 update_missing%', 'update_missing');
INSERT INTO ct VALUES (1, 1, 'other');
SELECT throws_like($$SELECT done('c')$$, '%1 update_differs%', 'update_differs');
UPDATE ct SET w = 'new' WHERE id = 1;
SELECT is(done('c'), 'update1', 'a row that holds the new values is no conflict');
UPDATE cs SET v = 20 WHERE id = 2;
UPDATE ct SET v = 2.00 WHERE id = 2;
SELECT is(done('c'), 'update1', 'nor one whose old value is equal by the type''s own equality');
DELETE FROM cs WHERE id = 3;
DELETE FROM ct WHERE id = 3;
SELECT throws_like($$SELECT done('c')$$, '%1 delete_missing%', 'delete_missing');
INSERT INTO ct VALUES (3, 3, 'changed');
SELECT throws_like($$SELECT done('c')$$, '%1 delete_differs%', 'delete_differs');
UPDATE cs SET w = 'both' WHERE id = 4;
UPDATE ct SET w = 'theirs' WHERE id = 4;
SELECT throws_like($$SELECT done('c')$$, '%2 conflicting rows: 1 update_differs, 1 delete_differs%', 'all kinds are counted');
SELECT is((SELECT w FROM ct WHERE id = 4), 'theirs', 'and nothing was written');
-- under source_wins
SELECT lives_ok($$SELECT tracksync.alter_link('c', on_conflict => 'source_wins')$$, 'alter_link');
INSERT INTO ct VALUES (12, 0, 'there');
INSERT INTO cs VALUES (12, 12, 'w');
UPDATE cs SET w = 'x' WHERE id = 5;
DELETE FROM ct WHERE id IN (5, 6);
DELETE FROM cs WHERE id = 6;
SELECT lives_ok($$SELECT done('c')$$, 'the source wins');
SELECT bag_eq('SELECT id, v, w FROM ct WHERE id <> 11', 'SELECT id, v, w FROM cs', 'the tables are the same');
SELECT results_eq($$SELECT kind, key ->> 'id' FROM tracksync.conflict WHERE link = 'c' ORDER BY kind$$,
  $$VALUES ('delete_differs', '3'), ('insert_exists', '12'), ('update_differs', '4'), ('update_missing', '5')$$, 'each conflict is recorded');

-- triggers and foreign keys of the target
CREATE TABLE fs (id int PRIMARY KEY, up int, v text);
CREATE TABLE ft (id int PRIMARY KEY, up int REFERENCES ft, v text, stamp text);
CREATE TABLE kid (id int PRIMARY KEY, f int REFERENCES ft ON DELETE CASCADE);
CREATE TABLE fired (what text);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.stamp := 'stamped'; RETURN NEW; END $$;
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (TG_OP || ' ' || TG_LEVEL); RETURN NULL; END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON ft FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER fired AFTER INSERT OR UPDATE OR DELETE ON ft FOR EACH STATEMENT EXECUTE FUNCTION fired();
INSERT INTO fs VALUES (1, 2, 'a'), (2, 1, 'b'), (3, NULL, 'c');
SELECT tracksync.create_link('f', 'fs', 'public.ft');
SET tracksync.batch_rows = 1;
SELECT is(done('f'), 'insert3', 'a cycle of references');
SELECT is((SELECT count(*) FROM fired), 1::bigint, 'a statement trigger fires once, however many batches');
SELECT is((SELECT count(*) FROM ft WHERE stamp = 'stamped'), 3::bigint, 'a BEFORE trigger may fill a column of the target''s own');
INSERT INTO kid VALUES (1, 3);
DELETE FROM fs WHERE id = 3;
INSERT INTO fs VALUES (3, 3, 'again');
SELECT is(done('f'), 'update1', 'deleted and inserted again is an update');
SELECT is((SELECT count(*) FROM kid), 1::bigint, 'so that its children stay');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER nothing BEFORE UPDATE ON ft FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION nothing();
UPDATE fs SET v = v || '!';
SELECT throws_ok($$SELECT done('f')$$, '09000', NULL, 'a suppressed row is an error');
DROP TRIGGER nothing ON ft;
SELECT is(done('f'), 'update3', 'and is written once the trigger is gone');
RESET tracksync.batch_rows;

-- keys that one statement moves round, under a deferrable constraint: inserted before they are deleted
CREATE TABLE ds (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
CREATE TABLE dt (LIKE ds INCLUDING ALL);
INSERT INTO ds VALUES (1, 'x'), (2, 'y'), (3, 'z');
SELECT tracksync.create_link('d', 'ds', 'public.dt');
SELECT done('d');
UPDATE ds SET id = 3 - id WHERE id < 3;
SELECT is(planned('d'), 'update2', 'a swap of keys');
SELECT done('d');
SELECT bag_eq('TABLE dt', 'TABLE ds', 'arrives');
UPDATE ds SET id = id + 1;
SELECT is(done('d'), 'update3', 'all keys shifted');
SELECT bag_eq('TABLE dt', 'TABLE ds', 'arrive');
SELECT tracksync.drop_link('d');

-- two links, a chain, pruning
CREATE TABLE t2 (LIKE cs INCLUDING ALL);
CREATE TABLE t3 (LIKE cs INCLUDING ALL);
SELECT tracksync.create_link('c2', 'cs', 'public.t2', initial => 'mirror'), tracksync.create_link('c3', 't2', 'public.t3');
SELECT done('c2'), done('c3');
INSERT INTO cs VALUES (100, 1, 'chain');
SELECT is(done('c'), 'insert1', 'one link');
SELECT is((SELECT count(*) FROM tracksync.changes('cs')), 1::bigint, 'the log keeps what the other has not shipped');
SELECT is(done('c2'), 'insert1', 'the other link');
SELECT is((SELECT count(*) FROM tracksync.changes('cs')), 0::bigint, 'then it is pruned');
SELECT is(done('c3'), 'insert1', 'what a push wrote is a change for the next link');
SELECT throws_ok($$SELECT tracksync.create_link('back', 't3', 'public.cs')$$, '42P17', NULL, 'a cycle of links');
SELECT is((SELECT string_agg(link || ':' || pending, ' ' ORDER BY link) FROM tracksync.status), 'c:0 c2:0 c3:0 f:0 l:0', 'status of all links');
-- drop_link
SELECT lives_ok($$SELECT tracksync.drop_link('f')$$, 'drop_link');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'fs'::regclass AND NOT tgisinternal), 0::bigint, 'with its last link a source is untracked');
SELECT is((SELECT count(*) FROM ft), 3::bigint, 'the target keeps its rows');
SELECT lives_ok($$SELECT tracksync.untrack('cs', cascade => true)$$, 'untrack with cascade');
SELECT is((SELECT count(*) FROM tracksync.status WHERE source = 'cs'::regclass), 0::bigint, 'drops the links');
SELECT * FROM finish();
