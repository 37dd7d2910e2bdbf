-- Everybody may call the functions and look at the views: each checks rights itself. The tables are nobody's.
GRANT USAGE ON SCHEMA tracksync TO PUBLIC;
GRANT SELECT ON tracksync.status, tracksync.push_history, tracksync.conflict, tracksync.quarantine, tracksync.rule, tracksync.operation TO PUBLIC;
REVOKE ALL ON FUNCTION tracksync.capture_row(), tracksync.capture_truncate(), tracksync.ddl_done(), tracksync.ddl_dropped() FROM PUBLIC;
