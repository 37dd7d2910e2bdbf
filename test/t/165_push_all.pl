# push_all: which units run, in which order and with whose rights; workers that fail, are cancelled, terminated, or not to be had.
use TS;
use TwoServers;

my $two = TwoServers->new(source_conf => "max_worker_processes = 5\nmax_parallel_workers_per_gather = 0\nmax_parallel_maintenance_workers = 0\ndeadlock_timeout = 100ms\n");
my $node = $two->source;
sub s { return $two->s(@_) }
sub outcomes { return main::s("SELECT string_agg(name || ' ' || outcome || ' ' || rows, ', ' ORDER BY name) FROM tracksync.push_all($_[0])") }
# a worker that is waited for in vain
$SIG{ALRM} = sub { BAIL_OUT('waited too long') };
alarm 240;
my $workers = "SELECT count(*) = %d FROM pg_stat_activity WHERE backend_type = 'tracksync push_all'";
sub no_worker { ok($two->wait_for($node, sprintf $workers, 0), "$_[0]: no worker is left") }
# pairs of tables that should be the same
sub same { my ($name, @pairs) = @_; is(join('', map { differ(@$_) } @pairs), '', $name) }
sub differ { my ($a, $b) = @_; return main::s("SELECT string_agg('$a $b ' || d::text, ' ') FROM ((TABLE $a EXCEPT ALL TABLE $b) UNION ALL (TABLE $b EXCEPT ALL TABLE $a)) d") }
sub tables { main::s(join ';; ', map { "CREATE TABLE $_ (id int PRIMARY KEY, v text)" } @_) }
sub link_ { my ($name, $from, $to, $more) = @_; main::s("SELECT tracksync.create_link('$name', 'public.$from', 'public.$to'" . ($more || '') . ')') }

# ---- one fails, the others are done; groups; a row each ----
tables(qw(s1 t1 s2 t2 s3 t3 s4 t4 s5 t5));
link_("l$_", "s$_", "t$_") for 1 .. 5;
main::s("SELECT tracksync.create_group('g', ARRAY['l4', 'l5']);; ALTER TABLE t2 ADD CHECK (id <> 5)");
main::s("INSERT INTO s$_ SELECT i, 'v' FROM generate_series(1, 10 * $_) i") for 1 .. 5;
is(outcomes(3), 'g done 90, l1 done 10, l2 failed 0, l3 done 30', 'three units are done, one is not');
same('what was done is there', map { [ "s$_", "t$_" ] } 1, 3, 4, 5);
is(main::s('SELECT count(*) FROM t2'), 0, 'of the one that failed there is nothing');
like(main::s("SELECT kind, sqlstate, error, detail, context FROM tracksync.push_all(1, '{l2}')"), qr/^link\|23514\|.*"t2_id_check"\|.*\(5, v\).*\|push of link "l2" to table public\.t2.*key \{"id": 5\}/s, 'its row says why');
is(main::s("SELECT string_agg(kind || ' ' || name, ', ') FROM tracksync.push_all(jobs => 8, names => ARRAY['l4', 'g', 'l1', 'g'])"), 'group g, link l1, link l4', 'those named, once');
is(main::s('SELECT string_agg(link || inserts, $$ $$ ORDER BY link, inserts) FROM tracksync.push_history WHERE inserts > 0'), 'l110 l330 l440 l550', 'push_history has them');
main::s("DELETE FROM s2 WHERE id = 5; DELETE FROM s3 WHERE id < 3; UPDATE s3 SET v = 'w' WHERE id < 6; INSERT INTO s3 VALUES (99, 'n')");
is(main::s("SELECT rows, deletes, updates, inserts, elapsed > '0', started < clock_timestamp(), sqlstate IS NULL, error IS NULL FROM tracksync.push_all(2, '{l3}')"), '6|2|3|1|t|t|t|t', 'rows by kind');
is(outcomes(2), 'g done 0, l1 done 0, l2 done 19, l3 done 0', 'all is done');
is(main::s("SELECT count(*) FROM tracksync.push_all(names => '{}')"), 0, 'none named, none pushed');
no_worker('after that');

