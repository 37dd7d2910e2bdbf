# A push to another server: conflicts, quarantine, groups, errors, waits, and its place among transactions.
use TS;
use TwoServers;
use Time::HiRes qw(time usleep);

my $two = TwoServers->new;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub steps { my ($name, $f) = @_; return s_("SELECT coalesce(string_agg(kind || ' ' || rows, ', ' ORDER BY step), 'nothing') FROM tracksync." . ($f || 'push') . "('$name')") }
sub same { my ($what, @names) = @_; is($two->compare(map { [ "app.$_", "app.$_", 'id' ] } @names), '', $what) }
sub sum { return t_(join ' UNION ALL ', map { "SELECT md5(string_agg(x::text, ',' ORDER BY id)) FROM app.$_ x" } @_) }
sub took { my ($f) = @_; my $t = time; $f->(); return time - $t }
sub fails { return $two->fails(@_) }
# link(NAME, OPTIONS): a table of 20 rows on both sides, in step
sub link_of
{
	my ($name, $options) = @_;
	$two->$_("CREATE TABLE app.$name (id int PRIMARY KEY, v text, w int)") for qw(s t);
	s_("INSERT INTO app.$name SELECT i, 'v', i FROM generate_series(1, 20) i; SELECT tracksync.create_link('$name', 'app.$name', 'app.$name', server => 'hq'" . ($options ? ", $options" : '') . ")");
	steps($name);
}
$two->$_('CREATE SCHEMA app') for qw(s t);
$two->server('hq', via => 'proxy');
$two->server('hq2', via => 'tcp');

# conflicts
link_of('c');
s_("UPDATE app.c SET v = 'source' WHERE id <= 3; DELETE FROM app.c WHERE id = 4; INSERT INTO app.c VALUES (30, 'source')");
for (["UPDATE app.c SET v = 'target' WHERE id = 2", 'update_differs', 2, "UPDATE app.c SET v = 'v' WHERE id = 2"], ['DELETE FROM app.c WHERE id = 3', 'update_missing', 3, "INSERT INTO app.c VALUES (3, 'v', 3)"],
	["UPDATE app.c SET v = 'target' WHERE id = 4", 'delete_differs', 4, "UPDATE app.c SET v = 'v' WHERE id = 4"], ['DELETE FROM app.c WHERE id = 4', 'delete_missing', 4, "INSERT INTO app.c VALUES (4, 'v', 4)"],
	["INSERT INTO app.c VALUES (30, 'target')", 'insert_exists', 30, 'DELETE FROM app.c WHERE id = 30'])
{
	my ($there, $kind, $id, $back) = @$_;
	t_($there);
	my $before = sum('c');
	fails("SELECT tracksync.push('c')", '40001', qr/$kind.*"id": $id|"id": $id.*$kind/s, "$kind is an error that names the row");
	is(sum('c'), $before, 'and nothing changes');
	t_($back);
}
t_("UPDATE app.c SET v = 'source' WHERE id = 1; UPDATE app.c SET w = 99 WHERE id = 2");
is(steps('c'), 'delete 1, update 3, insert 1', 'a target that has it already, or has another column changed, is no conflict');
is(t_('SELECT w FROM app.c WHERE id = 2'), '99', 'and keeps that');
t_('UPDATE app.c SET w = 2 WHERE id = 2');
same('no conflict is left', 'c');
link_of('wins', "on_conflict => 'source_wins'");
t_("UPDATE app.wins SET v = 'target', w = 0 WHERE id <= 5; DELETE FROM app.wins WHERE id = 6; INSERT INTO app.wins VALUES (40, 'target')");
s_("UPDATE app.wins SET v = 'source', w = 77 WHERE id <= 6; DELETE FROM app.wins WHERE id = 5; INSERT INTO app.wins VALUES (40, 'source', 2)");
steps('wins');
same('the source wins', 'wins');
is(s_("SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM tracksync.conflict WHERE link = 'wins'"), 'delete_differs insert_exists update_differs update_missing', 'what it won is told');
is(s_("SELECT count(*) FROM tracksync.conflict WHERE link = 'wins' AND key = '{\"id\": 1}' AND target ->> 'v' = 'target' AND resolution = 'source_wins'"), '1', 'with what was there');
link_of('loses', "on_conflict => 'target_wins'");
t_("UPDATE app.loses SET v = 'target' WHERE id = 1");
s_("UPDATE app.loses SET v = 'source' WHERE id <= 2");
steps('loses');
is(t_('SELECT string_agg(v, $$ $$ ORDER BY id) FROM app.loses WHERE id <= 2'), 'target source', 'the target wins');
link_of('merge', "on_conflict => 'merge'");
s_("SELECT tracksync.set_merge_rule('merge', 'w', 'add'); UPDATE app.merge SET w = w + 5 WHERE id <= 3");
t_("UPDATE app.merge SET w = w + 100, v = 'target' WHERE id = 1");
steps('merge');
is(t_('SELECT string_agg(v || w, $$ $$ ORDER BY id) FROM app.merge WHERE id <= 3'), 'target106 v7 v8', 'merged column by column');

