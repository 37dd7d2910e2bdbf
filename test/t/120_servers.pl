# Passwords for another server: whose count, and that they are never shown; and a push that waits for another server: for a connection, for a
# lock there. It ends within two seconds of being told to, nothing is left of it there, and the next push works.
use TS;
use TwoServers;
use Time::HiRes qw(time usleep);

# what the operating system's user has
my $dir = ts_tempdir();
open my $passfile, '>', "$dir/pass" or die;
print $passfile "*:*:*:worker:sesame-open\n";
close $passfile;
chmod 0600, "$dir/pass";
@ENV{qw(PGPASSWORD PGPASSFILE)} = ('sesame-open', "$dir/pass");
my $two = TwoServers->new(source_conf => "log_min_messages = debug1\nlog_error_verbosity = verbose\n",
	target_conf => "log_statement = all\nlog_connections = on\nlog_error_verbosity = verbose\npassword_encryption = 'scram-sha-256'\n");
delete @ENV{qw(PGPASSWORD PGPASSFILE)};
my @shown;

# the error of a statement at the source, as a role
sub said
{
	my ($sql, $role) = @_;
	my $s = Session->new($two->source, 'postgres', user => $role) or die;
	my $e = $s->query($sql)->{error};
	$s->close;
	push @shown, $e ? values %$e : ();
	return $e ? join ' | ', grep { defined } @$e{qw(C M D)} : '';
}

sub mapping { my ($options) = @_; $two->s('DROP USER MAPPING IF EXISTS FOR alice SERVER hq'); $two->s("CREATE USER MAPPING FOR alice SERVER hq OPTIONS ($options)") }

$two->t("CREATE ROLE worker LOGIN PASSWORD 'sesame-open'; CREATE ROLE open LOGIN; CREATE TABLE t (id int PRIMARY KEY, v text)");
$two->t("GRANT ALL ON t TO worker, open; GRANT CREATE ON DATABASE postgres TO worker, open");
{
	my $hba = $two->target->data_dir . '/pg_hba.conf';
	open my $in, '<', $hba or die;
	my @lines = <$in>;
	close $in;
	open my $out, '>', $hba or die;
	print $out "host all worker 127.0.0.1/32 scram-sha-256\n", @lines;
	close $out;
	$two->t('SELECT pg_reload_conf()');
}
$two->s('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; GRANT CREATE ON SCHEMA public TO alice');
my ($host, $port) = $two->endpoint('tcp');
$two->s("CREATE SERVER hq FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host '$host', port '$port', dbname 'postgres'); GRANT USAGE ON FOREIGN SERVER hq TO alice, bob");
$two->s('CREATE TABLE s (id int PRIMARY KEY, v text); ALTER TABLE s OWNER TO alice; INSERT INTO s VALUES (1, $$one$$)');

# passwords of somebody who is no superuser
my $link = "SELECT tracksync.create_link('l', 's', 'public.t', server => 'hq')";
my $push = "SELECT count(*) FROM tracksync.push('l')";
mapping("user 'worker'");
like(said($link, 'alice'), qr/^2F003 .* has no password/, 'no password in the mapping: PGPASSWORD and .pgpass of the server do not help');
mapping("user 'worker', password 'open-sesame'");
$two->control($two->source)->query('SET tracksync.retries = 0');
my $begin = time;
like(said($link, 'alice'), qr/^08001 .*password authentication failed/, 'a wrong password, though PGPASSWORD is right');
ok(time - $begin < 2, 'it is not tried again and again');
mapping("user 'open', password 'sesame-open'");
like(said($link, 'alice'), qr/^2F003 .* did not ask for the password/, 'a password that nobody asked for');
mapping("user 'worker', password 'sesame-open'");
is(said($link, 'alice'), '', 'the right one');
is(said($push, 'alice'), '', 'pushed');
is($two->t('SELECT string_agg(t::text, $$ $$) FROM t'), '(1,one)', 'the row is there');
like(said("ALTER USER MAPPING FOR alice SERVER hq OPTIONS (ADD password_required 'false')", 'alice'), qr/^42501 .*superuser-only/, 'who may not say password_required false');
$two->s('DROP USER MAPPING FOR alice SERVER hq');
$two->s("CREATE USER MAPPING FOR PUBLIC SERVER hq OPTIONS (user 'worker', password 'sesame-open')");
$two->s('INSERT INTO s VALUES (2, $$two$$)');
is(said($push, 'alice'), '', 'the mapping of PUBLIC');
$two->s('DROP USER MAPPING FOR PUBLIC SERVER hq');
mapping("user 'worker', password_required 'false'");
$two->s('INSERT INTO s VALUES (3, $$three$$)');
is(said($push, 'alice'), '', 'password_required false: what the server has counts');
$two->s('DROP USER MAPPING FOR alice SERVER hq');
mapping("user 'worker', password 'sesame-open'");
$two->s('INSERT INTO s VALUES (4, $$four$$)');
# a password that is changed while a connection is kept
my $s = Session->new($two->source, 'postgres', user => 'alice');
is($s->query($push)->{error}, undef, 'pushed');
$two->s("ALTER USER MAPPING FOR alice SERVER hq OPTIONS (SET password 'open-sesame')");
$two->s('INSERT INTO s VALUES (5, $$five$$)');
like(Session::say_error($s->query($push)), qr/C: 08001 .*password authentication failed/, 'a password that was altered counts at once');
$two->s("ALTER USER MAPPING FOR alice SERVER hq OPTIONS (SET password 'sesame-open')");
is($s->query($push)->{error}, undef, 'and so does the right one');
like($two->t("SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE usename = 'worker'"), qr/^tracksync link l from postgres@/, 'the session there tells link and source');
# where a password could show: whatever the extension has, what it said, what it was asked
my $all = join "\n", @shown, $two->log_text($two->source), $two->log_text($two->target), $two->t('SELECT string_agg(concat(application_name, query), $$ $$) FROM pg_stat_activity'),
	$two->t('SELECT string_agg(p::text, $$ $$) FROM tracksync_target.position p');
