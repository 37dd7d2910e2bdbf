# Faults: what may befall a push, drawn at random, and what it may say then.
#
# A fault is an event at a moment. The moment: after some milliseconds, or when the proxy holds a certain message of the push: the n-th
# either way, COMMIT on its way to the server, the answer to it, each before or after it is passed on. Kinds without a moment: see draw.
package Faults;

use strict;
use warnings;
use Time::HiRes qw(time usleep);

our @events = qw(kill_pusher kill_source kill_target cancel timeout terminate_remote terminate_pusher freeze_backend freeze_server cut reset release late);
our @plain = qw(none rollback savepoint failing dry_run disk_full serialization deadlock quarantine partition idle_cut);
# a push may end with these, and only with these, when something befell it: lost connections, cancelled, terminated, a crash, frozen
my $allowed = qr/^(lost|08...|57014|57P0.|40001|40P01|25P02|25006|53100|55P03|HV00.)$/;
# with one of these it found its own changes there, or missed them
my $conflict = qr/insert_exists|update_missing|update_differs|delete_missing|delete_differs|resync|duplicate key|conflict/i;

sub pick { return $_[ int rand @_ ] }

# draw(): all random numbers of a round, drawn at once so that a round is the same whenever it is repeated
sub draw
{
	my (%arg) = @_;
	my %f = (warm => int(rand 60), unit => rand() < 0.25 ? 'all' : pick(@Books::units), block => rand() < 0.4, renew => rand() < 0.15, retry_late => int(rand 150),
		after => int(rand 40), at => rand, direction => pick('to_server', 'to_client'), when => pick('before', 'after', 'middle'), for => 30 + int(rand 150), here => int(rand 4), patient => rand() < 0.05);
	# it waits for the server to answer
	if (rand() < 0.35) { $f{kind} = pick(@plain); $f{kind} = pick(@plain) if $f{kind} eq 'partition' }
	else
	{
		$f{event} = pick(@events);
		# a crash takes longer than all the rest
		$f{event} = pick(@events) if $f{event} =~ /^kill/ && rand() < 0.5;
		$f{moment} = pick('time', 'message', 'message', 'commit', 'commit', 'commit');
		$f{event} = 'cut' if $f{event} eq 'late' && !$f{patient};
		$f{moment} = 'commit' if $f{event} eq 'late';
		$f{kind} = "$f{event}\@$f{moment}";
		$f{kind} .= ":$f{direction}:$f{when}" if $f{moment} eq 'commit';
	}
	if ($arg{only}) { return draw(%arg) if $f{kind} !~ /$arg{only}/ }
	return \%f;
}

# statements(FAULT, API): the push as one message or several
sub statements
{
	my ($f, $api) = @_;
	my @push = map { "SELECT count(*) FROM $api.push('$_'" . ($f->{kind} eq 'dry_run' ? ', dry_run => true' : '') . ')' } $f->{unit} eq 'all' ? @Books::units : $f->{unit};
	my $k = $f->{kind};
	return ('BEGIN', @push, 'ROLLBACK') if $k eq 'rollback';
	return ('BEGIN', 'SAVEPOINT a', @push, 'ROLLBACK TO a', ($f->{here} > 1 ? @push : ()), 'COMMIT') if $k eq 'savepoint';
	return ('BEGIN', @push, 'SELECT 1 / 0', 'COMMIT') if $k eq 'failing';
	return $f->{block} || @push > 1 ? ('BEGIN', @push, 'COMMIT') : @push;
}

# unexpected(FAULT, ERROR): what an error must not be; ''
sub unexpected
{
	my ($f, $e) = @_;
	return '' if !$e || $f->{kind} eq 'failing' && $e->{C} eq '22012';
	my $text = Session::say_error({ error => $e });
	return "found or missed its own changes: $text" if join(' ', map { $_ // '' } @$e{qw(M D)}) =~ $conflict;
	return "unexpected error: $text" if $f->{kind} =~ /^(none|rollback|savepoint|quarantine)$/ || $e->{C} !~ $allowed;
	return '';
}

# arm(FAULT, PROXY, COUNTS): the proxy will hold the message; counts: of a push before
sub arm
{
	my ($f, $proxy, $counts) = @_;
	if ($f->{moment} eq 'message')
	{
		my $n = $counts->{ $f->{direction} } || 10;
		$proxy->fault({ direction => $f->{direction}, at => 1 + int($f->{at} * $n), when => $f->{when}, action => 'blackhole' });
	}
	elsif ($f->{moment} eq 'commit')
	{
		my $when = $f->{event} eq 'late' ? 'before' : $f->{when};
		my $direction = $f->{event} eq 'late' ? 'to_server' : $f->{direction};
		$proxy->fault({ direction => $direction, $direction eq 'to_server' ? (type => '[QP]', then => 'E') : (type => 'C'), match => '\bCOMMIT\b', when => $when, action => 'blackhole' });
	}
}

1;
