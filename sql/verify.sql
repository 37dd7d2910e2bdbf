-- Proof.

CREATE FUNCTION tracksync.diff(a regclass, b regclass, key text[] = NULL,
    OUT kind text, OUT key jsonb, OUT a jsonb, OUT b jsonb, OUT columns text[]) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_diff';
COMMENT ON FUNCTION tracksync.diff(regclass, regclass, text[]) IS
'the rows by which two relations differ, in key order: only_a, only_b, or differs, with the columns that do';
