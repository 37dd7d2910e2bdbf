# Oracle: random work in one PL/pgSQL procedure, seed by seed, each in a database of its own; once with the links' targets as tables of
# this database, and once with the same tables as targets on another server, which is this one.
#
#   use TS; use Oracle;
#   oracle('so', 't/schema_oracle.sql');    # done_testing() included
#
# The file makes a schema with a procedure run(seed float8, rounds int, sabotage boolean) that raises "… differ after a push", and a
# table trace (i, sql, result). With sabotage it must raise it: an oracle that sees nothing proves nothing. It gives its links
# server => nullif(current_setting('oracle.server', true), '')::name. To another server nothing goes that is not committed, and nothing is
# committed there before it is here: so COMMIT before a push and after it. Who reads or alters a target and then pushes without a COMMIT
# waits for himself, until statement_timeout.
#   TS_TARGET=local|remote|both              default both
#   TS_ORACLE_SEEDS=n    how many seeds (per target)        TS_ORACLE_FIRST=n   the first one (default 1)
#   TS_ORACLE_SEED=n     this one only, with its trace      TS_ORACLE_ROUNDS=n  (default 60)
# seeds => n (20), remote_seeds => n (a half of them), rounds => n, sabotage_rounds => n (as many): other defaults; conf => text for
# postgresql.conf; sessions => [ sql, … ]: others who run in each database until it goes.
package Oracle;

use strict;
use warnings;
use Exporter 'import';
use TS;

our @EXPORT = qw(oracle);

# what is longer under way than this waits for itself
my $guard = '10min';

# What makes the database a server of its own, for remote.
sub loopback
{
	my ($node, $db) = @_;
	my $options = ts_connstr($node, $db);
	return <<"EOS";
CREATE EXTENSION IF NOT EXISTS tracksync;
CREATE SERVER self FOREIGN DATA WRAPPER tracksync_fdw OPTIONS ($options);
CREATE USER MAPPING FOR CURRENT_USER SERVER self;
DO \$\$ BEGIN EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (ADD user %L)', current_user); END \$\$;
ALTER DATABASE $db SET oracle.server = 'self';
EOS
}

sub start_session
{
	my ($node, $db, $sql) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>&', \*STDOUT;
	exec 'psql', '-X', '-q', '-d', $node->connstr($db), '-c', $sql or die "psql: $!";
}

# One seed of one target; returns psql's exit status and what it said.
sub run
{
	my ($o, $target, $seed, $sabotage) = @_;
	my $node = $o->{node};
	my $db = "seed_$seed";
	my $rounds = $sabotage && $o->{sabotage_rounds} || $o->{rounds};
	my $truth = $sabotage ? 'true' : 'false';
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, loopback($node, $db)) if $target eq 'remote';
	$node->safe_psql($db, $o->{setup});
	my @others = map { start_session($node, $db, $_) } @{ $o->{sessions} || [] };
	my ($rc, undef, $err) = $node->psql($db, "SET statement_timeout = '$guard';\nCALL $o->{schema}.run($seed / 10000.0, $rounds, $truth)");
	if (($rc != 0 && !$sabotage) || $ENV{TS_ORACLE_SEED})
	{
		my $lines = $ENV{TS_ORACLE_LINES} || 40;
		my (undef, $out) = $node->psql($db, "SELECT sql || ' -- ' || coalesce(left(result, 100), '') FROM "
			. "(SELECT * FROM $o->{schema}.trace ORDER BY i DESC LIMIT $lines) t ORDER BY i");
		diag($out);
	}
	my (undef, $gids) = $node->psql('postgres', "SELECT gid FROM pg_prepared_xacts WHERE database = '$db'");
	$node->psql($db, "ROLLBACK PREPARED '$_'") for split /\n/, $gids;
	$node->psql('postgres', "DROP DATABASE $db WITH (FORCE)");
	waitpid($_, 0) for @others;
	return ($rc, $err);
}

sub run_target
{
	my ($o, $target, $seeds) = @_;
	my $first = $ENV{TS_ORACLE_SEED} || $ENV{TS_ORACLE_FIRST} || 1;
	my $last = $ENV{TS_ORACLE_SEED} || $first + ($ENV{TS_ORACLE_SEEDS} || $seeds) - 1;

	for my $seed ($first .. $last)
	{
		my ($rc, $err) = run($o, $target, $seed, 0);
		ok($rc == 0, "$target, seed $seed, $o->{rounds} rounds")
			or diag("replay with TS_TARGET=$target TS_ORACLE_SEED=$seed TS_ORACLE_ROUNDS=$o->{rounds}: $err");
		note($err) if $rc == 0;
	}
	unless ($ENV{TS_ORACLE_SEED})
	{
		my ($rc, $err) = run($o, $target, 4711, 1);
		ok($rc != 0 && $err =~ /differ after a push/, "$target: the oracle sees a row that is not as it should be") or diag($err);
	}
}

sub oracle
{
	my ($schema, $file, %o) = @_;
	my $which = $ENV{TS_TARGET} || 'both';
	my $seeds = $o{seeds} || 20;
	die "TS_TARGET=$which: local, remote or both" unless $which =~ /^(local|remote|both)$/;
	open my $fh, '<', $file or die "$file: $!";
	$o{setup} = do { local $/; <$fh> };
	$o{schema} = $schema;
	$o{rounds} = $ENV{TS_ORACLE_ROUNDS} || $o{rounds} || 60;
	$o{node} = ts_node('oracle', conf => $o{conf} || "fsync = off\nsynchronous_commit = off\njit = off\n");
	run_target(\%o, 'local', $seeds) if $which ne 'remote';
	run_target(\%o, 'remote', $o{remote_seeds} || int(($seeds + 1) / 2)) if $which ne 'local';
	$o{node}->stop;
	done_testing();
}

1;
