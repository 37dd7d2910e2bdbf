-- The plan of each kind of schema change, and the errors.
SET client_min_messages = warning;
CREATE SCHEMA sp;
SET search_path = sp;
CREATE TABLE s (id int PRIMARY KEY, a text, b int, c numeric(8,2));
CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s SELECT i, 'a' || i, i, i FROM generate_series(1, 5) i;
SELECT tracksync.create_link('l', 's', 'sp.t');
CREATE FUNCTION sent() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM tracksync.push('l') $$;
SELECT sent();
\x on
\pset format unaligned
-- rename; a chain of renames; there and back
ALTER TABLE s RENAME a TO x;
ALTER TABLE s RENAME x TO "A a";
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
ALTER TABLE s RENAME "A a" TO x;
ALTER TABLE s RENAME x TO "A a";
SELECT count(*) FROM tracksync.plan('l');
-- a swap; a rename onto a name just dropped
ALTER TABLE s RENAME "A a" TO tmp;
ALTER TABLE s RENAME b TO "A a";
ALTER TABLE s RENAME tmp TO b;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
ALTER TABLE s DROP COLUMN c;
ALTER TABLE s RENAME b TO c;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
-- add: without a value, a constant, a volatile one; add and drop again; add then rename
ALTER TABLE s ADD d int, ADD e text NOT NULL DEFAULT 'k', ADD f text DEFAULT md5(random()::text), ADD g int;
ALTER TABLE s DROP COLUMN g;
ALTER TABLE s RENAME d TO dd;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
-- drop then add of the same name with another type
ALTER TABLE s DROP COLUMN f;
ALTER TABLE s ADD f date;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
-- a widening; a narrowing; USING; a collation; nullability and default
ALTER TABLE s ALTER dd TYPE bigint;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
ALTER TABLE s ALTER e TYPE varchar(3);
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
ALTER TABLE s ALTER c TYPE int USING length(c);
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
ALTER TABLE s ALTER e TYPE varchar(3) COLLATE "C";
ALTER TABLE s ALTER c SET NOT NULL, ALTER c SET DEFAULT 7, ALTER e DROP NOT NULL;
SELECT step, priority, kind, rows, destructive, description, sql FROM tracksync.plan('l');
SELECT sent();
-- with rows, all in one
UPDATE s SET dd = 1 WHERE id = 1;
ALTER TABLE s RENAME dd TO d;
DELETE FROM s WHERE id = 2;
ALTER TABLE s ADD h timestamp;
INSERT INTO s VALUES (6);
SELECT step, priority, kind, rows, destructive, description FROM tracksync.plan('l');
SELECT sent();
\pset format aligned
\x off
-- errors: dependants of a dropped and a retyped column, a name that is taken, NULLs where none may be, a lock that is not to be had
CREATE VIEW v AS SELECT d FROM t;
ALTER TABLE s DROP COLUMN d;
SELECT sent();
DROP VIEW v;
SELECT sent();
CREATE VIEW v AS SELECT f FROM t;
ALTER TABLE s ALTER f TYPE text;
SELECT sent();
DROP VIEW v;
SELECT sent();
ALTER TABLE t ADD mine int;
ALTER TABLE s RENAME f TO mine;
SELECT sent();
ALTER TABLE t RENAME mine TO own;
SELECT sent();
INSERT INTO t (id, mine, c) VALUES (99, NULL, 1);
UPDATE s SET mine = 'x';
ALTER TABLE s ALTER mine SET NOT NULL;
SELECT sent();
DELETE FROM t WHERE id = 99;
SELECT sent();
SELECT tracksync.alter_link('l', schema_policy => 'error');
ALTER TABLE s ADD late int;
SELECT count(*) FROM tracksync.plan('l');
SELECT tracksync.alter_link('l', schema_policy => 'apply');
-- versions, and the way back
SELECT version, by = session_user AS by_me, changes FROM tracksync.schema_versions('s') ORDER BY version DESC LIMIT 3;
SELECT tracksync.schema_script('s', 1, 4);
SELECT tracksync.schema_script('s', 4, 1);
SELECT tracksync.schema_script('s', 1, 999);
SELECT tracksync.drop_link('l');
DROP SCHEMA sp CASCADE;
