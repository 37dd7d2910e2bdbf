# What verify names and what repair writes, after random changes and random damage (verify.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('vo', 't/verify.sql', seeds => 3, remote_seeds => 3, rounds => 40, sabotage_rounds => 10);
