# Workload: sessions that change tables all the time, each in a process of its own, and can be told to pause.
#
#   my $w = Workload->new($node, $db, \&statement, seed => 1, sessions => 2);
#   $w->pause;            # returns when no transaction is open
#   $w->resume; $w->stop;
#
# statement->() draws one statement with rand(). A transaction has up to 8 of them, that of every second session up to 25 with rests in
# between; some savepoints and transactions are rolled back, and with async => 1 some commit with synchronous_commit = off. A session
# that is lost begins anew.
package Workload;

use strict;
use warnings;
use POSIX ();
use Session;
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(usleep);

sub new
{
	my ($class, $node, $db, $statement, %arg) = @_;
	my $self = bless { node => $node, db => $db, statement => $statement, async => $arg{async}, children => [] }, $class;
	for my $n (1 .. $arg{sessions} || 2)
	{
		socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
		my $parent = $$;
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			close $ours;
			$SIG{$_} = 'DEFAULT' for qw(TERM INT HUP ALRM __DIE__ __WARN__);
			srand($arg{seed} * 100 + $n);
			eval { $self->work($its, $n % 2 == 0, $parent); 1 } or print STDERR "workload: $@";
			POSIX::_exit(0);
		}
		close $its;
		push @{ $self->{children} }, { pid => $pid, control => $ours };
	}
	return $self;
}

sub tell
{
	my ($self, $what) = @_;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $_->{control}, $what for @{ $self->{children} };
}

sub pause
{
	my ($self) = @_;
	$self->tell('p');
	for (@{ $self->{children} }) { sysread $_->{control}, my $answer, 1 or die "workload: gone\n" }
}

sub resume { $_[0]->tell('r') }

sub stop
{
	my ($self) = @_;
	local ($?, $!);
	for (@{ $self->{children} })
	{
		kill 'KILL', $_->{pid};
		waitpid $_->{pid}, 0;
	}
	$self->{children} = [];
}

# order(): is there one?
sub order
{
	my ($control) = @_;
	vec(my $read = '', fileno $control, 1) = 1;
	return select $read, undef, undef, 0;
}

sub work
{
	my ($self, $control, $long, $parent) = @_;
	my $s;
	while (getppid() == $parent)
	{
		if (order($control))
		{
			sysread $control, my $what, 1 or return;
			if ($what eq 'p') { syswrite $control, 'p'; sysread $control, $what, 1 or return }
		}
		if (!$s || !$s->alive)
		{
			$s = Session->new($self->{node}, $self->{db}, name => 'workload');
			usleep(20_000), next if !$s;
			$s->query("SET lock_timeout = '200ms'");
		}
		my $undo = rand() < 0.2;
		$s->query('BEGIN' . ($self->{async} && rand() < 0.2 ? '; SET LOCAL synchronous_commit = off' : ''));
		for (1 .. 1 + rand($long ? 25 : 8))
		{
			my $back = rand() < 0.15;
			$s->query('SAVEPOINT a') if $back;
			last if $s->query($self->{statement}->())->{error} && !$back;
			$s->query('ROLLBACK TO a') if $back;
			last if order($control);
			usleep(rand 15_000) if $long;
		}
		$s->query($undo ? 'ROLLBACK' : 'COMMIT');
		usleep(rand 4_000);
	}
}

1;
