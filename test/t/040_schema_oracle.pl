# Random ALTER TABLE with random rows, pushes at random moments, full comparison after each (schema_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('so', 't/schema_oracle.sql');
