# Unique values that move between rows at random (unique_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('uo', 't/unique_oracle.sql');
