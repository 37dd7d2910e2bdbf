-- What each policy makes of each kind of conflict.
SET client_min_messages = warning;
SELECT plan(42);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION rows_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(concat_ws('' '', id, v, w, n), '', '' ORDER BY id), '''') FROM %s t', t) INTO r; RETURN r; END $$;
CREATE TABLE s (id int PRIMARY KEY, v text, w text, n int);
-- the same five conflicts for a target each: 1 update_missing, 2 update_differs, 3 delete_missing, 4 delete_differs, 5 insert_exists
CREATE FUNCTION make_conflicts(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format($q$DELETE FROM %1$s WHERE id IN (1, 3); UPDATE %1$s SET v = 'target' WHERE id IN (2, 4); INSERT INTO %1$s VALUES (5, 'target', 'w', 100)$q$, t);
END $$;
CREATE FUNCTION source_changes() RETURNS void LANGUAGE sql AS
  $$ UPDATE s SET v = 'source' WHERE id IN (1, 2); DELETE FROM s WHERE id IN (3, 4); INSERT INTO s VALUES (5, 'source', 'w', 1) $$;
CREATE FUNCTION decide(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO asked VALUES (kind, key, old, source, target);
  RETURN CASE kind WHEN 'update_missing' THEN source || '{"v": "revived"}' WHEN 'update_differs' THEN target || jsonb_build_object('v', (source ->> 'v') || '+' || (target ->> 'v'))
    WHEN 'insert_exists' THEN NULL ELSE target || '{"v": "kept"}' END;
END $$;
CREATE TABLE asked (kind text, key jsonb, old jsonb, source jsonb, target jsonb);
CREATE TABLE te (LIKE s INCLUDING ALL); CREATE TABLE ts (LIKE s INCLUDING ALL); CREATE TABLE tt (LIKE s INCLUDING ALL);
CREATE TABLE tm (LIKE s INCLUDING ALL); CREATE TABLE tf (LIKE s INCLUDING ALL);
INSERT INTO s SELECT i, 'v', 'w', i FROM generate_series(1, 4) i;
SELECT tracksync.create_link('e', 's', 'public.te'), tracksync.create_link('s', 's', 'public.ts', on_conflict => 'source_wins'),
  tracksync.create_link('t', 's', 'public.tt', on_conflict => 'target_wins'), tracksync.create_link('m', 's', 'public.tm', on_conflict => 'merge'),
  tracksync.create_link('f', 's', 'public.tf', on_conflict => 'decide');
SELECT done(x) FROM unnest('{e,s,t,m,f}'::text[]) x;
SELECT make_conflicts(x) FROM unnest('{te,ts,tt,tm,tf}'::text[]) x; SELECT source_changes();

SELECT throws_like($$SELECT done('e')$$, '%5 conflicting rows: 1 insert_exists, 1 update_missing, 1 update_differs, 1 delete_missing, 1 delete_differs%', 'error: counts per kind');
SELECT is(rows_of('te'), '2 target w 2, 4 target w 4, 5 target w 100', 'error: nothing is written');
SELECT lives_ok($$SELECT done('s')$$, 'source_wins');
SELECT is(rows_of('ts'), '1 source w 1, 2 source w 2, 5 source w 1', 'source_wins: the source''s rows');
SELECT is((SELECT string_agg(kind || ' ' || resolution, ', ' ORDER BY kind) FROM tracksync.conflict WHERE link = 's'),
  'delete_differs source_wins, insert_exists source_wins, update_differs source_wins, update_missing source_wins', 'source_wins: recorded; a row gone already is no conflict');
SELECT lives_ok($$SELECT done('t')$$, 'target_wins');
SELECT is(rows_of('tt'), '2 target w 2, 4 target w 4, 5 target w 100', 'target_wins: the target''s rows');
SELECT is((SELECT count(*)::int FROM tracksync.conflict WHERE link = 't' AND resolution = 'target_wins'), 4, 'target_wins: recorded');
SELECT is(done('t'), '', 'target_wins: and done with');

-- merge: what one side deleted and the other changed, or both changed without a rule, is an error
SELECT throws_like($$SELECT done('m')$$, '%4 conflicting rows: 1 insert_exists, 1 update_missing, 1 update_differs, 1 delete_differs%', 'merge: no rule');
SELECT tracksync.set_merge_rule('m', 'v', 'source'), tracksync.set_merge_rule('m', 'n', 'greatest');
SELECT throws_like($$SELECT done('m')$$, '%2 conflicting rows: 1 update_missing, 1 delete_differs%', 'merge: a rule per column');
INSERT INTO tm VALUES (1, 'v', 'w', 1); DELETE FROM tm WHERE id = 4;
SELECT lives_ok($$SELECT done('m')$$, 'merge: all conflicts have a rule');
SELECT is(rows_of('tm'), '1 source w 1, 2 source w 2, 5 source w 100', 'merge: the source''s v, the greater n');
SELECT is((SELECT string_agg(kind || ' ' || resolution, ', ' ORDER BY kind) FROM tracksync.conflict WHERE link = 'm'), 'insert_exists merge, update_differs merge', 'merge: recorded');
-- column by column: the side that changed wins
UPDATE s SET v = 'sv', n = 10 WHERE id = 1; UPDATE tm SET w = 'tw' WHERE id = 1;
UPDATE s SET n = 7 WHERE id = 2; UPDATE tm SET n = 5, w = NULL WHERE id = 2;
SELECT is(done('m'), 'update2', 'merge: different columns, and both');
SELECT is(rows_of('tm'), '1 sv tw 10, 2 source 7, 5 source w 100', 'merge: each side''s columns');
SELECT tracksync.set_merge_rule('m', 'n', 'add'); UPDATE s SET n = n + 3 WHERE id = 2; UPDATE tm SET n = n + 100 WHERE id = 2;
SELECT done('m'); SELECT is((SELECT n FROM tm WHERE id = 2), 110, 'merge: both increments count');
SELECT tracksync.set_merge_rule('m', 'n', 'least'); UPDATE s SET n = 50 WHERE id = 2; UPDATE tm SET n = 40 WHERE id = 2;
SELECT done('m'); SELECT is((SELECT n FROM tm WHERE id = 2), 40, 'merge: the lesser');
SELECT tracksync.set_merge_rule('m', 'n', 'target'); UPDATE s SET n = 60 WHERE id = 2; UPDATE tm SET n = 61 WHERE id = 2;
SELECT done('m'); SELECT is((SELECT n FROM tm WHERE id = 2), 61, 'merge: the target''s');
UPDATE s SET n = NULL WHERE id = 2; UPDATE tm SET n = NULL WHERE id = 2;
SELECT done('m'); SELECT is((SELECT n FROM tm WHERE id = 2), NULL, 'merge: both the same');
SELECT throws_ok($$SELECT tracksync.set_merge_rule('m', 'nosuch', 'add')$$, '42703', NULL, 'merge: no such column');
SELECT throws_ok($$SELECT tracksync.set_merge_rule('m', 'n', 'most')$$, '22023', NULL, 'merge: no such rule');
ALTER TABLE s RENAME n TO number; ALTER TABLE s RENAME number TO n;

-- a function
SELECT lives_ok($$SELECT done('f')$$, 'function');
SELECT is(rows_of('tf'), '1 revived w 10, 2 source+target w 2, 4 kept w 4, 5 target w 100', 'function: the rows that it returned');
SELECT results_eq($$SELECT kind, key ->> 'id', old ->> 'v', source ->> 'v', target ->> 'v' FROM asked ORDER BY kind$$,
  $$VALUES ('delete_differs', '4', 'v', NULL, 'target'), ('insert_exists', '5', NULL, 'source', 'target'), ('update_differs', '2', 'v', 'source', 'target'), ('update_missing', '1', 'v', 'sv', NULL)$$,
  'function: what it was asked');
SELECT is((SELECT string_agg(kind || ' ' || resolution, ', ' ORDER BY kind) FROM tracksync.conflict WHERE link = 'f'),
  'delete_differs function, insert_exists function: target left alone, update_differs function, update_missing function', 'function: recorded');
CREATE FUNCTION wrong(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT source || '{"id": 77}' $$;
SELECT tracksync.alter_link('f', on_conflict => 'wrong'); UPDATE s SET v = 'x' WHERE id = 1; UPDATE tf SET v = 'y' WHERE id = 1;
SELECT throws_ok($$SELECT done('f')$$, '22023', NULL, 'function: another key');
CREATE FUNCTION bad(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ001'; END $$;
SELECT tracksync.alter_link('f', on_conflict => 'public.bad');
SELECT throws_ok($$SELECT done('f')$$, 'ZZ001', NULL, 'function: its errors are those of the push');
SELECT is(rows_of('tf'), '1 y w 10, 2 source+target w 2, 4 kept w 4, 5 target w 100', 'function: nothing was written');
DROP FUNCTION bad;
SELECT throws_ok($$SELECT done('f')$$, '42883', NULL, 'function: it is gone');
SELECT throws_ok($$SELECT tracksync.alter_link('f', on_conflict => 'nosuch')$$, '22023', NULL, 'function: there is none');
CREATE FUNCTION returns_text(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
SELECT throws_ok($$SELECT tracksync.alter_link('f', on_conflict => 'returns_text')$$, '22023', NULL, 'function: it returns no jsonb');
SELECT tracksync.alter_link('f', on_conflict => 'source_wins');
SELECT is(done('f') || rows_of('s'), 'update11 x w 10, 2 source w, 5 source w 1', 'and on with another policy');

-- merges add with the built-in operator, not with one that somebody made for a domain
CREATE DOMAIN qty AS int; CREATE FUNCTION evil(qty, qty) RETURNS qty LANGUAGE sql AS 'SELECT 666::qty';
CREATE OPERATOR + (LEFTARG = qty, RIGHTARG = qty, FUNCTION = evil); CREATE OPERATOR - (LEFTARG = qty, RIGHTARG = qty, FUNCTION = evil);
CREATE TABLE q (id int PRIMARY KEY, a qty); CREATE TABLE tq (LIKE q INCLUDING ALL); INSERT INTO q VALUES (1, 1), (2, NULL);
SELECT tracksync.create_link('q', 'q', 'public.tq', on_conflict => 'merge'), tracksync.set_merge_rule('q', 'a', 'add');
SELECT count(*) FROM tracksync.push('q'); UPDATE q SET a = 5; UPDATE tq SET a = 7; SELECT count(*) FROM tracksync.push('q');
SELECT is((SELECT string_agg(a::text, ' ' ORDER BY id) FROM tq), '11 12', 'added: 7 + 5 - 1, and 7 + 5 where there was nothing');
-- what was decided about a row that gets another key could be written to the wrong one
UPDATE q SET id = 11, a = 6 WHERE id = 1; UPDATE tq SET a = 8 WHERE id = 1;
SELECT throws_like($$SELECT count(*) FROM tracksync.push('q')$$, '%update_differs%', 'a row that gets another key is not merged');
SELECT is((SELECT string_agg(id || ' ' || a, ', ' ORDER BY id) FROM tq), '1 8, 2 12', 'and nothing is done');
-- columns that nobody changed are left alone: JSON does not show all values as they are
CREATE TABLE r (id int PRIMARY KEY, a int, b int, j jsonb NOT NULL, t json, f float8, l int[]); CREATE TABLE tr (LIKE r INCLUDING ALL);
INSERT INTO r VALUES (1, 1, 1, 'null', '{"a":1,  "a":2}', '-0', '[0:1]={1,2}'), (2, 1, 1, 'null', '{"a":1,  "a":2}', '-0', '[0:1]={1,2}');
CREATE FUNCTION theirs(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT target || jsonb_build_object('a', source->'a') $$;
SELECT tracksync.create_link('r', 'r', 'public.tr', on_conflict => 'merge'); SELECT count(*) FROM tracksync.push('r');
UPDATE r SET a = 5 WHERE id = 1; UPDATE tr SET b = 7 WHERE id = 1; SELECT count(*) FROM tracksync.push('r'); SELECT tracksync.alter_link('r', on_conflict => 'public.theirs');
UPDATE r SET a = 5 WHERE id = 2; UPDATE tr SET a = 6, b = 7 WHERE id = 2; SELECT count(*) FROM tracksync.push('r');
SELECT is((SELECT string_agg(tr::text, ' ' ORDER BY id) FROM tr), (SELECT string_agg(x::text, ' ' ORDER BY id) FROM (SELECT id, a, 7 AS b, j, t, f, l FROM r) x), 'merged, and the rest is as it was');
CREATE TABLE d (id int PRIMARY KEY, a timestamptz); CREATE TABLE td (id bigint PRIMARY KEY, a text); INSERT INTO d VALUES (1, '2026-01-01');
SELECT tracksync.create_link('d', 'd', 'public.td', on_conflict => 'merge'); SELECT count(*) FROM tracksync.push('d'); UPDATE d SET a = '2026-02-02'; UPDATE td SET a = 'mine';
SELECT throws_ok($$SELECT count(*) FROM tracksync.push('d')$$, '0A000', NULL, 'other types are not merged');
-- a row that was decided on and that a trigger of the target swallows
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION sources(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT source';
CREATE TABLE w (id int PRIMARY KEY, a int); CREATE TABLE tw (LIKE w INCLUDING ALL); INSERT INTO w VALUES (1, 1);
SELECT tracksync.create_link('w', 'w', 'public.tw', on_conflict => 'public.sources'); SELECT count(*) FROM tracksync.push('w');
CREATE TRIGGER swallow BEFORE INSERT ON tw FOR EACH ROW EXECUTE FUNCTION swallow(); DELETE FROM tw; UPDATE w SET a = 2;
SELECT throws_ok($$SELECT count(*) FROM tracksync.push('w')$$, '09000', NULL, 'is told');
-- the null of JSON and that of SQL look the same in a row that is JSON
CREATE TABLE n (id int PRIMARY KEY, a int, j jsonb); CREATE TABLE tn (LIKE n INCLUDING ALL); INSERT INTO n VALUES (1, 1, '{}');
SELECT tracksync.create_link('n', 'n', 'public.tn', on_conflict => 'merge'); SELECT count(*) FROM tracksync.push('n'); UPDATE n SET a = 2, j = 'null'; UPDATE tn SET a = 3, j = '{}';
SELECT tracksync.set_merge_rule('n', 'a', 'source');
SELECT throws_like($$SELECT count(*) FROM tracksync.push('n')$$, '%update_differs%', 'it is not told which'); UPDATE n SET j = '[]';
SELECT lives_ok($$SELECT count(*) FROM tracksync.push('n')$$, 'other values are');
-- a domain that takes no NULL, in a row of which a function returns a part
CREATE DOMAIN present AS int CHECK (VALUE IS NOT NULL); CREATE TABLE whole (id int PRIMARY KEY, a int, b int); CREATE TABLE tpart (id int PRIMARY KEY, a int, b present); INSERT INTO whole VALUES (1, 1, 1);
CREATE FUNCTION part(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT key || '{"a": 9}' $$;
SELECT tracksync.create_link('whole', 'whole', 'public.tpart', on_conflict => 'public.part'); SELECT count(*) FROM tracksync.push('whole'); UPDATE whole SET a = 2; UPDATE tpart SET a = 3; SELECT count(*) FROM tracksync.push('whole');
SELECT is((SELECT tpart::text FROM tpart), '(1,9,1)', 'a part of a row');
SELECT * FROM finish();
