-- The extension's own tables. Nobody but its owner has a right on them; functions and views decide who sees what.

CREATE SEQUENCE tracksync.log_number;

CREATE TABLE tracksync.table_shape (
  shape       int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      regclass NOT NULL,
  seen        timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_by     name NOT NULL DEFAULT session_user,
  context     text DEFAULT nullif(current_setting('tracksync.context', true), ''),
  -- one element per attribute number; a name of '' stands for a column without stored values
  names       text[] NOT NULL,
  types       oid[] NOT NULL,
  typmods     int[] NOT NULL,
  collations  oid[] NOT NULL,
  lens        smallint[] NOT NULL,
  byvals      boolean[] NOT NULL,
  notnulls    boolean[] NOT NULL,
  generateds  boolean[] NOT NULL,
  type_names  text[] NOT NULL,                -- a type may be gone when a version is asked for
  defaults    text[] NOT NULL                 -- of a generated column its expression; NULL: none
);
CREATE INDEX table_shape_source ON tracksync.table_shape (source, shape);
COMMENT ON TABLE tracksync.table_shape IS 'the columns a tracked table had; old row images in its log name one of these';

-- src/log/tracked.c knows its columns by their numbers.
CREATE TABLE tracksync.tracked_table (
  source      regclass PRIMARY KEY,
  log         regclass NOT NULL,
  seq         regclass NOT NULL,
  keys        smallint[] NOT NULL,
  key_types   oid[] NOT NULL,                 -- the types that the log has the keys in
  key_index   oid NOT NULL,                   -- an index of the key
  images      text NOT NULL CHECK (images IN ('changed', 'none')),
  ignored     smallint[] NOT NULL,
  explicitly  boolean NOT NULL,
  shape       int NOT NULL,
  system_identity text NOT NULL,              -- the server and database these books were written in
  tracked_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tracksync.tracked_table IS 'the tracked tables, their logs, keys (attribute numbers) and options';

CREATE TABLE tracksync.link (
  name             text PRIMARY KEY,
  owner            regrole NOT NULL,
  source           regclass NOT NULL,
  server           text,                      -- the foreign server where the target is; NULL: in this database
  target_schema    text NOT NULL,
  target_name      text NOT NULL,
  target           regclass,                  -- NULL until it exists, or if it is on a server
  target_identity  text,                      -- of one on a server: which table it is; what came from it is not sent back
  create_target    boolean NOT NULL,
  keys             smallint[],                -- detect => 'diff': attribute numbers of the source's key; NULL: it is tracked by one
  source_attnums   smallint[] NOT NULL,       -- the mapping: attribute number of the source …
  target_columns   text[] NOT NULL,           -- … to column of the target
  target_attnums   smallint[] NOT NULL,       -- … and to its attribute number; 0: found by its name
  columns          jsonb,                     -- as given
  expressions      text[] NOT NULL,           -- SQL in the place of a source's column; NULL elements: the column
  filter           text,                      -- SQL over the source's row; NULL: all rows
  target_filter    text,                      -- SQL over the target's row, as given; NULL: what follows from the filter
  former_filter    text,                      -- SQL over the target's row: what was the link's before it was altered
  read_names       text[] NOT NULL,           -- what the filter and the expressions call the source's columns, and …
  read_attnums     smallint[] NOT NULL,       -- … their attribute numbers
  initial          text NOT NULL CHECK (initial IN ('copy', 'mirror', 'none')),
  on_conflict      text NOT NULL,
  on_error         text NOT NULL CHECK (on_error IN ('abort', 'quarantine')),
  on_cast          text NOT NULL DEFAULT 'error' CHECK (on_cast IN ('error', 'lossy')),
  schema_policy    text NOT NULL CHECK (schema_policy IN ('apply', 'additive', 'ignore', 'error')),
  detect           text NOT NULL CHECK (detect IN ('log', 'diff')),
  state            text NOT NULL CHECK (state IN ('initial', 'active', 'resync')),
  position         pg_snapshot NOT NULL,      -- the transactions shipped, and …
  own_txid         xid8,                      -- … of the transaction that pushed its own changes …
  own_seq          bigint NOT NULL DEFAULT 0, -- … those up to here
  storage          text NOT NULL,             -- the source's files at the last push
  shape            int NOT NULL,              -- and its columns
  followed         int NOT NULL,              -- the shape that the target has followed
  doubted          boolean NOT NULL DEFAULT false, -- a push of another link changed rows of the target: the next push compares
  system_identity  text NOT NULL,             -- the server and database the position is of
  generation       bigint NOT NULL DEFAULT 0, -- pushes that committed on the target's server, as far as known here
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_push        timestamptz,
  last_rows        bigint,
  last_elapsed     interval
) WITH (fillfactor = 50);
CREATE INDEX link_source ON tracksync.link (source);
COMMENT ON TABLE tracksync.link IS 'the links: source, target, mapping, policies and position';

CREATE TABLE tracksync.merge_rule (
  link    text NOT NULL,
  attnum  smallint NOT NULL,                  -- of the source's column; 0: an expression's …
  column_name text NOT NULL DEFAULT '',       -- … column of the target; empty: of rows that one side deleted and the other one changed
  rule    text NOT NULL CHECK (CASE WHEN attnum = 0 AND column_name = '' THEN rule IN ('keep', 'delete') ELSE rule IN ('source', 'target', 'greatest', 'least', 'add') END),
  PRIMARY KEY (link, attnum, column_name)
);
COMMENT ON TABLE tracksync.merge_rule IS 'how a merge decides about columns that both sides changed';

CREATE TABLE tracksync.link_group (
  name        text PRIMARY KEY,
  owner       regrole NOT NULL,
  transactions text NOT NULL DEFAULT 'one' CHECK (transactions IN ('one', 'per_server')),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE tracksync.group_member (
  group_name  text NOT NULL,
  link        text NOT NULL,
  PRIMARY KEY (group_name, link)
);
COMMENT ON TABLE tracksync.link_group IS 'named sets of links that are pushed together';
COMMENT ON TABLE tracksync.group_member IS 'the links of each group';

CREATE TABLE tracksync.user_step (
  name      text NOT NULL,                    -- of a link or a group
  fn        regprocedure NOT NULL,
  priority  int NOT NULL,
  PRIMARY KEY (name, fn)
);
COMMENT ON TABLE tracksync.user_step IS 'functions that run at a place of their own in each push';

CREATE TABLE tracksync.rule_record (
  link        text NOT NULL,
  rule        text NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('expression', 'required', 'range', 'length', 'pattern', 'one_of', 'unique')),
  columns     text[] NOT NULL,                -- of the target, by the names in link.target_columns
  expression  text,                           -- SQL over them; NULL: unique
  args        text[] NOT NULL,                -- of a ready-made one
  message     text,                           -- NULL: of its kind
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (link, rule, columns)
);
COMMENT ON TABLE tracksync.rule_record IS 'what rows have to be like to be pushed';

CREATE TABLE tracksync.push_record (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  link      text NOT NULL,
  started   timestamptz NOT NULL,
  elapsed   interval NOT NULL,
  deletes   bigint NOT NULL,
  updates   bigint NOT NULL,
  inserts   bigint NOT NULL,
  outcome   text NOT NULL,
  error     text
);
COMMENT ON TABLE tracksync.push_record IS 'one row per push and link';

CREATE TABLE tracksync.conflict_record (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  link        text NOT NULL,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind        text NOT NULL,
  key         jsonb NOT NULL,
  source      jsonb,
  target      jsonb,
  resolution  text NOT NULL
);
CREATE INDEX conflict_record_link ON tracksync.conflict_record (link);
COMMENT ON TABLE tracksync.conflict_record IS 'the conflicts that a push met and resolved';

CREATE TABLE tracksync.quarantine_record (
  link             text NOT NULL,
  key              jsonb NOT NULL,            -- by the target's column names
  op               text NOT NULL CHECK (op IN ('INSERT', 'UPDATE', 'DELETE')),
  sqlstate         text NOT NULL,
  message          text NOT NULL,
  constraint_name  text,
  row_values       jsonb,                     -- what was to be written
  image            jsonb,                     -- the target's row when it was left out, the link's columns; NULL: there was none
  since            timestamptz NOT NULL DEFAULT clock_timestamp(),
  tried            timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts         int NOT NULL DEFAULT 1,
  released         boolean NOT NULL DEFAULT false,
  PRIMARY KEY (link, key)
);
COMMENT ON TABLE tracksync.quarantine_record IS 'rows that the target did not take: pending until a push succeeds with them';

-- A row per tracked unlogged table: a crash empties it together with them.
CREATE UNLOGGED TABLE tracksync_log.survivor (
  source  oid PRIMARY KEY,
  mark    bigint NOT NULL DEFAULT nextval('tracksync.log_number')
);
COMMENT ON TABLE tracksync_log.survivor IS 'tracked unlogged tables that were not emptied by a crash since; links remember the mark';

SELECT pg_extension_config_dump('tracksync.log_number', '');
SELECT pg_extension_config_dump('tracksync.table_shape', '');
SELECT pg_extension_config_dump('tracksync.table_shape_shape_seq', '');
SELECT pg_extension_config_dump('tracksync.tracked_table', '');
SELECT pg_extension_config_dump('tracksync.link', '');
SELECT pg_extension_config_dump('tracksync.merge_rule', '');
SELECT pg_extension_config_dump('tracksync.link_group', '');
SELECT pg_extension_config_dump('tracksync.group_member', '');
SELECT pg_extension_config_dump('tracksync.user_step', '');
SELECT pg_extension_config_dump('tracksync.rule_record', '');
SELECT pg_extension_config_dump('tracksync.push_record', '');
SELECT pg_extension_config_dump('tracksync.push_record_id_seq', '');
SELECT pg_extension_config_dump('tracksync.quarantine_record', '');
SELECT pg_extension_config_dump('tracksync.conflict_record', '');
SELECT pg_extension_config_dump('tracksync.conflict_record_id_seq', '');
