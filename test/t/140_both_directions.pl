# Two tables linked there and back, in one database and between two servers: random writers on both sides (both.sql) while the links are pushed
# in random order. At rest both sides are equal, nothing is left to push, pushing leaves nothing behind, and what both sides added is there.
#   TS_BOTH_SEED=n   that seed only        TS_BOTH_SECONDS=n   how long the writers run (default 3)
use TS;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{TS_BOTH_SECONDS} || 3;
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
# single cases there and back between servers; those of one database are in pgtap/origin.sql
sub a_ { return sql($remote[0], $_[0]) }
sub b_ { return sql($remote[1], $_[0]) }
sub steps { my ($side, $name) = @_; return sql($side, "SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.push('$name')") }
sub error_of { my ($side, $sql) = @_; my (undef, undef, $err) = $side->{node}->psql($side->{db}, "\\set VERBOSITY verbose\n$sql"); return $err =~ /ERROR:\s+(\w{5}):/ ? $1 : "none: $err" }
my @side = @remote;
a_('CREATE TABLE a (id int PRIMARY KEY, x text, y text)');
b_('CREATE TABLE b (id int PRIMARY KEY, x text, y text); CREATE TABLE noted (id serial PRIMARY KEY, what text)');
a_("SELECT tracksync.create_link('ab', 'a', 'public.b', server => 'other')");
b_("SELECT tracksync.create_link('ba', 'b', 'public.a', server => 'other', initial => 'none'), tracksync.track('noted')");
a_("INSERT INTO a SELECT i, 'x', 'y' FROM generate_series(1, 1000) i");
is(steps($side[0], 'ab'), 'insert1000', 'a first push, by COPY');
is(steps($side[1], 'ba'), '', 'does not come back');
b_(<<'EOS');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.noted (what) VALUES (NEW.x); UPDATE public.b SET y = 'stamped' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER a_note AFTER UPDATE OF x ON b FOR EACH ROW WHEN (OLD.x <> NEW.x) EXECUTE FUNCTION note();
CREATE RULE also AS ON DELETE TO b DO ALSO INSERT INTO noted (what) VALUES ('gone');
EOS
a_("UPDATE a SET x = 'X' WHERE id <= 2; UPDATE a SET id = -3 WHERE id = 3; DELETE FROM a WHERE id = 4");
is(steps($side[0], 'ab'), 'delete1 update1 update2', 'updates, keys and deletes');
is(b_("SELECT string_agg(concat_ws(' ', op, key, changed::text), '; ' ORDER BY key) FROM tracksync.net_changes('ba')"), 'UPDATE {"id": 1} {y}; UPDATE {"id": 2} {y}', 'what a trigger did there is its own');
is(b_("SELECT tracksync.has_changes('noted'), count(*) FROM noted"), 't|3', 'so is what it did to another table, and a rule');
is(steps($side[1], 'ba'), 'update2', 'and comes back');
is(steps($side[0], 'ab') . steps($side[1], 'ba'), '', 'both rest');
b_('DROP TRIGGER a_note ON b; DROP RULE also ON b');
# the setting ends with its transaction, and goes back with a savepoint
a_("ALTER TABLE a ADD CHECK (x <> 'bad')");
b_("UPDATE b SET x = 'later' WHERE id = 5; UPDATE b SET x = 'bad' WHERE id = 6");
is(error_of($side[1], "SELECT tracksync.push('ba')"), '23514', 'a push that fails');
b_("UPDATE b SET x = 'good' WHERE id = 6");
is(steps($side[1], 'ba'), 'update2', 'leaves nothing behind');
is(a_("SELECT pending FROM tracksync.status WHERE name = 'ab'"), '0', 'what came is no change here');
# both deleted; one has it again
a_('DELETE FROM a WHERE id IN (7, 8)');
b_('DELETE FROM b WHERE id IN (7, 8)');
a_("SELECT tracksync.alter_link('ab', on_conflict => 'source_wins')");
b_("SELECT tracksync.alter_link('ba', on_conflict => 'source_wins')");
steps($side[0], 'ab');
a_("INSERT INTO a VALUES (7, 'x', 'y')");
is(steps($side[1], 'ba') . steps($side[0], 'ab'), 'insert1', 'a row that both deleted, made anew, stays');
is(b_('SELECT count(*) FROM b WHERE id IN (7, 8)'), '1', 'and goes there');
# a comparison does not undo what is pending there
a_('VACUUM FULL a; TRUNCATE a; INSERT INTO a VALUES (1, 2, 3)');
b_("UPDATE b SET y = 'own' WHERE id = 9");
is(error_of($side[0], "SELECT tracksync.push('ab')"), '55000', 'a comparison waits for the other direction');
is(steps($side[1], 'ba'), 'update1', 'which brings a row back');
is(steps($side[0], 'ab'), 'delete996 update1', 'then it compares');
is(a_('SELECT string_agg(a::text, $$ $$ ORDER BY id) FROM a'), b_('SELECT string_agg(b::text, $$ $$ ORDER BY id) FROM b'), 'and both are equal');
is(steps($side[1], 'ba') . steps($side[0], 'ab'), '', 'and rest');
# transactions
a_("UPDATE a SET x = 'more'");
is(error_of($side[0], "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tracksync.push('ab')"), '0A000', 'not with a snapshot of before');
is(error_of($side[0], "BEGIN; UPDATE a SET y = 'mine'; SELECT count(*) FROM tracksync.push('ab')"), '25001', 'nor own changes');
is(steps($side[0], 'ab'), 'update2', 'but so');
# a hub there: what another link has, too, is not left alone silently
a_('CREATE TABLE c (LIKE a INCLUDING ALL)');
a_("SELECT tracksync.create_link('cb', 'c', 'public.b', server => 'other', initial => 'none')");
b_("SELECT tracksync.create_link('bc', 'b', 'public.c', server => 'other')");
is(steps($side[1], 'bc') . steps($side[0], 'cb'), 'insert2', 'a hub');
a_('TRUNCATE a');
is(error_of($side[0], "SELECT tracksync.push('ab')"), '55000', 'TRUNCATE at an end of it is an error');
is(a_("SELECT string_agg(kind || rows, ' ') FROM tracksync.pull('ab', discard => true)"), 'insert2', 'from which a pull brings the rows back');
b_("SELECT tracksync.alter_link('ba', filter => 'id < 5')");
is(steps($side[1], 'ba'), 'delete1', 'a way back that brings a part of the rows');
a_('TRUNCATE a');
is(steps($side[0], 'ab'), '', 'leaves the others where they are');
a_("SELECT tracksync.drop_link('cb')");
b_("SELECT tracksync.drop_link('bc')");
b_("SELECT tracksync.alter_link('ba', filter => '')");
is(steps($side[1], 'ba'), 'insert2', 'and brings all of them again');
# whoever may write there only, may push there
b_("CREATE ROLE writer LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON b TO writer; GRANT USAGE ON SCHEMA tracksync_target TO writer; GRANT ALL ON tracksync_target.position TO writer");
a_("ALTER USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (SET user 'writer')");
a_("UPDATE a SET y = 'writer' WHERE id = 1");
is(steps($side[0], 'ab') . ' ' . steps($side[1], 'ba'), 'update1 ', 'a role with no more than DML there');
$_->stop('immediate') for $one, $two;
done_testing();
