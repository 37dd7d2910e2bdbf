-- Who may do what, and as whom things run.
SET client_min_messages = warning;
CREATE ROLE ts_owner;
CREATE ROLE ts_stranger;
CREATE ROLE ts_member IN ROLE ts_owner;
CREATE ROLE ts_reader;
CREATE ROLE ts_tenant;
CREATE SCHEMA priv;
GRANT ALL ON SCHEMA priv TO ts_owner;
GRANT USAGE ON SCHEMA priv TO ts_stranger, ts_reader, ts_tenant;
SET search_path = priv, public;

SET ROLE ts_owner;
CREATE TABLE s (id int PRIMARY KEY, v text, secret text);
CREATE TABLE t (LIKE s INCLUDING ALL);
SELECT tracksync.create_link('l', 's', 'priv.t');
INSERT INTO s VALUES (1, 'a', 'x');
SELECT kind, rows FROM tracksync.push('l');
RESET ROLE;

-- a stranger: not the link, not the table, not its log, not the books
SET ROLE ts_stranger;
SELECT * FROM tracksync.plan('l');
SELECT * FROM tracksync.push('l');
SELECT * FROM tracksync.explain_row('l', '{"id": 1}');
SELECT tracksync.drop_link('l');
SELECT tracksync.alter_link('l', on_conflict => 'source_wins');
SELECT tracksync.track('priv.s');
SELECT tracksync.untrack('priv.s');
SELECT tracksync.has_changes('priv.s');
SELECT * FROM tracksync.changes('priv.s');
SELECT * FROM tracksync.summary('priv.s');
SELECT tracksync.create_link('x', 'priv.s', 'priv.t');
SELECT count(*) FROM tracksync.status;
SELECT count(*) FROM tracksync.push_history;
SELECT count(*) FROM tracksync.operation;
SELECT count(*) FROM tracksync.link_pending('l');
SELECT * FROM tracksync.link;
SELECT * FROM tracksync_log.survivor;
RESET ROLE;

-- a member of the owner
SET ROLE ts_member;
INSERT INTO s VALUES (2, 'b', 'y');
SELECT kind, rows FROM tracksync.push('l');
SELECT link, pending FROM tracksync.status;
SELECT aspect, what FROM tracksync.explain_row('l', '{"id": 2}') WHERE aspect <> 'event';
RESET ROLE;

-- a reader of some columns sees these in the log, and no others
GRANT SELECT (id, v) ON s TO ts_reader;
UPDATE s SET v = 'aa', secret = 'xx' WHERE id = 1;
DELETE FROM s WHERE id = 2;
SET ROLE ts_reader;
SELECT op, key, old, new, changed FROM tracksync.changes('priv.s');
SELECT tracksync.has_changes('priv.s');
RESET ROLE;
REVOKE SELECT (id) ON s FROM ts_reader;
SET ROLE ts_reader;
SELECT op, key FROM tracksync.changes('priv.s');
RESET ROLE;

-- row-level security: a reader sees live rows that are his; an owner from whom rows are hidden cannot push
CREATE TABLE r (id int PRIMARY KEY, tenant name, v text);
CREATE TABLE rt (LIKE r INCLUDING ALL);
ALTER TABLE r ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON r USING (tenant = current_user);
GRANT SELECT, INSERT, UPDATE, DELETE ON r, rt TO ts_tenant;
SELECT tracksync.track('r');
INSERT INTO r VALUES (1, 'ts_tenant', 'mine'), (2, 'other', 'not mine'), (3, 'ts_tenant', 'gone');
UPDATE r SET v = 'still mine' WHERE id = 1;
DELETE FROM r WHERE id = 3;
SET ROLE ts_tenant;
SELECT op, key, old, new FROM tracksync.changes('priv.r');
SELECT * FROM tracksync.summary('priv.r');
SELECT tracksync.create_link('rls', 'priv.r', 'priv.rt');
RESET ROLE;

-- what hangs on a target runs as the owner of the link, whoever pushes, also when it is deferred; nothing is left for the commit
CREATE TABLE ran (what text, who name);
GRANT INSERT ON ran TO ts_owner;
CREATE FUNCTION ran() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO priv.ran VALUES (TG_NAME, current_user); RETURN NULL; END $$;
CREATE TRIGGER a_plain AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION ran();
CREATE CONSTRAINT TRIGGER b_deferred AFTER INSERT OR UPDATE OR DELETE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ran();
BEGIN;
SELECT kind, rows FROM tracksync.push('l');
SELECT what, who, count(*) FROM ran GROUP BY 1, 2 ORDER BY 1, 2;
COMMIT;
SELECT what, who, count(*) FROM ran GROUP BY 1, 2 ORDER BY 1, 2;
-- and cannot change who it is
CREATE FUNCTION climb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'SET SESSION AUTHORIZATION DEFAULT'; RETURN NEW; END $$;
CREATE TRIGGER climb BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION climb();
UPDATE s SET v = 'climb' WHERE id = 1;
SELECT kind, rows FROM tracksync.push('l');
SELECT current_user = session_user AS still_me, current_setting('search_path') AS path;
DROP TRIGGER climb ON t;

-- one who may read the link's columns of the source only is told of these
CREATE TABLE part (id int PRIMARY KEY, v text, secret text);
CREATE TABLE tpart (id int PRIMARY KEY, v text);
GRANT SELECT (id, v) ON part TO ts_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON tpart TO ts_tenant;
SELECT tracksync.track('part');
SET ROLE ts_tenant;
SELECT tracksync.create_link('part', 'priv.part', 'priv.tpart', initial => 'none');
RESET ROLE;
INSERT INTO part VALUES (1, 'a', 'x');
UPDATE part SET v = 'b', secret = 'y';
SET ROLE ts_tenant;
SELECT aspect, what, detail - 'seq' - 'txid' AS detail FROM tracksync.explain_row('part', '{"id": 1}');
RESET ROLE;
SELECT tracksync.drop_link('part');

-- the owner loses a right
REVOKE UPDATE ON t FROM ts_owner;
SELECT kind, rows FROM tracksync.push('l');
GRANT UPDATE ON t TO ts_owner;
SELECT kind, rows FROM tracksync.push('l');

DROP SCHEMA priv CASCADE;
SELECT tracksync.drop_link('l');
DROP ROLE ts_owner, ts_stranger, ts_member, ts_reader, ts_tenant;
