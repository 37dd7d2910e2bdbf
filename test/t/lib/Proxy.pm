# Proxy: stands between a client and a PostgreSQL server, and breaks the line where a test wants it broken.
#
#   my $proxy = Proxy->new(host => '127.0.0.1', port => 5432);   # the server; host may be the folder of its socket
#   my $port = $proxy->start;             # listens on 127.0.0.1; new(socket => '/dir/.s.PGSQL.1') listens there too
#   $proxy->latency(10);                  # milliseconds each way; what is on its way overlaps, as on a real line
#   $proxy->fault({ direction => 'to_server', match => 'COMMIT', when => 'after', action => 'cut' });
#   … $proxy->wait_fired(5) … $proxy->clear; $proxy->stop;
#
# A process of its own, which goes with the one that started it. It knows where messages begin and end (not inside of TLS), and counts
# them: ->reset sets the counts to zero, ->messages returns { to_server => n, to_client => n } since. A fault is for one message:
#   direction  'to_server' or 'to_client'
#   type       its type byte ('Q', 'P', 'C', '[QPB]' …; '!' is what has none: the startup packet, a request of TLS and its answer)
#   match      a regular expression for its content
#   then       a type: not this message, unless it is a 'Q', but the next one of that type after it: 'E' executes what 'P' has the text of
#   at         the n-th that is like this (1) since ->fault; scope => 'connection': of its connection, since that began
#   times      how often (1); with at: each n-th
#   when       'before' it is passed on, 'after', or in the 'middle' of it
#   action     'cut'        both sides are closed once what was passed on before is out; rst => 'client', 'server' or 'both': reset
#              'blackhole'  nothing is passed on any more, nor is it seen that one side went; only => 'to_server' or 'to_client': one way
#              'delay'      it, and what follows in its direction, waits for ms => n
# ->fault replaces the one before, and resets the counts. ->clear forgets it and lets black holes go on where they stopped;
# ->clear(cut => 1) closes them. ->partition: all connections, new ones too, are black holes until ->clear. ->cut closes all.
# ->fired: how often the fault came; ->connections: how many are open; ->trace(1) … ->trace: the messages since, "1 to_server Q SELECT 1".
package Proxy;

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);

use constant { CHUNK => 262144, QUEUE => 16 * 1024 * 1024, LINGER => 5, TLS => 80877103, GSS => 80877104 };

sub new
{
	my ($class, %arg) = @_;
	return bless { host => $arg{host} || '127.0.0.1', port => $arg{port}, socket => $arg{socket}, latency => $arg{latency} || 0 }, $class;
}

# start(): the port
sub start
{
	my ($self) = @_;
	my @listen = (IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 100, Proto => 'tcp') || die "proxy: $@");
	$self->{listen_port} = $listen[0]->sockport;
	push @listen, IO::Socket::UNIX->new(Local => $self->{socket}, Listen => 100) || die "proxy: $!" if $self->{socket};
	socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "proxy: $!";
	my $parent = $$;
	my $pid = fork() // die "proxy: fork: $!";
	if ($pid == 0)
	{
		close $ours;
		$SIG{$_} = 'DEFAULT' for qw(TERM INT HUP ALRM __DIE__ __WARN__ CHLD);
		$SIG{PIPE} = 'IGNORE';
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', '/dev/null';
		eval { Proxy::Line::serve($self, $its, $parent, @listen); 1 } or print STDERR "proxy: $@";
		POSIX::_exit(0);
	}
	close $its;
	@$self{qw(pid control owner)} = ($pid, $ours, $$);
	$self->{control}->autoflush(1);
	return $self->{listen_port};
}

sub port { return $_[0]{listen_port} }

sub ask
{
	my ($self, %command) = @_;
	my $control = $self->{control} or die "proxy: not running\n";
	local $SIG{PIPE} = 'IGNORE';
	print $control JSON::PP::encode_json(\%command), "\n";
	my $answer = <$control> // die "proxy: gone\n";
	$answer = JSON::PP::decode_json($answer);
	die "proxy: $answer->{error}\n" if $answer->{error};
	return $answer->{value};
}

sub latency { my ($self, $ms) = @_; return $self->ask(do => 'latency', ms => $ms) }
sub fault { my ($self, $fault) = @_; return $self->ask(do => 'fault', fault => $fault) }
sub clear { my ($self, %arg) = @_; return $self->ask(do => 'clear', %arg) }
sub reset { return $_[0]->ask(do => 'reset') }
sub messages { return $_[0]->ask(do => 'messages') }
sub fired { return $_[0]->ask(do => 'fired') }
sub connections { return $_[0]->ask(do => 'connections') }
sub partition { return $_[0]->ask(do => 'partition') }
sub cut { return $_[0]->ask(do => 'cut') }
sub trace { my ($self, $on) = @_; return $self->ask(do => 'trace', on => $on) }

