# A push that is cancelled, loses a lock, is killed, or meets a concurrent change under REPEATABLE READ; rows that logical
# replication applies; the memory of a large statement. Both ways of writing: without statements, and with.
use TS;
use Time::HiRes qw(usleep);

my $node = ts_node('main', allows_streaming => 'logical');
sub sql { my ($db, $q) = @_; return $node->safe_psql($db, $q) }
sub steps { return sql('postgres', "SELECT coalesce(string_agg(kind || rows, ' ' ORDER BY step), '') FROM tracksync.$_[0]('l')") }
sub differ { return sql('postgres', 'SELECT (SELECT count(*) FROM (TABLE s EXCEPT ALL TABLE t) x) + (SELECT count(*) FROM (TABLE t EXCEPT ALL TABLE s) y)') }
sub same { is(differ(), '0', $_[0]) }

sub wait_for
{
	my ($db, $q) = @_;
	for (1 .. 1200) { return 1 if sql($db, $q) eq 't'; usleep(50_000) }
	return 0;
}

# a session in the background: ($pid of psql, file of its output)
my $n = 0;
sub background
{
	my ($q) = @_;
	my $file = ts_tempdir() . '/' . $n++;
	my $pid = fork() // die;
	if ($pid == 0)
	{
		open STDOUT, '>', $file;
		open STDERR, '>&', \*STDOUT;
		exec 'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') . ' application_name=pusher', '-c', $q;
		die;
	}
	return sub { waitpid($pid, 0); open my $fh, '<', $file or die; local $/; return scalar <$fh> };
}
my $waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pusher' AND wait_event_type = 'Lock')";
my $gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pusher')";

sql('postgres', "CREATE EXTENSION tracksync; CREATE TABLE s (id int PRIMARY KEY, v text, w text); CREATE TABLE t (LIKE s INCLUDING ALL);
	INSERT INTO s SELECT i, 'v', 'w' FROM generate_series(1, 3000) i; SELECT tracksync.create_link('l', 's', 'public.t'); SELECT tracksync.push('l')");

for my $direct ('on', 'off')
{
	sql('postgres', "ALTER DATABASE postgres SET tracksync.direct_writes = $direct");
	sql('postgres', "DELETE FROM s WHERE id <= 100; UPDATE s SET v = '$direct' WHERE id BETWEEN 101 AND 2500; INSERT INTO s SELECT i, 'n', '$direct' FROM generate_series(5001, 7000) i");
	my $plan = steps('plan');
	my $before = sql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t');
	my $untouched = sub {
		my ($what) = @_;
		ok(wait_for('postgres', $gone), "$what: the session is gone");
		is(sql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t'), $before, "$what: the target is as before");
		is(steps('plan'), $plan, "$what: and so is the plan");
	};

	# somebody holds a row in the middle
	sql('postgres', "BEGIN; UPDATE t SET w = 'held' WHERE id = 2000; PREPARE TRANSACTION 'holder'");
	my $end = background("SET lock_timeout = '300ms'; SELECT count(*) FROM tracksync.push('l')");
	like($end->(), qr/55P03.*push of link "l" to table public\.t, step 2 \(update\)/s, "lock_timeout, direct $direct");
	$untouched->("lock_timeout, direct $direct");

	$end = background("SELECT count(*) FROM tracksync.push('l')");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'pusher'");
	like($end->(), qr/57014.*push of link "l"/s, "pg_cancel_backend, direct $direct");
	$untouched->("pg_cancel_backend, direct $direct");

	$end = background("SELECT count(*) FROM tracksync.push('l')");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pusher'");
	$end->();
	$untouched->("pg_terminate_backend, direct $direct");

	# a writer of the target that commits while a REPEATABLE READ push waits for its row
	$end = background("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT count(*) FROM tracksync.push('l'); COMMIT");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "COMMIT PREPARED 'holder'");
	like($end->(), qr/40001/, "a row changed meanwhile: 40001 under REPEATABLE READ, direct $direct");
	$before = sql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t');
	$untouched->("40001, direct $direct");

	# the same under READ COMMITTED: the column that the link wants to change is as it was, so there is no conflict
	sql('postgres', "BEGIN; UPDATE t SET w = 'held again' WHERE id = 2000; PREPARE TRANSACTION 'holder'");
	$end = background("SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('l')");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "COMMIT PREPARED 'holder'");
	like($end->(), qr/^delete100 update2400 insert2000$/m, "it goes on under READ COMMITTED, direct $direct");
	is(sql('postgres', 'SELECT id, v, w FROM t WHERE id = 2000'), "2000|$direct|held again", "with the other session's change kept, direct $direct");
	sql('postgres', "UPDATE t SET w = s.w FROM s WHERE t.id = s.id AND t.w IS DISTINCT FROM s.w");
	same("same at the end, direct $direct");

	# a row that another session deletes while the push waits for it is missing: a conflict
	sql('postgres', "UPDATE s SET v = 'x' WHERE id = 2000");
	sql('postgres', "BEGIN; DELETE FROM t WHERE id = 2000; PREPARE TRANSACTION 'holder'");
	$end = background("SELECT count(*) FROM tracksync.push('l')");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "COMMIT PREPARED 'holder'");
	like($end->(), qr/update_missing.*\{"id": 2000\}/s, "update_missing, direct $direct");
	sql('postgres', "INSERT INTO t SELECT * FROM s WHERE id = 2000; SELECT tracksync.push('l')");
	same("same after the conflict, direct $direct");

	# SERIALIZABLE, and a key inserted by another session that has not committed
	sql('postgres', "INSERT INTO s VALUES (9000, 'mine', 'w')");
	sql('postgres', "BEGIN; INSERT INTO t VALUES (9000, 'theirs', 'w'); PREPARE TRANSACTION 'holder'");
	$end = background("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM tracksync.push('l'); COMMIT");
	ok(wait_for('postgres', $waits), "the push waits, direct $direct");
	sql('postgres', "ROLLBACK PREPARED 'holder'");
	$end->();
	same("SERIALIZABLE, the other session gave up, direct $direct");
	sql('postgres', "DELETE FROM s WHERE id = 9000 OR id > 5000; INSERT INTO s SELECT i, 'v', 'w' FROM generate_series(1, 100) i; SELECT tracksync.push('l')");
}

