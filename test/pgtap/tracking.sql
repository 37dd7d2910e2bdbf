-- track, untrack, prune, has_changes, summary, changes, operation: what is recorded, and how it is shown.
SET client_min_messages = warning;
SELECT plan(42);
CREATE TABLE a (id int PRIMARY KEY, v text, w int, seen timestamptz);

SELECT lives_ok($$SELECT tracksync.track('a', ignore => '{seen}')$$, 'track');
SELECT is(tracksync.has_changes('a'), false, 'nothing changed yet');
INSERT INTO a VALUES (1, 'one', 1), (2, 'two', 2);
SELECT is(tracksync.has_changes('a'), true, 'an insert is a change');
UPDATE a SET v = v, w = w;
UPDATE a SET seen = now();
SELECT is((SELECT count(*) FROM tracksync.changes('a')), 2::bigint, 'neither an update to the same values nor one of an ignored column is an event');
UPDATE a SET v = 'uno', seen = now() WHERE id = 1;
UPDATE a SET id = 20 WHERE id = 2;
DELETE FROM a WHERE id = 1;
SELECT results_eq($$SELECT op, key::text FROM tracksync.changes('a') ORDER BY seq$$,
  $$VALUES ('INSERT', '{"id": 1}'), ('INSERT', '{"id": 2}'), ('UPDATE', '{"id": 1}'), ('DELETE', '{"id": 2}'), ('INSERT', '{"id": 20}'), ('DELETE', '{"id": 1}')$$,
  'events in order; a key change is a DELETE and an INSERT');
SELECT results_eq($$SELECT old ->> 'v', new ->> 'v', changed @> '{v}' FROM tracksync.changes('a') WHERE op = 'UPDATE'$$, $$VALUES ('one', 'uno', true)$$, 'the row before and after');
SELECT is((SELECT old ->> 'v' FROM tracksync.changes('a') WHERE op = 'DELETE' AND key ->> 'id' = '1'), 'uno', 'a DELETE has the whole old row');
SELECT is((SELECT new ->> 'v' FROM tracksync.changes('a') WHERE op = 'INSERT' AND key ->> 'id' = '1'), 'one', 'an INSERT is shown as it was then');

-- who and why
BEGIN;
SET LOCAL tracksync.context = 'ticket 42';
INSERT INTO a VALUES (3, 'three', 3);
SELECT is((SELECT context FROM tracksync.changes('a') WHERE key ->> 'id' = '3'), 'ticket 42', 'context of an open transaction');
COMMIT;
SELECT results_eq($$SELECT by, context FROM tracksync.changes('a') WHERE key ->> 'id' = '3'$$, $$SELECT session_user, 'ticket 42'$$, 'user and context');
SELECT results_eq($$SELECT by, context, commands, inserts, updates, deletes, truncates FROM tracksync.operation WHERE source = 'a'::regclass AND context IS NOT NULL$$,
  $$SELECT session_user, 'ticket 42', '{INSERT}'::text[], 1::bigint, 0::bigint, 0::bigint, 0::bigint$$, 'the operation record');
SELECT is((SELECT sum(inserts + updates + deletes) FROM tracksync.operation), (SELECT count(*) FROM tracksync.changes('a'))::numeric, 'operation records count the events');

-- old images outlive ALTER TABLE
SELECT tracksync.prune('a');
SELECT is((SELECT count(*) FROM tracksync.changes('a')), 0::bigint, 'prune empties a log without links');
UPDATE a SET v = 'drei', w = 33 WHERE id = 3;
ALTER TABLE a RENAME v TO name;
ALTER TABLE a DROP w;
ALTER TABLE a ADD extra int DEFAULT 7;
ALTER TABLE a ALTER name TYPE varchar(100);
DELETE FROM a WHERE id = 3;
SELECT results_eq($$SELECT op, old ->> 'name', new ->> 'name' FROM tracksync.changes('a') WHERE op <> 'ALTER' ORDER BY seq$$, $$VALUES ('UPDATE', 'three', 'drei'), ('DELETE', 'drei', NULL)$$,
  'images are read after ALTER TABLE, under today''s names');
