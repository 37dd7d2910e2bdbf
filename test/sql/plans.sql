-- Plans: steps, order, the statements they show.
SET client_min_messages = warning;
CREATE SCHEMA pl;
SET search_path = pl, public;
\pset format unaligned
CREATE TABLE s (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, w numeric(8,2), arr int[], g int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE t (LIKE s INCLUDING ALL);
INSERT INTO s (v, w) VALUES ('a', 1), ('b', 2), ('c', 3);
SELECT tracksync.create_link('plain', 's', 'pl.t');
SELECT * FROM tracksync.plan('plain');
SELECT kind, rows, description FROM tracksync.push('plain');
SELECT * FROM tracksync.plan('plain');
-- one of each; updates of two sets of columns
UPDATE s SET v = 'A' WHERE id = 1;
UPDATE s SET v = 'B', w = 20 WHERE id = 2;
DELETE FROM s WHERE id = 3;
INSERT INTO s (v) VALUES ('d');
SELECT * FROM tracksync.plan('plain');
SELECT * FROM tracksync.net_changes('plain');
-- the same once more: nothing was changed by looking
SELECT tracksync.plan_fingerprint('plain') = tracksync.plan_fingerprint('plain') AS same;
SELECT kind, rows, description FROM tracksync.push('plain', dry_run => true);
SELECT kind, rows, description FROM tracksync.push('plain');
-- a TRUNCATE: the plan compares
TRUNCATE s;
INSERT INTO s (v) VALUES ('e');
SELECT * FROM tracksync.plan('plain');
SELECT kind, rows, destructive FROM tracksync.plan('plain');
SELECT kind, rows FROM tracksync.push('plain');
-- other types on the target, a composite key, a table to be made
CREATE TABLE s2 (a text, b int, v varchar(10), n numeric, PRIMARY KEY (a, b));
CREATE TABLE t2 (b bigint, a varchar(5), n numeric(10,2), v text, PRIMARY KEY (a, b));
SELECT tracksync.create_link('types', 's2', 'pl.t2', initial => 'none');
INSERT INTO s2 VALUES ('x', 1, 'v', 1.5), ('y', 2, 'v', 2);
SELECT kind, rows FROM tracksync.push('types');
UPDATE s2 SET n = 3 WHERE a = 'x';
DELETE FROM s2 WHERE a = 'y';
SELECT kind, rows, sql FROM tracksync.plan('types');
SELECT kind, rows FROM tracksync.push('types');
TABLE t2;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE s3 (id bigint, m mood, c text COLLATE "C" NOT NULL, d varchar(7) DEFAULT 'x', PRIMARY KEY (id, c));
INSERT INTO s3 VALUES (1, 'ok', 'c', 'd');
SELECT tracksync.create_link('made', 's3', 'pl."New t3"', create_target => true);
SELECT kind, rows, sql FROM tracksync.plan('made');
SELECT kind, rows FROM tracksync.push('made');
TABLE "New t3";
DROP SCHEMA pl CASCADE;
SELECT tracksync.drop_link(name) FROM tracksync.status ORDER BY name;
