# Oracle: random work in one PL/pgSQL procedure, seed by seed, each in a database of its own.
#
#   use TS; use Oracle;
#   oracle('so', 't/schema_oracle.sql');    # done_testing() included; seeds => n, rounds => n for other defaults
#
# The file makes a schema with a procedure run(seed float8, rounds int, sabotage boolean) that raises "… differ after a push", and a
# table trace (i, sql, result). With sabotage it must raise it: an oracle that sees nothing proves nothing.
#   TS_ORACLE_SEEDS=n    how many seeds (default 20)        TS_ORACLE_FIRST=n   the first one (default 1)
#   TS_ORACLE_SEED=n     this one only, with its trace      TS_ORACLE_ROUNDS=n  (default 60)
# seeds => n, rounds => n: other defaults; sessions => [ sql, … ]: others who run in each database until it goes.
package Oracle;

use strict;
use warnings;
use Exporter 'import';
use TS;

our @EXPORT = qw(oracle);

my $rounds;

sub run
{
	my ($node, $schema, $setup, $seed, $sabotage, @sessions) = @_;
	my $db = "seed_$seed";
	my @others;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, $setup);
	for my $sql (@sessions)
	{
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			open STDOUT, '>', '/dev/null';
			open STDERR, '>&', \*STDOUT;
			exec 'psql', '-X', '-q', '-d', $node->connstr($db), '-c', $sql or die "psql: $!";
		}
		push @others, $pid;
	}
	my ($rc, undef, $err) = $node->psql($db, "CALL $schema.run($seed / 10000.0, $rounds, $sabotage)");
	if (($rc != 0 && $sabotage eq 'false') || $ENV{TS_ORACLE_SEED})
	{
		my (undef, $out) = $node->psql($db, "SELECT sql || ' -- ' || coalesce(left(result, 100), '') FROM "
			. "(SELECT * FROM $schema.trace ORDER BY i DESC LIMIT 40) t ORDER BY i");
		diag($out);
	}
	$node->psql('postgres', "DROP DATABASE $db WITH (FORCE)");
	waitpid($_, 0) for @others;
	return ($rc, $err);
}

sub oracle
{
	my ($schema, $file, %opt) = @_;
	my $first = $ENV{TS_ORACLE_SEED} || $ENV{TS_ORACLE_FIRST} || 1;
	my $last = $ENV{TS_ORACLE_SEED} || $first + ($ENV{TS_ORACLE_SEEDS} || $opt{seeds} || 20) - 1;
	my @sessions = @{ $opt{sessions} || [] };
	my $node = ts_node('oracle', conf => "fsync = off\nsynchronous_commit = off\njit = off\n");
	$rounds = $ENV{TS_ORACLE_ROUNDS} || $opt{rounds} || 60;
	open my $fh, '<', $file or die "$file: $!";
	my $setup = do { local $/; <$fh> };

	for my $seed ($first .. $last)
	{
		my ($rc, $err) = run($node, $schema, $setup, $seed, 'false', @sessions);
		ok($rc == 0, "seed $seed, $rounds rounds") or diag("replay with TS_ORACLE_SEED=$seed TS_ORACLE_ROUNDS=$rounds: $err");
		note($err) if $rc == 0;
	}
	unless ($ENV{TS_ORACLE_SEED})
	{
		my ($rc, $err) = run($node, $schema, $setup, 4711, 'true', @sessions);
		ok($rc != 0 && $err =~ /differ after a push/, 'the oracle sees a row that is not as it should be') or diag($err);
	}
	$node->stop;
	done_testing();
}

1;
