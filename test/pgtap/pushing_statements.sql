-- The same as pushing.sql, with SQL statements instead of direct writes.
SET tracksync.direct_writes = off;
\ir pushing.sql
