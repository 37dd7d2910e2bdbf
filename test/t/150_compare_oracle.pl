# Links that compare, against plain queries (compare_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('co', 't/compare_oracle.sql', seeds => 4, remote_seeds => 2, rounds => 50, sabotage_rounds => 20);
