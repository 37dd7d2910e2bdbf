-- Proof and repair of links.

CREATE FUNCTION tracksync.verify(name text,
    OUT link text, OUT kind text, OUT key jsonb, OUT source jsonb, OUT target jsonb, OUT columns text[]) RETURNS SETOF record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_verify';
COMMENT ON FUNCTION tracksync.verify(text) IS
'the rows of a link''s target, or of those of a group, that are not what was shipped to them: only_source, only_target, or differs, with the columns that do; no row: in step, changes still pending left out';

