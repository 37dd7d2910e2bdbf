-- explain_row: what is told of a row in each situation, and that it is what the push does then.
SET client_min_messages = warning;
SELECT plan(78);
-- what is told of the aspects, "aspect: what", in order
CREATE FUNCTION told(name text, key jsonb, VARIADIC aspects text[] = '{event,net,conflict,quarantine,push}') RETURNS text LANGUAGE sql AS
  $$ SELECT string_agg(aspect || ': ' || what, ' | ' ORDER BY link, fact) FROM tracksync.explain_row(name, key) WHERE aspect = ANY (aspects) $$;
CREATE FUNCTION detail(name text, key jsonb, a text) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT detail FROM tracksync.explain_row(name, key) WHERE aspect = a ORDER BY fact $$;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE TABLE s (id int PRIMARY KEY, v text, w text, n int); CREATE TABLE t (LIKE s INCLUDING ALL, note text DEFAULT 'theirs');
INSERT INTO s SELECT i, 'v', 'w', i FROM generate_series(1, 30) i; INSERT INTO t VALUES (2, 'x', 'w', 2), (99, 'x', 'x', 0);
SELECT tracksync.create_link('l', 's', 'public.t');

-- before the first push
SELECT is(told('l', '{"id": 1}', 'link', 'net', 'source', 'target', 'push'), 'link: initial | net: INSERT | source: row | target: no row | push: insert', 'initial: a row');
SELECT is(told('l', '{"id": 2}', 'net', 'target', 'push'), 'net: UPDATE | target: row, differs from the source''s in v | push: update of v', 'initial: one that differs is overwritten');
SELECT is(told('l', '{"id": 99}', 'net', 'source', 'target', 'push'),
  'net: none | source: no row | target: row, the source has none | push: nothing: no change of the row is pending; only the target has it', 'initial: copy deletes nothing');
SELECT tracksync.alter_link('l', initial => 'mirror'); SELECT is(told('l', '{"id": 99}', 'net', 'push'), 'net: DELETE | push: delete', 'initial: mirror does');
SELECT is((SELECT d -> 'compares' FROM detail('l', '{"id": 99}', 'push') d), 'true', 'initial: it compares');
SELECT is(done('l'), 'delete1 update1 insert29', 'and so it was');
SELECT is(told('l', '{"id": 1}', 'link', 'event', 'net', 'source', 'target', 'push'),
  'link: active | net: none | source: row | target: row, as the source''s | push: nothing: the target''s row is as the source''s', 'in step');
SELECT is(told('l', '{"id": 77}', 'net', 'source', 'target', 'push'), 'net: none | source: no row | target: no row | push: nothing: neither side has the row', 'no such row');

-- insert, update, delete
CREATE TABLE lag (LIKE s INCLUDING ALL); SELECT tracksync.create_link('lag', 's', 'public.lag', initial => 'none');
INSERT INTO s VALUES (40, 'new', NULL, 40); UPDATE s SET v = 'a' WHERE id = 1; UPDATE s SET w = 'b' WHERE id = 1; DELETE FROM s WHERE id = 3;
INSERT INTO s VALUES (41, '', '', 0); DELETE FROM s WHERE id = 41; UPDATE s SET v = 'x' WHERE id = 4; UPDATE s SET v = 'v' WHERE id = 4;
SELECT is(told('l', '{"id": 40}'), 'event: INSERT, pending | net: INSERT | push: insert', 'insert');
SELECT is(told('l', '{"id": 1}'), 'event: UPDATE, pending | event: UPDATE, pending | net: UPDATE | push: update of v, w', 'update');
SELECT is((SELECT d - 'id' FROM detail('l', '{"id": 1}', 'net') d), '{"key": {"id": 1}, "old": {"id": 1, "v": "v", "w": "w", "n": 1}, "new": {"id": 1, "v": "a", "w": "b", "n": 1}, "changed": ["v", "w"]}', 'the net change');
SELECT results_eq($$SELECT d - 'seq' - 'txid' - 'by' FROM detail('l', '{"id": 1}', 'event') d$$, $$VALUES
  ('{"key": {"id": 1}, "old": {"id": 1, "v": "v", "w": "w", "n": 1}, "new": {"id": 1, "v": "a", "w": "w", "n": 1}, "changed": ["v"]}'::jsonb),
  ('{"key": {"id": 1}, "old": {"id": 1, "v": "a", "w": "w", "n": 1}, "new": {"id": 1, "v": "a", "w": "b", "n": 1}, "changed": ["w"]}')$$, 'its events, one by one');
