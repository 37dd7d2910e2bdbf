-- Steps of the users' own.
SET client_min_messages = warning;
SELECT plan(21);
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', priority, kind, CASE kind WHEN 'user' THEN ' ' || link ELSE rows::text END), ', ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION done(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM tracksync.push(name) $$;
CREATE TABLE s (id int PRIMARY KEY, v text); CREATE TABLE t (LIKE s INCLUDING ALL); INSERT INTO s VALUES (1, 'a');
CREATE TABLE said (what text, link text, push_id bigint, rows int);
CREATE FUNCTION before_all(link text, push_id bigint) RETURNS void LANGUAGE sql AS $$ INSERT INTO said SELECT 'before', link, push_id, count(*) FROM t $$;
CREATE FUNCTION amid(link text, push_id bigint) RETURNS void LANGUAGE sql AS $$ INSERT INTO said SELECT 'between', link, push_id, count(*) FROM t $$;
CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t;
CREATE FUNCTION refresh(link text, push_id bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN REFRESH MATERIALIZED VIEW m; INSERT INTO said SELECT 'after', link, push_id, count(*) FROM t; END $$;
CREATE FUNCTION wrong(link text) RETURNS void LANGUAGE sql AS $$ SELECT $$;
CREATE FUNCTION fails(link text, push_id bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ002'; END $$;
SELECT tracksync.create_link('l', 's', 'public.t');
SELECT lives_ok($$SELECT tracksync.add_step('l', 50, 'refresh(text, bigint)'), tracksync.add_step('l', 5, 'before_all(text, bigint)'), tracksync.add_step('l', 25, 'amid(text, bigint)')$$, 'three steps');
SELECT is(planned('l'), '5 user l, 25 user l, 30 insert1, 50 user l', 'they are in the plan');
SELECT is((SELECT description || ': ' || sql FROM tracksync.plan('l') WHERE priority = 50), 'run public.refresh: SELECT public.refresh(''l'', push_id)', 'with what they do');
SELECT is(done('l'), 4::bigint, 'pushed');
SELECT is((SELECT string_agg(what || ' ' || link || ' ' || rows, ', ' ORDER BY rows, what DESC) FROM said), 'between l 0, before l 0, after l 1', 'each at its place');
SELECT is((SELECT n FROM m), 1::bigint, 'the materialized view is fresh');
SELECT is((SELECT count(DISTINCT push_id) FROM said JOIN tracksync.push_history h ON h.id = push_id), 1::bigint, 'push_id is that of the history');
SELECT is(planned('l'), '5 user l, 25 user l, 50 user l', 'they run also when nothing changed');
TRUNCATE said; INSERT INTO s VALUES (2, 'b');
SELECT count(*) FROM tracksync.push('l', dry_run => true);
SELECT is((SELECT count(*) FROM said) + (SELECT n FROM m), 1::bigint, 'a dry run leaves nothing of them');
-- one that fails
SELECT tracksync.add_step('l', 60, 'fails(text, bigint)');
SELECT throws_ok($$SELECT done('l')$$, 'ZZ002', NULL, 'a step that fails fails the push');
SELECT is((SELECT count(*) FROM t), 1::bigint, 'and all of it');
SELECT tracksync.drop_step('l', 'fails(text, bigint)');
SELECT tracksync.plan_fingerprint('l') AS fp \gset
SELECT tracksync.add_step('l', 45, 'refresh(text, bigint)');
SELECT isnt(tracksync.plan_fingerprint('l'), :'fp', 'another place is another plan');
SELECT is(planned('l'), '5 user l, 25 user l, 30 insert1, 45 user l', 'a step has one place');
-- groups have steps, too
SELECT tracksync.create_group('g', '{l}'); TRUNCATE said;
SELECT tracksync.add_step('g', 70, 'refresh(text, bigint)');
SELECT is(planned('g'), '5 user l, 25 user l, 30 insert1, 45 user l, 70 user g', 'steps of the links and of the group');
SELECT done('g'); SELECT is((SELECT string_agg(link, ' ' ORDER BY link) FROM said WHERE what = 'after'), 'g l', 'each is told its name');
CREATE TABLE s2 (LIKE s INCLUDING ALL); CREATE TABLE t2 (LIKE s INCLUDING ALL); INSERT INTO s2 VALUES (1, 'a');
SELECT tracksync.create_link('m', 's2', 'public.t2'), tracksync.group_add('g', 'm'), tracksync.add_step('g', 30, 'amid(text, bigint)'), tracksync.add_step('m', 30, 'amid(text, bigint)');
SELECT is((SELECT string_agg(kind || ' ' || link, ', ' ORDER BY step) FROM tracksync.plan('g') WHERE priority = 30), 'insert m, user m, user g', 'a step of the group follows those of its links');
SELECT tracksync.drop_step('g', 'amid(text, bigint)'), tracksync.drop_step('m', 'amid(text, bigint)');
-- errors
SELECT throws_ok($$SELECT tracksync.add_step('l', 50, 'wrong(text)')$$, '22023', NULL, 'other arguments');
SELECT throws_ok($$SELECT tracksync.add_step('l', -1, 'fails(text, bigint)')$$, '22023', NULL, 'a negative priority');
SELECT throws_ok($$SELECT tracksync.add_step('nosuch', 50, 'fails(text, bigint)')$$, '42704', NULL, 'no such link');
SELECT throws_ok($$SELECT tracksync.drop_step('l', 'fails(text, bigint)')$$, '42704', NULL, 'no such step');
DROP FUNCTION amid;
SELECT throws_ok($$SELECT done('l')$$, '42883', NULL, 'the function is gone');
SELECT * FROM finish();
