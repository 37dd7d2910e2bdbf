# verify while others write the source and push: no row ever, whether the target is here or on another server, one link or a group; and its
# locks are those of a SELECT.
use TS;

my $node = ts_node('busy', conf => "fsync = off\nsynchronous_commit = off\njit = off\n");
my $seconds = $ENV{TS_BUSY_SECONDS} || 4;
my $options = ts_connstr($node, 'postgres');

$node->safe_psql('postgres', <<"EOS");
CREATE EXTENSION tracksync; CREATE SCHEMA s; CREATE SCHEMA l; CREATE SCHEMA r;
CREATE SERVER self FOREIGN DATA WRAPPER tracksync_fdw OPTIONS ($options);
CREATE USER MAPPING FOR CURRENT_USER SERVER self;
DO \$\$ BEGIN EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (ADD user %L)', current_user); END \$\$;
CREATE TABLE s.a (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE s.b (k text, i int, v text, PRIMARY KEY (k, i));
CREATE TABLE l.a (LIKE s.a INCLUDING ALL); CREATE TABLE l.b (LIKE s.b INCLUDING ALL);
CREATE TABLE r.a (LIKE s.a INCLUDING ALL); CREATE TABLE r.b (LIKE s.b INCLUDING ALL);
INSERT INTO s.a SELECT g, 'v', g FROM generate_series(1, 4000) g; INSERT INTO s.b SELECT 'k' || g % 7, g, 'v' FROM generate_series(1, 4000) g;
ANALYZE;
SELECT tracksync.track('s.b', images => 'none');
SELECT tracksync.create_link('la', 's.a', 'l.a'), tracksync.create_link('lb', 's.b', 'l.b'), tracksync.create_link('ra', 's.a', 'r.a', 'self'), tracksync.create_link('rb', 's.b', 'r.b', 'self');
SELECT tracksync.create_group('gl', '{la,lb}'), tracksync.create_group('gr', '{ra,rb}');
SELECT tracksync.push('gl');
SELECT tracksync.push('gr');
EOS

my $dir = ts_tempdir();
sub script { my ($name, $text) = @_; open my $fh, '>', "$dir/$name" or die; print $fh $text; close $fh; return "$dir/$name" }
sub bench
{
	my ($clients, $file) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', "$file.out";
	open STDERR, '>&', \*STDOUT;
	exec 'pgbench', '-n', '-c', $clients, '-T', $seconds + 1, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' or die "pgbench: $!";
}

my $write = script('write', <<'EOS');
\set i random(1, 4300)
\set w random(1, 4)
BEGIN;
UPDATE s.a SET v = v || 'x', n = n + 1 WHERE id = :i AND :w < 3;
DELETE FROM s.a WHERE id = :i AND :w = 3;
INSERT INTO s.a VALUES (:i, 'new', 0) ON CONFLICT DO NOTHING;
UPDATE s.b SET v = md5(v) WHERE i BETWEEN :i AND :i + 3 AND :w < 4;
DELETE FROM s.b WHERE i = :i AND :w = 4;
INSERT INTO s.b VALUES ('k' || :i % 7, :i, 'new') ON CONFLICT DO NOTHING;
COMMIT;
EOS
my $push_local = script('push_local', "SELECT tracksync.push('gl');\n");
my $push_remote = script('push_remote', "SELECT tracksync.push('gr');\n");
my @others = (bench(2, $write), bench(1, $push_local), bench(1, $push_remote));
my $end = time + $seconds;
my %n;
my @bad;
while (time < $end)
{
	for my $name ('gl', 'gr', 'la', 'rb')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM tracksync.verify('$name')");
		push @bad, "$name: $out $err" if $rc != 0 || $out ne '';
		$n{$name}++;
	}
}
waitpid($_, 0) for @others;
is(join("\n", @bad), '', 'nothing is named while others write and push: ' . join(', ', map { "$_ $n{$_} times" } sort keys %n));
for my $file ($push_local, $push_remote, $write)
{
	open my $fh, '<', "$file.out" or die;
	my $said = do { local $/; <$fh> };
	unlike($said, qr/ERROR|FATAL/, 'no error of ' . ($file =~ s/.*\///r)) or diag($said);
}
is($node->safe_psql('postgres', "SELECT count(*) > 5 FROM tracksync.push_history"), 't', 'there were pushes meanwhile');

# locks: ACCESS SHARE and nothing else on source, target and our own tables
is($node->safe_psql('postgres', "BEGIN; SELECT * FROM tracksync.verify('gl'); SELECT string_agg(DISTINCT mode, ',') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('virtualxid'); COMMIT"),
	'AccessShareLock', 'locks as of a SELECT');
is($node->safe_psql('postgres', "BEGIN; SELECT * FROM tracksync.verify('gl'); SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT"), 't', 'no transaction number is taken');
# under one snapshot, with what this transaction did
is($node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM tracksync.verify('gl'); SELECT * FROM tracksync.verify('gr'); COMMIT"), '', 'in REPEATABLE READ');
$node->safe_psql('postgres', "SELECT tracksync.push('gr'); UPDATE s.a SET v = 'once more' WHERE id < 10");
is($node->safe_psql('postgres', "BEGIN; SELECT count(*) FROM tracksync.push('ra'); SELECT count(*) FROM tracksync.verify('ra'); ROLLBACK; SELECT count(*) FROM tracksync.verify('ra')") =~ s/\n/ /gr, '1 0 0',
	'a push of this transaction to another server is seen');
$node->stop;
done_testing();