# ---- order: a chain in one call, against the names; both directions; one target of several links ----
tables(qw(a b c p q x1 x2 x3 y));
link_('z_first', 'a', 'b');
link_('a_second', 'b', 'c');
link_('m_there', 'p', 'q', ", initial => 'none'");
link_('m_back', 'q', 'p', ", initial => 'none'");
link_("x$_", "x$_", 'y', ", filter => 'id % 3 = $_ - 1', target_filter => 'id % 3 = $_ - 1'") for 1 .. 3;
my @names = "'{z_first,a_second,m_there,m_back,x1,x2,x3}'";
for my $round (1 .. 5)
{
	main::s("INSERT INTO a SELECT i, 'r$round' FROM generate_series($round * 100, $round * 100 + 99) i;; UPDATE a SET v = v || 'u' WHERE id % 7 = $round;; DELETE FROM a WHERE id % 11 = $round");
	main::s("INSERT INTO p VALUES ($round, 'p');; INSERT INTO q VALUES (-$round, 'q');; UPDATE p SET v = v || '$round' WHERE id = -$round + 1");
	main::s("INSERT INTO x$_ SELECT 3 * i + $_ - 1, '$round' FROM generate_series($round * 50, $round * 50 + 49) i") for 1 .. 3;
	is(main::s("SELECT string_agg(name || ': ' || error, ', ') FROM tracksync.push_all(4, @names) WHERE outcome <> 'done'"), '', "round $round: nothing fails");
	same("round $round: the chain has carried all, both directions agree", [ 'a', 'b' ], [ 'a', 'c' ], [ 'p', 'q' ]);
	is(main::s("SELECT count(*) FROM ((TABLE x1 UNION ALL TABLE x2 UNION ALL TABLE x3) EXCEPT ALL TABLE y) d"), 0, "round $round: all is in the shared target");
}

# ---- any graph of links without circles: one call brings all that is to come; who shares a table never runs at the same time ----
for my $seed (1 .. 3)
{
	srand $seed;
	my $n = 12;
	my (%to, %from);
	tables(map { "r${seed}_$_" } 1 .. $n);
	# each table has one source at most: what it holds then is what that one holds
	for my $t (2 .. $n)
	{
		next if rand() < 0.2;
		my $f = 1 + int rand($t - 1);
		my $name = sprintf 'r%d_%c%d', $seed, 97 + int rand 26, $t;
		link_($name, "r${seed}_$f", "r${seed}_$t");
		($from{$name}, $to{$name}) = ($f, $t);
	}
	my @in = sort keys %to;
	main::s("SELECT tracksync.create_group('r${seed}_group', ARRAY['$in[0]', '$in[3]'])") if $seed > 1;
	for my $round (1 .. 3)
	{
		my %fed = map { $_ => 1 } values %to;
		for my $t (grep { !$fed{$_} } 1 .. $n)
		{
			main::s("INSERT INTO r${seed}_$t SELECT i, md5(i::text || $round) FROM generate_series($round * 300, $round * 300 + 200) i;; DELETE FROM r${seed}_$t WHERE id % 13 = $round;; UPDATE r${seed}_$t SET v = v || $round WHERE id % 5 = $round");
		}
		my @ran = map { [ split /\|/ ] } split /\n/, main::s("SELECT name, outcome, extract(epoch FROM started), extract(epoch FROM started + elapsed) FROM tracksync.push_all(4) WHERE name LIKE 'r$seed%'");
		is(scalar(grep { $$_[1] ne 'done' } @ran), 0, "seed $seed, round $round: nothing fails");
		same("seed $seed, round $round: all tables have what they should", map { [ "r${seed}_$from{$_}", "r${seed}_$to{$_}" ] } @in) if $seed == 1;
		# a group is at once upstream and downstream of others, perhaps: then another call brings the rest
		if ($seed > 1)
		{
			outcomes(3) for 1 .. 2;
			same("seed $seed, round $round: after more calls all tables have what they should", map { [ "r${seed}_$from{$_}", "r${seed}_$to{$_}" ] } @in);
		}
		my $overlap = 0;
		my %members = map { $_ => [ $_ ] } @in;
		$members{"r${seed}_group"} = [ @in[ 0, 3 ] ];
		for my $u (@ran)
		{
			for my $v (@ran)
			{
				next if $$u[0] ge $$v[0] || $$u[2] >= $$v[3] || $$v[2] >= $$u[3];
				for my $i (@{ $members{ $$u[0] } })
				{
					$overlap += grep { $to{$_} == $to{$i} || $to{$_} == $from{$i} || $from{$_} == $to{$i} } @{ $members{ $$v[0] } };
				}
			}
		}
		is($overlap, 0, "seed $seed, round $round: who shares a table with a writer runs alone");
	}
}

