# TwoServers: a source and a target server, a proxy before the target, and the accidents that may befall them.
#
#   my $two = TwoServers->new;                  # conf, source_conf, target_conf => text for postgresql.conf; extension => 0
#   $two->server('hq', via => 'tcp');           # CREATE SERVER and a user mapping on the source; 'socket', 'tcp', 'proxy'
#   $two->s('SELECT …'); $two->t('SELECT …');   # at the source, at the target: text as psql -At would print it; dies of an error
#                                               # 'a; b' is one transaction, 'a;; b' are two messages
#   $two->s_error('SELECT …');                  # the error as { C => SQLSTATE, M => …, D => …, H => …, W => … }; undef: none
#   $two->compare([ 's.item', 't.item', 'id' ], …) # '' if all is the same, else the first rows that are not
#   $two->kill9_server($two->target); $two->restart($two->target); …
#
# The extension is made at the source only. The target listens on 127.0.0.1 besides its socket; the proxy is for that.
# Databases: postgres, or db => name for server, s, t, s_error.
package TwoServers;

use strict;
use warnings;
use Proxy;
use Session;
use TS ();
use Test::More ();
use Time::HiRes qw(time usleep);

sub new
{
	my ($class, %arg) = @_;
	my $common = "fsync = off\nshared_buffers = 16MB\njit = off\nmax_connections = 40\nlog_statement = none\nrestart_after_crash = on\n" . ($arg{conf} || '');
	my $self = bless { sessions => {} }, $class;
	$self->{source} = TS::ts_node($arg{source_name} || 'source', conf => $common . ($arg{source_conf} || ''));
	$self->{target} = TS::ts_node($arg{target_name} || 'target', start => 0, conf => $common . ($arg{target_conf} || '') . "listen_addresses = '127.0.0.1'\n");
	$self->{target}->start;
	$self->{proxy} = Proxy->new(host => '127.0.0.1', port => $self->{target}->port);
	$self->{proxy}->start;
	$self->s('CREATE EXTENSION tracksync') unless defined $arg{extension} && !$arg{extension};
	return $self;
}

sub source { return $_[0]{source} }
sub target { return $_[0]{target} }
sub proxy { return $_[0]{proxy} }

# endpoint(VIA): host and port of the target
sub endpoint
{
	my ($self, $via) = @_;
	return ($self->target->host, $self->target->port) if $via eq 'socket';
	return ('127.0.0.1', $via eq 'proxy' ? $self->proxy->port : $self->target->port);
}

