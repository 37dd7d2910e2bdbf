# The oracle test: random SQL on sources, pushes at random moments, full comparison after each (oracle.sql).
#
#   TS_ORACLE_SEEDS=n   how many seeds (default 20), from TS_ORACLE_FIRST (default 1)
#   TS_ORACLE_ROUNDS=n  rounds per seed (default 200)
#   TS_ORACLE_SEED=n    replays one seed and prints every statement
use TS;

my $rounds = $ENV{TS_ORACLE_ROUNDS} || 200;
my $first = $ENV{TS_ORACLE_SEED} || $ENV{TS_ORACLE_FIRST} || 1;
my $last = $ENV{TS_ORACLE_SEED} || $first + ($ENV{TS_ORACLE_SEEDS} || 20) - 1;
my $node = ts_node('oracle', conf => "fsync = off\nautovacuum_naptime = 1s\n");

open my $fh, '<', 't/oracle.sql' or die "t/oracle.sql: $!";
my $setup = do { local $/; <$fh> };
$node->safe_psql('postgres', 'CREATE DATABASE oracle_template');
$node->safe_psql('oracle_template', $setup);

# the last statements of a run that failed; all of them in a replay
sub trace
{
	my ($db, $n) = @_;
	my (undef, $out) = $node->psql($db, "SELECT conn || ': ' || sql || ' -- ' || coalesce(left(result, 100), '') FROM "
		. "(SELECT * FROM o.trace ORDER BY i DESC LIMIT $n) t ORDER BY i");
	diag($out);
}

sub run
{
	my ($seed, $sabotage) = @_;
	my $db = "seed_$seed";
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE oracle_template");
	# a copied database has books of another one: begin with links of its own
	my ($rc, undef, $err) = $node->psql($db, "CALL o.run($seed / 10000.0, $rounds, $sabotage)");
	trace($db, $ENV{TS_ORACLE_SEED} ? 1000000 : 25) if ($rc != 0 && $sabotage eq 'false') || $ENV{TS_ORACLE_SEED};
	my (undef, $gids) = $node->psql('postgres', "SELECT gid FROM pg_prepared_xacts WHERE database = '$db'");
	$node->psql($db, "ROLLBACK PREPARED '$_'") for split /\n/, $gids;
	$node->psql('postgres', "DROP DATABASE $db WITH (FORCE)");
	return ($rc, $err);
}

for my $seed ($first .. $last)
{
	my ($rc, $err) = run($seed, 'false');
	ok($rc == 0, "seed $seed, $rounds rounds") or diag("replay with TS_ORACLE_SEED=$seed TS_ORACLE_ROUNDS=$rounds: $err");
	note($err) if $rc == 0;
}
unless ($ENV{TS_ORACLE_SEED})
{
	$rounds = 20;
	my ($rc, $err) = run(4711, 'true');
	ok($rc != 0 && $err =~ /rows differ after a push/, 'the oracle sees a row that was not captured') or diag($err);
}
$node->stop;
done_testing();