# ---- whose rights, and whose session ----
main::s("CREATE ROLE alice LOGIN;; CREATE ROLE bob LOGIN;; CREATE ROLE boss LOGIN IN ROLE bob;; CREATE SCHEMA w AUTHORIZATION bob;; CREATE SCHEMA v AUTHORIZATION alice");
my %session = map { my $u = $_; $u => Session->new($node, 'postgres', user => $u, name => "of $u") } qw(alice bob boss);
for my $at ([ 'alice', 'v' ], [ 'bob', 'w' ])
{
	my ($u, $schema) = @$at;
	for ("CREATE TABLE $schema.s (id int PRIMARY KEY, v text)", "CREATE TABLE $schema.t (LIKE $schema.s INCLUDING ALL)", "CREATE TABLE $schema.seen (x text)",
		"CREATE FUNCTION $schema.see() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO $schema.seen VALUES (concat_ws(' ', session_user, current_user, current_setting('application_name'), current_setting('role'), current_setting('work_mem'), current_setting('tracksync.batch_rows'), inet_client_addr())); RAISE WARNING 'seen %', NEW.id; RETURN NULL; END \$\$",
		"CREATE TRIGGER see AFTER INSERT ON $schema.t FOR EACH ROW EXECUTE FUNCTION $schema.see()",
		"SELECT tracksync.create_link('of_$u', '$schema.s', '$schema.t')", "INSERT INTO $schema.s VALUES (1, 'x')")
	{
		my $e = $session{$u}->query($_)->{error};
		BAIL_OUT("$_: $e->{M}") if $e;
	}
}
my $mine = "SELECT string_agg(name || ' ' || outcome || coalesce(' ' || error, ''), ', ') FROM tracksync.push_all()";
my $all = $two->s('SELECT count(*) FROM tracksync.push_all()');
ok($all > 10, 'a superuser pushes them all');
is($session{alice}->value($mine), 'of_alice done', 'who is none, his own');
is($session{boss}->value($mine), 'of_bob done', 'and those of roles that he is a member of');
my $e = $session{alice}->query("SELECT tracksync.push_all(1, '{of_alice,of_bob}')")->{error};
is("$e->{C} $e->{M}", '42501 permission denied for link "of_bob"', 'those of others not');
is($session{alice}->query("SELECT tracksync.push_all(1, '{of_alice,none}')")->{error}{C}, '42704', 'nor what there is not');
$session{bob}->query($_) for "TRUNCATE w.seen", "INSERT INTO w.s VALUES (2, 'x')", "SET work_mem = '7MB'", "SET tracksync.batch_rows = 77", "SET client_encoding = 'LATIN1'";
my $answer = $session{bob}->query($mine);
is($answer->{rows}[0][0], 'of_bob done', 'with settings of his own');
is(join(' | ', map { "$_->{S}: $_->{M}" } @{ $answer->{notices} }), 'WARNING: seen 2', 'what the trigger warns of arrives');
like($answer->{notices}[0]{W}, qr/push_all, worker for "of_bob"/, 'and says where from');
is($session{bob}->value('SELECT x FROM w.seen'), 'bob bob of bob none 7MB 77', 'the worker has user, application_name and settings of the session');
# SET ROLE, SET SESSION AUTHORIZATION, SECURITY DEFINER
main::s("GRANT alice TO boss");
$session{boss}->query($_) for "SET ROLE bob", "TRUNCATE w.seen", "INSERT INTO w.s VALUES (3, 'x')";
is($session{boss}->value($mine), 'of_bob done', 'after SET ROLE, those of the role');
is($session{bob}->value('SELECT x FROM w.seen'), 'boss bob of boss bob 4MB 1000', 'who is session user still');
my $admin = Session->new($node, 'postgres', name => 'admin');
$admin->query($_) for "SET SESSION AUTHORIZATION alice", "INSERT INTO v.s VALUES (4, 'x')";
is($admin->value($mine), 'of_alice done', 'after SET SESSION AUTHORIZATION, those of that one');
is($admin->value("SELECT x FROM v.seen WHERE x LIKE '%admin%'"), 'alice alice admin none 4MB 1000', 'who is all that there is');
$admin->query('RESET SESSION AUTHORIZATION');
$admin->query($_) for "CREATE ROLE nobody", "SET SESSION AUTHORIZATION nobody";
is($admin->query($mine)->{error}{C}, '28000', 'a session user must be one that may log in');
$admin->query('RESET SESSION AUTHORIZATION');
$session{bob}->query("CREATE FUNCTION w.push() RETURNS text SECURITY DEFINER LANGUAGE sql AS \$\$ $mine \$\$");
$session{bob}->query($_) for "GRANT USAGE ON SCHEMA w TO alice", "TRUNCATE w.seen", "INSERT INTO w.s VALUES (5, 'x')";
is($session{alice}->value('SELECT w.push()'), 'of_bob done', 'in a function of another owner, that one counts');
is($session{bob}->value('SELECT x FROM w.seen'), 'alice bob of alice none 4MB 1000', 'and the session user stays');