SELECT is((SELECT array_agg(d -> 'seq' ORDER BY (d ->> 'seq')::bigint) FROM detail('l', '{"id": 1}', 'event') d),
  (SELECT array_agg(to_jsonb(seq) ORDER BY seq) FROM tracksync.changes('s') WHERE key = '{"id": 1}'), 'those of changes()');
SELECT is((SELECT d FROM detail('l', '{"id": 1}', 'push') d), '{"op": "UPDATE", "key": {"id": 1}, "row": {"id": 1, "v": "a", "w": "b"}}', 'what is to be written');
SELECT is((SELECT d FROM detail('l', '{"id": 1}', 'mapping') d) -> 'v', '{"from": "v", "value": "a"}', 'column by column');
SELECT is((SELECT d FROM detail('l', '{"id": 1}', 'target') d), '{"id": 1, "v": "v", "w": "w", "n": 1, "note": "theirs"}', 'the target''s row, with columns of its own');
SELECT is(told('l', '{"id": 3}'), 'event: DELETE, pending | net: DELETE | push: delete', 'delete');
SELECT is(told('l', '{"id": 41}'), 'event: INSERT, pending | event: DELETE, pending | net: none | push: nothing: neither side has the row', 'insert and delete');
SELECT is(told('l', '{"id": 4}'), 'event: UPDATE, pending | event: UPDATE, pending | net: none | push: nothing: the target''s row is as the source''s', 'there and back');
BEGIN READ ONLY; SELECT is(told('l', '{"id": 3}', 'push'), 'push: delete', 'in a read-only transaction'); COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT is(told('l', '{"id": 3}', 'push'), 'push: delete', 'in REPEATABLE READ'); COMMIT;
BEGIN; UPDATE s SET v = 'own' WHERE id = 5; SELECT is(told('l', '{"id": 5}'), 'event: UPDATE, pending | net: UPDATE | push: update of v', 'a change of this transaction'); ROLLBACK;
SELECT is(told('l', '{"id": 5}', 'event', 'net'), 'net: none', 'that was rolled back');
SELECT is((SELECT count(*)::int FROM tracksync.conflict) + (SELECT count(*)::int FROM tracksync.push_history WHERE outcome <> 'done'), 0, 'nothing is written');
SELECT tracksync.create_link('lazy', 's', 'public.lazy', create_target => true, initial => 'mirror'); SELECT done('l');
SELECT is(told('l', '{"id": 1}', 'event', 'net'), 'event: UPDATE, shipped | event: UPDATE, shipped | net: none', 'events that are shipped and still there');
SELECT is(told('lazy', '{"id": 1}', 'event', 'net', 'target', 'push'),
  'event: UPDATE, before the link | event: UPDATE, before the link | net: INSERT | target: the table does not exist yet | push: insert', 'a table that is to be created');
SELECT is((SELECT what FROM tracksync.explain_row('l', '{"id": 1}') WHERE aspect = 'pushed'), 'the last push', 'the last push');
UPDATE t SET v = 'edited' WHERE id = 6; DELETE FROM t WHERE id = 7;
SELECT is(told('l', '{"id": 6}', 'target', 'push'), 'target: row, differs from the source''s in v | push: nothing: no change of the row is pending; the target''s differs, but not by this link', 'somebody edited the target');
SELECT is(told('l', '{"id": 7}', 'push'), 'push: nothing: no change of the row is pending; the target lost it, but not by this link', 'somebody deleted there');
SELECT tracksync.drop_link('lazy'), tracksync.drop_link('lag');

