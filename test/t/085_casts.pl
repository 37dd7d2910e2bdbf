# Random values that the columns of two targets hold, or do not (casts.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('ca', 't/casts.sql', seeds => 4, rounds => 40, sabotage_rounds => 12);
