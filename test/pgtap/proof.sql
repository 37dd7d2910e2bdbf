-- verify, repair and pull: messages, rights, states, groups, quarantine, and what is told apart.
SET client_min_messages = warning;
SELECT plan(52);
CREATE ROLE proof_owner; CREATE ROLE proof_other; CREATE SCHEMA proof AUTHORIZATION proof_owner; GRANT USAGE ON SCHEMA proof TO proof_other;
SET ROLE proof_owner;
CREATE TABLE proof.s (id int PRIMARY KEY, v text, n numeric, f float8); CREATE TABLE proof.t (id int PRIMARY KEY, v text, n numeric, f float8, own int DEFAULT 0);
INSERT INTO proof.s SELECT i, 'v' || i, i, i FROM generate_series(1, 9) i;
SELECT tracksync.create_link('l', 'proof.s', 'proof.t');
CREATE FUNCTION proof.named(l text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', kind, key ->> 'id', columns), ', ' ORDER BY link, key ->> 'id') FROM tracksync.verify(l) $$;
CREATE FUNCTION proof.wrote(l text, extra boolean) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(kind || ' ' || rows, ', ' ORDER BY step) FROM tracksync.repair(l, extra) $$;
CREATE FUNCTION proof.pulled(l text, discard boolean) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(kind || ' ' || rows, ', ' ORDER BY step) FROM tracksync.pull(l, discard) $$;

-- arguments and states
SELECT throws_ok($$SELECT * FROM tracksync.verify(NULL)$$, '22004', NULL, 'verify: no name');
SELECT throws_ok($$SELECT * FROM tracksync.repair(NULL)$$, '22004', NULL, 'repair: no name');
SELECT throws_ok($$SELECT * FROM tracksync.repair('l', NULL)$$, '22004', NULL, 'repair: delete_extra NULL');
SELECT throws_ok($$SELECT * FROM tracksync.pull('l', NULL)$$, '22004', NULL, 'pull: discard NULL');
SELECT throws_ok($$SELECT * FROM tracksync.verify('nowhere')$$, '42704', NULL, 'verify: no such link');
SELECT throws_ok($$SELECT * FROM tracksync.pull('nowhere')$$, '42704', NULL, 'pull: no such link');
SELECT throws_ok($$SELECT * FROM tracksync.verify('l')$$, '55000', 'link "l" has never been pushed', 'verify: never pushed');
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '55000', 'link "l" has never been pushed', 'pull: never pushed');
SELECT is(proof.wrote('l', false), 'insert 9', 'repair: as a first push');
SELECT is(proof.named('l'), NULL, 'nothing is named');

-- what looks alike; one query tells all
UPDATE proof.t SET v = NULL WHERE id = 1; UPDATE proof.t SET v = '' WHERE id = 2; UPDATE proof.t SET n = 3.0 WHERE id = 3; UPDATE proof.t SET own = 1 WHERE id = 4; DELETE FROM proof.t WHERE id = 5; INSERT INTO proof.t VALUES (50, 'x');
SELECT is(proof.named('l'), 'differs 1 {v}, differs 2 {v}, differs 3 {n}, only_source 5, only_target 50', 'damage is named, other columns are not');
SELECT results_eq($$SELECT link, kind, key, source, target, columns FROM tracksync.verify('l') WHERE key = '{"id": 3}'$$,
  $$VALUES ('l', 'differs', '{"id": 3}'::jsonb, '{"id": 3, "v": "v3", "n": 3, "f": 3}'::jsonb, '{"id": 3, "v": "v3", "n": 3.0, "f": 3}'::jsonb, '{n}'::text[])$$, 'both rows are shown');
