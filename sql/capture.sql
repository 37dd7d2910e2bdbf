-- Tracking tables, and reading what was tracked.

CREATE FUNCTION tracksync.capture_row() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_capture_row';
COMMENT ON FUNCTION tracksync.capture_row() IS 'internal: the row trigger of tracked tables';

CREATE FUNCTION tracksync.capture_truncate() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_capture_truncate';
COMMENT ON FUNCTION tracksync.capture_truncate() IS 'internal: the TRUNCATE trigger of tracked tables';

CREATE FUNCTION tracksync.track(source regclass, key text[] = NULL, images text = 'changed', ignore text[] = NULL) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_track';
COMMENT ON FUNCTION tracksync.track(regclass, text[], text, text[]) IS
'records the row changes of a table from now on; called again, alters the options. images: ''changed'' keeps old values, ''none'' only keys and names of changed columns. ignore: columns whose change alone is no change';

CREATE FUNCTION tracksync.untrack(source regclass, cascade boolean = false) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_untrack';
COMMENT ON FUNCTION tracksync.untrack(regclass, boolean) IS
'ends the tracking of a table and drops its log; with cascade also its links';

CREATE FUNCTION tracksync.prune(source regclass) RETURNS bigint
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_prune';
COMMENT ON FUNCTION tracksync.prune(regclass) IS
'removes from a table''s log what every link has shipped, without links all of it; returns the rows removed';

CREATE FUNCTION tracksync.has_changes(source regclass) RETURNS boolean
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_has_changes';
COMMENT ON FUNCTION tracksync.has_changes(regclass) IS
'does the table''s log hold changes that one of its links has not shipped (without links: any)?';

CREATE FUNCTION tracksync.summary(source regclass,
    OUT inserts bigint, OUT updates bigint, OUT deletes bigint, OUT columns_added text[], OUT columns_dropped text[],
    OUT columns_renamed jsonb, OUT columns_retyped text[]) RETURNS SETOF record
  LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'tracksync_summary';
COMMENT ON FUNCTION tracksync.summary(regclass) IS
'net changes since the position of the oldest link; the counts are NULL where a TRUNCATE or a gap hides them';

CREATE FUNCTION tracksync.changes(source regclass, since text = NULL,
    OUT seq bigint, OUT txid xid8, OUT op text, OUT key jsonb, OUT old jsonb, OUT new jsonb, OUT changed text[],
    OUT at timestamptz, OUT by name, OUT context text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_changes';
COMMENT ON FUNCTION tracksync.changes(regclass, text) IS
'every event in the table''s log, in order, with the row before and after it; since: a link, by default all that is retained';

CREATE FUNCTION tracksync.operations(
    OUT txid xid8, OUT source regclass, OUT by name, OUT application_name text, OUT context text,
    OUT started timestamptz, OUT logged timestamptz, OUT commands text[], OUT inserts bigint, OUT updates bigint,
    OUT deletes bigint, OUT truncates bigint, OUT schema_changes text[]) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_operations';
COMMENT ON FUNCTION tracksync.operations() IS 'internal: what the view operation shows';

CREATE FUNCTION tracksync.ddl_done() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_ddl_done';
COMMENT ON FUNCTION tracksync.ddl_done() IS 'internal: writes down what CREATE TABLE and ALTER TABLE do to tracked tables';
CREATE EVENT TRIGGER tracksync_ddl_done ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA', 'ALTER TYPE')
  EXECUTE FUNCTION tracksync.ddl_done();
ALTER EVENT TRIGGER tracksync_ddl_done ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tracksync_ddl_done IS 'internal: writes down what CREATE TABLE and ALTER TABLE do to tracked tables';

CREATE FUNCTION tracksync.ddl_dropped() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_ddl_dropped';
COMMENT ON FUNCTION tracksync.ddl_dropped() IS 'internal: writes down what DROP commands take from tracked tables';
CREATE EVENT TRIGGER tracksync_ddl_dropped ON sql_drop EXECUTE FUNCTION tracksync.ddl_dropped();
ALTER EVENT TRIGGER tracksync_ddl_dropped ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tracksync_ddl_dropped IS 'internal: writes down what DROP commands take from tracked tables';

CREATE FUNCTION tracksync.schema_versions(source regclass,
    OUT version int, OUT seen timestamptz, OUT by name, OUT context text, OUT changes text[], OUT columns jsonb) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_schema_versions';
COMMENT ON FUNCTION tracksync.schema_versions(regclass) IS
'the shapes a tracked table had, oldest first: when and by whom they were first seen, what changed (as actions of ALTER TABLE), and the columns with their types';

CREATE FUNCTION tracksync.schema_script(source regclass, from_version int, to_version int) RETURNS text
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_schema_script';
COMMENT ON FUNCTION tracksync.schema_script(regclass, int, int) IS
'the ALTER TABLE statements that turn one version of a tracked table into another, forward or back; lost values do not come back';