SELECT is((SELECT old ? 'w' FROM tracksync.changes('a') WHERE op = 'UPDATE'), false, 'a dropped column is not shown');
SELECT results_eq($$SELECT columns_added, columns_dropped, columns_renamed::text, columns_retyped FROM tracksync.summary('a')$$,
  $$VALUES ('{extra}'::text[], '{w}'::text[], '{"v": "name"}', '{name}'::text[])$$, 'summary tells what became of the columns');

-- summary is net
INSERT INTO a VALUES (100, 'x'), (101, 'y');
DELETE FROM a WHERE id = 101;
UPDATE a SET name = 'z' WHERE id IN (20, 100);
SELECT results_eq($$SELECT inserts, updates, deletes FROM tracksync.summary('a')$$, $$VALUES (1::bigint, 1::bigint, 1::bigint)$$, 'summary counts net changes');
TRUNCATE a;
SELECT is((SELECT op FROM tracksync.changes('a') ORDER BY seq DESC LIMIT 1), 'TRUNCATE', 'a TRUNCATE is an event');
SELECT is((SELECT deletes FROM tracksync.summary('a')), NULL, 'after a TRUNCATE the counts are not known');

-- images none
CREATE TABLE n (id int PRIMARY KEY, v text, w int);
SELECT tracksync.track('n', images => 'none');
INSERT INTO n VALUES (1, 'a', 1);
UPDATE n SET v = 'b' WHERE id = 1;
DELETE FROM n WHERE id = 1;
SELECT results_eq($$SELECT op, old -> 'v', changed FROM tracksync.changes('n') ORDER BY seq$$,
  $$VALUES ('INSERT', NULL::jsonb, NULL::text[]), ('UPDATE', NULL, '{v}'), ('DELETE', NULL, NULL)$$, 'without images: keys and the names of the changed columns');
SELECT lives_ok($$SELECT tracksync.track('n', images => 'changed')$$, 'calling track again alters the options');
INSERT INTO n VALUES (2, 'a', 1);
UPDATE n SET v = 'b' WHERE id = 2;
SELECT is((SELECT old ->> 'v' FROM tracksync.changes('n') WHERE op = 'UPDATE' AND key ->> 'id' = '2'), 'a', 'from then on');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'n'::regclass AND NOT tgisinternal), 2::bigint, 'one row trigger, one TRUNCATE trigger');

-- keys: explicit, replica identity, primary, smallest unique
CREATE TABLE k (p int PRIMARY KEY, r text NOT NULL, u bigint NOT NULL, x int NOT NULL, UNIQUE (r, u));
CREATE UNIQUE INDEX k_u ON k (u);
CREATE UNIQUE INDEX k_r ON k (r);
SELECT tracksync.track('k', key => '{u,r}');
INSERT INTO k VALUES (1, 'r', 2, 3);
SELECT is((SELECT key FROM tracksync.changes('k')), '{"r": "r", "u": 2}', 'an explicit key');
SELECT throws_ok($$SELECT tracksync.track('k', key => '{p}')$$, '55000', NULL, 'the key of a tracked table cannot change');
SELECT tracksync.untrack('k');
ALTER TABLE k REPLICA IDENTITY USING INDEX k_r;
SELECT tracksync.track('k');
INSERT INTO k VALUES (2, 's', 3, 3);
SELECT is((SELECT key FROM tracksync.changes('k')), '{"r": "s"}', 'the replica identity before the primary key');
SELECT tracksync.untrack('k');
ALTER TABLE k REPLICA IDENTITY DEFAULT;
SELECT tracksync.track('k');
INSERT INTO k VALUES (3, 't', 4, 3);
SELECT is((SELECT key FROM tracksync.changes('k')), '{"p": 3}', 'the primary key');
SELECT tracksync.untrack('k');
ALTER TABLE k DROP CONSTRAINT k_pkey;
SELECT tracksync.track('k');
INSERT INTO k VALUES (4, 'u', 5, 3);
SELECT is((SELECT key FROM tracksync.changes('k')), '{"u": 5}', 'the smallest unique index');

