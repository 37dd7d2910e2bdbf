# A crash of the server, a prepared transaction across it, an unlogged source emptied by it; a dump restored elsewhere.
use TS;

my $node = ts_node('main');
my $same = "SELECT (SELECT count(*) FROM (TABLE s EXCEPT ALL TABLE t) x) + (SELECT count(*) FROM (TABLE t EXCEPT ALL TABLE s) y)";
sub sql { my ($db, $q) = @_; return $node->safe_psql($db, $q) }
sub same { my ($db, $what) = @_; (my $q = $same) =~ s/\bs\b/src/g; $q =~ s/\bt\b/tgt/g; is(sql($db, $q), '0', $what) }

sql('postgres', "CREATE EXTENSION tracksync;
	CREATE TABLE src (gone int, id int PRIMARY KEY, v text); ALTER TABLE src DROP COLUMN gone;
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	CREATE UNLOGGED TABLE usrc (id int PRIMARY KEY, v text); CREATE TABLE utgt (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, 'v' FROM generate_series(1, 1000) i; INSERT INTO usrc SELECT i, 'v' FROM generate_series(1, 10) i;
	SELECT tracksync.create_link('l', 'src', 'public.tgt'), tracksync.create_link('u', 'usrc', 'public.utgt');
	SELECT tracksync.push('l'); SELECT tracksync.push('u');
	CREATE TABLE psrc (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE ptgt (id int PRIMARY KEY, v text);
	CREATE TABLE psrc1 PARTITION OF psrc FOR VALUES FROM (0) TO (10); CREATE UNLOGGED TABLE psrc2 PARTITION OF psrc FOR VALUES FROM (10) TO (20);
	INSERT INTO psrc SELECT i, 'v' FROM generate_series(5, 15) i; SELECT tracksync.create_link('p', 'psrc', 'public.ptgt'); SELECT tracksync.push('p');
	CREATE TABLE lsrc (id int PRIMARY KEY, v text); CREATE TABLE ltgt (id int PRIMARY KEY, v text); INSERT INTO lsrc VALUES (1, 'v'), (2, 'v');
	SELECT tracksync.create_link('later', 'lsrc', 'public.ltgt'); SELECT tracksync.push('later'); ALTER TABLE lsrc SET UNLOGGED; SELECT tracksync.push('later');
	CREATE UNLOGGED TABLE asrc (id int PRIMARY KEY, v text); INSERT INTO asrc VALUES (1, 'v'), (2, 'v');
	CREATE TABLE atgt (id int PRIMARY KEY, v text); CREATE TABLE btgt (LIKE atgt INCLUDING ALL); CREATE TABLE ctgt (LIKE atgt INCLUDING ALL);
	SELECT tracksync.create_link(x, 'asrc', 'public.' || x || 'tgt') FROM unnest('{a,b,c}'::text[]) x; SELECT tracksync.push(x) FROM unnest('{a,b,c}'::text[]) x;");
same('postgres', 'first copy');

# committed changes, one transaction prepared, one open when the server dies
sql('postgres', "UPDATE src SET v = 'committed' WHERE id <= 10; DELETE FROM src WHERE id = 11;");
sql('postgres', "BEGIN; UPDATE src SET v = 'prepared' WHERE id = 20; INSERT INTO src VALUES (2001, 'prepared'); SAVEPOINT a;
	DELETE FROM src WHERE id = 21; ROLLBACK TO a; PREPARE TRANSACTION 'p1'");
sql('postgres', "BEGIN; DELETE FROM src WHERE id = 30; PREPARE TRANSACTION 'p2'");
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.plan('l')"), 'delete1 update10', 'what is prepared is not committed');
$node->stop('immediate');
$node->start;
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('l')"), 'delete1 update10', 'after the crash: what was committed, once');
same('postgres', 'same after the crash');
sql('postgres', "COMMIT PREPARED 'p1'");
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('l')"), 'update1 insert1', 'a prepared transaction arrives when it commits');
sql('postgres', "ROLLBACK PREPARED 'p2'");
is(sql('postgres', "SELECT count(*) FROM tracksync.push('l')"), '0', 'or not at all');
same('postgres', 'same after prepared transactions');
is(sql('postgres', 'SELECT count(*) FROM usrc'), '0', 'the crash emptied the unlogged source');
sql('postgres', "INSERT INTO usrc VALUES (3, 'new')");
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('u')"), 'delete9 update1', 'the next push compares');
is(sql('postgres', 'SELECT string_agg(u::text, $$ $$) FROM utgt u'), '(3,new)', 'and the target follows');
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('p')"), 'delete6', 'so does one that has an unlogged partition');
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('later')"), 'delete2', 'and one that became unlogged');
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('a')"), 'delete2', 'and each of several links:');
sql('postgres', 'ALTER TABLE asrc ADD x int');
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('b')"), 'add_column0 delete2', 'one after another one was pushed and the table altered,');
sql('postgres', 'ALTER TABLE asrc SET LOGGED');
is(sql('postgres', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('c')"), 'add_column0 delete2', 'one after it became logged');
sql('postgres', "INSERT INTO usrc VALUES (4, 'log')");
is(sql('postgres', "SELECT string_agg(kind || rows || destructive, ' ' ORDER BY step) FROM tracksync.plan('u')"), 'insert1false', 'then the log is trusted again');

# cancelled and timed out: nothing changed, and it works afterwards
sql('postgres', "UPDATE src SET v = 'slow'; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END';
	CREATE TRIGGER slow BEFORE UPDATE ON tgt FOR EACH ROW EXECUTE FUNCTION slow()");
my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '500ms'; SELECT tracksync.push('l')");
like($err, qr/statement timeout.*push of link "l"/s, 'a time-out names the link');
is(sql('postgres', "SELECT count(*) FROM tgt WHERE v = 'slow'"), '0', 'and leaves nothing behind');
sql('postgres', "DROP TRIGGER slow ON tgt; SELECT tracksync.push('l')");
same('postgres', 'same after the time-out');

# a dump restored into another database: numbers of columns change, positions mean nothing
sql('postgres', "UPDATE src SET v = 'before the dump' WHERE id = 1; INSERT INTO tgt VALUES (9999, 'extra')");
sql('postgres', 'CREATE DATABASE other');
my $dump = ts_tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('other'), '-f', $dump ], 'restore');
sql('other', "INSERT INTO src VALUES (3001, 'after the restore'); UPDATE src SET v = 'after' WHERE id = 2; DELETE FROM src WHERE id = 3");
is(sql('other', "SELECT string_agg(kind || rows || destructive, ' ' ORDER BY step) FROM tracksync.plan('l')"), 'delete2true update2false insert1false', 'the plan of a restored link compares');
sql('other', "SELECT tracksync.push('l')");
same('other', 'same after the restore');
sql('other', "UPDATE src SET v = 'logged' WHERE id = 5");
is(sql('other', "SELECT op || key::text || (new ->> 'v') FROM tracksync.changes('src')"), 'UPDATE{"id": 5}logged', 'tracking goes on');
is(sql('other', "SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('l')"), 'update1', 'and so does the link');
same('other', 'same again');
# the first database is what it was
is(sql('postgres', "SELECT string_agg(op || (key ->> 'id'), ' ') FROM tracksync.net_changes('l')"), 'UPDATE1', 'the origin knows nothing of it');

# replica role is captured; many rows with a small buffer; deep savepoints
sql('postgres', "DELETE FROM tgt WHERE id = 9999; SELECT tracksync.push('l')");
sql('postgres', "SET session_replication_role = replica; UPDATE src SET v = 'replica' WHERE id = 6");
sql('postgres', "SET tracksync.buffer_rows = 3; UPDATE src SET v = v || '!'");
sql('postgres', "BEGIN; " . join('', map { "SAVEPOINT p$_; UPDATE src SET v = '$_' WHERE id = 40;" } 1 .. 500) . " ROLLBACK TO p400; COMMIT");
is(sql('postgres', 'SELECT v FROM src WHERE id = 40'), '399', 'the test itself');
sql('postgres', "SELECT tracksync.push('l')");
same('postgres', 'same at the end');

# the extension dropped and made again in one session
sql('postgres', "DROP EXTENSION tracksync CASCADE; DROP SCHEMA IF EXISTS tracksync_log CASCADE; CREATE EXTENSION tracksync;
	SELECT tracksync.create_link('l', 'src', 'public.tgt', initial => 'none'); UPDATE src SET v = 'again' WHERE id = 1; SELECT tracksync.push('l')");
same('postgres', 'a new extension in the same session');
$node->stop;
done_testing();
