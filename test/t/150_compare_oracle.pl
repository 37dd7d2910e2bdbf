# Links that compare, against plain queries (compare_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('co', 't/compare_oracle.sql', seeds => 5, remote_seeds => 2, rounds => 60, sabotage_rounds => 20);
