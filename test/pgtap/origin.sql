-- Both directions: changes carry where they came from; single cases. The random ones are in t/140_both_directions.pl.
SET client_min_messages = warning;
SELECT plan(80);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION pending(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT pending FROM tracksync.status s WHERE s.name = pending.name $$;
CREATE FUNCTION rows_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text COLLATE "C"), '''') FROM %s t', t) INTO r; RETURN r; END $$;
CREATE FUNCTION net(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(concat_ws(' ', op, key, changed::text), '; ' ORDER BY key, op), '') FROM tracksync.net_changes(name) $$;
-- pair(name, options): tables name_a and name_b, links name_ab and name_ba
CREATE FUNCTION pair(name text, policy text = 'error', columns text = 'id int PRIMARY KEY, x text, y text, n int') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %1$s_a (%2$s); CREATE TABLE %1$s_b (%2$s)', name, columns);
  PERFORM tracksync.create_link(name || '_ab', (name || '_a')::regclass, 'public.' || name || '_b', on_conflict => policy, initial => 'none');
  PERFORM tracksync.create_link(name || '_ba', (name || '_b')::regclass, 'public.' || name || '_a', on_conflict => policy, initial => 'none');
END $$;
CREATE FUNCTION same(name text) RETURNS boolean LANGUAGE sql AS $$ SELECT rows_of((name || '_a')::regclass) = rows_of((name || '_b')::regclass) $$;
CREATE FUNCTION rest(name text) RETURNS text LANGUAGE sql AS $$ SELECT done(name || '_ab') || done(name || '_ba') || done(name || '_ab') || done(name || '_ba') || CASE WHEN same(name) THEN 'same' ELSE 'other' END $$;

CREATE FUNCTION one(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END $$;

-- what came from there does not go back
SELECT pair('e');
INSERT INTO e_a VALUES (1, 'x', 'y', 1), (2, 'x', 'y', 2), (3, 'x', 'y', 3);
SELECT is(done('e_ab'), 'insert3', 'rows go there');
SELECT is(pending('e_ba'), 0::bigint, 'nothing is pending to come back');
SELECT ok(NOT tracksync.has_changes('e_b'), 'nor are there changes');
SELECT is(net('e_ba'), '', 'net changes');
SELECT is(planned('e_ba'), '', 'a plan');
SELECT is((SELECT count(*)::int FROM tracksync.changes('e_b')), 3, 'the log has them all the same');
SELECT is(done('e_ba'), '', 'a push back does nothing');
SELECT is((SELECT count(*)::int FROM tracksync.changes('e_b')), 0, 'but prune the log');
UPDATE e_a SET x = 'X' WHERE id = 1; UPDATE e_a SET id = 20 WHERE id = 2; DELETE FROM e_a WHERE id = 3;
SELECT is(done('e_ab'), 'delete1 update1 update1', 'updates, keys and deletes');
SELECT is(planned('e_ba'), '', 'none comes back');
SELECT is((SELECT oldest_pending FROM tracksync.status WHERE name = 'e_ba'), NULL, 'nor counts as waiting');
UPDATE e_b SET y = 'own' WHERE id = 1; INSERT INTO e_b VALUES (4, 'own');
SELECT is(net('e_ba'), 'UPDATE {"id": 1} {y}; INSERT {"id": 4}', 'what is done there does');
SELECT is(done('e_ba'), 'update1 insert1', 'and is shipped');
SELECT is(rest('e'), 'same', 'both rest');

-- another link ships what came: a chain
CREATE TABLE e_c (LIKE e_b INCLUDING ALL); SELECT tracksync.create_link('e_bc', 'e_b', 'public.e_c'); SELECT done('e_bc');
UPDATE e_a SET x = 'chain' WHERE id = 1;
SELECT is(done('e_ab') || ' ' || pending('e_ba') || pending('e_bc') || ' ' || done('e_bc'), 'update1 01 update1', 'a chain goes on');
SELECT is(rows_of('e_c'), rows_of('e_a'), 'to its end');
SELECT throws_ok($$SELECT tracksync.create_link('ring', 'e_c', 'public.e_a')$$, '42P17', NULL, 'a ring of three is refused');
SELECT lives_ok($$SELECT tracksync.create_link('e_cb', 'e_c', 'public.e_b', initial => 'none')$$, 'there and back at each end is none');
UPDATE e_c SET y = 'far' WHERE id = 1;
SELECT is(done('e_cb') || ' ' || done('e_ba') || ' ' || planned('e_bc') || planned('e_ab'), 'update1 update1 ', 'what comes from the far end goes through');
SELECT is(rows_of('e_c'), rows_of('e_a'), 'to the other one');
SELECT throws_ok($$SELECT tracksync.create_link('self', 'e_c', 'public.e_c')$$, '42P17', NULL, 'a table is not linked to itself');

-- own changes under an echo
SELECT pair('u');
INSERT INTO u_a VALUES (1, 'x', 'y', 1), (2, 'x', 'y', 2); SELECT rest('u');
UPDATE u_b SET y = 'own'; UPDATE u_a SET x = 'echo';
SELECT is(done('u_ab'), 'update2', 'another column is no conflict');
SELECT is(net('u_ba'), 'UPDATE {"id": 1} {y}; UPDATE {"id": 2} {y}', 'what was changed there is still pending, and only that');
UPDATE u_b SET x = 'later' WHERE id = 1;
SELECT is((SELECT old ->> 'x' FROM tracksync.net_changes('u_ba') WHERE key = '{"id": 1}'), 'echo', 'a later change starts from what came');
SELECT is(rest('u'), 'update2same', 'both rest');
-- the same in one transaction: changes on both sides and pushes
BEGIN;
UPDATE u_a SET x = 'a' WHERE id = 1; UPDATE u_b SET y = 'b' WHERE id = 1; INSERT INTO u_b VALUES (5, 'b');
SELECT is(done('u_ab'), 'update1', 'changes of the running transaction');
UPDATE u_b SET x = 'b' WHERE id = 1; DELETE FROM u_b WHERE id = 5;
SELECT is(net('u_ba'), 'UPDATE {"id": 1} {x,y}', 'before and after the push');
SELECT is(rest('u'), 'update1same', 'both rest in it');
COMMIT;
SELECT is(rest('u'), 'same', 'and after it');
-- a push that is rolled back leaves no echo
BEGIN;
UPDATE u_a SET x = 'undone' WHERE id = 1; SAVEPOINT s;
SELECT is(done('u_ab'), 'update1', 'a push in a savepoint');
ROLLBACK TO s;
UPDATE u_b SET y = 'kept' WHERE id = 1;
SELECT is(net('u_ba'), 'UPDATE {"id": 1} {y}', 'what comes after it is no echo');
SAVEPOINT t; SELECT done('u_ab'); RELEASE t;
SELECT is(net('u_ba'), 'UPDATE {"id": 1} {y}', 'a released one counts');
COMMIT;
SELECT is(rest('u'), 'update1same', 'both rest');
SET tracksync.buffer_rows = 1;
BEGIN; UPDATE u_a SET x = 'b1' WHERE id = 1; SAVEPOINT s; SELECT done('u_ab'); ROLLBACK TO s; SELECT done('u_ab'); UPDATE u_b SET y = 'b1' WHERE id = 1; COMMIT;
RESET tracksync.buffer_rows;
SELECT is(net('u_ba'), 'UPDATE {"id": 1} {y}', 'nor if the events are written at once');
SELECT is(rest('u'), 'update1same', 'both rest');
-- a dry run
UPDATE u_a SET x = 'dry' WHERE id = 1;
SELECT count(*) FROM tracksync.push('u_ab', dry_run => true);
SELECT is(planned('u_ab') || planned('u_ba'), 'update1', 'a dry run leaves nothing behind');
SELECT is(rest('u'), 'update1same', 'both rest');

-- triggers of the target: theirs are own changes
SELECT pair('t');
INSERT INTO t_a VALUES (1, 'x', 'y', 1); SELECT rest('t');
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t_b SET y = 'stamped' WHERE id = NEW.id; INSERT INTO t_b VALUES (NEW.id + 100, 'made') ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TRIGGER a_first AFTER UPDATE OF x ON t_b FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER zz_last AFTER INSERT ON t_b FOR EACH ROW WHEN (NEW.id < 100) EXECUTE FUNCTION stamp();
UPDATE t_a SET x = 'X', n = 7; INSERT INTO t_a VALUES (2, 'x');
SELECT is(done('t_ab'), 'update1 insert1', 'a target with triggers');
SELECT is(net('t_ba'), 'UPDATE {"id": 1} {y}; UPDATE {"id": 2} {y}; INSERT {"id": 101}; INSERT {"id": 102}', 'ships what they did, wherever their names stand');
SELECT is(rest('t'), 'update2 insert2same', 'both rest');
CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t_b WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER a_gone AFTER INSERT ON t_b FOR EACH ROW WHEN (NEW.id = 9) EXECUTE FUNCTION gone();
INSERT INTO t_a VALUES (9, 'unwanted');
SELECT is(done('t_ab') || ' ' || net('t_ba'), 'insert1 DELETE {"id": 9}; INSERT {"id": 109}', 'one that takes the row away');
SELECT is(rest('t'), 'delete1 insert1same', 'both rest');

-- TRUNCATE
INSERT INTO u_a VALUES (7, 'a'); SELECT rest('u');
TRUNCATE u_a;
UPDATE u_b SET y = 'mine' WHERE id = 7;
SELECT throws_ok($$SELECT done('u_ab')$$, '55000', NULL, 'a comparison does not undo what is not shipped yet');
SELECT throws_ok($$SELECT done('u_ba')$$, '40001', NULL, 'which is a conflict here');
UPDATE u_b SET y = NULL WHERE id = 7;
SELECT is(done('u_ba'), '', 'taken back');
SELECT is(done('u_ab') || ' ' || planned('u_ba'), 'delete3 ', 'the other side is emptied, and that is no change of its own');
SELECT is(rest('u'), 'same', 'both rest');
INSERT INTO u_a SELECT i, 'x' FROM generate_series(1, 3) i; SELECT rest('u'); TRUNCATE u_b; INSERT INTO u_b VALUES (2, 'new');
SELECT is(rest('u'), 'delete2 update1same', 'of the other side');

-- merge: what both changed
SELECT pair('m', 'merge'); SELECT tracksync.set_merge_rule(l, 'n', 'add'), tracksync.set_merge_rule(l, 'x', 'target'), tracksync.set_merge_rule(l, '*', 'keep') FROM unnest('{m_ab,m_ba}'::text[]) l;
INSERT INTO m_a SELECT i, 'x', 'y', 10 FROM generate_series(1, 9) i; SELECT rest('m');
UPDATE m_a SET n = n + 1 WHERE id = 1; UPDATE m_b SET n = n + 1 WHERE id = 1;
SELECT is(done('m_ab') || ' ' || rows_of('m_b'), 'update1 (1,x,y,12) (2,x,y,10) (3,x,y,10) (4,x,y,10) (5,x,y,10) (6,x,y,10) (7,x,y,10) (8,x,y,10) (9,x,y,10)', 'the same added on both sides counts twice');
SELECT is((SELECT concat_ws(' ', old ->> 'n', new ->> 'n') FROM tracksync.net_changes('m_ba')), '11 12', 'and goes back as what is missing there');
UPDATE m_a SET n = n + 100 WHERE id = 1;
SELECT is(rest('m') || one('SELECT n FROM m_a WHERE id = 1'), 'update1update1same112', 'while more is added');
UPDATE m_a SET x = 'a' WHERE id = 2; UPDATE m_b SET x = 'b' WHERE id = 2;
SELECT is(rest('m') || one('SELECT x FROM m_a WHERE id = 2'), 'update1update1sameb', 'each for the target: the first one decides');
DELETE FROM m_a WHERE id = 3; UPDATE m_b SET y = 'kept' WHERE id = 3; DELETE FROM m_b WHERE id = 4; UPDATE m_a SET y = 'kept' WHERE id = 4;
SELECT is(rest('m') || one('SELECT count(*) FROM m_a WHERE y = ''kept'''), 'delete1 update1update1same2', 'a changed row is kept');
SELECT tracksync.set_merge_rule(l, '*', 'delete') FROM unnest('{m_ab,m_ba}'::text[]) l;
DELETE FROM m_a WHERE id = 3; UPDATE m_b SET y = 'again' WHERE id = 3; DELETE FROM m_b WHERE id = 4; UPDATE m_a SET y = 'again' WHERE id = 4;
SELECT is(rest('m') || one('SELECT count(*) FROM m_a WHERE id IN (3, 4)'), 'delete1 update1delete1same0', 'or goes');
INSERT INTO m_a VALUES (20, 'x', 'y', 5); INSERT INTO m_b VALUES (20, 'x', 'y', 5);
SELECT is(rest('m') || one('SELECT n FROM m_a WHERE id = 20'), 'insert1update1same10', 'a row of both sides with the same number');
INSERT INTO m_a VALUES (21, 'x', 'y', 0); INSERT INTO m_b VALUES (21, 'x', 'y', 0);
SELECT is(rest('m') || one('SELECT n FROM m_a WHERE id = 21'), 'insert1same0', 'or nothing in it');
UPDATE m_a SET id = 30 WHERE id = 5; UPDATE m_b SET id = 31, y = 'moved' WHERE id = 5;
SELECT is(rest('m'), 'delete1 insert1insert1same', 'a row with two new keys is two rows');
SELECT throws_ok($$SELECT tracksync.set_merge_rule('m_ab', '*', 'add')$$, '22023', NULL, 'rows are not added');
SELECT throws_ok($$SELECT tracksync.set_merge_rule('m_ab', 'n', 'keep')$$, '22023', NULL, 'nor columns kept');

