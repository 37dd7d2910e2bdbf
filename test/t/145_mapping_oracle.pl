# Filters, expressions and keys made of them, against plain queries (mapping_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('m', 't/mapping_oracle.sql', seeds => 8, remote_seeds => 4, rounds => 80, sabotage_rounds => 20);
