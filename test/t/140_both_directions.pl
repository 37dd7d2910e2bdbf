# Two tables linked there and back, in one database and between two servers: random writers on both sides (both.sql) while the links are pushed
# in random order. At rest both sides are equal, nothing is left to push, pushing leaves nothing behind, and what both sides added is there.
#   TS_BOTH_SEED=n   that seed only        TS_BOTH_SECONDS=n   how long the writers run (default 6)
use TS;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{TS_BOTH_SECONDS} || 6;
my $seed = $ENV{TS_BOTH_SEED} || 1 + int(rand(1_000_000));
my @tables = qw(counter merged decided mine);
diag("seed $seed");
srand($seed);

# a side: { node, db, schema, back => prefix of its links }
sub sql { my ($side, $sql) = @_; return $side->{node}->safe_psql($side->{db}, $sql) }
# push(SIDE, TABLE): its steps; an error is told, if it is one that does not pass
my %passing = map { $_ => 1 } qw(40001 40P01 23505);
sub push_one
{
	my ($side, $table, $strict) = @_;
	my ($rc, $out, $err) = $side->{node}->psql($side->{db}, "\\set VERBOSITY verbose\nSET statement_timeout = '60s';\nSELECT kind, rows FROM tracksync.push('$side->{back}_$table')", on_error_stop => 1);
	return $out if $rc == 0;
	my ($state) = $err =~ /ERROR:\s+(\w{5}):/;
	return 'failed' if !$strict && $state && $passing{$state};
	die "push of $side->{back}_$table: $err\n";
}

sub start_writer
{
	my ($side, $n) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', '/dev/null';
	exec 'psql', '-X', '-q', '-d', $side->{node}->connstr($side->{db}), '-c', "CALL bd.writer('$side->{schema}', $n)" or die "psql: $!";
}

sub rows { my ($side, $table) = @_; return sql($side, "SELECT bd.rows('$side->{schema}', '$table')") }

# to rest: push there and back until there is nothing to do
sub settle
{
	my ($what, $table, @sides) = @_;
	my $rounds = 0;
	while ($rounds++ < 12)
	{
		my @done = map { push_one($_, $table) } rand() < 0.5 ? @sides : reverse @sides;
		last if !grep { $_ ne '' } @done;
	}
	cmp_ok($rounds, '<', 12, "$what, $table: the pushes come to rest");
	my ($a, $b) = map { rows($_, $table) } @sides;
	ok($a eq $b, "$what, $table: both sides are equal") or diag("seed $seed\n--- $sides[0]{schema}\n$a\n--- $sides[1]{schema}\n$b");
	for my $side (@sides)
	{
		is(push_one($side, $table, 1), '', "$what, $table: nothing is left to push $side->{back}");
		is(sql($side, "SELECT pending FROM tracksync.status WHERE name = '$side->{back}_$table'"), '0', 'nor pending');
		is(sql($side, "SELECT count(*) FROM tracksync.changes('$side->{schema}.$table')"), '0', 'and the log is empty');
	}
}