-- changes that are pending are no damage, and hide none
UPDATE proof.s SET v = 'new', f = '-0'; DELETE FROM proof.s WHERE id IN (2, 6, 5); INSERT INTO proof.s VALUES (50, 'mine'), (51, 'mine');
SELECT is(proof.named('l'), 'differs 1 {v}, differs 2 {v}, differs 3 {n}, only_target 50', 'the same with pending changes of the same rows; one that is gone on both sides is in step');
SELECT is((SELECT source FROM tracksync.verify('l') WHERE key = '{"id": 1}'), '{"id": 1, "v": "v1", "n": 1, "f": 1}'::jsonb, 'what was shipped is shown, not what is pending');
SELECT is(proof.wrote('l', false), 'delete 3, update 7, insert 1', 'repair writes what differs, and what is pending');
SELECT is(proof.named('l'), NULL, 'then nothing is named');
SELECT is((SELECT pending FROM tracksync.status WHERE link = 'l'), 0::bigint, 'nor pending');
SELECT is(proof.wrote('l', true), NULL, 'nor written again');
INSERT INTO proof.t VALUES (60, 'extra');
SELECT is(proof.wrote('l', false), NULL, 'what only the target has stays');
SELECT is(proof.named('l'), 'only_target 60', 'and is named');
SELECT is(proof.wrote('l', true), 'delete 1', 'until it is to go');
SELECT is((SELECT outcome FROM tracksync.push_history ORDER BY id DESC LIMIT 1), 'done', 'repairs are in the history');

-- where the log does not tell
TRUNCATE proof.s; INSERT INTO proof.s VALUES (1, 'v');
SELECT throws_ok($$SELECT * FROM tracksync.verify('l')$$, '55000', NULL, 'a TRUNCATE is pending');
SELECT count(*) FROM tracksync.push('l');
SELECT is(proof.named('l'), NULL, 'pushed: nothing is named');
RESET ROLE;
DO $$ BEGIN PERFORM tracksync.verify('l'); END $$;
SET ROLE proof_owner;
ALTER TABLE proof.s ADD COLUMN w text DEFAULT 'w'; ALTER TABLE proof.s RENAME v TO u;
UPDATE proof.t SET v = 'damage';
SELECT ok(proof.named('l') LIKE 'differs 1 %', 'while columns have to follow, the others are compared');
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '55000', NULL, 'pull: columns have to follow');
SELECT ok(proof.wrote('l', false) LIKE '%update 1%', 'repair has them follow');
SELECT is(proof.named('l'), NULL, 'then nothing is named');

-- rights
SET ROLE proof_other;
SELECT throws_ok($$SELECT * FROM tracksync.verify('l')$$, '42501', NULL, 'verify: somebody else');
SELECT throws_ok($$SELECT * FROM tracksync.repair('l')$$, '42501', NULL, 'repair: somebody else');
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '42501', NULL, 'pull: somebody else');
SET ROLE proof_owner;
REVOKE UPDATE ON proof.s FROM proof_owner;
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '42501', NULL, 'pull: the owner may not write the source');
GRANT UPDATE ON proof.s TO proof_owner;

-- pull
UPDATE proof.t SET u = 'theirs', w = NULL; INSERT INTO proof.t VALUES (2, 'two', 2, 2, 0, 'w');
UPDATE proof.s SET n = 77;
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '55000', 'link "l" has changes that are not pushed', 'pull: refused while changes are pending');
SELECT is(proof.pulled('l', true), 'update 1, insert 1', 'pull: unless they are given up');
SELECT results_eq('SELECT id, u, n, f, w FROM proof.s ORDER BY id', 'SELECT id, u, n, f, w FROM proof.t ORDER BY id', 'the source holds what the target does');
SELECT is_empty($$SELECT * FROM tracksync.plan('l')$$, 'nothing goes back');
SELECT results_eq($$SELECT outcome, deletes, updates, inserts FROM tracksync.push_history ORDER BY id DESC LIMIT 1$$, $$VALUES ('pulled', 0::bigint, 1::bigint, 1::bigint)$$, 'it is in the history');
CREATE FUNCTION proof.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.u := NEW.u || '!'; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON proof.s FOR EACH ROW EXECUTE FUNCTION proof.stamp();
UPDATE proof.t SET n = 5 WHERE id = 1;
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '55000', 'the source of link "l" would not hold what its target holds', 'pull: a trigger of the source makes something else of it');
DROP TRIGGER stamp ON proof.s;
SELECT is(proof.pulled('l', false), 'update 1', 'without it it does');
CREATE TABLE proof.e (id int PRIMARY KEY, v text);
SELECT tracksync.create_link('e', 'proof.s', 'proof.e', columns => '{"id": "id", "v": "upper(u)"}'); SELECT count(*) FROM tracksync.push('e');
SELECT throws_ok($$SELECT * FROM tracksync.pull('e')$$, '0A000', NULL, 'pull: not through expressions');
SELECT is(proof.named('e'), NULL, 'verify: through expressions');

