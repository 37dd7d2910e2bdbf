# Rules that come and go, against plain queries (rules_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('v', 't/rules_oracle.sql', seeds => 4, remote_seeds => 2, rounds => 40, sabotage_rounds => 20);
