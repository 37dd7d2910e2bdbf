-- Groups: one plan and one transaction for several links.
SET client_min_messages = warning;
SELECT plan(41);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION planned(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step), '') FROM tracksync.plan(name) $$;
CREATE FUNCTION all_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(to_jsonb(t)::text, '' '' ORDER BY to_jsonb(t)::text), '''') FROM %s t', t) INTO r; RETURN r; END $$;
CREATE FUNCTION same() RETURNS boolean LANGUAGE sql AS
  $$ SELECT bool_and(all_of(('a.' || x)::regclass) = all_of(('b.' || x)::regclass)) FROM unnest('{country,city,person,pet}'::text[]) x $$;
CREATE SCHEMA a; CREATE SCHEMA b;
-- a chain of foreign keys, a self-reference, every kind of action; the links' names are in the wrong order on purpose
DO $$
DECLARE n text;
BEGIN
  FOREACH n IN ARRAY '{a,b}'::text[] LOOP
    EXECUTE format('SET LOCAL search_path = %I, public', n);
    CREATE TABLE country (id int PRIMARY KEY, name text);
    CREATE TABLE city (id int PRIMARY KEY, country int REFERENCES country ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE person (id int PRIMARY KEY, city int REFERENCES city ON DELETE SET NULL, boss int REFERENCES person);
    CREATE TABLE pet (id int PRIMARY KEY, person int NOT NULL REFERENCES person ON DELETE RESTRICT);
  END LOOP;
END $$;
SELECT tracksync.create_link('a_pet', 'a.pet', 'b.pet'), tracksync.create_link('b_person', 'a.person', 'b.person'),
  tracksync.create_link('c_city', 'a.city', 'b.city'), tracksync.create_link('d_country', 'a.country', 'b.country');
SELECT tracksync.create_group('g', '{a_pet,b_person,c_city}');
SELECT tracksync.group_add('g', 'd_country');
INSERT INTO a.country VALUES (1, 'one'), (2, 'two'); INSERT INTO a.city VALUES (10, 1), (20, 2), (21, 2);
INSERT INTO a.person VALUES (100, 10, 101), (101, 20, 100), (102, NULL, 102); INSERT INTO a.pet VALUES (1000, 100), (1001, 101);
SELECT is(planned('g'), 'd_country insert2, c_city insert3, b_person insert3, a_pet insert2', 'inserts go parents first');
SELECT is(done('g'), 'd_country insert2, c_city insert3, b_person insert3, a_pet insert2', 'all at once');
SELECT ok(same(), 'equal');
SELECT is(planned('g'), '', 'in step');
-- a country with all that hangs on it, re-parented rows, and everything else at once
DELETE FROM a.country WHERE id = 2;
UPDATE a.person SET city = 10 WHERE id = 101; DELETE FROM a.pet WHERE id = 1001; INSERT INTO a.pet VALUES (1002, 102);
UPDATE a.country SET id = 5 WHERE id = 1; INSERT INTO a.country VALUES (1, 'another');
SELECT is(planned('g'), 'a_pet delete1, c_city delete2, d_country delete1, d_country update1, c_city update1, b_person update1, d_country insert1, a_pet insert1', 'deletes go children first');
SELECT lives_ok($$SELECT done('g')$$, 'cascades, new parents, a changed key');
SELECT ok(same(), 'equal');
-- one link alone fails for what another one has to bring
BEGIN; INSERT INTO a.person VALUES (200, NULL, NULL); INSERT INTO a.pet VALUES (2000, 200); COMMIT;
SELECT throws_ok($$SELECT done('a_pet')$$, '23503', NULL, 'a child without its parent');
SELECT lives_ok($$SELECT done('b_person')$$, 'the parent alone');
INSERT INTO a.person VALUES (201, NULL, 200);
SELECT is(done('g'), 'b_person insert1, a_pet insert1', 'links at different positions catch up together');
SELECT ok(same(), 'equal');
-- any link failing leaves every table as it was
INSERT INTO a.country VALUES (7, 'seven'); INSERT INTO a.city VALUES (70, 7); INSERT INTO a.pet VALUES (7000, 200);
ALTER TABLE b.pet ADD CONSTRAINT no CHECK (id < 7000);
SELECT throws_like($$SELECT done('g')$$, '%no%', 'one link fails');
SELECT is((SELECT count(*)::int FROM b.country WHERE id = 7), 0, 'and nothing is written');
SELECT is(planned('g'), 'd_country insert1, c_city insert1, a_pet insert1', 'all is pending');
ALTER TABLE b.pet DROP CONSTRAINT no;
-- fingerprints
SELECT tracksync.plan_fingerprint('g') AS fp \gset
SELECT is(tracksync.plan_fingerprint('g'), :'fp', 'the same plan');
UPDATE a.country SET name = 'VII' WHERE id = 7;
SELECT isnt(tracksync.plan_fingerprint('g'), :'fp', 'another value in one link is another plan');
SELECT throws_ok(format('SELECT * FROM tracksync.push(''g'', expect => %L)', :'fp'), '55000', NULL, 'and refused');
SELECT is((SELECT string_agg(format('%s %s%s', link, kind, rows), ', ' ORDER BY step) FROM tracksync.push('g', dry_run => true)),
  'd_country insert1, c_city insert1, a_pet insert1', 'a dry run');
SELECT is((SELECT string_agg(format('%s %s', link, op), ', ') FROM tracksync.net_changes('g')), 'a_pet INSERT, c_city INSERT, d_country INSERT', 'net changes of a group');
SELECT tracksync.plan_fingerprint('g') AS fp \gset
SELECT is((SELECT count(*)::int FROM tracksync.push('g', expect => :'fp')), 3, 'the expected plan is run');
SELECT ok(same(), 'equal');
-- column changes of several links; a link that creates its target
ALTER TABLE a.country RENAME name TO title; ALTER TABLE a.pet ADD kind text DEFAULT 'cat'; UPDATE a.pet SET kind = 'dog' WHERE id = 1000;
CREATE TABLE a.extra (id int PRIMARY KEY); INSERT INTO a.extra VALUES (1);
SELECT tracksync.create_link('e_extra', 'a.extra', 'b.extra', create_target => true), tracksync.group_add('g', 'e_extra');
SELECT is(done('g'), 'e_extra create_table0, d_country rename_column0, a_pet add_column0, a_pet update1, e_extra insert1', 'column changes and a new table');
SELECT ok(same() AND all_of('b.extra') = '{"id": 1}', 'equal');
-- two links of a group share a target; a row goes from the one to the other
CREATE TABLE a.x (id int PRIMARY KEY, v text); CREATE TABLE a.y (id int PRIMARY KEY, v text); CREATE TABLE b.z (id int PRIMARY KEY, v text);
INSERT INTO a.x VALUES (1, 'x'); INSERT INTO a.y VALUES (2, 'y');
SELECT tracksync.create_link('x', 'a.x', 'b.z'), tracksync.create_link('y', 'a.y', 'b.z'), tracksync.create_group('fan', '{x,y}');
SELECT is(done('fan'), 'x insert1, y insert1', 'two sources, one target');
BEGIN; DELETE FROM a.x WHERE id = 1; INSERT INTO a.y VALUES (1, 'now y'); COMMIT;
SELECT is(done('fan'), 'x delete1, y insert1', 'a row that goes from the one to the other');
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id) FROM b.z), '1now y 2y', 'is there once');
-- names, members and rights
SELECT throws_ok($$SELECT tracksync.create_group('x', '{}')$$, '42710', NULL, 'a link has the name');
SELECT throws_ok($$SELECT tracksync.create_link('g', 'a.x', 'b.z')$$, '42710', NULL, 'a group has the name');
SELECT throws_ok($$SELECT tracksync.create_group('h', '{x,nosuch}')$$, '42704', NULL, 'no such link');
SELECT throws_ok($$SELECT tracksync.create_group('h', '{x,x}')$$, '42710', NULL, 'twice the same');
SELECT throws_ok($$SELECT tracksync.create_group('h', '{x,NULL}')$$, '22004', NULL, 'NULL');
SELECT throws_ok($$SELECT tracksync.group_remove('g', 'x')$$, '42704', NULL, 'no member');
SELECT throws_ok($$SELECT tracksync.drop_group('nosuch')$$, '42704', NULL, 'no such group');
CREATE ROLE groups_other; GRANT USAGE ON SCHEMA a TO groups_other;
SET ROLE groups_other;
SELECT throws_ok($$SELECT tracksync.drop_group('g')$$, '42501', NULL, 'somebody else''s group');
SELECT throws_ok($$SELECT * FROM tracksync.plan('g')$$, '42501', NULL, 'cannot be planned');
RESET ROLE;
SELECT tracksync.drop_link('x');
SELECT is(planned('fan') || done('fan'), '', 'a dropped link leaves its groups');
SELECT tracksync.drop_group('fan');
SELECT is((SELECT count(*)::int FROM tracksync.status WHERE name = 'y'), 1, 'a dropped group leaves its links');
-- pushed alone, a parent acts on the child's target, of which the child's log does not know
CREATE TABLE pa (id int PRIMARY KEY, v int); CREATE TABLE ch (id int PRIMARY KEY, p int, v int);
CREATE TABLE tpa (id int PRIMARY KEY, v int); CREATE TABLE tch (id int PRIMARY KEY, p int REFERENCES tpa ON DELETE CASCADE ON UPDATE CASCADE, v int);
INSERT INTO pa SELECT i, i FROM generate_series(1, 5) i; INSERT INTO ch SELECT i, i % 5 + 1, i FROM generate_series(1, 20) i;
SELECT tracksync.create_link('pa', 'pa', 'public.tpa'), tracksync.create_link('ch', 'ch', 'public.tch');
SELECT count(*) FROM tracksync.push('pa'); SELECT count(*) FROM tracksync.push('ch');
CREATE FUNCTION warnings(q text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('client_min_messages', 'error', true); EXECUTE q;
  RETURN (SELECT bool_or(doubted) FROM tracksync.link);
END $$;
SELECT is(warnings('UPDATE pa SET v = 0; SELECT count(*) FROM tracksync.push(''pa'')'), false, 'nothing acted');
SELECT is(warnings('UPDATE ch SET p = NULL WHERE p = 2; DELETE FROM pa WHERE id = 2; UPDATE pa SET id = 33 WHERE id = 3; UPDATE ch SET v = 7, p = 33 WHERE p = 3; DELETE FROM ch WHERE p = 4; '
                   'DELETE FROM pa WHERE id = 4; SELECT count(*) FROM tracksync.push(''pa'')'), true, 'rows of the other link''s target went and changed');
SELECT is(done('ch'), 'ch delete4, ch update3, ch insert4', 'which a comparison finds');
SELECT is((SELECT string_agg(ch::text, ' ' ORDER BY id) FROM ch), (SELECT string_agg(tch::text, ' ' ORDER BY id) FROM tch), 'no row is lost');
SELECT * FROM finish();