-- groups, quarantine
CREATE TABLE proof.q (id int PRIMARY KEY, v text CHECK (v <> 'bad'), n numeric, f float8);
SELECT tracksync.create_link('q', 'proof.s', 'proof.q', columns => '{"id": "id", "v": "u"}', on_error => 'quarantine'); SELECT tracksync.create_group('g', '{l,q}');
SELECT count(*) FROM tracksync.push('g');
UPDATE proof.s SET u = 'bad' WHERE id = 1; SELECT count(*) FROM tracksync.push('g');
SELECT is((SELECT quarantined FROM tracksync.status WHERE link = 'q'), 1::bigint, 'a row is in quarantine');
UPDATE proof.t SET u = 'x' WHERE id = 2; UPDATE proof.q SET v = 'y';
SELECT is((SELECT string_agg(concat_ws(' ', link, kind, key), ', ' ORDER BY link) FROM tracksync.verify('g')), 'l differs {"id": 2}, q differs {"id": 2}', 'of a group all links; not the row in quarantine');
SELECT throws_ok($$SELECT * FROM tracksync.pull('q')$$, '55000', 'link "q" has rows in quarantine', 'pull: a row in quarantine is pending');
-- links that compare have no log
CREATE TABLE proof.d (LIKE proof.s INCLUDING ALL); CREATE TABLE proof.dt (LIKE proof.s INCLUDING ALL); INSERT INTO proof.d SELECT i, 'd' FROM generate_series(1, 5) i;
SELECT tracksync.create_link('d', 'proof.d', 'proof.dt', detect => 'diff'); SELECT count(*) FROM tracksync.push('d');
UPDATE proof.dt SET u = 'x' WHERE id = 1; DELETE FROM proof.dt WHERE id = 2; INSERT INTO proof.dt VALUES (9, 'e');
SELECT is(proof.named('d'), 'differs 1 {u}, only_source 2, only_target 9', 'verify without a log');
SELECT is(proof.wrote('d', false), 'update 1, insert 1', 'repair without a log leaves what only the target has');
SELECT throws_ok($$SELECT * FROM tracksync.pull('d')$$, '55000', NULL, 'pull: without a log anything may be pending');
SELECT is(proof.pulled('d', true), 'insert 1', 'pull without a log');
SELECT is(proof.named('d'), NULL, 'then nothing is named');
-- there and back
CREATE TABLE proof.a (id int PRIMARY KEY, n int); CREATE TABLE proof.b (LIKE proof.a INCLUDING ALL); INSERT INTO proof.a VALUES (1, 1), (2, 2);
SELECT tracksync.create_link('ab', 'proof.a', 'proof.b', on_conflict => 'merge'); SELECT tracksync.create_link('ba', 'proof.b', 'proof.a', on_conflict => 'merge', initial => 'none');
SELECT tracksync.set_merge_rule(l, 'n', 'add') FROM unnest('{ab,ba}'::text[]) l; SELECT count(*) FROM tracksync.push('ab'); SELECT count(*) FROM tracksync.push('ba');
UPDATE proof.b SET n = 10 WHERE id = 1;
SELECT throws_ok($$SELECT * FROM tracksync.pull('ab')$$, '55000', NULL, 'pull: what the other direction is to bring would count twice');
SELECT lives_ok($$SELECT * FROM tracksync.push('ba')$$, 'it is pushed');
SELECT is((SELECT count(*) FROM tracksync.pull('ab')), 0::bigint, 'then there is nothing to pull');
RESET ROLE;
SELECT tracksync.drop_link(x) FROM unnest('{l,e,q,d,ab,ba}'::text[]) x; DROP SCHEMA proof CASCADE;
