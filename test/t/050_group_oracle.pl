# Random rows in six tables with foreign keys of every kind, mirrored as a group (group_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('go', 't/group_oracle.sql');
