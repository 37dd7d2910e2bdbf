# Random rows, of which a group's targets refuse some by rules that come and go (quarantine.sql; knobs: lib/Oracle.pm).
use TS;
use Oracle;

oracle('q', 't/quarantine.sql', seeds => 4, rounds => 30);
