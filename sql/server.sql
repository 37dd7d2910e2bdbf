-- Other servers.

CREATE FUNCTION tracksync.fdw_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tracksync_fdw_validator';
COMMENT ON FUNCTION tracksync.fdw_validator(text[], oid) IS 'checks the options of servers and user mappings of tracksync_fdw';

CREATE FOREIGN DATA WRAPPER tracksync_fdw NO HANDLER VALIDATOR tracksync.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER tracksync_fdw IS 'the servers that links can have for a target; has no foreign tables';

CREATE FUNCTION tracksync.disconnect(server name = NULL) RETURNS int
  LANGUAGE c AS 'MODULE_PATHNAME', 'tracksync_disconnect';
COMMENT ON FUNCTION tracksync.disconnect(name) IS
'closes the connections of this session to a server (NULL: to all) that the transaction does not use; says how many';