# logical replication applies rows in a worker that fires no statement trigger and has no portal
sql('postgres', 'ALTER DATABASE postgres RESET tracksync.direct_writes');
sql('postgres', 'CREATE DATABASE upstream');
sql('upstream', "CREATE TABLE s (id int PRIMARY KEY, v text, w text); INSERT INTO s SELECT i, 'up', 'w' FROM generate_series(10001, 10010) i; CREATE PUBLICATION p FOR TABLE s");
sql('upstream', "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')");
sql('postgres', sprintf("CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION p WITH (create_slot = false, slot_name = sub)", $node->connstr('upstream') =~ s/'/''/gr));
ok(wait_for('postgres', "SELECT count(*) = 10 FROM s WHERE id > 10000"), 'the first copy of a subscription arrives');
ok(wait_for('postgres', "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"), 'and it is in step');
sql('upstream', "BEGIN; UPDATE s SET v = 'changed' WHERE id = 10001; DELETE FROM s WHERE id = 10002; INSERT INTO s VALUES (10011, 'up', 'w'); UPDATE s SET id = 10012 WHERE id = 10003; COMMIT");
ok(wait_for('postgres', 'SELECT EXISTS (SELECT FROM s WHERE id = 10012)'), 'changes are applied');
is(sql('postgres', "SELECT string_agg(op, ' ' ORDER BY seq) FROM tracksync.changes('s') WHERE (key ->> 'id')::int IN (10001, 10011)"), 'INSERT UPDATE INSERT', 'and logged');
like(sql('postgres', "SELECT string_agg(DISTINCT array_to_string(commands, ','), ' ') FROM tracksync.operation"), qr/logical replication/, 'as what they are');
steps('push');
same('rows that logical replication applied arrive');
sql('postgres', 'ALTER SUBSCRIPTION sub DISABLE');
sql('postgres', 'ALTER SUBSCRIPTION sub SET (slot_name = NONE)');
sql('postgres', 'DROP SUBSCRIPTION sub');
ok(wait_for('upstream', "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'sub'"), 'the walsender ends');
sql('upstream', "SELECT pg_drop_replication_slot('sub')");

# what a large statement holds in memory is bounded
SKIP:
{
	skip 'no pg_backend_memory_contexts before 14', 1 if sql('postgres', 'SHOW server_version_num') < 140000;
	is(sql('postgres', "BEGIN; INSERT INTO s SELECT i, repeat('x', 100), 'w' FROM generate_series(100001, 400000) i; DELETE FROM s WHERE id > 200000;
		SELECT sum(total_bytes) < 4000000 FROM pg_backend_memory_contexts WHERE name LIKE 'tracksync%'; COMMIT"), 't', 'less than 4 MB for 500,000 events');
}
steps('push');
same('and all of them arrive');
$node->stop;
done_testing();
