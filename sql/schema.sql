-- The schemas: what users call, and where the change logs live.
CREATE SCHEMA tracksync;
CREATE SCHEMA tracksync_log;
COMMENT ON SCHEMA tracksync IS 'change-tracked table sync: functions and views';
COMMENT ON SCHEMA tracksync_log IS 'change-tracked table sync: the change logs';