$all .= $two->s("SELECT string_agg(query_to_xml(format('SELECT * FROM %s', oid::regclass), true, false, '')::text, ' ') FROM pg_class WHERE relnamespace IN ('tracksync'::regnamespace, 'tracksync_log'::regnamespace) AND relkind IN ('r', 'v')");
# what the test itself said there
$all =~ s/^.*CREATE ROLE worker.*$//mg;
$all =~ s/^.*STATEMENT:.*USER MAPPING.*$//mg;
ok(length $all > 10_000, 'there is something to look through');
unlike($all, qr/sesame/, 'no password anywhere');
$s->close;

# waiting for a connection: a server that takes it and says nothing
my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
$two->s("CREATE SERVER silent FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host '127.0.0.1', port '" . $silent->sockport . "'); CREATE USER MAPPING FOR PUBLIC SERVER silent");
my $to_silent = "SELECT tracksync.create_link('x', 's', 'public.t', server => 'silent')";
$s = Session->new($two->source, 'postgres');
$s->query('SET tracksync.connect_timeout = 1');
$begin = time;
like(Session::say_error($s->query($to_silent)), qr/C: 08001 .*tracksync\.connect_timeout/, 'nobody answers');
ok(time - $begin > 0.9 && time - $begin < 2.5, sprintf 'after a second: %.1f', time - $begin);
$s->query("SET tracksync.connect_timeout = 0; SET statement_timeout = '500ms'");
$begin = time;
like(Session::say_error($s->query($to_silent)), qr/C: 57014/, 'statement_timeout while it connects');
ok(time - $begin < 2, sprintf 'in time: %.1f', time - $begin);
$s->query('RESET statement_timeout');
for my $event ('pg_cancel_backend', 'pg_terminate_backend')
{
	$s->send($to_silent);
	ok(!$s->wait(0.3), 'it waits');
	$begin = time;
	$two->s("SELECT $event(" . $s->pid . ')');
	like(Session::say_error($s->answer), qr/C: 57(014|P01)/, "$event while it connects");
	ok(time - $begin < 2, sprintf 'in time: %.1f', time - $begin);
}

# waiting for a lock there
$two->s('SELECT tracksync.drop_link($$l$$); DROP TABLE s; CREATE TABLE s (id int PRIMARY KEY, v text); INSERT INTO s SELECT i, $$v$$ FROM generate_series(1, 3000) i');
$two->t('DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text)');
$two->s('CREATE USER MAPPING FOR CURRENT_USER SERVER hq OPTIONS (user \'' . getpwuid($<) . '\')');
$two->s("SELECT tracksync.create_link('l', 's', 'public.t', server => 'hq')");
my $holder = Session->new($two->target, 'postgres', name => 'control');
my %blocks = ('the first rows, in a COPY' => 'LOCK TABLE t', 'all of the table' => 'LOCK TABLE t', 'a row' => "UPDATE t SET v = v || 'h' WHERE id = 1500", 'the position' => 'LOCK TABLE tracksync_target.position');
for my $what ('the first rows, in a COPY', 'all of the table', 'a row', 'the position')
{
	for my $event ('statement_timeout', 'pg_cancel_backend', 'pg_terminate_backend', 'a closed session')
	{
		$two->s("UPDATE s SET v = v || 'x' WHERE id % 7 <> 1; DELETE FROM s WHERE id BETWEEN 50 AND 60; INSERT INTO s SELECT max(id) + 1, 'new' FROM s") unless $what =~ /first/;
		$s = Session->new($two->source, 'postgres');
		$holder->query("BEGIN; $blocks{$what}");
		$s->query("SET statement_timeout = '700ms'") if $event eq 'statement_timeout';
		$begin = time;
		$s->send($push);
		ok($two->wait_for($two->target, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'tracksync%')", seconds => 5), "$what: it waits");
		if ($event eq 'statement_timeout') { $begin += 0.7 }
		else { $begin = time }
		my $end = "SELECT $event(" . $s->pid . ')';
		if ($event =~ /^pg_/) { $two->s($end) }
		elsif ($event eq 'a closed session') { my $pid = $s->pid; $s->close; $two->s("SELECT pg_terminate_backend($pid)"); $two->wait_for($two->source, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", seconds => 5) }
		like(Session::say_error($s->answer), qr/C: 57(014|P01)/, "$what, $event") if $s->{busy} || $event ne 'a closed session';
		ok(time - $begin < 2, sprintf '%s, %s: in time: %.2f', $what, $event, time - $begin);
		ok($two->wait_for($two->target, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'tracksync%' AND state <> 'idle')", seconds => 3), 'nothing goes on there');
		$holder->query('ROLLBACK');
		next if $what =~ /first/ && $event ne 'a closed session';
		if ($event eq 'a closed session' || $event =~ /terminate/) { $s->close; $s = Session->new($two->source, 'postgres') }
		is(Session::say_error($s->query("RESET statement_timeout; $push")), '', 'the next push works');
		is($two->compare([ 's', 't', 'id' ]), '', 'all is there');
		$s->close;
	}
}
$two->stop;
done_testing();
