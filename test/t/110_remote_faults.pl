# Pushes to another server while everything fails that can: random faults (lib/Faults.pm), a workload that never rests (lib/Workload.pm),
# and after each of them all tables compared in full, and what would show a change that was lost or came twice (lib/Books.pm).
#
#   TS_ORACLE_SEEDS=n    how many seeds (default 2), from TS_ORACLE_FIRST (default 1)     TS_ORACLE_ROUNDS=n   rounds of each (default 35)
#   TS_ORACLE_SEED=n     this one only, told round by round                               TS_FAULTS=regex      these faults only
#   TS_FAULTS_ASYNC=0    no transaction of the source with synchronous_commit = off
#   TS_FAULTS_API=schema, TS_FAULTS_SETUP=file   instead of tracksync: to try the test itself
use TS;
use TwoServers;
use Workload;
use Books;
use Faults;
use Time::HiRes qw(time usleep);

my $api = $ENV{TS_FAULTS_API} || 'tracksync';
my $rounds = $ENV{TS_ORACLE_ROUNDS} || 35;
my $first = $ENV{TS_ORACLE_SEED} || $ENV{TS_ORACLE_FIRST} || 1;
my $last = $ENV{TS_ORACLE_SEED} || $first + ($ENV{TS_ORACLE_SEEDS} || 2) - 1;
my $two = TwoServers->new(extension => 0, target_conf => "deadlock_timeout = 100ms\n", source_conf => "deadlock_timeout = 100ms\n");
my $proxy = $two->proxy;
my ($db, $workload, $pusher, %counts, %tally, %fired);
my $longest = 0;
sub s_ { return $two->s($_[0], db => $db) }
sub t_ { return $two->t($_[0], db => $db) }

# the session that pushes; a new one where it was lost
sub pusher
{
	for (1 .. 600)
	{
		return $pusher if $pusher && $pusher->alive && !$pusher->query('SELECT 1')->{error};
		$pusher = Session->new($two->source, $db, name => 'pusher');
		usleep(50_000) if !$pusher;
	}
	die "no connection to push in\n";
}