-- keys that change: both keys show the pair
UPDATE s SET id = 50, v = 'moved' WHERE id = 8;
SELECT is(told('l', '{"id": 8}', 'event', 'net', 'source', 'target', 'push'),
  'event: DELETE, pending | event: INSERT, pending | net: UPDATE | source: no row | source: row | target: row, the source has none | target: no row | push: change of the key, and update of the row', 'by its old key');
SELECT is(told('l', '{"id": 50}', 'event', 'net', 'source', 'target', 'push'),
  'event: DELETE, pending | event: INSERT, pending | net: UPDATE | source: row | source: no row | target: no row | target: row, the source has none | push: change of the key, and update of the row', 'by its new key');
SELECT is((SELECT (d -> 'old' -> 'id', d -> 'key')::text FROM detail('l', '{"id": 8}', 'push') d), '(8,"{""id"": 50}")', 'from the one to the other');
UPDATE t SET v = 'edited' WHERE id = 8;
SELECT is(told('l', '{"id": 50}', 'conflict', 'push'), 'conflict: update_differs, found by the next push | push: the push fails: update_differs', 'moved, and edited there');
DELETE FROM t WHERE id = 8;
SELECT is(told('l', '{"id": 50}', 'conflict', 'push'), 'conflict: update_missing, found by the next push | push: the push fails: update_missing', 'moved, and gone there');
INSERT INTO t SELECT *, '' FROM s WHERE id = 50;
SELECT is(told('l', '{"id": 8}', 'conflict', 'push'), 'push: nothing: the target has the row under its new key already', 'moved there, too');
UPDATE s SET id = -id WHERE id IN (10, 11); UPDATE s SET id = CASE id WHEN -10 THEN 11 ELSE 10 END WHERE id < 0;
SELECT is(told('l', '{"id": 10}', 'net', 'push'), 'net: UPDATE | net: UPDATE | push: change of the key, and update of the row | push: change of the key, and update of the row', 'two that change places');
SELECT is(done('l'), 'update3', 'pushed');

