# Random ALTER TABLE with random rows, pushes at random moments, full comparison after each (group_oracle.sql).
#
#   TS_ORACLE_SEEDS=n, TS_ORACLE_FIRST=n, TS_ORACLE_SEED=n, TS_ORACLE_ROUNDS=n as in 010_oracle.pl (default 20 seeds, 60 rounds)
use TS;

my $rounds = $ENV{TS_ORACLE_ROUNDS} || 60;
my $first = $ENV{TS_ORACLE_SEED} || $ENV{TS_ORACLE_FIRST} || 1;
my $last = $ENV{TS_ORACLE_SEED} || $first + ($ENV{TS_ORACLE_SEEDS} || 20) - 1;
my $node = ts_node('oracle', conf => "fsync = off\nsynchronous_commit = off\njit = off\n");

open my $fh, '<', 't/group_oracle.sql' or die "t/group_oracle.sql: $!";
my $setup = do { local $/; <$fh> };

sub run
{
	my ($seed, $sabotage) = @_;
	my $db = "seed_$seed";
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, $setup);
	my ($rc, undef, $err) = $node->psql($db, "CALL go.run($seed / 10000.0, $rounds, $sabotage)");
	if (($rc != 0 && $sabotage eq 'false') || $ENV{TS_ORACLE_SEED})
	{
		my (undef, $out) = $node->psql($db, "SELECT sql || ' -- ' || coalesce(left(result, 100), '') FROM (SELECT * FROM go.trace ORDER BY i DESC LIMIT 40) t ORDER BY i");
		diag($out);
	}
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
	my ($rc, $err) = run(4711, 'true');
	ok($rc != 0 && $err =~ /differ after a push/, 'the oracle sees a row that is not as it should be') or diag($err);
}
$node->stop;
done_testing();
