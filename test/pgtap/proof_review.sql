-- verify, repair and pull where links share tables or go there and back.
SET client_min_messages = warning;
SELECT plan(30);
CREATE SCHEMA pr; SET search_path = pr, public;
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION named(name text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', kind, key), ', ' ORDER BY kind, key) FROM tracksync.verify(name) $$;
CREATE FUNCTION rows_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text COLLATE "C"), '''') FROM %s t', t) INTO r; RETURN r; END $$;
CREATE FUNCTION pair(name text, policy text = 'error') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %1$s_a (id int PRIMARY KEY, x text, y text); CREATE TABLE %1$s_b (LIKE %1$s_a INCLUDING ALL)', name);
  PERFORM tracksync.create_link(name || '_ab', (name || '_a')::regclass, 'pr.' || name || '_b', on_conflict => policy, initial => 'none');
  PERFORM tracksync.create_link(name || '_ba', (name || '_b')::regclass, 'pr.' || name || '_a', on_conflict => policy, initial => 'none');
END $$;

-- both sides truncated: each compares, and neither may; a pull says who wins
SELECT pair('t', 'source_wins'); INSERT INTO t_a VALUES (1), (2); SELECT done('t_ab'), done('t_ba');
TRUNCATE t_a; TRUNCATE t_b; INSERT INTO t_a VALUES (3); INSERT INTO t_b VALUES (4);
SELECT throws_ok($$SELECT done('t_ab')$$, '55000', NULL, 'both truncated: there');
SELECT throws_ok($$SELECT done('t_ba')$$, '55000', NULL, 'and back');
SELECT lives_ok($$SELECT * FROM tracksync.pull('t_ab', discard => true)$$, 'a pull decides');
SELECT is(done('t_ba') || done('t_ab'), '', 'and both rest');
SELECT is(rows_of('t_a') || ' ' || rows_of('t_b'), '(4,,) (4,,)', 'with the rows of the one that was pulled');
-- a link that was made to compare has changes to ship all the same
SELECT pair('r', 'merge'); INSERT INTO r_a VALUES (1, 'x'), (2, 'x'); SELECT done('r_ab'), done('r_ba');
UPDATE r_b SET x = 'own' WHERE id = 1; DELETE FROM r_b WHERE id = 2; SELECT tracksync.alter_link('r_ba', columns => '{"id": "id", "x": "x"}');
SELECT throws_ok($$SELECT * FROM tracksync.repair('r_ab')$$, '55000', NULL, 'they are not overwritten');
SELECT is(done('r_ba') || ' ' || rows_of('r_a'), 'delete1 update1 (1,own,)', 'and shipped');
SELECT is((SELECT count(*)::int FROM tracksync.repair('r_ab')), 0, 'then it is in step');

-- a target of two links, without filters: what the other one has yet to delete is not ours
CREATE TABLE s1 (id int PRIMARY KEY, x text); CREATE TABLE s2 (LIKE s1 INCLUDING ALL); CREATE TABLE st (LIKE s1 INCLUDING ALL);
SELECT tracksync.create_link('s1', 's1', 'pr.st'); SELECT tracksync.create_link('s2', 's2', 'pr.st');
INSERT INTO s1 VALUES (1, '1'); INSERT INTO s2 VALUES (2, '2'), (3, '3'); SELECT done('s1'), done('s2');
DELETE FROM s2 WHERE id = 2; UPDATE s2 SET id = 4 WHERE id = 3;
SELECT is(named('s1'), NULL, 'verify does not name it');
SELECT is(named('s2'), NULL, 'nor does the other link''s');
SELECT throws_ok($$SELECT * FROM tracksync.pull('s1')$$, '55000', NULL, 'pull does not bring it');
SELECT throws_ok($$SELECT * FROM tracksync.repair('s1', delete_extra => true)$$, '55000', NULL, 'repair does not delete it');
INSERT INTO st VALUES (9, 'extra');
SELECT is(named('s1'), 'only_target {"id": 9}', 'what is nobody''s is named');
SELECT is(done('s2') || ' ' || rows_of('st'), 'delete1 update1 (1,1) (4,3) (9,extra)', 'the other link ships it');
SELECT is((SELECT string_agg(kind || rows, ' ') FROM tracksync.repair('s1', delete_extra => true)), 'delete1', 'then what is nobody''s goes');
TRUNCATE s2;
SELECT throws_ok($$SELECT * FROM tracksync.verify('s1')$$, '55000', NULL, 'of rows that the other one truncated nobody can tell');
SELECT lives_ok($$SELECT done('s2')$$, 'until it is pushed');
SELECT is(named('s1') , NULL, 'then all is well');

-- pull: one column that goes to two
CREATE TABLE d1 (id int PRIMARY KEY, v text); CREATE TABLE d2 (id int PRIMARY KEY, x text, y text);
SELECT tracksync.create_link('d', 'd1', 'pr.d2', columns => '{"id": "id", "x": "v", "y": "v"}'); INSERT INTO d1 VALUES (1, 'v'); SELECT done('d'); UPDATE d2 SET y = 'w';
SELECT throws_ok($$SELECT * FROM tracksync.pull('d')$$, '0A000', 'link "d" cannot be pulled: column "v" of its source goes to two columns of the target', 'pull: one column cannot take two values');
-- pull: values that were rounded
CREATE TABLE l1 (id int PRIMARY KEY, v numeric); CREATE TABLE l2 (id int PRIMARY KEY, v int); SELECT tracksync.create_link('l', 'l1', 'pr.l2', on_cast => 'lossy');
INSERT INTO l1 VALUES (1, 1), (2, 2.6), (3, 3); SELECT done('l'); UPDATE l2 SET v = 9 WHERE id = 1;
SELECT throws_ok($$SELECT * FROM tracksync.pull('l')$$, '22003', 'link "l" cannot be pulled: column v of its source would be rounded or cut: row {"id": 2}', 'pull: a row that is in step is not rounded');
SELECT is(rows_of('l1'), '(1,1) (2,2.6) (3,3)', 'and none is written');
UPDATE l1 SET v = 2 WHERE id = 2; SELECT done('l');
SELECT is((SELECT string_agg(kind || rows, ' ') FROM tracksync.pull('l')) || ' ' || rows_of('l1'), 'update1 (1,9) (2,2) (3,3)', 'where nothing is lost it comes');
SELECT is(named('l'), NULL, 'and is in step');
-- pull: rows that another link has, too, are ours all the same
CREATE TABLE k1 (id int PRIMARY KEY, x text); CREATE TABLE k2 (LIKE k1 INCLUDING ALL); CREATE TABLE kt (LIKE k1 INCLUDING ALL);
SELECT tracksync.create_link('k1', 'k1', 'pr.kt', on_conflict => 'source_wins'); SELECT tracksync.create_link('k2', 'k2', 'pr.kt', on_conflict => 'source_wins');
INSERT INTO k1 VALUES (1, 'x'), (5, 'k1'); INSERT INTO k2 VALUES (1, 'x'), (6, 'k2'); SELECT done('k1'), done('k2'); UPDATE kt SET x = 't' WHERE id = 1; INSERT INTO kt VALUES (8, 't');
SELECT * FROM tracksync.pull('k1'); SELECT is(rows_of('k1'), '(1,t) (5,k1) (8,t)', 'a row of two links comes, one of another link does not');
-- a hub: the other ends' rows are this end's, too
SELECT pair('h', 'source_wins'); CREATE TABLE h_c (LIKE h_a INCLUDING ALL);
SELECT tracksync.create_link('h_bc', 'h_b', 'pr.h_c', initial => 'none'); SELECT tracksync.create_link('h_cb', 'h_c', 'pr.h_b', initial => 'none');
INSERT INTO h_a VALUES (1, 'x'), (2, 'x'); SELECT done('h_ab'), done('h_bc'); UPDATE h_a SET x = 'lost' WHERE id = 1; DELETE FROM h_a WHERE id = 2;
SELECT * FROM tracksync.pull('h_ab', discard => true); SELECT is(rows_of('h_a'), rows_of('h_b'), 'of a hub all rows come');
INSERT INTO h_b VALUES (3, 'y'); SELECT done('h_bc');
SELECT throws_ok($$SELECT * FROM tracksync.pull('h_ba', discard => true)$$, '55000', 'the source of link "h_ba" would not hold what its target holds', 'a row that another link holds stays, and that is said');
-- TRUNCATE at one end: whose rows the others are nothing tells
SELECT tracksync.push('h_ba'); TRUNCATE h_a;
SELECT throws_ok($$SELECT done('h_ab')$$, '55000', 'link "h_ab" has to compare, and table pr.h_b has rows that are not in pr.h_a, but in the source of another link', 'a TRUNCATE that would not travel is refused');
DELETE FROM h_b; SELECT done('h_ab'), done('h_ba'), done('h_bc'), done('h_cb');
SELECT is(rows_of('h_a') || rows_of('h_b') || rows_of('h_c'), '', 'deleted at the hub they go everywhere');
INSERT INTO h_a VALUES (1, 'x'); SELECT done('h_ab'), done('h_bc'); TRUNCATE h_a; INSERT INTO h_a VALUES (7, 'new');
SELECT throws_ok($$SELECT done('h_ab')$$, '55000', NULL, 'also where there are rows again');
SELECT * FROM tracksync.pull('h_ab', discard => true); SELECT is(rows_of('h_a'), '(1,x,)', 'or they come back');
SELECT tracksync.drop_link(x) FROM unnest('{k1,k2,h_ab,h_ba,h_bc,h_cb,t_ab,t_ba,r_ab,r_ba,s1,s2,d,l}'::text[]) x; DROP SCHEMA pr CASCADE;
SELECT * FROM finish();
