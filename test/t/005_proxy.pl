# The proxy of the tests (lib/Proxy.pm), proved with psql, pgbench and a session: what it passes on, counts, delays, cuts and swallows.
use TS;
use Proxy;
use Session;
use Time::HiRes qw(time usleep);

my $node = ts_node('main', start => 0, conf => "listen_addresses = '127.0.0.1'\nmax_connections = 40\n");
$node->start;
my $socket_dir = ts_tempdir();
my $proxy = Proxy->new(host => '127.0.0.1', port => $node->port, socket => "$socket_dir/.s.PGSQL.7777");
my $port = $proxy->start;
$ENV{PGSSLMODE} = 'disable';
$ENV{PGGSSENCMODE} = 'disable';
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub far { my (%o) = @_; return Session->new($node, 'postgres', host => '127.0.0.1', port => $port, %o) }

# psql(STATEMENT …): through the proxy, each a message of its own: (exit status, output)
sub psql
{
	my $options = ref $_[0] ? shift : '';
	my $pid = open(my $out, '-|') // die;
	if ($pid == 0)
	{
		open STDERR, '>&', \*STDOUT;
		exec 'psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-d', "host=127.0.0.1 port=$port dbname=postgres" . ($options ? $$options : ''), map { ('-c', $_) } @_;
		die;
	}
	my $text = do { local $/; <$out> };
	close $out;
	return ($? >> 8, $text);
}
sub status { return (psql(@_))[0] }

sub settled
{
	my ($q) = @_;
	for (1 .. 200) { return 1 if sql($q) eq 't'; usleep(20_000) }
	return 0;
}
my $alone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE client_addr IS NOT NULL";