-- each conflict, under each policy, and then the push
CREATE TABLE te (LIKE s INCLUDING ALL); CREATE TABLE ts (LIKE s INCLUDING ALL); CREATE TABLE tt (LIKE s INCLUDING ALL); CREATE TABLE tm (LIKE s INCLUDING ALL); CREATE TABLE tf (LIKE s INCLUDING ALL);
CREATE FUNCTION decide(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN INSERT INTO asked VALUES (kind); RETURN NULL; END $$;
CREATE TABLE asked (kind text);
SELECT tracksync.create_link('e', 's', 'public.te'), tracksync.create_link('so', 's', 'public.ts', on_conflict => 'source_wins'),
  tracksync.create_link('ta', 's', 'public.tt', on_conflict => 'target_wins'), tracksync.create_link('m', 's', 'public.tm', on_conflict => 'merge'),
  tracksync.create_link('f', 's', 'public.tf', on_conflict => 'decide');
SELECT done(x) FROM unnest('{e,so,ta,m,f}'::text[]) x; SELECT tracksync.set_merge_rule('m', 'n', 'greatest');
UPDATE s SET v = 's' WHERE id IN (12, 13, 16); DELETE FROM s WHERE id IN (14, 15); INSERT INTO s VALUES (60, 's', 'w', 1); UPDATE s SET v = 's', n = 100 WHERE id = 17;
DO $$ DECLARE x text; BEGIN FOREACH x IN ARRAY '{te,ts,tt,tm,tf}'::text[] LOOP
  EXECUTE format($q$DELETE FROM %1$s WHERE id IN (12, 14); UPDATE %1$s SET v = 't' WHERE id IN (13, 15); INSERT INTO %1$s VALUES (60, 't', 'w', 1); UPDATE %1$s SET v = 's' WHERE id = 16; UPDATE %1$s SET w = 't', n = 200 WHERE id = 17$q$, x); END LOOP; END $$;
CREATE FUNCTION all_told(l text) RETURNS SETOF text LANGUAGE sql AS
  $$ SELECT replace(told(l, jsonb_build_object('id', i), 'conflict', 'push'), ', found by the next push', '') FROM unnest('{12,13,14,15,60,16}'::int[]) i $$;
SELECT results_eq($$SELECT all_told('e')$$, $$VALUES ('conflict: update_missing | push: the push fails: update_missing'), ('conflict: update_differs | push: the push fails: update_differs'),
  ('conflict: delete_missing | push: the push fails: delete_missing'), ('conflict: delete_differs | push: the push fails: delete_differs'), ('conflict: insert_exists | push: the push fails: insert_exists'),
  ('push: nothing: the target holds the new values already')$$, 'error');
SELECT throws_like($$SELECT done('e')$$, '%: 1 insert_exists, 1 update_missing, 2 update_differs, 1 delete_missing, 1 delete_differs%', 'error: and so it is');
SELECT is((SELECT d FROM detail('e', '{"id": 13}', 'conflict') d),
  '{"key": {"id": 13}, "old": {"v": "v"}, "source": {"id": 13, "v": "s"}, "target": {"id": 13, "v": "t", "w": "w", "n": 13}, "resolution": "error"}', 'both sides');
SELECT results_eq($$SELECT all_told('so')$$, $$VALUES ('conflict: update_missing | push: insert (update_missing: source_wins)'), ('conflict: update_differs | push: update of v (update_differs: source_wins)'),
  ('push: nothing: the target does not have the row any more'), ('conflict: delete_differs | push: delete (delete_differs: source_wins)'),
  ('conflict: insert_exists | push: overwrite of the target''s row (insert_exists: source_wins)'), ('push: nothing: the target holds the new values already')$$, 'source_wins');
SELECT done('so'); SELECT is(told('so', '{"id": 13}', 'event', 'net', 'conflict', 'push'),
  'event: UPDATE, shipped | net: none | conflict: update_differs, resolved: source_wins | push: nothing: the target''s row is as the source''s', 'source_wins: what became of it');
SELECT is((SELECT bool_and(at IS NOT NULL) FROM tracksync.explain_row('so', '{"id": 13}') WHERE aspect IN ('event', 'conflict', 'pushed')), true, 'and when');
SELECT results_eq($$SELECT all_told('ta')$$, $$VALUES ('conflict: update_missing | push: nothing: the target''s row stays (update_missing: target_wins)'),
  ('conflict: update_differs | push: nothing: the target''s row stays (update_differs: target_wins)'), ('push: nothing: the target does not have the row any more'),
  ('conflict: delete_differs | push: nothing: the target''s row stays (delete_differs: target_wins)'), ('conflict: insert_exists | push: nothing: the target''s row stays (insert_exists: target_wins)'),
  ('push: nothing: the target holds the new values already')$$, 'target_wins');
SELECT done('ta'); SELECT is(told('ta', '{"id": 13}', 'target', 'conflict'), 'target: row, differs from the source''s in v | conflict: update_differs, resolved: target_wins', 'target_wins: why the row is as it is');
SELECT results_eq($$SELECT all_told('m')$$, $$VALUES ('conflict: update_missing | push: the push fails: update_missing'), ('conflict: update_differs | push: the push fails: update_differs'),
  ('push: nothing: the target does not have the row any more'), ('conflict: delete_differs | push: the push fails: delete_differs'), ('conflict: insert_exists | push: the push fails: insert_exists'),
  ('push: nothing: the target holds the new values already')$$, 'merge: what cannot be');
SELECT is(told('m', '{"id": 17}', 'conflict', 'push'), 'conflict: update_differs, found by the next push | push: write of the merged row (update_differs: merge)', 'merge');
SELECT is((SELECT d -> 'row' FROM detail('m', '{"id": 17}', 'push') d), '{"id": 17, "v": "s", "w": "t", "n": 200}', 'merge: the row');
SELECT is(told('f', '{"id": 13}', 'conflict', 'push'), 'conflict: update_differs, found by the next push | push: what function public.decide decides (update_differs: function public.decide)', 'a function');
SELECT is((SELECT count(*)::int FROM asked), 0, 'it is not called');

-- quarantine
CREATE TABLE q (id numeric PRIMARY KEY, v text); CREATE TABLE tq (id numeric PRIMARY KEY, v text CHECK (v <> 'bad')); INSERT INTO q VALUES (1.0, 'a'), (2, 'a');
SELECT tracksync.create_link('q', 'q', 'public.tq', on_error => 'quarantine'), done('q'); UPDATE q SET v = 'bad'; SELECT done('q');
SELECT is(told('q', '{"id": 1.000}', 'net', 'push'), 'net: UPDATE | push: update of v, tried again', 'a row in quarantine; 1.0 and 1.000 are one key');
SELECT is((SELECT concat_ws(' ', d ->> 'sqlstate', d ->> 'constraint', d ->> 'attempts', d -> 'row', d ->> 'released') FROM detail('q', '{"id": 1}', 'quarantine') d), '23514 tq_v_check 1 {"v": "bad", "id": 1.0} false', 'why');
UPDATE q SET v = 'good' WHERE id = 1; UPDATE tq SET v = 'hand' WHERE id = 1;
SELECT is(told('q', '{"id": 1}', 'event', 'conflict', 'push'), 'event: UPDATE, pending | conflict: update_differs, found by the next push | push: the push fails: update_differs, tried again', 'and somebody edited the target');
SELECT throws_like($$SELECT done('q')$$, '%1 update_differs%', 'and so it is');
SELECT tracksync.alter_link('q', on_conflict => 'source_wins'), tracksync.release('q', '{"id": 1.0}');
SELECT is(told('q', '{"id": 1}', 'push'), 'push: update of v (update_differs: source_wins), tried again', 'released, and the source wins'); SELECT done('q');
SELECT is(told('q', '{"id": 1}', 'target', 'quarantine', 'conflict'), 'target: row, as the source''s | conflict: update_differs, resolved: source_wins', 'it is out');
SELECT tracksync.discard('q', '{"id": 2}'); SELECT is(told('q', '{"id": 2}', 'net', 'quarantine', 'target'), 'net: none | target: row, differs from the source''s in v', 'given up');
-- what makes the plan fail is a fact
CREATE TABLE big (id int PRIMARY KEY, v bigint); CREATE TABLE small (id int PRIMARY KEY, v int); INSERT INTO big VALUES (1, 1), (2, 2);
SELECT tracksync.create_link('b', 'big', 'public.small', initial => 'mirror'); UPDATE big SET v = 3000000000 WHERE id = 1; INSERT INTO small VALUES (1, 1);
SELECT is(told('b', '{"id": 1}', 'source', 'mapping', 'target', 'push'), 'source: row | mapping: cannot be told: integer out of range | target: row, differs from the source''s in v | push: the push fails: column "v" of link "b" cannot hold the value "3000000000" of row {"id": 1}: bigint to integer: integer out of range', 'a value that cannot be cast');
SELECT is(told('b', '{"id": 2}', 'push'), 'push: insert', 'another row');

-- whatever makes a push compare
UPDATE t SET v = 'x' WHERE id = 20; SELECT tracksync.alter_link('l', target => 'public.t');
SELECT is(told('l', '{"id": 20}', 'link', 'net', 'push'), 'link: resync | net: UPDATE | push: update of v', 'resync'); SELECT done('l');
BEGIN; TRUNCATE s; INSERT INTO s VALUES (20, 'x', 'w', 20); SELECT is(told('l', '{"id": 20}', 'event', 'net', 'push'), 'event: TRUNCATE, pending | event: INSERT, pending | net: UPDATE | push: update of v', 'TRUNCATE');
SELECT is(told('l', '{"id": 21}', 'event', 'net', 'push'), 'event: TRUNCATE, pending | net: DELETE | push: delete', 'TRUNCATE: a row that went'); ROLLBACK;
-- columns on their way: a key by its name of now or its name to be
ALTER TABLE s RENAME id TO number; ALTER TABLE s RENAME v TO value; ALTER TABLE s ADD x int DEFAULT 7; UPDATE s SET value = 'r' WHERE number = 21;
SELECT is(told('l', '{"id": 21}', 'net', 'push'), 'net: UPDATE | push: update of value', 'renamed: by its name of now'); SELECT is(told('l', '{"number": 21}', 'net', 'push'), 'net: UPDATE | push: update of value', 'and by that to be');
SELECT is((SELECT d -> 'schema_steps' -> 0 FROM detail('l', '{"id": 21}', 'link') d), '"rename column id of public.t to number"', 'and how');
UPDATE t SET v = 'edited' WHERE id = 21;
SELECT is(told('l', '{"id": 21}', 'target', 'push'), 'target: row, differs from the source''s in value | push: the push fails: update_differs', 'conflicts are found before columns are renamed');
UPDATE t SET v = 'v' WHERE id = 21; SELECT is(done('l'), 'rename_column0 rename_column0 add_column0 update1', 'pushed');

-- composite keys, citext, groups
CREATE EXTENSION citext; CREATE TABLE c (a citext, b date, v int, PRIMARY KEY (b, a)); CREATE TABLE tc (LIKE c INCLUDING ALL); INSERT INTO c VALUES ('x', '2026-01-01', 1), ('y', '2026-01-01', 1);
SELECT tracksync.create_link('c', 'c', 'public.tc'), done('c'); UPDATE c SET a = 'X' WHERE a = 'x'; UPDATE c SET v = 2 WHERE a = 'y';
SELECT is(told('c', '{"a": "x", "b": "2026-01-01"}', 'net', 'push'), 'net: UPDATE | push: update of a', 'the same key, written otherwise');
SELECT is(told('c', '{"b": "2026-01-01", "a": "Y"}', 'net', 'push'), 'net: UPDATE | push: update of v', 'citext'); SELECT done('c');
SELECT tracksync.create_group('g', '{c,m,so}'); UPDATE s SET w = 'g' WHERE number = 22;
SELECT is((SELECT string_agg(DISTINCT link, ' ') FROM tracksync.explain_row('g', '{"a": "x", "b": "2026-01-01"}')), 'c', 'a group: the links with such a key') ;
SELECT throws_ok($$SELECT told('g', '{"nosuch": 1}')$$, '22023', '{"nosuch": 1} is not a key of any link of group "g"', 'none has');
SELECT throws_ok($$SELECT told('c', '{"a": "x"}')$$, '22023', '{"a": "x"} is not a key of link "c"', 'a part of a key');
SELECT throws_ok($$SELECT told('c', '{"a": "x", "b": "never"}')$$, '22023', NULL, 'no value of the type');
SELECT throws_ok($$SELECT told('c', '{"a": "x", "b": null}')$$, '22023', NULL, 'null');
SELECT throws_ok($$SELECT told('c', '[1]')$$, '22023', NULL, 'no object');
SELECT throws_ok($$SELECT told('nosuch', '{"a": 1}')$$, '42704', NULL, 'no such link');
SELECT throws_ok($$SELECT told(NULL, '{"a": 1}')$$, '22004', NULL, 'NULL'); SELECT throws_ok($$SELECT told('c', NULL)$$, '22004', NULL, 'NULL');
SELECT * FROM finish();