# ---- what is refused ----
my $me = Session->new($node, 'postgres', name => 'me');
sub refused { my ($sql, $state, $name) = @_; is(($me->query($sql)->{error} || {})->{C}, $state, $name); $me->query('ROLLBACK') if $me->state ne 'I' }
refused('BEGIN; SELECT tracksync.push_all()', '25001', 'in a transaction block');
refused('SELECT 1; SELECT tracksync.push_all()', '25001', 'in an implicit one');
refused("DO \$\$ BEGIN INSERT INTO s1 VALUES (77, 'x'); PERFORM tracksync.push_all(); END \$\$", '25001', 'after own changes');
$me->query('SET default_transaction_read_only = on');
refused('SELECT tracksync.push_all()', '25006', 'read-only');
$me->query('RESET default_transaction_read_only');
refused('SELECT tracksync.push_all(0)', '22023', 'no jobs');
refused('SELECT tracksync.push_all(NULL)', '22004', 'NULL jobs');
refused("SELECT tracksync.push_all(2, ARRAY['l1', NULL])", '22004', 'a NULL name');
is($me->query("DO \$\$ BEGIN PERFORM tracksync.push_all(2, '{l1}'); END \$\$")->{error}, undef, 'in a block of plpgsql it may be');

# ---- ended, cancelled, timed out ----
my $holder = Session->new($node, 'postgres', name => 'holder');
my $waits = "SELECT count(*) = %d FROM pg_stat_activity WHERE backend_type = 'tracksync push_all' AND wait_event_type = 'Lock' AND query LIKE 'SELECT * FROM tracksync.push(%%' AND application_name = 'me'";
sub hold { $holder->query($_) for 'ROLLBACK', 'BEGIN', map { "UPDATE $_ SET v = 'held' WHERE id = 8" } @_ }
sub change { main::s("UPDATE s$_ SET v = v || '.'") for 1 .. 5 }
sub sum { return main::s("SELECT md5(string_agg(x::text, ',' ORDER BY x::text)) FROM (TABLE t1 UNION ALL TABLE t2 UNION ALL TABLE t3 UNION ALL TABLE t4 UNION ALL TABLE t5) x") }
my $some = "SELECT string_agg(name || ' ' || outcome || coalesce(' ' || sqlstate, ''), ', ' ORDER BY name) FROM tracksync.push_all(%s, '{g,l1,l2,l3}')";
outcomes(2);
change();
hold('t2', 't3');
my $before = sum();
$me->send(sprintf $some, 4);
ok($two->wait_for($node, sprintf $waits, 2), 'two workers wait, and are seen');
ok($two->wait_for($node, "SELECT count(*) = 0 FROM ((TABLE s1 UNION ALL TABLE s5) EXCEPT ALL (TABLE t1 UNION ALL TABLE t5)) d"), 'others are done meanwhile');
is(main::s("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT * FROM tracksync.push(''l2'')'"), 't', 'one is cancelled');
ok($two->wait_for($node, sprintf $waits, 1), 'one waits still');
main::s("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT * FROM tracksync.push(''l3'')'");
is($me->answer->{rows}[0][0], 'g done, l1 done, l2 failed 57014, l3 failed 57P01', 'each row says what happened');
no_worker('a worker ended');
for my $how ('cancel', 'statement_timeout', 'terminate')
{
	change();
	hold('t1', 't2', 't3', 't4');
	$before = sum();
	$me->query("SET statement_timeout = '1s'") if $how eq 'statement_timeout';
	$me->send(sprintf $some, 4);
	ok($two->wait_for($node, sprintf $waits, 4), "$how: the workers wait");
	$me->cancel if $how eq 'cancel';
	main::s("SELECT pg_terminate_backend(" . $me->pid . ')') if $how eq 'terminate';
	is($me->answer->{error}{C}, $how eq 'terminate' ? '57P01' : '57014', "$how: the call fails");
	if ($how eq 'terminate') { no_worker($how) }
	else { is(main::s(sprintf $workers, 0), 't', "$how: no worker is left when it does") }
	is(sum(), $before, "$how: nothing is half applied");
	$me->query('RESET statement_timeout') if $how ne 'terminate';
}
$me = Session->new($node, 'postgres', name => 'me');
# with one job, whose worker ends: another one takes what is left
hold('t1');
$me->send(sprintf $some, 1);
ok($two->wait_for($node, sprintf $waits, 1), 'the only worker waits');
main::s("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'tracksync push_all'");
is($me->answer->{rows}[0][0], 'g done, l1 failed 57P01, l2 done, l3 done', 'the rest is done by another one');
hold('t1');
$me->query("SET lock_timeout = '200ms'");
is($me->value(sprintf $some, 2), 'g done, l1 failed 55P03, l2 done, l3 done', "lock_timeout is the session's");
$me->query('RESET lock_timeout');
$holder->query('ROLLBACK');
# a lock that the caller's own statement holds
main::s('ALTER TABLE s1 ADD extra int');
is($me->query("SELECT count(*) FROM t1, tracksync.push_all(2, '{l1,l2}')")->{error}{C}, '40P01', 'a worker that waits for its caller: a deadlock');
no_worker('deadlock');
is($me->value(sprintf $some, 2), 'g done, l1 done, l2 done, l3 done', 'without that it works');
same('and all is as it should be', map { [ "s$_", "t$_" ] } 1 .. 5);