-- both sides did the same: what one does then starts from there
UPDATE m_a SET y = 'both' WHERE id = 6; UPDATE m_b SET y = 'both' WHERE id = 6; DELETE FROM m_a WHERE id = 7; DELETE FROM m_b WHERE id = 7; INSERT INTO m_a VALUES (40, 'same'); INSERT INTO m_b VALUES (40, 'same');
SELECT done('m_ab');
SELECT is(planned('m_ba'), '', 'it is nothing to ship');
UPDATE m_a SET y = 'y' WHERE id = 6; INSERT INTO m_a VALUES (7, 'x', 'y', 10); DELETE FROM m_a WHERE id = 40;
SELECT is(done('m_ba'), '', 'what was taken back here stays so');
SELECT is(rest('m') || rows_of('m_b'), 'delete1 update1 insert1same(1,x,y,112) (2,b,y,10) (20,x,y,10) (21,x,y,0) (30,x,y,10) (31,x,moved,10) (6,x,y,10) (7,x,y,10) (8,x,y,10) (9,x,y,10)', 'and goes there');

-- exactly: what a policy leaves alone keeps its value, also one that JSON cannot show
CREATE FUNCTION second(kind text, key jsonb, old jsonb, source jsonb, target jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT target || jsonb_build_object('x', source ->> 'x') $$;
SELECT pair('f', 'public.second', 'id int PRIMARY KEY, x text, f float8, j json, v numeric, d date, own text GENERATED ALWAYS AS (x || ''!'') STORED, "T" text[]');
INSERT INTO f_a VALUES (1, 'x', 1, '{}', 1, '2026-01-01', DEFAULT, '{}'); SELECT rest('f');
UPDATE f_a SET x = 'a', f = 0, j = '{"a":  1}', v = 2, d = 'infinity', "T" = '{a}'; UPDATE f_b SET x = 'b', f = '-0', j = '{"a":1,"a":2}', v = 1.00, d = '0044-03-15 BC', "T" = '[2:3]={"a,b",NULL}';
SELECT is(done('f_ab') || rows_of('f_b'), 'update1(1,a,-0,"{""a"":1,""a"":2}",1.00,"0044-03-15 BC",a!,"[2:3]={""a,b"",NULL}")', 'as a function left it');
SELECT is(rest('f'), 'update1same', 'both rest');

-- partitions, keys of several columns, other names
CREATE TABLE p_a (k int, "K" text, x text, PRIMARY KEY (k, "K")) PARTITION BY LIST (k); CREATE TABLE p_a1 PARTITION OF p_a FOR VALUES IN (1); CREATE TABLE p_a2 PARTITION OF p_a DEFAULT;
CREATE TABLE p_b ("the x" text, "K" text, dropped int, key int, PRIMARY KEY ("K", key)); ALTER TABLE p_b DROP COLUMN dropped;
SELECT tracksync.create_link('p_ab', 'p_a', 'public.p_b', columns => '{"key": "k", "K": "K", "the x": "x"}', on_conflict => 'source_wins'),
  tracksync.create_link('p_ba', 'p_b', 'public.p_a', columns => '{"k": "key", "K": "K", "x": "the x"}', on_conflict => 'source_wins');
INSERT INTO p_a VALUES (1, 'q', 'x'), (2, 'q', 'x'), (3, 'r', 'x'); SELECT done('p_ab');
SELECT is(done('p_ba') || planned('p_ba'), '', 'partitions there');
UPDATE p_b SET "the x" = 'b' WHERE key = 1; UPDATE p_b SET key = 4 WHERE key = 2; DELETE FROM p_b WHERE key = 3;
SELECT is(done('p_ba') || ' ' || planned('p_ab'), 'delete1 update1 update1 ', 'and back, from one to another');
UPDATE p_a SET k = 5 WHERE k = 4; UPDATE p_a1 SET x = 'leaf' WHERE "K" = 'q';
SELECT is(net('p_ba'), '', 'nothing of that is there yet');

-- who says that it comes from elsewhere
SELECT is((SELECT count(*)::int FROM pg_settings WHERE name = 'tracksync.origin' AND setting IN ('', 'x')), 1, 'a setting');
BEGIN;
SELECT set_config('tracksync.origin', 'e_b'::regclass::oid || ' ' || (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'e_a'::regclass::oid, true);
UPDATE e_b SET x = 'lied' WHERE id = 1; UPDATE e_c SET x = 'lied' WHERE id = 1;
SELECT is(pending('e_ba') || ' ' || pending('e_bc') || ' ' || pending('e_cb'), '0 1 1', 'is believed, of that table, and counts for that link');
COMMIT;
UPDATE e_b SET x = 'true' WHERE id = 1;
SELECT is(pending('e_ba'), 1::bigint, 'and ends with its transaction');
SET tracksync.origin = 'nonsense'; UPDATE e_b SET x = 'more' WHERE id = 1; RESET tracksync.origin;
SELECT is(pending('e_ba'), 2::bigint, 'nonsense says nothing');

-- groups, comparisons, rights
SELECT tracksync.create_group('both', '{e_ab,e_ba}');
SELECT throws_ok($$SELECT planned('both')$$, '55000', NULL, 'a group does not go there and back');
CREATE TABLE i_a (id int PRIMARY KEY, x text); CREATE TABLE i_b (LIKE i_a INCLUDING ALL); INSERT INTO i_a VALUES (1, 'a'), (2, 'a'); INSERT INTO i_b VALUES (2, 'b'), (3, 'b');
SELECT tracksync.create_link('i_ab', 'i_a', 'public.i_b'), tracksync.create_link('i_ba', 'i_b', 'public.i_a');
SELECT is(done('i_ab') || ' ' || rows_of('i_b'), 'update1 insert1 (1,a) (2,a) (3,b)', 'a first push copies');
UPDATE i_a SET x = 'pending' WHERE id = 1;
SELECT throws_ok($$SELECT done('i_ba')$$, '55000', NULL, 'the first one back does not undo what is pending');
SELECT is(done('i_ab') || ' ' || done('i_ba') || ' ' || rows_of('i_a') || planned('i_ab'), 'update1 insert1 (1,pending) (2,a) (3,b)', 'when that is there it brings what is missing');
ALTER TABLE i_a ADD COLUMN z int DEFAULT 5;
SELECT is(done('i_ab') || ' ' || done('i_ba') || ' ' || rows_of('i_b') || planned('i_ab') || planned('i_ba'), 'add_column0  (1,pending,5) (2,a,5) (3,b,5)', 'a column is added once');
ALTER TABLE i_b RENAME COLUMN x TO "new x"; UPDATE i_b SET "new x" = 'renamed' WHERE id = 1;
SELECT is(done('i_ba') || ' ' || done('i_ab') || planned('i_ba') || ' ' || one('SELECT i_a::text FROM i_a WHERE id = 1'), 'rename_column0 update1  (1,renamed,5)', 'and renamed once');
CREATE ROLE origin_test;
SET ROLE origin_test;
SELECT throws_ok($$SELECT tracksync.link_back('i_b', 'x')$$, '42501', NULL, 'link_back needs SELECT');
SELECT throws_ok($$SELECT tracksync.note_gone('i_b', '{}', 'x')$$, '42501', NULL, 'note_gone needs DELETE');
RESET ROLE; DROP ROLE origin_test;
SELECT throws_ok($$SELECT tracksync.note_gone('i_b', NULL, 'x')$$, '22004', NULL, 'no NULL');
SELECT * FROM finish();
