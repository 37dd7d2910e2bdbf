# Random changes on both sides, some of them while the push runs, and what each policy makes of them (policies.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('po', 't/policies.sql', seeds => 3, rounds => 30, sessions => [ 'CALL po.writer()', 'CALL po.storm(1)', 'CALL po.storm(2)' ]);
