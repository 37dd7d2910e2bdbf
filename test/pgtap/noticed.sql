-- DDL that changes rows without an event, or takes away what tracking needs: the next push is right, or an error.
-- noticed_unaided.sql runs the same without event triggers; "aided" says which it is.
SET client_min_messages = error;
\if :{?unaided} \else \set unaided off \endif
SELECT plan(CASE WHEN :'unaided' = 'on' THEN 46 ELSE 56 END);
CREATE FUNCTION done(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(kind || CASE WHEN rows > 0 THEN rows::text ELSE '' END, ' ' ORDER BY step), '') FROM tracksync.push(name) $$;
CREATE FUNCTION all_of(t regclass) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE r text; BEGIN EXECUTE format('SELECT coalesce(string_agg(to_jsonb(t)::text, '' '' ORDER BY to_jsonb(t)::text), '''') FROM %s t', t) INTO r; RETURN r; END $$;
-- what the command just run left in the log: events of no row
CREATE FUNCTION noted(s regclass) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(op, ' ' ORDER BY seq), '') FROM tracksync.changes(s) WHERE op IN ('GAP', 'ALTER') $$;

CREATE TABLE s (id int PRIMARY KEY, v text); CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s VALUES (1, 'a'), (2, 'b');
SELECT tracksync.create_link('l', 's', 'public.t'), done('l');
\if :unaided
ALTER EVENT TRIGGER tracksync_ddl_done DISABLE; ALTER EVENT TRIGGER tracksync_ddl_dropped DISABLE;
\endif

-- triggers disabled and put back before any plan
ALTER TABLE s DISABLE TRIGGER "00_tracksync_row"; DELETE FROM s WHERE id = 1; INSERT INTO s VALUES (3, 'c');
ALTER TABLE s ENABLE ALWAYS TRIGGER "00_tracksync_row";
\if :unaided \else
SELECT is(noted('s'), 'GAP GAP', 'both commands leave a gap');
\endif
SELECT is(done('l'), 'delete1 insert1', 'a row trigger that was disabled');
SELECT is(all_of('t'), all_of('s'), 'equal');
SELECT is(done('l'), '', 'and no more is left');
BEGIN; ALTER TABLE s DISABLE TRIGGER "00_tracksync_truncate"; TRUNCATE s; INSERT INTO s VALUES (4, 'd');
ALTER TABLE s ENABLE ALWAYS TRIGGER "00_tracksync_truncate"; COMMIT;
SELECT is(done('l'), 'delete2 insert1', 'a truncate trigger that was disabled');
SELECT is(all_of('t'), all_of('s'), 'equal');
ALTER TABLE s DISABLE TRIGGER USER; UPDATE s SET v = 'e';
SELECT is(done('l'), 'update1', 'pushed while all triggers are disabled');
UPDATE s SET v = 'f'; ALTER TABLE s ENABLE TRIGGER USER; UPDATE s SET v = 'g';
SELECT is(done('l'), 'update1', 'ENABLE TRIGGER of all');
\if :unaided
SELECT tracksync.track('s');
\endif
SELECT is((SELECT string_agg(tgenabled::text, '' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 's'::regclass AND tgname ~ 'tracksync'), 'AA', 'they fire always again');
SET session_replication_role = replica; INSERT INTO s VALUES (5, 'e'); RESET session_replication_role;
SELECT is(done('l'), 'insert1', 'also in replica role');
DROP TRIGGER "00_tracksync_row" ON s; DELETE FROM s WHERE id = 5;
SELECT is(done('l'), 'delete1', 'a dropped trigger');
INSERT INTO s VALUES (6, 'f'); SELECT tracksync.track('s'); UPDATE s SET v = 'ff' WHERE id = 6;
SELECT is(done('l'), 'insert1', 'track puts it back');
UPDATE s SET v = 'fff' WHERE id = 6;
SELECT is((SELECT count(*)::int FROM tracksync.changes('s', 'l')), 1, 'and events are captured');
SELECT is(done('l'), 'update1', 'and shipped');
-- what was rolled back did not happen
BEGIN; ALTER TABLE s DISABLE TRIGGER ALL; DROP TRIGGER "00_tracksync_truncate" ON s; ROLLBACK;
INSERT INTO t VALUES (77, 'of the target');
UPDATE s SET v = 'g' WHERE id = 6;
SELECT is(done('l'), 'update1', 'a rollback leaves no gap');
DELETE FROM t WHERE id = 77;

-- the key
ALTER TABLE s DROP CONSTRAINT s_pkey; INSERT INTO s VALUES (6, 'twice');
SELECT throws_ok($$SELECT done('l')$$, '42P10', NULL, 'no key, no push');
DELETE FROM s WHERE v = 'twice'; ALTER TABLE s ADD PRIMARY KEY (id);
\if :unaided \else
SELECT is(noted('s'), 'GAP', 'a dropped key is a gap');
\endif
SELECT is(done('l'), CASE WHEN :'unaided' = 'on' THEN 'update1' ELSE '' END, 'the key is back');
SELECT is(all_of('t'), all_of('s'), 'equal');
CREATE UNIQUE INDEX other ON s (id); ALTER TABLE s DROP CONSTRAINT s_pkey; ALTER TABLE s ALTER id SET NOT NULL; UPDATE s SET v = 'h' WHERE id = 6;
SELECT is(done('l'), 'update1', 'another index on the same key will do');
DROP INDEX other;
SELECT throws_ok($$SELECT done('l')$$, '42P10', NULL, 'DROP INDEX stops the push');
ALTER TABLE s ADD PRIMARY KEY (id);
\if :unaided \else
SELECT is(noted('s'), 'GAP', 'and is a gap');
\endif
ALTER TABLE s RENAME id TO number; UPDATE s SET v = 'i' WHERE number = 6;
SELECT is(done('l'), 'rename_column update1', 'a renamed key column');
ALTER TABLE s RENAME number TO id;
INSERT INTO s VALUES (7, 'g');
ALTER TABLE s ALTER id TYPE bigint USING id + 100; INSERT INTO s VALUES (8, 'h');
SELECT lives_ok($$SELECT done('l')$$, 'a retyped key');
SELECT is(all_of('t'), all_of('s'), 'with new values, and events before and after');
ALTER TABLE s ALTER id TYPE bigint USING id + 10; UPDATE s SET v = 'hhh' WHERE v = 'h';
SELECT lives_ok($$SELECT done('l')$$, 'a key with new values of the same type');
SELECT is(all_of('t'), all_of('s'), 'the former rows are gone');
ALTER TABLE s ALTER id TYPE bigint USING id - 10; SELECT done('l');
UPDATE s SET v = 'hh' WHERE id = 8;
SELECT is((SELECT string_agg(op || key::text, '') FROM tracksync.changes('s', 'l')), 'UPDATE{"id": 8}', 'the log has the new key type');
SELECT is(done('l'), 'update1', 'and no comparison is needed');
ALTER TABLE s ALTER id TYPE smallint; DELETE FROM s WHERE id = 8;
SELECT is(done('l'), 'alter_column delete1', 'a key that became narrower');
SELECT is(all_of('t'), all_of('s'), 'equal');

-- names and places
CREATE SCHEMA elsewhere;
ALTER TABLE s RENAME TO s_new; ALTER TABLE s_new SET SCHEMA elsewhere; ALTER TABLE t RENAME TO t_new; ALTER TABLE t_new SET SCHEMA elsewhere;
ALTER SCHEMA elsewhere RENAME TO moved;
INSERT INTO moved.s_new VALUES (9, 'i');
SELECT is(done('l'), 'insert1', 'source and target that moved');
SELECT is((SELECT source::text || ' ' || target FROM tracksync.status WHERE name = 'l'), 'moved.s_new moved.t_new', 'status has the names of now');

-- SET UNLOGGED and back
ALTER TABLE moved.s_new SET UNLOGGED; INSERT INTO moved.s_new VALUES (10, 'j');
SELECT is(done('l'), 'insert1', 'unlogged');
SELECT is((SELECT count(*)::int FROM tracksync_log.survivor), 1, 'it is known to be unlogged');
ALTER TABLE moved.s_new SET LOGGED; INSERT INTO moved.s_new VALUES (11, 'k');
SELECT is(done('l'), 'insert1', 'and logged');

-- the type of a column
CREATE TYPE mood AS ENUM ('glad', 'sad'); ALTER TABLE moved.s_new ADD m mood DEFAULT 'sad';
SELECT is(done('l'), 'add_column', 'a column of a type of one''s own');
DELETE FROM moved.s_new WHERE id = 11; ALTER TABLE moved.t_new ALTER m DROP DEFAULT, ALTER m TYPE text;
DROP TYPE mood CASCADE;
\if :unaided \else
SELECT matches(noted('moved.s_new'), 'ALTER$', 'DROP TYPE CASCADE is a change of columns');
SELECT is((SELECT schema_changes FROM tracksync.operation WHERE schema_changes <> '{}' ORDER BY txid DESC LIMIT 1), '{DROP COLUMN m}', 'the operation tells it');
\endif
SELECT is((SELECT changes FROM tracksync.schema_versions('moved.s_new') ORDER BY version DESC LIMIT 1), '{DROP COLUMN m}', 'so do the versions');
SELECT is(done('l'), 'drop_column delete1', 'a type that was dropped');
SELECT is(all_of('moved.t_new'), all_of('moved.s_new'), 'equal');

-- partitions
CREATE TABLE p (id int, r int, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 (r int NOT NULL, v text, id int NOT NULL);
INSERT INTO p VALUES (1, 1, 'a'); INSERT INTO p2 VALUES (2, 'b', 2), (2, 'bb', 3);
CREATE TABLE pt (id int, r int, v text, PRIMARY KEY (id, r));
SELECT tracksync.create_link('p', 'p', 'public.pt'), done('p');
INSERT INTO pt VALUES (50, 50, 'of the target');
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2); UPDATE p SET v = 'c' WHERE id = 3;
\if :unaided
SELECT tracksync.track('p');
DELETE FROM pt WHERE id = 50;
\else
SELECT is(noted('p'), 'GAP', 'ATTACH is a gap');
\endif
SELECT is(done('p'), 'insert2', 'rows come with an attached partition, none goes');
DELETE FROM pt WHERE id = 50;
SELECT is(all_of('pt'), all_of('p'), 'equal');
ALTER TABLE p DETACH PARTITION p2;
\if :unaided \else
SELECT is(noted('p'), 'GAP', 'DETACH is a gap');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE tgrelid = 'p2'::regclass AND tgname ~ 'tracksync'), 0, 'no trigger stays');
SELECT is(done('p'), 'delete2', 'rows go with a detached partition');
\endif
UPDATE p2 SET v = 'x'; ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2); ALTER TABLE p2 DISABLE TRIGGER ALL;
DELETE FROM p WHERE id = 2; ALTER TABLE p2 ENABLE ALWAYS TRIGGER "00_tracksync_row";
\if :unaided
SELECT is(done('p'), 'delete1 update1', 'detached, changed, attached');
\else
SELECT is(done('p'), 'insert1', 'changed, attached');
\endif
SELECT is(all_of('pt'), all_of('p'), 'equal');
DROP TABLE p2;
SELECT is(done('p'), 'delete1', 'a dropped partition');

-- gone
\if :unaided \else
CREATE TABLE log_of AS SELECT log::oid FROM tracksync.tracked_table WHERE source = 'p'::regclass;
\endif
DROP TABLE pt;
SELECT throws_ok($$SELECT done('p')$$, '42P01', NULL, 'a target that was dropped');
DROP TABLE p;
SELECT throws_ok($$SELECT done('p')$$, '42P01', NULL, 'a source that was dropped');
\if :unaided \else
SELECT is((SELECT count(*)::int FROM pg_class c JOIN log_of l ON l.log = c.oid), 0, 'its log goes with it');
\endif
SELECT lives_ok($$SELECT tracksync.drop_link('p')$$, 'the link can be dropped');
SELECT lives_ok('TABLE tracksync.status', 'and status works');
SELECT * FROM finish();