# wait_fired(SECONDS): has the fault come?
sub wait_fired
{
	my ($self, $seconds) = @_;
	my $end = time + $seconds;
	while (1)
	{
		my $n = $self->fired;
		return $n if $n || time > $end;
		select undef, undef, undef, 0.002;
	}
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	local ($?, $!);
	close delete $self->{control};
	kill 'KILL', $self->{pid};
	waitpid(delete $self->{pid}, 0);
	unlink $self->{socket} if $self->{socket};
}

sub DESTROY { $_[0]->stop }

# What follows runs in the proxy's own process. A connection is two ways: { from, to, queue, frame, out }. Bytes read wait in queue until
# the latency is over, are taken apart in frame, and wait in out until the other side takes them.
package Proxy::Line;

use strict;
use warnings;
use Time::HiRes qw(time);

BEGIN
{
	no strict 'refs';
	*$_ = \&{"Proxy::$_"} for qw(CHUNK QUEUE LINGER TLS GSS EAGAIN EWOULDBLOCK EINTR SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
}

my (%lines, $number, $server, $fault, $fired, %count, $latency, $partition, $trace, $now);

sub serve
{
	my ($self, $control, $parent, @listen) = @_;
	my $commands = '';
	($server, $latency, $number, $fired, $partition) = ($self, $self->{latency} / 1000, 0, 0, 0);
	%count = (to_server => 0, to_client => 0);
	$_->blocking(0) for @listen;
	while (1)
	{
		my ($read, $write) = ('', '');
		my $wait = 1;
		vec($read, fileno $_, 1) = 1 for $control, @listen;
		$now = time;
		for my $line (values %lines)
		{
			for my $way (@{ $line->{ways} })
			{
				vec($read, fileno $way->{from}, 1) = 1 if !$way->{eof} && $way->{waiting} < QUEUE;
				vec($write, fileno $way->{to}, 1) = 1 if length $way->{out} && !$way->{dead};
				my $due = due($line, $way);
				$wait = $due - $now if defined $due && $due - $now < $wait;
			}
			$wait = $line->{until} - $now if $line->{until} && $line->{until} - $now < $wait;
		}
		$read = $write = '' if 0 > select $read, $write, undef, $wait < 0 ? 0 : $wait;
		return if getppid() != $parent;
		$now = time;
		# what came is forwarded first: a command holds for what comes after it
		for my $way (map { @{ $_->{ways} } } values %lines) { take($way) if !$way->{eof} && vec $read, fileno $way->{from}, 1 }
		turn();
		for (grep { vec $read, fileno $_, 1 } @listen) { accept_one($_) }
		if (vec $read, fileno $control, 1)
		{
			my $n = sysread $control, $commands, 65536, length $commands;
			return if !$n;
			while ($commands =~ s/^([^\n]*)\n//)
			{
				my $answer = eval { { value => command(%{ JSON::PP::decode_json($1) }) } } || { error => "$@" };
				syswrite $control, JSON::PP::encode_json($answer) . "\n";
			}
			turn();
		}
	}
}

# turn(): passes on whatever can be
sub turn
{
	for my $line (my @all = values %lines)
	{
		pass($line, $_) for @{ $line->{ways} };
		finish($line);
	}
}

sub command
{
	my (%c) = @_;
	if ($c{do} eq 'latency') { $latency = $c{ms} / 1000 }
	elsif ($c{do} eq 'messages') { return {%count} }
	elsif ($c{do} eq 'fired') { return $fired }
	elsif ($c{do} eq 'connections') { return scalar keys %lines }
	elsif ($c{do} eq 'reset') { reset_counts() }
	elsif ($c{do} eq 'partition') { $partition = 1; $_->{hole} = { to_server => 1, to_client => 1 } for values %lines }
	elsif ($c{do} eq 'cut') { cut($_, '') for values %lines }
	elsif ($c{do} eq 'trace')
	{
		my $old = $trace;
		$trace = $c{on} ? [] : undef if defined $c{on};
		return $old;
	}
	elsif ($c{do} eq 'fault')
	{
		my %f = (at => 1, times => 1, when => 'before', scope => 'armed', %{ $c{fault} });
		die "what direction\n" unless ($f{direction} // '') =~ /^to_(server|client)$/;
		die "what action\n" unless ($f{action} // '') =~ /^(cut|blackhole|delay)$/;
		die "when\n" unless $f{when} =~ /^(before|after|middle)$/;
		$f{seen} = 0;
		$f{match} = qr/$f{match}/s if defined $f{match};
		defined $f{$_} and $f{$_} = qr/^$f{$_}$/ for qw(type then);
		reset_counts();
		($fault, $fired) = (\%f, 0);
	}
	elsif ($c{do} eq 'clear')
	{
		($fault, $partition) = (undef, 0);
		for my $line (grep { $_->{hole} } values %lines)
		{
			delete $line->{hole};
			$_->{held} = $now for @{ $line->{ways} };
			cut($line, '') if $c{cut};
		}
	}
	else { die "what: $c{do}\n" }
	return 1;
}

sub reset_counts
{
	$count{$_} = 0 for keys %count;
	$_->{seen} = 0 for values %lines;
}

sub accept_one
{
	my ($listen) = @_;
	my $client = $listen->accept or return;
	my $to = $server->{host} =~ m{^/} ? IO::Socket::UNIX->new(Peer => "$server->{host}/.s.PGSQL.$server->{port}")
		: IO::Socket::INET->new(PeerAddr => $server->{host}, PeerPort => $server->{port}, Proto => 'tcp', Timeout => 2);
	return close $client if !$to;
	for ($client, $to)
	{
		$_->blocking(0);
		setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 if $_->isa('IO::Socket::INET');
	}
	my %new = (queue => [], waiting => 0, frame => '', out => '', typed => 0);
	my $line = { number => ++$number, client => $client, server => $to, seen => 0 };
	$line->{ways} = [ { %new, queue => [], name => 'to_server', from => $client, to => $to }, { %new, queue => [], name => 'to_client', from => $to, to => $client } ];
	$line->{ways}[1]{typed} = 1;
	$line->{hole} = { to_server => 1, to_client => 1 } if $partition;
	$lines{$number} = $line;
}

# take(WAY): reads what is there
sub take
{
	my ($way) = @_;
	my $n = sysread $way->{from}, my $bytes, CHUNK;
	return if !defined $n && ($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR);
	$way->{eof} = 1 if !$n;
	return if $way->{deaf};
	push @{ $way->{queue} }, [ $now + $latency, $n ? $bytes : undef ];
	$way->{waiting} += $n || 0;
}

# due(LINE, WAY): when there is something to do without anything to read
sub due
{
	my ($line, $way) = @_;
	return if $line->{hole} && $line->{hole}{ $way->{name} };
	return $way->{held} if $way->{held};
	return @{ $way->{queue} } && length $way->{out} <= QUEUE ? $way->{queue}[0][0] : undef;
}

# pass(LINE, WAY): whatever can be passed on now
sub pass
{
	my ($line, $way) = @_;
	while (1)
	{
		last if $line->{hole} && $line->{hole}{ $way->{name} } || $way->{deaf};
		if ($way->{held})
		{
			last if $way->{held} > $now;
			delete $way->{held};
			frames($line, $way);
			next;
		}
		last if !@{ $way->{queue} } || $way->{queue}[0][0] > $now || length $way->{out} > QUEUE;
		my $bytes = (shift @{ $way->{queue} })->[1];
		if (!defined $bytes)
		{
			$way->{out} .= $way->{frame};
			$way->{end} = 1;
			next;
		}
		$way->{waiting} -= length $bytes;
		$way->{frame} .= $bytes;
		frames($line, $way);
	}
	while (length $way->{out} && !$way->{dead})
	{
		my $n = syswrite $way->{to}, $way->{out}, CHUNK;
		if (defined $n) { substr($way->{out}, 0, $n) = ''; next }
		last if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
		$way->{dead} = 1;
	}
	$way->{out} = '' if $way->{dead};
	if ($way->{end} && !$way->{shut} && !length $way->{out})
	{
		shutdown $way->{to}, 1;
		$way->{shut} = 1;
	}
}

# finish(LINE): closes it where both ways are done
sub finish
{
	my ($line) = @_;
	my @ways = @{ $line->{ways} };
	if ($line->{cut} && !grep { length $_->{out} } @ways)
	{
		for my $side (grep { $line->{cut} eq $_ || $line->{cut} eq 'both' } qw(client server))
		{
			setsockopt $line->{$side}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
			$line->{gone} = 1;
		}
	}
	my $done = $line->{gone} || 2 == grep { $_->{eof} && ($_->{shut} || $line->{hole}) } @ways;
	return if !$done && !($line->{until} && $line->{until} < $now);
	close $line->{$_} for qw(client server);
	delete $lines{ $line->{number} };
}

# frames(LINE, WAY): takes the messages that are complete to what goes out, one by one if there is a fault to come
sub frames
{
	my ($line, $way) = @_;
	my ($at, $start, $end) = (0, 0, length $way->{frame});
	while ($at < $end)
	{
		if ($way->{raw}) { $at = $end; last }
		my ($type, $size) = measure($line, $way, $at, $end);
		last if !defined $size || $at + $size > $end;
		if (!delete $way->{judged})
		{
			$count{ $way->{name} }++;
			push @$trace, "$line->{number} $way->{name} $type " . text(substr $way->{frame}, $at, $size < 200 ? $size : 200) if $trace && @$trace < 10000;
			if ($fault && hit($line, $way, $type, $at, $size))
			{
				my $when = $fault->{when};
				my $part = $when eq 'before' ? 0 : $when eq 'after' ? $size : int($size / 2);
				opened($line, $way, $type, $at) if $part;
				# what was judged, or the rest of it, comes again
				@$way{qw(judged rest)} = (1, $part ? $size - $part : undef) if $part < $size;
				$at += $part;
				$way->{out} .= substr $way->{frame}, $start, $at - $start;
				$start = $at;
				$way->{held} = $now;
				strike($line, $way);
				last;
			}
		}
		opened($line, $way, $type, $at);
		$at += $size;
	}
	$way->{out} .= substr $way->{frame}, $start, $at - $start;
	substr($way->{frame}, 0, $at) = '';
}

# measure(): type and size of the message at a place; size undefined: not known yet
sub measure
{
	my ($line, $way, $at, $end) = @_;
	return ('-', $way->{rest}) if $way->{rest};
	return ('!', 1) if $way->{name} eq 'to_client' && $line->{asked};
	my $typed = $way->{typed};
	return ('?') if $end - $at < 4 + $typed;
	return (substr($way->{frame}, $at, 1), 1 + unpack 'N', substr $way->{frame}, $at + 1, 4) if $typed;
	return ('!') if $end - $at < 8;
	my ($size, $code) = unpack 'NN', substr $way->{frame}, $at, 8;
	$way->{code} = $code;
	return ('!', $size);
}

# opened(): what the message at a place, passed on, means for those that follow
sub opened
{
	my ($line, $way, $type, $at) = @_;
	delete $way->{rest} if $type eq '-';
	return if $type ne '!';
	if ($way->{name} eq 'to_client')
	{
		delete $line->{asked};
		# encrypted from here on
		$_->{raw} = 1 for substr($way->{frame}, $at, 1) =~ /[SG]/ ? @{ $line->{ways} } : ();
	}
	elsif ($way->{code} == TLS || $way->{code} == GSS) { $line->{asked} = 1 }
	else { $way->{typed} = 1 }
}

sub text { my ($bytes) = @_; $bytes = substr $bytes, 5 if length $bytes > 5; $bytes =~ s/[^\x20-\x7e]+/ /g; return $bytes }

# hit(): is it the fault's?
sub hit
{
	my ($line, $way, $type, $at, $size) = @_;
	return 0 if $fault->{direction} ne $way->{name} || $type eq '-';
	if ($way->{next} && $way->{next} == $fault)
	{
		return 0 if $type !~ $fault->{then};
		delete $way->{next};
		return 1;
	}
	return 0 if defined $fault->{type} && $type !~ $fault->{type};
	return 0 if defined $fault->{match} && substr($way->{frame}, $at, $size < 65536 ? $size : 65536) !~ $fault->{match};
	my $n = $fault->{scope} eq 'connection' ? ++$line->{seen} : ++$fault->{seen};
	return 0 if $n % $fault->{at} != 0;
	return 1 if !$fault->{then} || $type eq 'Q';
	$way->{next} = $fault;
	return 0;
}

# strike(): what the fault does
sub strike
{
	my ($line, $way) = @_;
	my $f = $fault;
	$fired++;
	$fault = undef if $fired >= $f->{times};
	if ($f->{action} eq 'delay') { $way->{held} = $now + $f->{ms} / 1000 }
	elsif ($f->{action} eq 'blackhole') { $line->{hole} = $f->{only} ? { $f->{only} => 1 } : { to_server => 1, to_client => 1 } }
	else { cut($line, $f->{rst} || '') }
}

# cut(): closes both sides, after what was passed on, and without a reset unless that is wanted: nothing they sent may be left unread
sub cut
{
	my ($line, $rst) = @_;
	return if $line->{until};
	delete $line->{hole};
	($line->{cut}, $line->{until}) = ($rst, $now + LINGER);
	for my $way (@{ $line->{ways} })
	{
		@$way{qw(queue frame deaf end waiting)} = ([], '', 1, 1, 0);
		delete $way->{held};
	}
}

1;
