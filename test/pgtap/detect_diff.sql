-- detect => 'diff': any relation as a source, no trigger, no log; each plan compares.
SET client_min_messages = warning;
SELECT no_plan();
SELECT current_database() || '_alice' AS alice, current_database() || '_bob' AS bob, current_database() AS here, current_user AS me,
  current_setting('unix_socket_directories') AS host, current_setting('port') AS port \gset
CREATE ROLE :"alice"; CREATE ROLE :"bob"; GRANT CREATE, USAGE ON SCHEMA public TO :"alice", :"bob";
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION said(command text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE d text; h text; BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
     RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(d, ''), nullif(h, '')); END $$;
CREATE FUNCTION all_of(t text) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text COLLATE "C"), '''') FROM %s t', t) INTO r; RETURN r; END $$;

-- a view with a join and aggregates, by the target's primary key
CREATE TABLE cust (id int PRIMARY KEY, name text); CREATE TABLE ord (id int PRIMARY KEY, cust int REFERENCES cust, amount numeric);
CREATE VIEW totals AS SELECT c.id, c.name, count(o.id) AS n, sum(o.amount) AS total FROM cust c LEFT JOIN ord o ON o.cust = c.id GROUP BY c.id;
CREATE TABLE totals_copy (id int PRIMARY KEY, name text, n bigint, total numeric, own text DEFAULT 'own');
INSERT INTO cust SELECT i, 'c' || i FROM generate_series(1, 4) i; INSERT INTO ord SELECT i, i % 4 + 1, i FROM generate_series(1, 8) i;
INSERT INTO totals_copy VALUES (1, 'old', 0, 0), (99, 'extra', 0, 0);
SELECT tracksync.create_link('v', 'totals', 'totals_copy', detect => 'diff');
SELECT is((SELECT count(*) FROM tracksync.tracked_table), 0::bigint, 'nothing is tracked');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('cust'::regclass, 'ord'::regclass) AND NOT tgisinternal), 0::bigint, 'no trigger is made');
SELECT is((SELECT count(*) FROM pg_class WHERE relnamespace = 'tracksync_log'::regnamespace AND relkind = 'r' AND relname <> 'survivor'), 0::bigint, 'no log');
SELECT results_eq($$SELECT kind, rows, destructive FROM tracksync.plan('v')$$, $$VALUES ('update', 1::bigint, false), ('insert', 3, false)$$, 'the first plan deletes nothing');
SELECT is(done('v'), 'update1 insert3', 'the first push');
SELECT results_eq($$SELECT kind, rows, destructive, description FROM tracksync.plan('v')$$,
  $$VALUES ('delete', 1::bigint, true, 'delete 1 row from public.totals_copy that the source does not have')$$, 'later ones delete what the source has not');
SELECT is(done('v'), 'delete1', 'they do');
SELECT is(done('v'), '', 'in step');
UPDATE ord SET amount = 100 WHERE id = 3; DELETE FROM ord WHERE cust = 1; DELETE FROM cust WHERE id = 1; INSERT INTO cust VALUES (5, NULL); UPDATE totals_copy SET name = 'damaged' WHERE id = 2;
SELECT results_eq($$SELECT op, key, new ->> 'total', changed FROM tracksync.net_changes('v')$$,
  $$VALUES ('DELETE', '{"id": 1}'::jsonb, NULL, NULL::text[]), ('UPDATE', '{"id": 2}', '6', '{name}'), ('UPDATE', '{"id": 4}', '107', '{total}'), ('INSERT', '{"id": 5}', NULL, NULL)$$, 'net changes');
SELECT tracksync.plan_fingerprint('v') AS f \gset
SELECT is((SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('v', dry_run => true)), 'delete1 update2 insert1', 'a dry run');
SELECT is((SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('v', expect => :'f')), 'delete1 update2 insert1', 'the plan that was expected');
SELECT is(all_of('totals_copy'), '(2,c2,2,6,own) (3,c3,2,8,own) (4,c4,2,107,own) (5,,0,,own)', 'the rows of the view; other columns are left alone');
SELECT is((SELECT row(state, pending, oldest_pending, log_bytes, last_rows)::text FROM tracksync.status WHERE name = 'v'), '(active,,,,4)', 'status: what is pending is not known');
INSERT INTO ord VALUES (20, 5, 1);
SELECT results_eq($$SELECT aspect FROM tracksync.explain_row('v', '{"id": 5}') WHERE aspect IN ('net', 'event', 'push')$$, $$VALUES ('net'), ('push')$$, 'explain_row has no events');
SELECT is((SELECT detail ->> 'compares' FROM tracksync.explain_row('v', '{"id": 5}') WHERE aspect = 'push'), 'true', 'a comparison it is');
-- in one transaction with the changes
BEGIN; INSERT INTO cust VALUES (6, 'new'); SELECT is(done('v'), 'update1 insert1', 'own changes'); ROLLBACK;
SELECT is((SELECT max(id) FROM totals_copy), 5, 'rolled back with them'); SELECT is(done('v'), 'update1', 'and pushed with others');

-- keys
CREATE TABLE nokey (a int, b text); INSERT INTO nokey VALUES (1, 'a'), (2, 'b'); CREATE TABLE nokey_copy (a int, b text, c int PRIMARY KEY);
SELECT is(said($$SELECT tracksync.create_link('nk', 'nokey', 'nokey_copy', detect => 'diff')$$), '42P10 | source "nokey" of link "nk" has no key | It has no unique index that tells its rows apart, '
  'and the target has no primary key whose columns all come from columns of the source. | Name the columns that tell its rows apart: tracksync.create_link(…, key => ''{…}'').', 'no key');
SELECT alike(said($$SELECT tracksync.create_link('nk', 'nokey', 'nokey_copy', detect => 'diff', key => '{a}')$$), '42P10 | target table public.nokey_copy has no unique index on the key (a)%', 'the target needs an index');
SELECT is(said($$SELECT tracksync.create_link('nk', 'nokey', 'x', detect => 'diff', key => '{}')$$), '42P10 | the key of "nokey" has no column | Name the columns that tell its rows apart, or leave the argument out.', 'an empty key');
SELECT alike(said($$SELECT tracksync.create_link('nk', 'nokey', 'x', detect => 'diff', key => '{z}')$$), '42703 | column "z" of "nokey" does not exist%', 'an unknown column');
SELECT alike(said($$SELECT tracksync.create_link('nk', 'nokey', 'x', detect => 'diff', key => '{ctid}')$$), '42703%', 'a system column');
SELECT alike(said($$SELECT tracksync.create_link('nk', 'nokey', 'x', detect => 'diff', key => '{a,a}')$$), '42701 | column "a" is in the key twice%', 'a column twice');
CREATE VIEW pointed AS SELECT point(a, a) AS p, a FROM nokey;
SELECT alike(said($$SELECT tracksync.create_link('nk', 'pointed', 'x', detect => 'diff', create_target => true, key => '{p}')$$), '42P10 | key column "p" of "pointed" is of type point, which has no order%', 'a type without order');
SELECT alike(said($$SELECT tracksync.create_link('nk', 'pointed', 'x', detect => 'diff', key => '{a}')$$), '42P01 %', 'no target');
SELECT tracksync.create_link('nk', 'nokey', 'made', detect => 'diff', key => '{a}', create_target => true);
SELECT is(done('nk'), 'create_table0 insert2', 'a table without a key, the target made');
SELECT is((SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'made'::regclass AND contype = 'p'), 'PRIMARY KEY (a)', 'with the key');
INSERT INTO nokey VALUES (2, 'b');
SELECT is(said($$SELECT tracksync.push('nk')$$), '21000 | rows of the source of link "nk" have the same key | Key (a)=(2) is there more than once. | Make the link with a key that tells the rows of public.nokey apart, '
  'or leave all but one of them out.', 'two rows of one key, though they are alike');
SELECT alike(said($$SELECT tracksync.plan('nk')$$), '21000%', 'the plan says it already');
SELECT alike((SELECT what FROM tracksync.explain_row('nk', '{"a": 2}') WHERE aspect = 'push'), 'the push fails: rows of the source%', 'and explain_row');
DELETE FROM nokey WHERE ctid = (SELECT max(ctid) FROM nokey); INSERT INTO nokey VALUES (NULL, 'x'), (NULL, 'y'), (3, 'c');
SELECT is(said($$SELECT tracksync.push('nk')$$), '55000 | a row of the source of link "nk" has no key: "a" is NULL | Leave such rows out, or make the link with another key.', 'NULL in the key');
SELECT tracksync.alter_link('nk', filter => 'a IS NOT NULL');
SELECT is(done('nk'), 'insert1', 'left out by a filter'); SELECT is(all_of('made'), '(1,a) (2,b) (3,c)', 'all others are there');
SELECT alike(said($$SELECT tracksync.alter_link('nk', key => '{b}')$$), '55000 | the key of link "nk" cannot be changed | Drop the link, and make it anew with the other key.', 'another key');
-- equal is what the target holds for equal
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE VIEW words AS SELECT w COLLATE ci AS w, n FROM (VALUES ('a', 1), ('B', 2), ('A', 3)) v(w, n) WHERE n < 9 AND (w <> 'A' OR EXISTS (SELECT FROM nokey WHERE a = 77));
CREATE TABLE words_copy (w text COLLATE ci PRIMARY KEY, n int); INSERT INTO words_copy VALUES ('A', 0);
SELECT tracksync.create_link('w', 'words', 'words_copy', detect => 'diff', initial => 'mirror');
SELECT is(done('w'), 'update1 insert1', 'a key that is the same in other letters'); SELECT is(all_of('words_copy'), '(B,2) (a,1)', 'it gets the source''s letters');
INSERT INTO nokey VALUES (77, ''); SELECT alike(said($$SELECT tracksync.push('w')$$), '21000%is there more than once%', 'twice, in other letters'); DELETE FROM nokey WHERE a = 77;
-- composite, with other names on the target, in another order there
CREATE VIEW pairs AS SELECT i % 3 AS "a b", i AS c, 'v' || i AS v FROM generate_series(1, 6) i WHERE i <> (SELECT count(*) FROM cust);
CREATE TABLE pairs_copy ("Y" int, x int, v text, UNIQUE (x, "Y"));
SELECT tracksync.create_link('pairs', 'pairs', 'pairs_copy', detect => 'diff', columns => '{"x": "a b", "Y": "c", "v": "v"}', key => '{c,a b}', initial => 'none');
INSERT INTO pairs_copy VALUES (1, 1, 'stale'), (9, 9, 'extra'); SELECT is(done('pairs'), 'delete1 update1 insert4', 'initial => ''none'' compares all the same');
SELECT is(all_of('pairs_copy'), all_of('(SELECT c, "a b", v FROM pairs)'), 'a composite key');

-- partitioned, materialized, foreign
CREATE TABLE part (k int, r text, v text) PARTITION BY LIST (r); CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a'); CREATE TABLE part_b PARTITION OF part FOR VALUES IN ('b');
INSERT INTO part VALUES (1, 'a', 'x'), (1, 'b', 'y'), (2, 'b', 'z'); CREATE TABLE part_copy (k int, r text, v text, PRIMARY KEY (k, r));
SELECT tracksync.create_link('part', 'part', 'part_copy', detect => 'diff'); SELECT is(done('part'), 'insert3', 'a partitioned table');
ALTER TABLE part DETACH PARTITION part_a; UPDATE part SET v = 'w' WHERE k = 2; SELECT is(done('part'), 'delete1 update1', 'a partition that is gone');
SELECT tracksync.create_link('onepart', 'part_b', 'onepart', detect => 'diff', key => '{k}', create_target => true); SELECT is(done('onepart'), 'create_table0 insert2', 'a partition');
CREATE MATERIALIZED VIEW mat AS SELECT cust, sum(amount) AS s FROM ord GROUP BY cust; CREATE TABLE mat_copy (cust int, s numeric, n int PRIMARY KEY);
SELECT alike(said($$SELECT tracksync.create_link('mat', 'mat', 'mat_copy2', detect => 'diff', create_target => true)$$), '42P10 | source "mat" of link "mat" has no key%', 'a materialized view without an index');
CREATE UNIQUE INDEX ON mat (cust); SELECT tracksync.create_link('mat', 'mat', 'mat_copy2', detect => 'diff', create_target => true);
SELECT is(done('mat'), 'create_table0 insert4', 'by its unique index'); UPDATE ord SET amount = 1000 WHERE id = 3; SELECT is(done('mat'), '', 'before REFRESH'); REFRESH MATERIALIZED VIEW mat;
SELECT is(done('mat'), 'update1', 'after it'); REFRESH MATERIALIZED VIEW CONCURRENTLY mat; SELECT is(all_of('mat_copy2'), all_of('mat'), 'the same');
SELECT count(*) > 0 AS has_fdw FROM pg_available_extensions WHERE name = 'postgres_fdw' \gset
\if :has_fdw
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host :'host', port :'port', dbname :'here'); CREATE USER MAPPING FOR CURRENT_USER SERVER loop OPTIONS (user :'me');
CREATE FOREIGN TABLE far (id int, name text) SERVER loop OPTIONS (schema_name 'public', table_name 'cust'); CREATE TABLE far_copy (id int PRIMARY KEY, name text);
SELECT tracksync.create_link('far', 'far', 'far_copy', detect => 'diff'); SELECT is(done('far'), 'insert4', 'a foreign table');
UPDATE cust SET name = 'far' WHERE id = 2; DELETE FROM far_copy WHERE id = 3; SELECT is(done('far'), 'update1 insert1', 'its changes'); SELECT is(all_of('far_copy'), all_of('cust'), 'the same');
\else
SELECT skip('postgres_fdw is not here', 3);
\endif

-- filters and expressions, those that change by themselves among them
CREATE VIEW items AS SELECT i AS id, i % 2 AS kind, i * 10 AS v FROM generate_series(1, 6) i; CREATE TABLE items_copy (id int PRIMARY KEY, kind int, label text);
SELECT tracksync.create_link('it', 'items', 'items_copy', detect => 'diff', filter => 'id <= current_setting(''my.least'', true)::int', columns => '{"id": "id", "kind": "kind", "label": "v || ''!''"}');
SET my.least = 4; SELECT is(done('it'), 'insert4', 'a filter that depends on more than the row'); SET my.least = 3; SELECT is(done('it'), 'delete1', 'what leaves it goes');
SELECT is(all_of('items_copy'), '(1,1,10!) (2,0,20!) (3,1,30!)', 'and the expression');
SELECT alike(said($$SELECT tracksync.create_link('x', 'items', 'items_copy', detect => 'diff', key => '{id}', filter => 'random() < 0.5')$$), '42P17%', 'but no volatile one');
SELECT alike(said($$SELECT tracksync.create_link('x', 'items', 'items_copy', detect => 'diff', key => '{id}', filter => 'nope > 1')$$), '42703%', 'a filter over no column');
CREATE TABLE halves (id int PRIMARY KEY, kind int, v int);
SELECT tracksync.create_link('even', 'items', 'halves', detect => 'diff', filter => 'kind = 0', initial => 'mirror'), tracksync.create_link('odd', 'items', 'halves', detect => 'diff', filter => 'kind = 1', initial => 'mirror');
INSERT INTO halves VALUES (90, 0, 0), (91, 1, 1), (92, 2, 2); SELECT is(done('even') || ' ' || done('odd'), 'delete1 insert3 delete1 insert3', 'two links of one target delete their own rows only');
SELECT is(all_of('halves'), '(1,1,10) (2,0,20) (3,1,30) (4,0,40) (5,1,50) (6,0,60) (92,2,2)', 'and leave what is nobody''s');
SELECT is(done('even') || done('odd'), '', 'in step');

-- groups, together with links that read a log; a source that is tracked for others
CREATE TABLE src (id int PRIMARY KEY, v text, big text); CREATE TABLE by_log (LIKE src INCLUDING ALL); CREATE TABLE by_diff (LIKE src INCLUDING ALL);
INSERT INTO src SELECT i, 'v', repeat('x', 100) FROM generate_series(1, 50) i;
SELECT tracksync.create_link('log', 'src', 'by_log'), tracksync.create_link('diff', 'src', 'by_diff', detect => 'diff'), tracksync.create_group('g', '{log,diff,v}');
UPDATE cust SET name = 'in the group' WHERE id = 2; SELECT is(done('g'), 'update2 insert50 insert50', 'a group of both kinds'); UPDATE src SET v = 'w' WHERE id = 1;
SELECT is((SELECT string_agg(concat_ws(':', name, pending, log_bytes > 0), ' ' ORDER BY name) FROM tracksync.status WHERE name IN ('log', 'diff')), 'diff log:1:t', 'status of both');
SELECT is(tracksync.has_changes('src'), true, 'has_changes'); SELECT is(done('log'), 'update1', 'the log alone');
SELECT is(tracksync.has_changes('src'), false, 'does not mind the other'); SELECT is(done('g'), 'update1', 'which comes later'); UPDATE src SET v = v || '!'; SELECT done('log');
SELECT is((SELECT count(*) FROM tracksync.changes('src')), 0::bigint, 'a link that compares holds back no log'); SELECT is(done('diff'), 'update50', 'nor needs it');
SELECT tracksync.drop_link('log'); SELECT is((SELECT count(*) FROM tracksync.tracked_table), 0::bigint, 'the last link that reads the log ends the tracking');
SELECT tracksync.track('src'); SELECT tracksync.untrack('src'); SELECT is((SELECT count(*) FROM tracksync.link WHERE name = 'diff'), 1::bigint, 'untrack is none of its business');

-- schema changes
ALTER TABLE src ADD COLUMN c int DEFAULT 5; ALTER TABLE src RENAME COLUMN v TO w; ALTER TABLE src ALTER COLUMN id TYPE bigint; INSERT INTO src VALUES (100, 'new', NULL, 6);
SELECT is(done('diff'), 'rename_column0 add_column0 alter_column0 insert1', 'a table''s columns are followed'); SELECT is(all_of('by_diff'), all_of('src'), 'with their values');
ALTER TABLE src DROP COLUMN big; SELECT is((SELECT kind || destructive FROM tracksync.plan('diff')), 'drop_columntrue', 'one that is dropped'); SELECT done('diff'); SELECT is(all_of('by_diff'), all_of('src'), 'is dropped');
CREATE TABLE loose (a int, b text); INSERT INTO loose VALUES (1, 'x'); SELECT tracksync.create_link('loose', 'loose', 'loose_copy', detect => 'diff', key => '{a}', create_target => true); SELECT done('loose');
ALTER TABLE loose ALTER COLUMN a TYPE bigint; INSERT INTO loose VALUES (5000000000, 'big'); SELECT is(done('loose'), 'alter_column0 insert1', 'a key without an index that gets another type');
CREATE VIEW plain AS SELECT id, w FROM src; SELECT tracksync.create_link('plain', 'plain', 'plain_copy', detect => 'diff', key => '{id}', create_target => true); SELECT done('plain');
CREATE OR REPLACE VIEW plain AS SELECT id, w, c * 2 AS twice FROM src; ALTER VIEW plain RENAME COLUMN w TO "W w"; ALTER VIEW plain RENAME TO "plain view";
SELECT is(done('plain'), 'rename_column0 add_column0 update51', 'and a view''s'); SELECT is(all_of('plain_copy'), all_of('"plain view"'), 'with their values');
ALTER TABLE src DROP CONSTRAINT src_pkey CASCADE; SELECT is(done('diff'), '', 'a key without an index'); INSERT INTO src SELECT * FROM src WHERE id = 1; SELECT alike(said($$SELECT tracksync.push('diff')$$), '21000%', 'is looked at'); DELETE FROM src WHERE ctid = (SELECT max(ctid) FROM src);
ALTER TABLE src RENAME COLUMN id TO "I d"; SELECT is(done('diff'), 'rename_column0', 'a key that is renamed'); ALTER TABLE src RENAME COLUMN "I d" TO id; SELECT done('diff');
SELECT alike(said($$ALTER TABLE src DROP COLUMN id CASCADE; SELECT tracksync.push('diff')$$), '42P10 | a key column of the source%| Drop the link, and make it anew with another key.', 'a key that is gone');
SET client_min_messages = error; DROP VIEW "plain view"; SET client_min_messages = warning; SELECT is(said($$SELECT tracksync.push('plain')$$), '42P01 | the source of link "plain" does not exist any more | Call tracksync.drop_link for it.', 'a source that is gone'); SELECT lives_ok($$SELECT tracksync.drop_link('plain')$$, 'drop_link');

-- from one to the other
SELECT alike(said($$SELECT tracksync.alter_link('diff', detect => 'log')$$), '42P10 | the columns given as key of table "src" have no unique index%', 'a log needs a key with an index');
SELECT alike(said($$SELECT tracksync.alter_link('v', detect => 'log')$$), '42809 | "totals" is not a table%', 'and a table');
ALTER TABLE src ADD PRIMARY KEY (id); SELECT tracksync.alter_link('diff', detect => 'log'); UPDATE by_diff SET w = 'damaged' WHERE id = 7;
SELECT is((SELECT state FROM tracksync.status WHERE name = 'diff'), 'resync', 'from comparing to the log'); UPDATE src SET w = 'changed' WHERE id = 8; SELECT is(done('diff'), 'update2', 'compares once');
UPDATE by_diff SET w = 'damaged' WHERE id = 7; UPDATE src SET w = 'again' WHERE id = 8; SELECT is(done('diff'), 'update1', 'then reads the log');
SELECT is(said($$SELECT tracksync.alter_link('diff', detect => 'diff', on_conflict => 'target_wins')$$), '22023 | link "diff" finds no conflicts that on_conflict could decide | With detect => ''diff'' nothing tells what a row held before: '
  'the target takes what the source has. | Leave on_conflict out, or use detect => ''log''.', 'policies mean nothing then');
SELECT tracksync.alter_link('diff', detect => 'diff'); SELECT is(done('diff'), 'update1', 'and back'); SELECT is((SELECT count(*) FROM tracksync.tracked_table), 0::bigint, 'untracked');
SELECT alike(said(format($$SELECT tracksync.create_link('x', 'totals', 'totals_copy', detect => 'diff', on_conflict => %L)$$, p)), '22023%', p || ' at once') FROM unnest('{target_wins,merge}'::text[]) p;
SELECT is(said($$SELECT tracksync.alter_link('v', on_conflict => 'source_wins')$$), 'no error', 'source_wins is what it does');
SELECT tracksync.alter_link('it', detect => 'diff'); SELECT alike(said($$SELECT tracksync.create_link('x', 'src', 'by_diff', filter => 'id < current_setting(''my.least'')::int')$$), '42P17 | the filter of link "x" depends on more than the row%', 'a log knows no such filter');

-- quarantine
CREATE VIEW q AS SELECT id, name FROM cust; CREATE TABLE q_copy (id int PRIMARY KEY, name text CHECK (name <> 'bad'));
SELECT tracksync.create_link('q', 'q', 'q_copy', detect => 'diff', on_error => 'quarantine'); UPDATE cust SET name = 'bad' WHERE id = 3;
SELECT is(done('q'), 'insert3', 'a row that the target does not take is left out'); SELECT is((SELECT key::text || sqlstate || attempts FROM tracksync.quarantine), '{"id": 3}235141', 'recorded');
UPDATE cust SET name = 'c' WHERE id = 4; SELECT is(done('q'), 'update1 insert0', 'tried again'); SELECT is((SELECT attempts FROM tracksync.quarantine), 2, 'and counted');
UPDATE cust SET name = 'good' WHERE id = 3; SELECT is(done('q'), 'insert1', 'until it fits'); SELECT is((SELECT count(*) FROM tracksync.quarantine), 0::bigint, 'then it is off the list');

CREATE VIEW q2 AS SELECT id, name AS n FROM cust; CREATE TABLE q2_copy (id int PRIMARY KEY, n int); UPDATE cust SET name = id; UPDATE cust SET name = 'no number' WHERE id = 4;
SELECT tracksync.create_link('q2', 'q2', 'q2_copy', detect => 'diff', on_error => 'quarantine'); SELECT is(done('q2'), 'insert3', 'a value that cannot be cast stops no other row');
UPDATE cust SET name = '44' WHERE id = 4; SELECT is(done('q2'), 'insert1', 'until it can'); SELECT is(all_of('q2_copy'), '(2,2) (3,3) (4,44) (5,5)', 'all of them');

-- kinds and places
CREATE SEQUENCE seq; CREATE TYPE pair AS (a int); CREATE TEMP TABLE tmp (a int PRIMARY KEY); CREATE TEMP VIEW tmpv AS SELECT 1 AS a;
SELECT alike(said(format($$SELECT tracksync.create_link('x', %L, 'x', detect => 'diff', key => '{a}', create_target => true)$$, s)), '42809 | ' || m, s) FROM
  (VALUES ('seq', '"seq" has no rows%'), ('cust_pkey', '%has no rows%'), ('pair', '%has no rows%'), ('tmp', '"tmp" is temporary%'), ('tmpv', '"tmpv" is temporary%'), ('pg_class', '%system catalogs%'),
    ('tracksync.status', '%belongs to tracksync itself%'), ('tracksync.link', '%belongs to tracksync itself%')) v(s, m);
SELECT alike(said($$SELECT tracksync.create_link('x', 'cust', 'x')$$), '42P01%', 'a log of a table'); SELECT alike(said($$SELECT tracksync.create_link('x', 'totals', 'totals_copy')$$), '42809%', 'no log of a view');
CREATE VIEW back AS SELECT id, name FROM totals_copy; CREATE VIEW back2 AS SELECT * FROM back; CREATE TABLE third (id int PRIMARY KEY, name text); CREATE MATERIALIZED VIEW matback AS TABLE back; CREATE UNIQUE INDEX ON matback (id);
SELECT alike(said($$SELECT tracksync.create_link('x', 'back2', 'totals_copy', detect => 'diff')$$), '42P17 | link "x" would close a cycle%', 'a view of the target');
SELECT alike(said($$SELECT tracksync.create_link('x', 'back2', 'cust', detect => 'diff')$$), '42P17 | link "x" would close a cycle%', 'through another link that compares');
SELECT alike(said($$SELECT tracksync.create_link('x', 'matback', 'ord', columns => '{"id": "id"}', detect => 'diff')$$), '42P17 | link "x" would close a cycle%', 'through a materialized view');
SELECT alike(said($$SELECT tracksync.create_link('x', 'totals_copy', 'cust')$$), '42P17 %cycle%', 'through the log');
SELECT lives_ok($$SELECT tracksync.create_link('chain', 'back2', 'third', detect => 'diff')$$, 'a chain is none'); SELECT is(done('chain'), 'insert4', 'it works');

-- rights
SET ROLE :"alice"; CREATE FUNCTION priv() RETURNS name LANGUAGE sql STABLE AS 'SELECT current_user'; CREATE TABLE mine (id int PRIMARY KEY, name text); RESET ROLE;
CREATE VIEW shown AS SELECT id, name, 'secret' || id AS secret FROM cust; GRANT SELECT (id, name) ON shown TO :"alice"; SET ROLE :"alice";
SELECT alike(said($$SELECT tracksync.create_link('al', 'shown', 'x', detect => 'diff', key => '{id}', create_target => true)$$), '42501 | role % may not read table public.shown%', 'every column must be readable');
SELECT lives_ok($$SELECT tracksync.create_link('al', 'shown', 'mine', detect => 'diff')$$, 'those of the link'); SELECT is(done('al'), 'insert4', 'without a right on what the view reads');
SELECT alike(said($$SELECT tracksync.create_link('al2', 'cust', 'mine', detect => 'diff')$$), '42501%', 'which there is none'); RESET ROLE;
REVOKE SELECT (name) ON shown FROM :"alice"; SET ROLE :"alice"; SELECT alike(said($$SELECT tracksync.push('al')$$), '42501%', 'a right that was taken away'); RESET ROLE; GRANT SELECT ON shown TO :"alice"; UPDATE cust SET name = 'al' WHERE id = 2;
SET ROLE :"bob"; SELECT alike(said($$SELECT tracksync.push('al')$$), '42501%', 'somebody else''s link'); SELECT alike(said($$SELECT tracksync.alter_link('al', detect => 'log')$$), '42501%', 'nor altered'); RESET ROLE;
SET ROLE :"alice"; CREATE TABLE whose (id int PRIMARY KEY, who name); CREATE VIEW who AS SELECT 1 AS id, priv() AS who; SELECT tracksync.create_link('who', 'who', 'whose', detect => 'diff'); RESET ROLE;
SELECT is(done('who'), 'insert1', 'pushed by another role'); SELECT is((SELECT who FROM whose), :'alice'::name, 'a view''s functions run as the link''s owner');
-- nobody's functions run as the owner of another link of the target
SET ROLE :"bob"; CREATE FUNCTION evil() RETURNS int LANGUAGE plpgsql AS 'BEGIN IF current_user <> current_setting(''my.bob'') THEN RAISE EXCEPTION ''I am %'', current_user; END IF; RETURN 1; END';
CREATE VIEW trap AS SELECT evil() AS id; GRANT SELECT ON trap TO PUBLIC; RESET ROLE; SET my.bob = :'bob'; SET ROLE :"alice"; CREATE TABLE shared (id int PRIMARY KEY); GRANT ALL ON shared TO :"bob"; CREATE TABLE alices (id int PRIMARY KEY); RESET ROLE;
SET ROLE :"bob"; SELECT tracksync.create_link('trap', 'trap', 'shared', detect => 'diff'); SELECT is(done('trap'), 'insert1', 'bob''s own link'); RESET ROLE;
SET ROLE :"alice"; SELECT tracksync.create_link('alices', 'alices', 'shared', detect => 'diff', initial => 'mirror');
SELECT alike(said($$SELECT tracksync.push('alices')$$), '55000 | link "alices" cannot be told from another link that writes to its target | To know which rows%', 'does not run bob''s functions'); RESET ROLE;
SET ROLE :"bob"; CREATE FUNCTION sly(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF current_user <> current_setting(''my.bob'') THEN RAISE EXCEPTION ''I am %'', current_user; END IF; RETURN true; END';
CREATE TABLE bobs (id int PRIMARY KEY); SELECT tracksync.drop_link('trap'), tracksync.create_link('sly', 'bobs', 'shared', detect => 'diff', target_filter => 'sly(id)'); RESET ROLE; GRANT SELECT ON bobs TO :"alice";
SET ROLE :"alice"; SELECT tracksync.drop_link('alices'); SELECT alike(said($$SELECT tracksync.create_link('alices', 'alices', 'shared', filter => 'id > 0')$$), '55000 | link "alices" cannot be told from another link%', 'nor those of a target_filter'); RESET ROLE;
-- row-level security of what the view reads
CREATE TABLE hidden (id int PRIMARY KEY, v text); INSERT INTO hidden VALUES (1, 'a'), (2, 'b'); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hidden USING (id = 1); GRANT SELECT ON hidden TO :"alice";
SET ROLE :"alice"; CREATE VIEW seen AS SELECT * FROM hidden; SELECT tracksync.create_link('rls', 'seen', 'seen_copy', detect => 'diff', key => '{id}', create_target => true);
SELECT alike(said($$SELECT tracksync.push('rls')$$), '42501 | query would be affected by row-level security policy%', 'rows are never hidden silently'); RESET ROLE;

-- a snapshot that is older than a TRUNCATE of what the view reads is not trusted
SELECT done('v'); CREATE EXTENSION IF NOT EXISTS dblink; SELECT format('host=%s port=%s dbname=%s user=%s', :'host', :'port', :'here', current_user) AS conn \gset
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM cust; SELECT dblink_exec(:'conn', 'TRUNCATE ord'); SELECT alike(said($$SELECT tracksync.push('v')$$), '40001 | could not read table ord%', 'truncated since'); ROLLBACK;
SELECT is(done('v'), 'update4', 'in a new transaction'); SELECT is(all_of('(SELECT id, name, n, total FROM totals_copy)'), all_of('totals'), 'the same');
RESET my.bob; SELECT * FROM finish();
