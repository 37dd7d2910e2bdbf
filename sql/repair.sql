-- Proof and repair of links.

CREATE FUNCTION tracksync.verify(name text,
    OUT link text, OUT kind text, OUT key jsonb, OUT source jsonb, OUT target jsonb, OUT columns text[]) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_verify';
COMMENT ON FUNCTION tracksync.verify(text) IS
'the rows of a link''s target, or of those of a group, that are not what was shipped to them: only_source, only_target, or differs, with the columns that do; no row: in step, changes still pending left out';

CREATE FUNCTION tracksync.repair(name text, delete_extra boolean = false,
    OUT step int, OUT priority int, OUT kind text, OUT link text, OUT target text, OUT rows bigint, OUT elapsed interval,
    OUT description text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_repair';
COMMENT ON FUNCTION tracksync.repair(text, boolean) IS
'a push that compares, and writes what the target does not hold, whatever is there; all or nothing. delete_extra: rows that only the target has go';

CREATE FUNCTION tracksync.pull(name text, discard boolean = false,
    OUT step int, OUT priority int, OUT kind text, OUT link text, OUT target text, OUT rows bigint, OUT elapsed interval,
    OUT description text) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_pull';
COMMENT ON FUNCTION tracksync.pull(text, boolean) IS
'brings the source to the target''s state, all or nothing, and returns the steps as done. Refused while changes are pending; discard: they are given up';

