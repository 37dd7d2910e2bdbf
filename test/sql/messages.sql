-- What a user reads when something is wrong: message, detail, hint, SQLSTATE and context.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA msg;
SET search_path = msg, public;
\set ECHO queries
CREATE TABLE s (id int PRIMARY KEY, v text);
CREATE TABLE t (LIKE s INCLUDING ALL);
CREATE TABLE nokey (id int, v text);
CREATE TABLE wrongtype (id real PRIMARY KEY, v text);
CREATE VIEW vw AS SELECT * FROM s;
CREATE TEMP TABLE tmp (id int PRIMARY KEY);

-- tracking
SELECT tracksync.track(NULL);
SELECT tracksync.track('nokey');
SELECT tracksync.track('vw');
SELECT tracksync.track('tmp');
SELECT tracksync.track('pg_class');
SELECT tracksync.track('s', key => '{v}');
SELECT tracksync.track('s', key => '{nosuch}');
SELECT tracksync.track('s', key => '{}');
SELECT tracksync.track('s', images => 'some');
SELECT tracksync.track('s', ignore => '{nosuch}');
SELECT tracksync.untrack('s');
SELECT * FROM tracksync.changes('s');
SELECT tracksync.capture_row();

-- links
SELECT tracksync.create_link(NULL, 's', 'msg.t');
SELECT tracksync.create_link('', 's', 'msg.t');
SELECT tracksync.create_link('l', 's', 'msg.nosuch');
SELECT tracksync.create_link('l', 's', 'msg.nokey');
SELECT tracksync.create_link('l', 's', 'msg.wrongtype');
SELECT tracksync.create_link('l', 's', 'msg.vw');
SELECT tracksync.create_link('l', 's', 'msg.s');
SELECT tracksync.create_link('l', 's', 'tracksync.link');
SELECT tracksync.create_link('l', 's', 'msg.t', initial => 'maybe');
SELECT tracksync.create_link('l', 's', 'msg.t', on_conflict => 'maybe');
SELECT tracksync.create_link('l', 's', 'msg.t', on_conflict => 'no_such_function');
SELECT tracksync.create_link('l', 's', 'msg.t', on_error => 'later');
SELECT tracksync.create_link('l', 's', 'msg.t', on_cast => 'round');
SELECT tracksync.create_link('l', 's', 'msg.t', server => 'hq');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > 0 AND nosuch');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > (SELECT 1)');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > random()');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'now() > ''2000-01-01''');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > 0) OR (true');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > 0, true');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'count(*) > 0');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 's IS NULL');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'ctid IS NULL');
SELECT tracksync.create_link('l', 's', 'msg.t', filter => 'id > 0', target_filter => 'nosuch');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"id": "id", "v": "v || nosuch"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"id": "id", "v": "(v"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"id": "id + random()", "v": "v"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"v": "v"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"id": "id", "v": "nosuch"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '{"id": "id", "nosuch": "v"}');
SELECT tracksync.create_link('l', 's', 'msg.t', columns => '["id"]');
SELECT tracksync.create_link('l', 's', 'msg.t');
SELECT tracksync.create_link('l', 's', 'msg.t');
CREATE TABLE u (LIKE s INCLUDING ALL);
SELECT tracksync.create_link('on', 't', 'msg.u');
SELECT tracksync.create_link('back', 'u', 'msg.s');
SELECT tracksync.drop_link('on');
DROP TABLE u;
SELECT tracksync.untrack('s');
SELECT tracksync.alter_link('nosuch', initial => 'copy');
SELECT tracksync.alter_link('l', key => '{id}');
SELECT tracksync.drop_link('nosuch');

-- plan and push
SELECT * FROM tracksync.plan('nosuch');
SELECT * FROM tracksync.push(NULL);
SELECT * FROM tracksync.push('l', expect => 'other');
INSERT INTO s SELECT i, 'v' FROM generate_series(1, 5) i;
ALTER TABLE t ADD CONSTRAINT small CHECK (id < 4);
SELECT * FROM tracksync.push('l');
ALTER TABLE t DROP CONSTRAINT small;
SELECT kind, rows FROM tracksync.push('l');
CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t);
INSERT INTO child VALUES (1, 2);
DELETE FROM s WHERE id = 2;
SELECT * FROM tracksync.push('l');
DELETE FROM child;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today' USING HINT = 'Come back tomorrow.'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT * FROM tracksync.push('l');
DROP TRIGGER refuse ON t;
UPDATE t SET v = 'edited' WHERE id IN (1, 3);
UPDATE s SET v = 'new' WHERE id IN (1, 3);
DELETE FROM t WHERE id = 4;
UPDATE s SET v = 'new' WHERE id = 4;
INSERT INTO t VALUES (6, 'own');
INSERT INTO s VALUES (6, 'new');
SELECT * FROM tracksync.push('l');
SELECT fact, aspect, what, detail - 'seq' - 'txid' - 'by' AS detail FROM tracksync.explain_row('l', '{"id": 4}') WHERE aspect <> 'pushed';
SELECT * FROM tracksync.explain_row('nosuch', '{"id": 4}');
SELECT * FROM tracksync.explain_row('l', NULL);
SELECT * FROM tracksync.explain_row('l', '{"v": 4}');
SELECT * FROM tracksync.explain_row('l', '{"id": "four"}');
SELECT tracksync.create_group('pair', '{l}');
SELECT * FROM tracksync.explain_row('pair', '[4]');
SELECT tracksync.group_remove('pair', 'l');
SELECT * FROM tracksync.explain_row('pair', '{"id": 4}');
SELECT tracksync.drop_group('pair');
CREATE FUNCTION push_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tracksync.push('l'); RETURN NULL; END $$;
CREATE TRIGGER push_again AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION push_again();
SELECT tracksync.alter_link('l', on_conflict => 'source_wins');
SELECT * FROM tracksync.push('l');
DROP TRIGGER push_again ON t;
SELECT kind, rows FROM tracksync.push('l');
SELECT kind, key, source, target FROM tracksync.conflict ORDER BY id;

-- tables that went
ALTER TABLE t DROP COLUMN v;
SELECT * FROM tracksync.plan('l');
DROP TABLE t CASCADE;
SELECT * FROM tracksync.plan('l');
DROP TABLE s CASCADE;
SELECT * FROM tracksync.plan('l');
SELECT tracksync.drop_link('l');
SELECT count(*) FROM tracksync.status;
\set ECHO none
DROP SCHEMA msg CASCADE;