-- a trigger of the user's that changes the row again, before and after ours
CREATE TABLE g (id int PRIMARY KEY, n int, log text);
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_trigger_depth() = 1 THEN UPDATE g SET n = OLD.n WHERE id = NEW.id; END IF; RETURN NULL; END $$;
CREATE TRIGGER " before ours" AFTER UPDATE ON g FOR EACH ROW EXECUTE FUNCTION again();
INSERT INTO g VALUES (1, 1);
SELECT tracksync.track('g');
UPDATE g SET n = 2;
SELECT results_eq($$SELECT updates FROM tracksync.summary('g')$$, $$VALUES (0::bigint)$$, 'a row changed and changed back by a trigger that comes first is no net change');
SELECT results_eq($$SELECT (old ->> 'n')::int, (new ->> 'n')::int FROM tracksync.changes('g')$$, $$VALUES (2, 1), (1, 2)$$, 'both events, with their own rows');

-- a function called by the statement changes a row that the statement has changed already
CREATE TABLE vf (id int PRIMARY KEY, v text);
CREATE FUNCTION meddle(i int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  IF i = 2 THEN UPDATE vf SET v = 'c' WHERE id = 1; UPDATE vf SET v = 'b' WHERE id = 1; END IF; RETURN 'b'; END $$;
INSERT INTO vf VALUES (1, 'a'), (2, 'a');
SELECT tracksync.track('vf');
UPDATE vf SET v = meddle(id);
SELECT is((SELECT updates FROM tracksync.summary('vf')), 2::bigint, 'both rows are changed');
SELECT results_eq($$SELECT (old ->> 'v') || (new ->> 'v') FROM tracksync.changes('vf') WHERE key ->> 'id' = '1' ORDER BY old ->> 'v', new ->> 'v'$$,
  $$VALUES ('ab'), ('bc'), ('cb')$$, 'with their own rows before and after');

-- the same value, stored anew out of line
CREATE TABLE big (id int PRIMARY KEY, v text, w int);
ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
INSERT INTO big VALUES (1, repeat('long', 1000), 1);
SELECT tracksync.track('big');
UPDATE big SET v = left(v || 'x', 4000);
UPDATE big SET v = left(v || 'x', 4000), w = 2;
UPDATE big SET v = overlay(v PLACING 'x' FROM 4000);
SELECT results_eq($$SELECT changed FROM tracksync.changes('big') ORDER BY seq$$, $$VALUES ('{w}'::text[]), ('{v}')$$, 'a value that is only stored elsewhere has not changed');

-- every object is described
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'tracksync'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL$$, 'functions have comments');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'tracksync'::regnamespace AND relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL$$, 'tables and views have comments');
SELECT is(tracksync.version(), '1.0', 'version');

-- unlogged, partitioned, inheritance
CREATE UNLOGGED TABLE ul (id int PRIMARY KEY, v text);
SELECT tracksync.track('ul');
INSERT INTO ul VALUES (1, 'a');
SELECT is((SELECT count(*) FROM tracksync.changes('ul')), 1::bigint, 'unlogged tables');
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE child (w int) INHERITS (par);
SELECT tracksync.track('par');
INSERT INTO child VALUES (1, 'c', 1);
INSERT INTO par VALUES (2, 'p');
SELECT is((SELECT string_agg(key ->> 'id', ' ') FROM tracksync.changes('par')), '2', 'inheritance children are left alone');
CREATE TABLE pt (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (100);
SELECT tracksync.track('pt');
CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (100) TO (200);
INSERT INTO pt VALUES (1, 'root'), (101, 'root');
INSERT INTO pt2 VALUES (102, 'leaf');
UPDATE pt SET id = 103 WHERE id = 1;
SELECT is((SELECT string_agg(op || (key ->> 'id'), ' ' ORDER BY seq) FROM tracksync.changes('pt')), 'INSERT1 INSERT101 INSERT102 DELETE1 INSERT103', 'partitions, also later ones');
SELECT is((SELECT string_agg(tgname::text || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'pt2'::regclass), '00_tracksync_rowA 00_tracksync_truncateA', 'a later partition has both triggers');
SELECT throws_ok($$SELECT tracksync.track('pt1')$$, '55000', NULL, 'a partition of a tracked table');
SELECT lives_ok($$SELECT tracksync.untrack('pt')$$, 'untrack');
SELECT * FROM finish();
