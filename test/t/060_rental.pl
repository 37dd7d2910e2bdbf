# Random business in a DVD rental shop of 15 tables, mirrored as a group (rental.sql, ../data/rental.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('re', 't/rental.sql', seeds => 2, remote_seeds => 2);