sub setup
{
	my ($seed) = @_;
	$db = "seed_$seed";
	for my $node ($two->source, $two->target) { $two->sql($node, "CREATE DATABASE $db") }
	$two->sql($_, $Books::tables, db => $db) for $two->source, $two->target;
	s_('CREATE EXTENSION tracksync');
	if ($ENV{TS_FAULTS_SETUP}) { open my $fh, '<', $ENV{TS_FAULTS_SETUP} or die; local $/; s_(scalar <$fh>) }
	s_($Books::source);
	t_($Books::target);
	$two->server('hq', via => 'proxy', db => $db, at => $db);
	s_($_) for Books::links($api, 'hq');
	$pusher = undef;
	for my $unit (@Books::units)
	{
		my $e = pusher()->query("SELECT count(*) FROM $api.push('$unit')")->{error};
		die "first push of $unit: " . Session::say_error({ error => $e }) . "\n" if $e;
	}
	t_($Books::target_later);
	%counts = ();
	$workload = Workload->new($two->source, $db, \&Books::statement, seed => $seed, async => $ENV{TS_FAULTS_ASYNC} // 1);
}

# the push of a round: its first error; undef: none
sub run_push
{
	my ($f) = @_;
	my $s = pusher();
	my $error;
	$proxy->reset if !$f->{moment} || $f->{moment} eq 'time';
	Faults::arm($f, $proxy, $counts{ $f->{unit} }) if $f->{event};
	$s->query("SET statement_timeout = '" . (60 + $f->{after}) . "ms'") if $f->{event} && $f->{event} eq 'timeout' || $f->{kind} eq 'partition';
	my $begin = time;
	my $struck = $f->{event} ? 0 : 1;
	for my $sql (Faults::statements($f, $api))
	{
		$s->send($sql);
		while (!$struck)
		{
			my $there = $f->{moment} eq 'time' ? time - $begin > $f->{after} / 1000 : $proxy->fired;
			if ($there) { $struck = 1; strike($f, $s); last }
			last if $s->wait(0.001);
		}
		if (!$s->wait(15))
		{
			$proxy->clear(cut => 1);
			$two->thaw($_) for $two->source, $two->target;
			$s->close;
			die "the push hangs in: $sql\n";
		}
		my $e = $s->answer->{error};
		$error ||= $e;
		last if !$s->alive;
	}
	if ($s->alive)
	{
		$s->query('ROLLBACK') if $s->state ne 'I';
		$s->query('RESET statement_timeout');
	}
	$fired{ $f->{kind} =~ s/:.*//r }++ if $f->{event} && $struck;
	return $error;
}

# the event; the proxy may hold a message of the push
sub strike
{
	my ($f, $s) = @_;
	my $event = $f->{event};
	# what it cannot see, it must not wait for
	my $back = sub {
		return if $f->{moment} eq 'time';
		# undoing it there may take seconds: most do not wait for that
		if (!$f->{patient}) { $s->wait($f->{for} / 1000); return }
		my $begin = time;
		$s->wait(20) or die "$_[0] does not end a push that waits for the server\n";
		$longest = time - $begin if time - $begin > $longest;
	};
	if ($event eq 'kill_pusher') { $two->kill9_backend($two->source, $s->pid) }
	elsif ($event =~ /^kill_(source|target)$/)
	{
		my $node = $two->$1;
		$two->kill9_server($node);
		$proxy->clear;
		$two->restart($node);
	}
	elsif ($event eq 'cancel') { $s->cancel; $back->('a cancel') }
	elsif ($event eq 'timeout') { $back->('statement_timeout') }
	elsif ($event eq 'terminate_remote') { t_("SELECT pg_terminate_backend($_)") for $two->remote_pids($db) }
	elsif ($event eq 'terminate_pusher') { s_('SELECT pg_terminate_backend(' . $s->pid . ')'); $back->('pg_terminate_backend') }
	elsif ($event eq 'freeze_backend')
	{
		my @pids = $two->remote_pids($db);
		kill 'STOP', @pids;
		$proxy->clear;
		$s->wait($f->{for} / 1000);
		kill 'CONT', @pids;
	}
	elsif ($event eq 'freeze_server')
	{
		$two->freeze($two->target);
		$proxy->clear;
		$s->wait($f->{for} / 1000);
		$two->thaw($two->target);
	}
	elsif ($event eq 'cut') { $f->{moment} eq 'time' ? $proxy->cut : $proxy->clear(cut => 1) }
	elsif ($event eq 'reset') { $proxy->cut }
	elsif ($event eq 'release') { $s->wait($f->{for} / 1000) }
	elsif ($event eq 'late')
	{
		# who pushes gives up while its COMMIT is on its way; another one pushes, and then it arrives
		$s->cancel;
		$back->('a cancel');
		my $other = Session->new($two->source, $db, name => 'other');
		$other->send("SELECT count(*) FROM $api.push('" . ($f->{unit} eq 'all' ? 'item' : $f->{unit}) . "')");
		$other->wait($f->{retry_late} / 1000);
		$proxy->clear;
		$other->wait(15) or die "a push does not end after a COMMIT that came late\n";
		my $wrong = Faults::unexpected($f, $other->answer->{error});
		die "a push after a COMMIT that came late: $wrong\n" if $wrong;
		$other->close;
	}
	$proxy->clear;
}

# pushes everything, and compares
sub catch_up
{
	for my $unit (@Books::units)
	{
		my $e = pusher()->query("SELECT count(*) FROM $api.push('$unit')")->{error};
		die "the push of $unit when nothing fails: " . Session::say_error({ error => $e }) . "\n" if $e;
	}
	my $wrong = Books::compare($two, $db, $db);
	die "differs: $wrong\n" if $wrong;
	$wrong = Books::wrong($two, $db);
	die "$wrong\n" if $wrong;
}

sub round
{
	my ($f) = @_;
	if ($f->{renew} && $pusher) { $pusher->close; $pusher = undef }
	usleep($f->{warm} * 1000);
	t_(Books::here()) for 1 .. $f->{here};
	my $k = $f->{kind};
	my %state = (disk_full => '53100', serialization => '40001', deadlock => '40P01', quarantine => 'odd');
	t_("INSERT INTO app.refuse VALUES ('$state{$k}', '" . ($k eq 'quarantine' ? 'odd only' : 'all') . "')") if $state{$k};
	my $rollback = $k =~ /^(rollback|failing|dry_run)$/ && $api eq 'tracksync';
	my $sums = join ', ', map { "(SELECT md5(string_agg(x::text, ',' ORDER BY id)) FROM app.$_ x)" } @Books::links;
	my $before = $rollback && t_("SELECT $sums");
	$proxy->cut if $k eq 'idle_cut';
	$proxy->partition if $k eq 'partition';
	my $error = run_push($f);
	if ($k eq 'none' && !$error) { $counts{ $f->{unit} } = $proxy->messages }
	$proxy->clear;
	die "it was to do nothing at the target, but did\n" if $rollback && t_("SELECT $sums") ne $before;
	my $wrong = Faults::unexpected($f, $error);
	die "$wrong\n" if $wrong;
	$wrong = Books::wrong($two, $db);
	die "while the workload goes on: $wrong\n" if $wrong;
	t_('DELETE FROM app.refuse') if $state{$k};

	# now nothing fails any more: a push just works
	$workload->pause;
	catch_up();
	for my $unit ($api eq 'tracksync' ? @Books::units : ())
	{
		my $left = s_("SELECT string_agg(format('%s %s %s', link, kind, rows), ', ') FROM tracksync.plan('$unit')");
		die "left to do after a push of $unit: $left\n" if $left;
	}
	$wrong = $api eq 'tracksync' ? s_("SELECT string_agg(format('%s is %s, %s in quarantine', name, state, quarantined), ', ') FROM tracksync.status WHERE state <> 'active' OR quarantined > 0") : '';
	die "status: $wrong\n" if $wrong;
	$workload->resume;
}

for my $seed ($first .. $last)
{
	my ($done, $what, $begin) = (0, 'setup', time);
	%tally = %fired = ();
	my $ok = eval {
		setup($seed);
		for my $round (1 .. $rounds)
		{
			srand($seed * 10_000 + $round);
			# the first ones say how many messages a push has
			my $f = $round <= @Books::units ? { %{ Faults::draw() }, event => undef, moment => undef, kind => 'none', unit => $Books::units[ $round - 1 ] } : Faults::draw(only => $ENV{TS_FAULTS});
			$what = "round $round, $f->{kind}, push of $f->{unit}" . ($f->{block} ? ' in a block' : '');
			diag(sprintf '%.1f s: %s', time - $begin, $what) if $ENV{TS_ORACLE_SEED};
			$tally{ $f->{kind} =~ s/:.*//r }++;
			round($f);
			$done++;
		}
		1;
	};
	my $why = $@;
	ok($ok, "seed $seed, $done rounds") or diag("replay with TS_ORACLE_SEED=$seed TS_ORACLE_ROUNDS=$rounds: $what: $why");
	note(join ', ', map { "$_ $tally{$_}" . ($fired{$_} ? " ($fired{$_} came)" : '') } sort keys %tally);
	note(sprintf '%.1f s, the longest wait for the end of a push that could not go on %.1f s', time - $begin, $longest);
	$proxy->clear(cut => 1);
	$two->thaw($_) for $two->source, $two->target;
	if ($ok)
	{
		# a test that sees nothing proves nothing
		$workload->pause;
		catch_up();
		t_("UPDATE app.ledger SET delta = delta WHERE id = (SELECT min(id) FROM app.ledger)");
		like(Books::wrong($two, $db), qr/was written 2 times/, 'a change that came twice would be seen');
		t_('DELETE FROM app.item WHERE id = (SELECT min(id) FROM app.item)');
		like(Books::compare($two, $db, $db), qr/app\.item: 1 rows only here/, 'and one that was lost');
	}
	$workload->stop if $workload;
	$workload = undef;
	$pusher->close if $pusher;
	$two->forget;
	$two->sql($_, "DROP DATABASE IF EXISTS $db WITH (FORCE)") for $two->source, $two->target;
}
my $log = $two->log_text($two->source) . $two->log_text($two->target);
ok($log !~ /(.*(?:PANIC:|TRAP:|terminated by signal (?!9)|server process .* exit code (?![12]\b)).*)/, 'nothing crashed but what was killed') or diag($1);
$two->stop;
done_testing();