# what it passes on
is((psql('SELECT 1'))[1], "1\n", 'a question and its answer');
{
	local $ENV{PGSSLMODE} = 'prefer';
	local $ENV{PGGSSENCMODE} = 'prefer';
	$proxy->trace(1);
	is((psql('SELECT 2'))[1], "2\n", 'after a request of TLS that is answered N');
	my @trace = @{ $proxy->trace(0) };
	like("@trace[0 .. 3]", qr/to_server ! .* to_client ! N .* to_server ! .*postgres.* to_client R/s, 'whose answer is a message too');
}
is(status(\' sslmode=require', 'SELECT 1'), 2, 'TLS where there is none');
like(`psql -X -A -t -d "host=$socket_dir port=7777 dbname=postgres" -c 'SELECT 3' 2>&1`, qr/^3$/, 'by a unix socket');
my $many = 4_000_000;
is((psql("SELECT length('" . ('x' x 100_000) . "')"))[1], "100000\n", 'a long question');
is((psql("SELECT repeat('x', $many)"))[1], ('x' x $many) . "\n", 'a long answer');
is((psql("SELECT count(*), sum(i) FROM (SELECT i FROM generate_series(1, 1000) i) x", 'SELECT i FROM generate_series(1, 300000) i'))[1] =~ tr/\n//, 300001, 'many rows');
$node->command_ok([ 'pgbench', '-i', '-q', '-h', '127.0.0.1', '-p', $port, 'postgres' ], 'pgbench -i: COPY');
my $script = ts_tempdir() . '/script.sql';
open my $fh, '>', $script or die;
print $fh "\\set n random(1, 1000)\nBEGIN;\nSELECT repeat('y', :n);\nSELECT :n;\nCOMMIT;\n";
close $fh;
for my $mode ('simple', 'extended', 'prepared')
{
	$node->command_checks_all([ 'pgbench', '-n', '-M', $mode, '-c', 8, '-t', 100, '-f', $script, '-h', '127.0.0.1', '-p', $port, 'postgres' ], 0, [ qr{800/800} ], [], "pgbench, eight clients, $mode");
}
ok(settled($alone), 'no connection is left at the server');
is($proxy->connections, 0, 'nor at the proxy');
my $s = far();
$s->send('SELECT pg_sleep(60)');
usleep(50_000);
$s->cancel;
is($s->answer->{error}{C}, '57014', 'a request to cancel passes through');
$s->close;

# counts are the same each time
my @counts;
for (1 .. 3)
{
	$proxy->reset;
	psql('BEGIN', 'SELECT 1 UNION SELECT 2', 'COMMIT');
	push @counts, $proxy->messages;
}
is($counts[0]{to_server}, 5, 'startup, three statements, the end');
is_deeply($counts[$_], $counts[0], "counts are stable, $_") for 1, 2;

# latency: a turn takes it twice; what is sent without waiting shares it
sub took { my ($f) = @_; my $t = time; $f->(); return time - $t }
$s = far();
$proxy->latency(50);
my $turn = took(sub { $s->value('SELECT 1') });
ok($turn >= 0.1 && $turn < 0.5, "50 ms each way: $turn s");
my $together = took(sub {
	for (1 .. 20)
	{
		$s->put('Q' . pack('N', 5 + 8) . "SELECT 1\0");
		usleep(2_000);
	}
	for (1 .. 20) { $s->{busy} = 1; $s->wait(5) }
});
ok($together >= 0.1 && $together < 1, "twenty at once: $together s");
$proxy->latency(0);
$turn = took(sub { $s->value('SELECT 1') });
ok($turn < 0.1, "and none: $turn s");
$proxy->fault({ direction => 'to_client', type => 'C', when => 'before', action => 'delay', ms => 200 });
$turn = took(sub { $s->value('SELECT 1') });
ok($turn >= 0.2 && $turn < 1, "one message late: $turn s");
is($proxy->fired, 1, 'once');
$turn = took(sub { $s->value('SELECT 1') });
ok($turn < 0.1, "not the next: $turn s");
$s->close;

# cuts, at each boundary of a transaction
sql('CREATE TABLE t (i int)');
sub transaction { my ($i) = @_; return psql('BEGIN', "INSERT INTO t VALUES ($i)", 'COMMIT') }
sub there { my ($i) = @_; return settled($alone) && sql("SELECT count(*) FROM t WHERE i = $i") }
$proxy->trace(1);
transaction(0);
my @trace = grep { / (to_server|to_client) / } @{ $proxy->trace(0) };
my $i = 0;
for my $direction ('to_server', 'to_client')
{
	my @way = grep { / $direction / } @trace;
	my ($commit) = grep { $way[$_] =~ /COMMIT/ } 0 .. $#way;
	my $wrong = '';
	for my $n (0 .. $#way)
	{
		for my $when ('before', 'middle', 'after')
		{
			$proxy->fault({ direction => $direction, at => $n + 1, when => $when, action => 'cut' });
			my ($rc) = transaction(++$i);
			# what is cut after the answer that lets the client send COMMIT is a matter of time
			next if $direction eq 'to_client' && $n == $commit - 1 && $when eq 'after';
			my $expect = $direction eq 'to_client' ? $n >= $commit : $n > $commit || $n == $commit && $when eq 'after';
			my $found = there($i);
			$wrong .= "$when $way[$n]: $found; " if $found != $expect;
			$wrong .= "not fired $n $when; " if !$proxy->fired;
			$wrong .= "no error $n $when; " if $rc == 0 && $n < $commit;
		}
	}
	is($wrong, '', "cut at each of " . @way . " messages $direction");
}
for my $rst ('', 'client', 'server', 'both')
{
	for (['to_server', 'Q', 'before', 0], ['to_server', 'Q', 'middle', 0], ['to_client', 'C', 'before', 1])
	{
		my ($direction, $type, $when, $expect) = @$_;
		$proxy->fault({ direction => $direction, type => $type, match => 'COMMIT', when => $when, action => 'cut', rst => $rst });
		my ($rc, $out) = transaction(++$i);
		is(there($i), $expect, "cut $when $direction COMMIT" . ($rst && ", reset $rst"));
		like($out, qr/server closed the connection|reset by peer|Broken pipe|connection to server was lost/, 'which psql sees');
	}
}
# the n-th of a connection, and more than once
$proxy->fault({ direction => 'to_server', at => 3, scope => 'connection', action => 'cut', times => 2 });
is(join(' ', map { status('SELECT 1', 'SELECT 2') ? 'cut' : 'fine' } 1 .. 3), 'cut cut fine', 'the third message of two connections');
is($proxy->fired, 2, 'fired twice');

# the extended protocol: the statement's text comes first, another message has it done
$node->safe_psql('postgres', 'CREATE TABLE e (i int)');
open $fh, '>', $script or die;
print $fh "BEGIN;\nINSERT INTO e VALUES (1);\nCOMMIT;\n";
close $fh;
for (['P', undef, 'after', 0], ['[QP]', 'E', 'before', 0], ['[QP]', 'E', 'after', 1])
{
	my ($type, $then, $when, $expect) = @$_;
	sql('TRUNCATE e');
	$proxy->fault({ direction => 'to_server', type => $type, match => 'COMMIT', when => $when, action => 'cut', $then ? (then => $then) : () });
	system "pgbench -n -M extended -t 1 -f $script -h 127.0.0.1 -p $port postgres >/dev/null 2>&1";
	is(settled($alone) && sql('SELECT count(*) FROM e'), $expect, "COMMIT cut $when " . ($then || $type));
}

# black holes
$proxy->fault({ direction => 'to_server', type => 'Q', match => 'pg_backend', action => 'blackhole' });
$s = far();
$s->send('SELECT pg_backend_pid()');
ok($proxy->wait_fired(5), 'the message came');
is($s->wait(0.3), 0, 'but no answer');
is(sql("SELECT state FROM pg_stat_activity WHERE pid = " . $s->pid), 'idle', 'the server saw nothing');
is((psql('SELECT 1'))[1], "1\n", 'other connections work');
$proxy->clear;
is($s->answer->{rows}[0][0], $s->pid, 'it goes on where it stopped');
$s->close;

# a COMMIT that arrives when nobody waits for it any more
$s = far();
$s->query("BEGIN; INSERT INTO t VALUES (-1)");
$proxy->fault({ direction => 'to_server', match => 'COMMIT', action => 'blackhole' });
$s->send('COMMIT');
ok($proxy->wait_fired(5), 'COMMIT came');
my $pid = $s->pid;
$s->close;
usleep(200_000);
is(sql("SELECT state FROM pg_stat_activity WHERE pid = $pid"), 'idle in transaction', 'the server does not see that the client went');
$proxy->clear;
is(there(-1), 1, 'a late COMMIT');
$s = far();
$s->query("BEGIN; INSERT INTO t VALUES (-2)");
$proxy->fault({ direction => 'to_server', match => 'COMMIT', action => 'blackhole' });
$s->send('COMMIT');
ok($proxy->wait_fired(5), 'COMMIT came');
$proxy->clear(cut => 1);
is($s->answer->{error}{C}, 'lost', 'or it never arrives');
is(there(-2), 0, 'and nothing is committed');

# one way only; nobody can connect
$s = far();
$proxy->fault({ direction => 'to_server', match => 'VALUES', when => 'after', action => 'blackhole', only => 'to_client' });
$s->send('INSERT INTO t VALUES (-3)');
is($s->wait(0.3), 0, 'no answer');
is(sql("SELECT count(*) FROM t WHERE i = -3"), 1, 'but it was done');
$proxy->partition;
my $took = took(sub { is(status(\' connect_timeout=2', 'SELECT 1'), 2, 'nobody can connect') });
ok($took >= 1.5 && $took < 10, "which takes until the time-out: $took s");
my $stat = sub { open my $f, '<', "/proc/$proxy->{pid}/stat" or return 0; my @f = split ' ', <$f>; return ($f[13] + $f[14]) / 100 };
my $cpu = $stat->();
usleep(500_000);
ok($stat->() - $cpu <= 0.05, 'it sleeps when there is nothing to do');
$proxy->clear;
is($s->answer->{tag}, 'INSERT 0 1', 'released');
$s->close;
ok(settled($alone), 'no connection is left at the server');
is($proxy->connections, 0, 'nor at the proxy');

# its end
$s = far();
$proxy->partition;
$proxy->stop;
is($s->query('SELECT 1')->{error}{C}, 'lost', 'it closes black holes when it stops');
ok(settled($alone), 'for the server too');
is(status('SELECT 1'), 2, 'and does not listen');
pipe my $in, my $out or die;
my $starter = fork() // die;
if ($starter == 0)
{
	my $p = Proxy->new(host => '127.0.0.1', port => $node->port);
	syswrite $out, $p->start . " $p->{pid}\n";
	sleep 60;
	POSIX::_exit(0);
}
close $out;
my ($its_port, $its_pid) = split ' ', <$in>;
my $heir = Session->new($node, 'postgres', host => '127.0.0.1', port => $its_port);
ok($heir && kill(0, $its_pid), 'a proxy');
kill 'KILL', $starter;
waitpid $starter, 0;
for (1 .. 150) { last if !kill 0, $its_pid; usleep(20_000) }
ok(!kill(0, $its_pid), 'dies with its parent');
ok($heir->wait(5) && !$heir->query('SELECT 1')->{rows}[0], 'with its connections');
$node->stop;
done_testing();