# quarantine
link_of('q', "on_error => 'quarantine'");
t_('ALTER TABLE app.q ADD CONSTRAINT few CHECK (w < 100)');
s_('UPDATE app.q SET w = w + 90; DELETE FROM app.q WHERE id = 1');
steps('q');
is(t_('SELECT count(*) FROM app.q WHERE w > 90'), '8', 'rows that the target does not take are left out');
is(s_("SELECT count(*) || ' ' || min(sqlstate) || ' ' || min(\"constraint\") FROM tracksync.quarantine WHERE link = 'q'"), '11 23514 few', 'and told, with the reason');
is(s_("SELECT quarantined FROM tracksync.status WHERE name = 'q'"), '11', 'in status');
t_('ALTER TABLE app.q DROP CONSTRAINT few');
steps('q');
same('when they may, they follow', 'q');
is(s_('SELECT count(*) FROM tracksync.quarantine'), '0', 'and none is left');

# groups: foreign keys there, one transaction
$two->$_('CREATE TABLE app.p (id int PRIMARY KEY, v text); CREATE TABLE app.k (id int PRIMARY KEY, p int NOT NULL REFERENCES app.p ON DELETE CASCADE, v text)') for qw(s t);
s_("INSERT INTO app.p SELECT i, 'p' FROM generate_series(1, 10) i; INSERT INTO app.k SELECT i, i % 10 + 1, 'k' FROM generate_series(1, 50) i;
	SELECT tracksync.create_link(x, ('app.' || x)::regclass, 'app.' || x, server => 'hq') FROM unnest('{k,p}'::text[]) x; SELECT tracksync.create_group('g', '{k,p}')");
is(steps('g'), 'insert 10, insert 50', 'a group: parents before children');
same('same', 'p', 'k');
s_("INSERT INTO app.p VALUES (11, 'new'); UPDATE app.k SET p = 11 WHERE p = 3; DELETE FROM app.p WHERE id IN (3, 4)");
steps('g');
same('children that moved before their parent went', 'p', 'k');
s_("UPDATE app.k SET p = 5; DELETE FROM app.p WHERE id <> 5; INSERT INTO app.p SELECT i, 'again' FROM generate_series(20, 25) i; UPDATE app.k SET p = 20 WHERE id % 2 = 0");
steps('g');
same('and all at once', 'p', 'k');
s_("UPDATE app.p SET v = 'x'; UPDATE app.k SET v = 'x'");
t_('ALTER TABLE app.k ADD CONSTRAINT no_x CHECK (v <> $$x$$) NOT VALID');
my $before = sum('p', 'k');
my $e = fails("SELECT tracksync.push('g')", '23514', qr/no_x/, 'an error keeps its SQLSTATE and message');
my $text = $e ? Session::say_error({ error => $e }) : '';
like($text, qr/hq/, 'names the server');
like($text, qr/link "k"/, 'the link');
like($text, qr/step \d+/, 'the step');
like($text, qr/UPDATE/, 'the statement');
is(sum('p', 'k'), $before, 'and leaves all tables of the group as they were');
t_('ALTER TABLE app.k DROP CONSTRAINT no_x');
steps('g');
same('until it can', 'p', 'k');
t_("CREATE FUNCTION app.complain() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'not \x{e4}gain' USING ERRCODE = 'ZX042', DETAIL = 'the detail', HINT = 'the hint'; END \$\$;
	CREATE TRIGGER complain BEFORE UPDATE ON app.c FOR EACH STATEMENT EXECUTE FUNCTION app.complain()");
s_("UPDATE app.c SET v = 'y'");
$e = fails("SELECT tracksync.push('c')", 'ZX042', qr/not \x{e4}gain/, 'an error of its own');
is_deeply([ @{ $e || {} }{qw(D H)} ], [ 'the detail', 'the hint' ], 'with detail and hint');
t_('DROP TRIGGER complain ON app.c');
steps('c');

# groups and servers
$two->$_('CREATE TABLE app.far (id int PRIMARY KEY)') for qw(s t);
s_("SELECT tracksync.create_link('far', 'app.far', 'app.far', server => 'hq2'); CREATE TABLE app.near (id int PRIMARY KEY); SELECT tracksync.create_link('near', 'app.far', 'app.near')");
for my $links ('{c,far}', '{c,near}')
{
	my $failed = $two->s_error("SELECT tracksync.create_group('mixed', '$links')") || $two->s_error("SELECT tracksync.push('mixed')");
	ok($failed && $failed->{C} ne 'XX000', "a group over two servers, or with a local target, is refused: $links") or diag(Session::say_error({ error => $failed }));
	$two->s_error("SELECT tracksync.drop_group('mixed')");
}
is(t_('SELECT count(*) FROM app.far'), '0', 'and writes nothing');

# transactions
s_("UPDATE app.c SET v = 'once'");
$before = sum('c', 'wins');
$e = $two->s_error("BEGIN;; UPDATE app.c SET v = 'mine';; SELECT tracksync.push('c')");
ok($e && $e->{H}, 'a push of changes of its own transaction is refused, with a hint') or diag(Session::say_error({ error => $e }));
is(sum('c', 'wins'), $before, 'and writes nothing');
s_("BEGIN;; SELECT tracksync.push('c');; ROLLBACK");
is(sum('c', 'wins'), $before, 'a push that is rolled back leaves the target alone');
like(steps('c', 'plan'), qr/^update \d+$/, 'and is still to do');
s_("UPDATE app.wins SET v = 'once';; BEGIN;; SELECT tracksync.push('wins');; SAVEPOINT a;; SELECT tracksync.push('c');; ROLLBACK TO a;; COMMIT");
same('of two pushes one that was rolled back to a savepoint', 'wins');
is(t_("SELECT count(*) FROM app.c WHERE v = 'once'"), '0', 'is not done');
fails("BEGIN;; SELECT tracksync.push('c');; SELECT 1 / 0", '22012', qr/zero/, 'a transaction that fails');
is(t_("SELECT count(*) FROM app.c WHERE v = 'once'"), '0', 'does nothing either');
fails("BEGIN;; SELECT tracksync.push('c');; PREPARE TRANSACTION 'x'", '0A000', qr/PREPARE|prepare/, 'PREPARE TRANSACTION after a push is refused');
s_("BEGIN;; SELECT tracksync.push('c')");
is(t_("SELECT count(*) FROM app.c WHERE v = 'once'"), '0', 'nobody sees it before the COMMIT');
s_('COMMIT');
same('and then everybody', 'c', 'wins');
s_("UPDATE app.c SET v = 'twice';; BEGIN ISOLATION LEVEL REPEATABLE READ;; SELECT tracksync.push('c');; SELECT tracksync.push('c');; COMMIT");
same('REPEATABLE READ, twice in a transaction', 'c');
s_("UPDATE app.c SET v = 'exp'");
my $print = s_("SELECT tracksync.plan_fingerprint('c')");
s_("UPDATE app.c SET v = 'exq' WHERE id = 1");
fails("SELECT tracksync.push('c', expect => '$print')", '55000', qr/fingerprint/i, 'not the plan that was expected');
$print = s_("SELECT tracksync.plan_fingerprint('c')");
s_("SELECT tracksync.push('c', expect => '$print')");
same('but this one', 'c');

# waits: for a lock there, for a server that says nothing
my $holder = Session->new($two->target, 'postgres', name => 'holder');
$holder->query("BEGIN; UPDATE app.c SET w = w WHERE id = 5");
s_("UPDATE app.c SET v = 'waits'");
for my $f (["SET statement_timeout = '300ms'", 'statement_timeout'], ['', 'a cancel'])
{
	my $pusher = Session->new($two->source, 'postgres', name => 'pusher');
	$pusher->query($f->[0]) if $f->[0];
	$pusher->send("SELECT tracksync.push('c')");
	ok($two->wait_for($two->target, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"), 'a push waits') if !$f->[0];
	$pusher->cancel if !$f->[0];
	ok($pusher->wait(5) && ($pusher->answer->{error}{C} || '') eq '57014', "$f->[1] ends a push that waits for a lock") or diag(Session::say_error($pusher->answer));
	ok($two->wait_for($two->target, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"), 'at both servers');
	$pusher->close;
}
$holder->query('ROLLBACK');
steps('c');
same('and the next one works', 'c');
for my $when ('before', 'after')
{
	s_("UPDATE app.c SET v = 'hole $when'");
	$two->proxy->fault({ direction => 'to_server', type => '[QP]', match => '\bCOMMIT\b', then => 'E', when => $when, action => 'blackhole' });
	my $took = took(sub { $e = $two->s_error("SET statement_timeout = '500ms';; SELECT tracksync.push('c')") });
	ok($two->proxy->fired, "COMMIT is swallowed, $when");
	ok($e && $e->{C} =~ /^(57014|08007|08006)$/ && $took < 10, "which statement_timeout ends: $took s") or diag(Session::say_error({ error => $e }));
	$two->proxy->clear(cut => 1);
	s_('RESET statement_timeout');
	is(steps('c') eq 'nothing' ? 'after' : 'before', $when, 'the next push knows whether it came');
	same('and all is there once', 'c');
}
SKIP:
{
	s_("SELECT 1 FROM tracksync.disconnect('hq')");
	skip 'no tracksync.connect_timeout', 1 if s_("SELECT count(*) FROM pg_settings WHERE name = 'tracksync.connect_timeout'") eq '0';
	my $unit = s_("SELECT unit FROM pg_settings WHERE name = 'tracksync.connect_timeout'");
	$two->proxy->partition;
	my $took = took(sub { $e = $two->s_error("SET tracksync.retries = 0;; SET tracksync.connect_timeout = '1" . ($unit ? 's' : '') . "';; SELECT tracksync.push('c')") });
	ok($e && $e->{C} =~ /^08/ && $took < 8, "tracksync.connect_timeout: $took s") or diag(Session::say_error({ error => $e }));
	$two->proxy->clear(cut => 1);
	s_('RESET ALL');
}
# what passes is tried again
t_("CREATE SEQUENCE app.tries; CREATE FUNCTION app.twice() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF nextval('app.tries') <= 2 THEN RAISE EXCEPTION 'for a while' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NULL; END \$\$");
for my $state ('40001', '40P01', '57P01')
{
	t_("ALTER SEQUENCE app.tries RESTART; CREATE TRIGGER twice BEFORE UPDATE ON app.c FOR EACH STATEMENT EXECUTE FUNCTION app.twice('$state')");
	s_("UPDATE app.c SET v = '$state'");
	s_("SET tracksync.retries = 5;; SELECT tracksync.push('c')");
	same("$state passes", 'c');
	t_('DROP TRIGGER twice ON app.c');
}
s_('RESET ALL');
$two->target->stop('immediate');
s_("UPDATE app.c SET v = 'down'");
fails("SET tracksync.retries = 0;; SELECT tracksync.push('c')", '08...|57P0.', qr/hq/, 'a server that is down');
$two->target->start;
s_('RESET ALL');
steps('c');
same('and up again', 'c');
# of many batches on their way the one that fails is named, and the row in it; so with rows that come as one stream
$two->$_('CREATE TABLE app.many (id int PRIMARY KEY, v int)') for qw(s t);
t_('ALTER TABLE app.many ADD CHECK (v <> -1515 AND v <> -1612)');
s_("INSERT INTO app.many SELECT i, i FROM generate_series(1, 3000) i;; SELECT tracksync.create_link('many', 'app.many', 'app.many', server => 'hq');; SELECT tracksync.push('many')");
for (['UPDATE app.many SET v = -v', 10, 1515], ['UPDATE app.many SET v = abs(v); INSERT INTO app.many SELECT i, i - 6000 FROM generate_series(4000, 6000) i', 1000, 4388])
{
	my ($sql, $rows, $key) = @$_;
	s_($sql);
	fails("SET tracksync.batch_rows = $rows;; SELECT tracksync.push('many')", '23514', qr/key \{"id": $key\}/, "the row is named, batches of $rows");
}
s_('RESET tracksync.batch_rows;; UPDATE app.many SET v = 0 WHERE id IN (4388, 4485);; SELECT tracksync.push(\'many\')');
same('and all goes when they are mended', 'many');

$two->stop;
done_testing();