# server(NAME, via => …, db => …, at => database of the source, role => whose mapping, user => …, password => …, options => { … })
sub server
{
	my ($self, $name, %arg) = @_;
	my ($host, $port) = $self->endpoint($arg{via} || 'tcp');
	my %server = (host => $host, port => $port, dbname => $arg{db} || 'postgres', %{ $arg{options} || {} });
	my %mapping = (user => $arg{user} || scalar getpwuid($<), defined $arg{password} ? (password => $arg{password}) : (), %{ $arg{mapping} || {} });
	my $list = sub { my %o = @_; return join ', ', map { my $v = $o{$_} =~ s/'/''/gr; "$_ '$v'" } sort keys %o };
	$self->s('CREATE SERVER ' . $name . ' FOREIGN DATA WRAPPER ' . ($arg{wrapper} || 'tracksync_fdw') . ' OPTIONS (' . $list->(%server) . ')', db => $arg{at});
	$self->s('CREATE USER MAPPING FOR ' . ($arg{role} || 'CURRENT_USER') . " SERVER $name OPTIONS (" . $list->(%mapping) . ')', db => $arg{at});
}

# control(NODE, DB): a session of the test's own, made again where it was lost
sub control
{
	my ($self, $node, $db) = @_;
	my $key = $node->name . ' ' . ($db || 'postgres');
	my $s = $self->{sessions}{$key};
	return $s if $s && $s->alive;
	for (1 .. 600)
	{
		$s = Session->new($node, $db || 'postgres', name => 'control');
		return $self->{sessions}{$key} = $s if $s;
		usleep(50_000);
	}
	die $node->name . ": no connection\n";
}

# forget(): closes these sessions
sub forget
{
	my ($self) = @_;
	$_->close for values %{ $self->{sessions} };
	$self->{sessions} = {};
}

sub ask
{
	my ($self, $node, $sql, %arg) = @_;
	my $answer = $self->control($node, $arg{db})->query($sql);
	# a server that was killed meanwhile; the question is not asked twice otherwise
	$answer = $self->control($node, $arg{db})->query($sql) if $answer->{error} && $answer->{error}{C} =~ /^(lost|57P0.)$/ && !@{ $answer->{rows} };
	return $answer;
}

sub text { my ($answer) = @_; return join "\n", map { join '|', map { $_ // '' } @$_ } @{ $answer->{rows} } }

sub sql
{
	my ($self, $node, $sql, %arg) = @_;
	my $answer;
	for my $one (split /;;/, $sql)
	{
		$answer = $self->ask($node, $one, %arg);
		die $node->name . ': ' . Session::say_error($answer) . "\nin: $one\n" if $answer->{error};
	}
	return text($answer);
}

sub s { my ($self, $sql, %arg) = @_; return $self->sql($self->source, $sql, %arg) }
sub t { my ($self, $sql, %arg) = @_; return $self->sql($self->target, $sql, %arg) }

sub s_error
{
	my ($self, $sql, %arg) = @_;
	my $s = $self->control($self->source, $arg{db});
	my $error;
	for (split /;;/, $sql) { last if $error = $s->query($_)->{error} }
	$s->query('ROLLBACK') if $s->alive && $s->state ne 'I';
	return $error;
}

# fails(SQL, SQLSTATE, TEXT, NAME): a test: the error at the source has this state, and the text in any of its parts; returns it
sub fails
{
	my ($self, $sql, $state, $text, $name) = @_;
	my $e = $self->s_error($sql);
	my $all = $e ? Session::say_error({ error => $e }) : 'no error';
	Test::More::ok($e && $e->{C} =~ /^(?:$state)$/ && $all =~ $text, $name) or Test::More::diag("$all\nis not $state with $text");
	return $e;
}

# compare([SOURCE, TARGET, ORDER, COLUMNS], …): columns as SQL, '*' if left out
sub compare
{
	my ($self, @tables) = @_;
	my $all = '';
	for my $table (@tables)
	{
		my ($source, $target, $order, $columns, %arg) = @$table;
		$columns ||= '*';
		my %side = (s => $source, t => $target);
		my %sum = map { $_ => $self->$_("SELECT count(*), md5(string_agg(x::text, chr(10) ORDER BY $order)) FROM (SELECT $columns FROM $side{$_}) x", db => $arg{"${_}_db"}) } keys %side;
		next if $sum{s} eq $sum{t};
		my %rows = map { $_ => $self->$_("SELECT x::text FROM (SELECT $columns FROM $side{$_}) x ORDER BY $order", db => $arg{"${_}_db"}) } keys %side;
		# encodings may differ, then the sums do
		next if $rows{s} eq $rows{t};
		my %seen;
		$seen{$_}++ for split /\n/, $rows{s};
		my @only_t = grep { ($seen{$_} //= 0)-- <= 0 } split /\n/, $rows{t};
		%seen = ();
		$seen{$_}++ for split /\n/, $rows{t};
		my @only_s = grep { ($seen{$_} //= 0)-- <= 0 } split /\n/, $rows{s};
		$all .= sprintf "%s: %d rows only here: %s; %s: %d rows only here: %s\n", $source, scalar @only_s, join(' ', grep { defined } @only_s[0 .. 4]),
			$target, scalar @only_t, join(' ', grep { defined } @only_t[0 .. 4]);
	}
	return $all;
}

# processes(NODE): all of a server's, by the folder they work in
sub processes
{
	my ($self, $node) = @_;
	my $dir = $node->data_dir;
	return grep { (readlink("/proc/$_/cwd") // '') eq $dir } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# kill9_server(NODE): its postmaster; returns when all its processes are gone
sub kill9_server
{
	my ($self, $node) = @_;
	my $pid = $node->{_pid};
	$node->kill9;
	my $end = time + 5;
	while (my @left = $self->processes($node))
	{
		kill time > $end ? 'KILL' : 'CONT', @left;
		usleep(10_000);
	}
	# as long as nobody waited for it, it seems to be there
	$end = time + 5;
	usleep(5_000) while kill(0, $pid) && time < $end;
	unlink $node->data_dir . '/postmaster.pid' if kill 0, $pid;
}

sub restart
{
	my ($self, $node) = @_;
	$node->start;
}

# kill9_backend(NODE, PID): the server restarts itself; returns when it answers
sub kill9_backend
{
	my ($self, $node, $pid) = @_;
	kill 'KILL', $pid;
	my $end = time + 5;
	usleep(5_000) while kill(0, $pid) && time < $end;
	$self->wait_up($node);
}

sub wait_up
{
	my ($self, $node) = @_;
	for (1 .. 600)
	{
		# a session of before may not have noticed
		my $s = Session->new($node, 'postgres');
		if ($s && !$s->query('SELECT 1')->{error}) { $s->close; return 1 }
		usleep(50_000);
	}
	die $node->name . ": does not come up\n";
}

# freeze(NODE) … thaw(NODE): SIGSTOP for the whole server
sub freeze { my ($self, $node) = @_; kill 'STOP', $self->processes($node) }
sub thaw { my ($self, $node) = @_; kill 'CONT', $self->processes($node) }

# remote_pids(DB): the sessions that tracksync has at the target, in a database
sub remote_pids
{
	my ($self, $db) = @_;
	return split /\n/, $self->t("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '" . ($db || 'postgres') . "' AND application_name <> 'control' AND pid <> pg_backend_pid()");
}

sub wait_for
{
	my ($self, $node, $sql, %arg) = @_;
	my $end = time + ($arg{seconds} || 30);
	while (time < $end)
	{
		return 1 if $self->sql($node, $sql, %arg) eq 't';
		usleep(10_000);
	}
	return 0;
}

# log_text(NODE): the server's log
sub log_text
{
	my ($self, $node) = @_;
	open my $fh, '<', $node->logfile or die $node->logfile . ": $!";
	local $/;
	return scalar <$fh>;
}

sub stop
{
	my ($self) = @_;
	$self->forget;
	$self->proxy->stop;
	for my $node ($self->source, $self->target) { $self->thaw($node); $node->stop('immediate') }
}

1;