sub run
{
	my ($what, @sides) = @_;
	my $n = 0;
	# rows of before: the first push copies, the other one brings what only its side has
	for my $side (@sides) { sql($side, "SELECT setseed(" . rand() . "); CALL bd.work('$side->{schema}', 20)") }
	settle("$what, at first", $_, @sides) for @tables;
	# a copy is no merge: what the counters are now is what is added to
	sql($_, 'TRUNCATE bd.added') for @sides;
	sql($sides[0], "INSERT INTO bd.added SELECT 'first', id, n, m FROM $sides[0]{schema}.counter");
	for my $round (1 .. 2)
	{
		sql($_, 'TRUNCATE bd.stop') for @sides;
		my @writers = map { start_writer($_, rand()) } @sides, @sides;
		my $end = time + $seconds / 2;
		my %count = (done => 0, failed => 0);
		while (time < $end)
		{
			# both directions at once, now and then
			my @pids;
			for (1 .. 2)
			{
				my ($side, $table) = ($sides[ rand @sides ], $tables[ rand @tables ]);
				my $pid = fork() // die "fork: $!";
				if ($pid) { push @pids, $pid; next }
				my $r = eval { push_one($side, $table) };
				print STDERR "# $@" if !defined $r;
				require POSIX;
				POSIX::_exit(!defined $r ? 2 : $r eq 'failed' ? 1 : 0);
			}
			for (@pids) { waitpid($_, 0); $count{ ('done', 'failed', 'broken')[ $? >> 8 ] // 'broken' }++ }
			$n++;
		}
		sql($_, 'INSERT INTO bd.stop DEFAULT VALUES') for $sides[0]{node} == $sides[1]{node} ? $sides[0] : @sides;
		waitpid($_, 0) for @writers;
		is($count{broken} // 0, 0, "$what: no push failed but for a reason that passes (done $count{done}, failed $count{failed})");
		cmp_ok($count{done}, '>', $count{failed}, 'and most did not fail');
		settle($what, $_, @sides) for @tables;
		my %want;
		for my $side ($sides[0]{node} == $sides[1]{node} ? $sides[0] : @sides)
		{
			for (split /\n/, sql($side, 'SELECT id, sum(n), sum(m) FROM bd.added GROUP BY 1'))
			{
				my ($id, $sum, $m) = split /\|/;
				$want{$id}[0] += $sum;
				$want{$id}[1] += $m;
			}
		}
		for my $side (@sides)
		{
			is(join(' ', map { my ($id, $sum, $m) = split /\|/; "$id:$sum:" . ($m + 0) } split /\n/, sql($side, "SELECT id, n, m FROM $side->{schema}.counter ORDER BY id")),
				join(' ', map { "$_:$want{$_}[0]:$want{$_}[1]" } sort { $a <=> $b } keys %want), "$what: the counters of $side->{schema} are what both added");
		}
	}
}

my $setup = do { local (@ARGV, $/) = ('t/both.sql'); <> };

# in one database
my $one = ts_node('one', conf => "fsync = off\nmax_connections = 40\ndeadlock_timeout = 100ms\n");
$one->safe_psql('postgres', "CREATE EXTENSION tracksync;\n$setup");
my @local = map { { node => $one, db => 'postgres', schema => $_, back => $_ } } qw(l r);
sql($local[0], "CALL bd.make('l'); CALL bd.make('r'); CALL bd.link('l', 'l', 'r', NULL, true, 'copy'); CALL bd.link('r', 'r', 'l', NULL, false, 'copy')");
run('one database', @local);

# between two servers
my $two = ts_node('two', conf => "fsync = off\nmax_connections = 40\ndeadlock_timeout = 100ms\n");
$one->safe_psql('postgres', 'CREATE DATABASE there');
my @remote = ({ node => $one, db => 'there', schema => 'l', back => 'l' }, { node => $two, db => 'postgres', schema => 'r', back => 'r' });
sql($_, "CREATE EXTENSION tracksync;\n$setup") for @remote;
for my $i (0, 1)
{
	my ($side, $other) = @remote[ $i, 1 - $i ];
	my $options = ts_connstr($other->{node}, $other->{db});
	sql($side, "CREATE SERVER other FOREIGN DATA WRAPPER tracksync_fdw OPTIONS ($options)");
	sql($side, "CREATE USER MAPPING FOR CURRENT_USER SERVER other; DO \$\$ BEGIN EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (ADD user %L)', current_user); END \$\$");
	sql($side, "CALL bd.make('$side->{schema}')");
}
sql($remote[0], "CALL bd.link('l', 'l', 'r', 'other', true, 'copy')");
sql($remote[1], "CALL bd.link('r', 'r', 'l', 'other', false, 'copy')");
run('two servers', @remote);
$_->stop('immediate') for $one, $two;
done_testing();
