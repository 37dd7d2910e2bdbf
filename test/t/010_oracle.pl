# The oracle test: random SQL on sources by sessions that commit out of order, pushes at random moments, full comparison after each
# (oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('o', 't/oracle.sql', seeds => 14, remote_seeds => 6, rounds => 200, sabotage_rounds => 20, conf => "fsync = off\nautovacuum_naptime = 1s\n");
