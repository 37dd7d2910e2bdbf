# Session: a session with a server in plain Perl, which can be left alone while it works. (psql is a process for each question.)
#
#   my $s = Session->new($node, 'postgres', name => 'pusher', host => …, port => …);    # undef if there is no connection
#   my $answer = $s->query('SELECT 1');     # { rows => [[1]], tag => 'SELECT 1', error => undef, notices => [] }, of the last statement
#   $s->value('SELECT 1');                  # the first column of the first row; dies of an error
#   $s->send('SELECT pg_sleep(1)'); $s->wait(0.5) or $s->cancel; $s->answer;    # wait: is the answer there?
#   $s->pid; $s->alive; $s->close;
#
# An error is { C => SQLSTATE, M => message, D => detail, H => hint, W => context … }; C is 'lost' where the connection was.
package Session;

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

sub new
{
	my ($class, $node, $db, %arg) = @_;
	my $host = $arg{host} || $node->host;
	my $port = $arg{port} || $node->port;
	my $self = bless { at => [ $host, $port ], in => '', notices => [] }, $class;
	my $s = $self->{socket} = $self->connect or return undef;
	my $user = $arg{user} || getpwuid $<;
	my $startup = pack('N', 196608) . join "\0", user => $user, database => $db, application_name => $arg{name} || 'session', client_encoding => 'UTF8', "\0";
	$self->put(pack('N', 4 + length $startup) . $startup);
	$self->{busy} = 1;
	my $answer = $self->wait($arg{timeout} || 10) && $self->answer;
	return $answer && !$answer->{error} ? $self : undef;
}

sub connect
{
	my ($self) = @_;
	my ($host, $port) = @{ $self->{at} };
	return $host =~ m{^/} ? IO::Socket::UNIX->new(Peer => "$host/.s.PGSQL.$port") : IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp');
}

sub put
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $n = syswrite $self->{socket}, $bytes;
		return $self->lost if !defined $n;
		substr($bytes, 0, $n) = '';
	}
}

sub lost
{
	my ($self) = @_;
	$self->{answer} = { rows => [], notices => [], %{ $self->{answer} || {} } };
	$self->{answer}{error} ||= { C => 'lost', M => 'the connection was lost' };
	@$self{qw(dead busy)} = (1, 0);
}

sub alive { return !$_[0]{dead} }
sub pid { return $_[0]{pid} }

# send(SQL): does not wait
sub send
{
	my ($self, $sql) = @_;
	die "a statement is under way\n" if $self->{busy};
	$self->{answer} = { rows => [], notices => [] };
	return $self->lost if $self->{dead};
	utf8::encode(my $bytes = $sql);
	$self->{busy} = 1;
	$self->put('Q' . pack('N', 5 + length $bytes) . "$bytes\0");
}

# wait(SECONDS): is the answer complete?
sub wait
{
	my ($self, $seconds) = @_;
	my $end = time + $seconds;
	while (1)
	{
		while ($self->{busy} && length $self->{in} >= 5)
		{
			my ($type, $size) = unpack 'aN', $self->{in};
			last if length $self->{in} < $size + 1;
			my $body = substr $self->{in}, 5, $size - 4;
			substr($self->{in}, 0, $size + 1) = '';
			$self->message($type, $body);
		}
		return 1 if !$self->{busy};
		my $left = $end - time;
		vec(my $read = '', fileno $self->{socket}, 1) = 1;
		return 0 if !select $read, undef, undef, $left > 0 ? $left : 0;
		my $n = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
		$self->lost if !$n;
	}
}

sub message
{
	my ($self, $type, $body) = @_;
	my $answer = $self->{answer} ||= { rows => [], notices => [] };
	if ($type eq 'T') { $answer->{rows} = [] }
	elsif ($type eq 'C') { $answer->{tag} = unpack 'Z*', $body }
	elsif ($type eq 'K') { @$self{qw(pid key)} = unpack 'NN', $body }
	elsif ($type eq 'Z') { ($self->{busy}, $self->{state}) = (0, $body) }
	elsif ($type eq 'D')
	{
		my ($n, $at, @row) = (unpack('n', $body), 2);
		for (1 .. $n)
		{
			my $size = unpack 'l>', substr $body, $at, 4;
			utf8::decode(my $value = $size < 0 ? '' : substr $body, $at + 4, $size);
			push @row, $size < 0 ? undef : $value;
			$at += 4 + ($size < 0 ? 0 : $size);
		}
		push @{ $answer->{rows} }, \@row;
	}
	elsif ($type eq 'E' || $type eq 'N')
	{
		my %field = map { utf8::decode(my $x = $_); substr($x, 0, 1) => substr($x, 1) } grep { length } split /\0/, $body;
		if ($type eq 'E') { $answer->{error} = \%field }
		else { push @{ $answer->{notices} }, \%field }
	}
}

# answer(): of the last statement; waits for it
sub answer
{
	my ($self) = @_;
	$self->wait(1e6);
	return $self->{answer};
}

sub query
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->answer;
}

sub value
{
	my ($self, $sql) = @_;
	my $answer = $self->query($sql);
	die "$answer->{error}{M} in: $sql\n" if $answer->{error};
	return $answer->{rows}[0][0];
}

# cancel(): asks the server to
sub cancel
{
	my ($self) = @_;
	my $s = $self->connect or return;
	syswrite $s, pack 'NNNN', 16, 80877102, $self->{pid}, $self->{key};
	sysread $s, my $nothing, 1;
}

# state(): 'I' idle, 'T' in a transaction, 'E' in one that failed
sub state { return $_[0]{state} }

sub close
{
	my ($self) = @_;
	CORE::close $self->{socket} if $self->{socket};
	@$self{qw(dead busy)} = (1, 0);
}

sub say_error { my ($answer) = @_; my $e = $answer->{error} or return ''; return join ' | ', map { "$_: $e->{$_}" } grep { defined $e->{$_} } qw(C M D H W) }

1;