# ---- no background worker left, or fewer than asked for ----
change();
hold('t1', 't2', 't3', 't4');
my $other = Session->new($node, 'postgres', name => 'me');
$other->send(sprintf $some, 4);
ok($two->wait_for($node, sprintf $waits, 4), 'four workers wait, there are five, one of which the server has');
$e = $me->query($mine)->{error};
is($e->{C}, '53400', 'no worker is left');
like($e->{H}, qr/max_worker_processes/, 'the hint says what to do');
$holder->query('ROLLBACK');
is($other->answer->{rows}[0][0], 'g done, l1 done, l2 done, l3 done', 'the others go on');
ok($two->wait_for($node, sprintf $workers, 0), 'they end');
change();
is($me->value(sprintf $some, 100), 'g done, l1 done, l2 done, l3 done', 'more jobs than workers to be had');
same('and all is as it should be', map { [ "s$_", "t$_" ] } 1 .. 5);

# ---- targets on another server; a role without superuser's rights ----
$two->server('there', via => 'tcp', role => 'alice', mapping => { password_required => 'false' });
main::s('GRANT USAGE ON FOREIGN SERVER there TO alice');
$two->t("CREATE TABLE far$_ (id int PRIMARY KEY, v text)") for 1 .. 4;
$session{alice}->query("CREATE TABLE v.near$_ (id int PRIMARY KEY, v text)") for 1 .. 4;
$session{alice}->value("SELECT tracksync.create_link('far$_', 'v.near$_', 'public.far$_', server => 'there')") for 1 .. 4;
$two->t('ALTER TABLE far3 ADD CHECK (id <> 7)');
for my $round (1, 2)
{
	$session{alice}->query("INSERT INTO v.near$_ SELECT i, 'r' FROM generate_series($round * 100, $round * 100 + 50) i") for 1 .. 4;
	$session{alice}->query("INSERT INTO v.near3 VALUES (7, 'x')") if $round == 1;
	is($session{alice}->value("SELECT string_agg(name || ' ' || outcome || coalesce(' ' || sqlstate, ''), ', ') FROM tracksync.push_all(3)"),
		'far1 done, far2 done, far3 ' . ($round == 1 ? 'failed 23514' : 'done') . ', far4 done, of_alice done', "round $round: targets elsewhere");
	$session{alice}->query('DELETE FROM v.near3 WHERE id = 7');
}
is($two->compare(map { [ "v.near$_", "far$_", 'id' ] } 1 .. 4), '', 'all has arrived');
$_->close for values %session, $me, $other, $holder, $admin;
ok($two->wait_for($two->target, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'tracksync link far_ from%'"), 'no connection is left');
$two->stop;
done_testing();
