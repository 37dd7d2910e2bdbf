-- Planning and pushing.

CREATE FUNCTION tracksync.net_changes(name text,
    OUT link text, OUT op text, OUT key jsonb, OUT old jsonb, OUT new jsonb, OUT changed text[]) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_net_changes';
COMMENT ON FUNCTION tracksync.net_changes(text) IS
'what became of each key since the link''s last push: INSERT, UPDATE or DELETE, in key order';

CREATE FUNCTION tracksync.plan(name text,
    OUT step int, OUT priority int, OUT kind text, OUT link text, OUT target text, OUT rows bigint, OUT destructive boolean,
    OUT description text, OUT sql text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_plan';
COMMENT ON FUNCTION tracksync.plan(text) IS 'the steps that a push would run, in order; changes nothing';

CREATE FUNCTION tracksync.holds(target anyelement, source "any", typmod int = -1, exactly boolean = true) RETURNS boolean
  LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tracksync_holds';
COMMENT ON FUNCTION tracksync.holds(anyelement, "any", int, boolean) IS
'is the target''s value what the source''s becomes as one of its type? exactly: and the same value. What cannot be cast is not held. For comparisons of links';

CREATE FUNCTION tracksync.plan_fingerprint(name text) RETURNS text
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_plan_fingerprint';
COMMENT ON FUNCTION tracksync.plan_fingerprint(text) IS
'a fingerprint of the plan with all its values, for push(name, expect => …)';

CREATE FUNCTION tracksync.push(name text, expect text = NULL, dry_run boolean = false,
    OUT step int, OUT priority int, OUT kind text, OUT link text, OUT target text, OUT rows bigint, OUT elapsed interval,
    OUT description text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_push';
COMMENT ON FUNCTION tracksync.push(text, text, boolean) IS
'brings the target up to date, all or nothing, and returns the steps as done. expect: the fingerprint of the plan reviewed. dry_run: executes everything, then rolls it back';

CREATE FUNCTION tracksync.push_all(jobs int = 2, names text[] = NULL,
    OUT name text, OUT kind text, OUT outcome text, OUT rows bigint, OUT deletes bigint, OUT updates bigint, OUT inserts bigint,
    OUT started timestamptz, OUT elapsed interval, OUT sqlstate text, OUT error text, OUT detail text, OUT hint text, OUT context text)
    RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_push_all';
COMMENT ON FUNCTION tracksync.push_all(int, text[]) IS
'pushes all groups, and all links that are in none, or those named, so many at the same time, each in a transaction of its own; a row for each says what became of it';

CREATE FUNCTION tracksync.add_step(name text, priority int, fn regprocedure) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_add_step';
COMMENT ON FUNCTION tracksync.add_step(text, int, regprocedure) IS
'has each push of a link or group call a function (link text, push_id bigint) at its place among the steps, in the push''s transaction, as the links'' owner';

CREATE FUNCTION tracksync.drop_step(name text, fn regprocedure) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_drop_step';
COMMENT ON FUNCTION tracksync.drop_step(text, regprocedure) IS 'ends that';

CREATE FUNCTION tracksync.release(name text, key jsonb = NULL) RETURNS bigint
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_release';
COMMENT ON FUNCTION tracksync.release(text, jsonb) IS
'takes a link''s quarantined rows, or one of them, off the list: the next push tries them, and lists them again if the target does not take them; returns how many';

CREATE FUNCTION tracksync.discard(name text, key jsonb) RETURNS bigint
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_discard';
COMMENT ON FUNCTION tracksync.discard(text, jsonb) IS
'gives up the pending change of a quarantined row: the target''s row stays as it is until the source''s changes again; returns how many';

CREATE FUNCTION tracksync.explain_row(name text, key jsonb,
    OUT link text, OUT fact int, OUT aspect text, OUT at timestamptz, OUT what text, OUT detail jsonb) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_explain_row';
COMMENT ON FUNCTION tracksync.explain_row(text, jsonb) IS
'all that is known of one row of a link, or of each link of a group with such a key: its events, net change, both sides, quarantine, conflicts, and what the next push would do; changes nothing';

CREATE FUNCTION tracksync.link_pending(name text, OUT pending bigint, OUT oldest_pending timestamptz) RETURNS SETOF record
  LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'tracksync_link_pending';
COMMENT ON FUNCTION tracksync.link_pending(text) IS 'internal: for the view status';

CREATE FUNCTION tracksync.version() RETURNS text
  LANGUAGE sql STABLE AS $$ SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'tracksync' $$;
COMMENT ON FUNCTION tracksync.version() IS 'the version of the extension installed in this database';
