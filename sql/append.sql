-- Appending a query's rows.

CREATE FUNCTION tracksync.append(target regclass, query text, on_duplicate text = 'error', key text[] = NULL,
    OUT inserted bigint, OUT updated bigint, OUT skipped bigint) RETURNS record
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_append';
COMMENT ON FUNCTION tracksync.append(regclass, text, text, text[]) IS
'writes the rows of a query into a table, all or nothing, and counts them. on_duplicate: what becomes of a row whose key is there already or comes twice: ''error'', ''first'' stays, ''last'' wins, ''all'' (no key)';
