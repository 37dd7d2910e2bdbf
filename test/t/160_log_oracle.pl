# Large logs, of which a link reads the tail only (log_oracle.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

# where the target is makes no difference to the log
$ENV{TS_TARGET} = 'local';
oracle('lo', 't/log_oracle.sql', seeds => 3, rounds => 400, sabotage_rounds => 20, conf => "fsync = off\nautovacuum_naptime = 1s\nmax_prepared_transactions = 10\n");
