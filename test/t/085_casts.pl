# Random values that the columns of two targets hold, or do not (casts.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('ca', 't/casts.sql', seeds => 3, remote_seeds => 2, rounds => 25, sabotage_rounds => 8);
