# Exactly once: the position on the target, sources that are not the one it is of, a target set back; and who may connect, with what
# password, which nobody gets to see.
use TS;
use TwoServers;

my $two = TwoServers->new;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub same { my ($what, %db) = @_; is($two->compare(map { [ "app.$_", "app.$_", 'id', undef, %db ] } qw(a b)), '', $what) }
sub refused
{
	my ($sql, $state, $text, $name, %arg) = @_;
	my $e = $two->s_error($sql, %arg);
	my $all = $e ? Session::say_error({ error => $e }) : 'no error';
	ok($e && $e->{C} =~ /^(?:$state)$/ && $all =~ $text, $name) or diag("$all\nis not $state with $text");
	return $all;
}
my $tables = 'CREATE SCHEMA app; CREATE TABLE app.a (id int PRIMARY KEY, v text); CREATE TABLE app.b (id int PRIMARY KEY, v text);';
my $rows = "INSERT INTO app.a SELECT i, 'a' FROM generate_series(1, 30) i; INSERT INTO app.b SELECT i, 'b' FROM generate_series(1, 30) i;";
sub links { my ($server) = @_; return join '', map { "SELECT tracksync.create_link('$_', 'app.$_', 'app.$_', server => '$server');" } qw(a b) }

# in databases that can be copied and set back
s_('CREATE DATABASE shop'); t_('CREATE DATABASE hq');
$two->s("CREATE EXTENSION tracksync; $tables $rows", db => 'shop');
$two->t($tables, db => 'hq');
$two->server('hq', db => 'hq', at => 'shop');
$two->s(links('hq'), db => 'shop');
sub shop { return $two->s($_[0], db => 'shop') }
sub hq { return $two->t($_[0], db => 'hq') }
sub push_both { shop("SELECT tracksync.push('a');; SELECT tracksync.push('b')") }
my %shop = (s_db => 'shop', t_db => 'hq');

shop("SELECT count(*) FROM tracksync.plan('a')");
is(hq("SELECT to_regclass('tracksync_target.position') IS NULL"), 't', 'a plan makes no table of positions');
push_both();
same('first push', %shop);
is(hq("SELECT count(*) FROM tracksync_target.position"), '2', 'a position for each link');
like(hq("SELECT string_agg(p::text, E'\\n') FROM tracksync_target.position p"), qr/\ba\b.*\bb\b|\bb\b.*\ba\b/s, 'which names it');
my $id = shop('SELECT system_identifier FROM pg_control_system()');
like(hq("SELECT string_agg(p::text, E'\\n') FROM tracksync_target.position p"), qr/$id.*$id/s, 'and the server that it is of');
my $positions = "SELECT md5(string_agg(p::text, E'\\n' ORDER BY p::text)) FROM tracksync_target.position p";
my $before = hq($positions);
shop("UPDATE app.a SET v = 'x' WHERE id = 1;; BEGIN;; SELECT tracksync.push('a');; ROLLBACK;; SELECT tracksync.push('a', dry_run => true)");
is(hq($positions), $before, 'it does not move by a push that is rolled back, nor by a dry run');
push_both();
isnt(hq($positions), $before, 'but with the rows');
same('second push', %shop);

# what the source remembers is only a cache: a position that is ahead of it, as after a crash before the local commit
shop("UPDATE app.a SET v = 'ahead' WHERE id <= 5; INSERT INTO app.a VALUES (31, 'ahead'); DELETE FROM app.a WHERE id = 30");
$two->server('far', db => 'hq', at => 'shop', via => 'proxy');
shop("SELECT tracksync.alter_link('a', server => 'far')");
push_both();
shop("UPDATE app.a SET v = 'again' WHERE id <= 5; UPDATE app.a SET id = 32 WHERE id = 31");
$two->proxy->fault({ direction => 'to_client', type => 'C', match => 'COMMIT', when => 'before', action => 'blackhole' });
my $pusher = Session->new($two->source, 'shop', name => 'pusher');
$pusher->send("SELECT tracksync.push('a')");
ok($two->proxy->wait_fired(10), 'the target committed, the source waits for the answer');
$two->kill9_backend($two->source, $pusher->pid);
$two->proxy->clear(cut => 1);
same('all is there', %shop);
is(shop("SELECT count(*) FROM tracksync.push('a')"), '0', 'and a source that crashed then has nothing to do');
shop("UPDATE app.a SET v = 'after' WHERE id <= 3");
is(shop("SELECT sum(rows) FROM tracksync.push('a')"), '3', 'but what came after it');
same('same', %shop);

# another source under the name of this link; a copy of this source
s_('CREATE DATABASE other');
$two->s("CREATE EXTENSION tracksync; $tables INSERT INTO app.a VALUES (1, 'other')", db => 'other');
$two->server('hq', db => 'hq', at => 'other');
$before = hq("SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM app.a") . hq($positions);
my $e = $two->s_error(links('hq') . ";SELECT tracksync.push('a')", db => 'other');
ok($e && $e->{C} ne 'XX000', 'another source may not push under this link') and like(Session::say_error({ error => $e }), qr/another|other source|different|belongs/i, 'and is told why');
is(hq("SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM app.a") . hq($positions), $before, 'it wrote nothing');
$two->forget;
s_('CREATE DATABASE copy TEMPLATE shop');
$two->s("UPDATE app.a SET v = 'copy'", db => 'copy');
$e = $two->s_error("SELECT tracksync.push('a')", db => 'copy');
ok($e && $e->{C} ne 'XX000', 'nor may a copy of the source') or diag(Session::say_error({ error => $e }));
is(hq("SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM app.a") . hq($positions), $before, 'it wrote nothing');
shop("UPDATE app.a SET v = 'original' WHERE id = 9");
is(shop("SELECT sum(rows) FROM tracksync.push('a')"), '1', 'the original goes on');
same('same', %shop);

# a target set back to an earlier time: all of its database; its positions gone
for my $how ('set back', 'without a position')
{
	shop('SELECT tracksync.disconnect(srvname) FROM pg_foreign_server');
	$two->forget;
	t_('CREATE DATABASE hq_before TEMPLATE hq');
	shop("INSERT INTO app.a SELECT i, '$how' FROM generate_series(101, 120) i ON CONFLICT (id) DO UPDATE SET v = excluded.v; DELETE FROM app.a WHERE id IN (11, 12); UPDATE app.b SET v = '$how' WHERE id % 3 = 0");
	push_both();
	same("before the target is $how", %shop);
	shop('SELECT tracksync.disconnect(srvname) FROM pg_foreign_server');
	$two->forget;
	t_('DROP DATABASE hq WITH (FORCE)');
	t_('ALTER DATABASE hq_before RENAME TO hq');
	hq('DELETE FROM tracksync_target.position') if $how ne 'set back';
	shop("UPDATE app.a SET v = 'after $how' WHERE id = 20");
	my $told = '';
	for (1 .. 3)
	{
		for my $link (qw(a b))
		{
			my $answer = $two->ask($two->source, "SELECT tracksync.push('$link')", db => 'shop');
			$told .= Session::say_error($answer) . join ' ', map { "$_->{M} " . ($_->{H} || '') } @{ $answer->{notices} };
			$told .= shop("SELECT state FROM tracksync.status WHERE name = '$link'");
		}
	}
	like($told, qr/resync|earlier/, "a target that is $how is noticed");
	same('and repaired', %shop);
	is(shop("SELECT string_agg(state, ' ') FROM tracksync.status"), 'active active', 'the links are active again');
	shop("UPDATE app.a SET v = 'later than $how' WHERE id = 21");
	is(shop("SELECT sum(rows) FROM tracksync.push('a')"), '1', 'and go on by the log');
}
# a role that may not make the table of positions is told what to run
t_('CREATE DATABASE strict');
t_('CREATE ROLE writer LOGIN');
$two->t("$tables GRANT USAGE ON SCHEMA app TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO writer", db => 'strict');
$two->server('strict', db => 'strict', at => 'shop', user => 'writer');
shop("SELECT tracksync.create_link('strict', 'app.a', 'app.a', server => 'strict')");
my $all = refused("SELECT tracksync.push('strict')", '42501', qr/CREATE TABLE.*tracksync_target/s, 'who may not make the table of positions is told how it is made', db => 'shop');
if (my ($schema, $table) = ($all =~ /(CREATE SCHEMA[^;]*)/, $all =~ /(CREATE TABLE .*?\))\s*(?:;|$)/s))
{
	my $ddl = join ';', grep { defined } $all =~ /((?:CREATE|GRANT)[^;]*;)/g;
	eval { $two->t($ddl, db => 'strict'); 1 } or diag($@);
	$two->t('GRANT USAGE ON SCHEMA tracksync_target TO writer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tracksync_target TO writer', db => 'strict');
	ok(eval { shop("SELECT tracksync.push('strict')"); 1 }, 'and then it works') or diag($@);
}

# passwords
my $password = 'Geheim-4711';
t_("SET log_statement = none; SET password_encryption = 'scram-sha-256'; CREATE ROLE secured LOGIN PASSWORD '$password'; GRANT ALL ON SCHEMA public TO secured");
$two->t('GRANT ALL ON DATABASE hq TO secured; GRANT ALL ON SCHEMA app, tracksync_target TO secured; GRANT ALL ON ALL TABLES IN SCHEMA app, tracksync_target TO secured', db => 'hq');
my $hba = $two->target->data_dir . '/pg_hba.conf';
my $old = do { local (@ARGV, $/) = $hba; <> };
open my $fh, '>', $hba or die;
print $fh "host all secured 127.0.0.1/32 scram-sha-256\n$old";
close $fh;
$two->target->reload;
$two->forget;
s_('CREATE ROLE clerk LOGIN');
shop('GRANT ALL ON SCHEMA app TO clerk; CREATE TABLE app.mine (id int PRIMARY KEY, v text); ALTER TABLE app.mine OWNER TO clerk');
hq('CREATE TABLE app.mine (id int PRIMARY KEY, v text); GRANT ALL ON app.mine TO PUBLIC');
sub clerk { my ($sql) = @_; return "SET ROLE clerk;; $sql" }
sub mapping { my ($server, $options) = @_; shop("DROP USER MAPPING IF EXISTS FOR clerk SERVER $server; CREATE USER MAPPING FOR clerk SERVER $server OPTIONS ($options)") }
shop("INSERT INTO app.mine VALUES (1, 'x'); CREATE SERVER safe FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (host '127.0.0.1', port '" . $two->target->port . "', dbname 'hq')");
my $create = "SELECT tracksync.create_link('mine', 'app.mine', 'app.mine', server => 'safe')";
my $try = sub {
	my $error = $two->s_error(clerk($create), db => 'shop') || $two->s_error(clerk("SELECT tracksync.push('mine')"), db => 'shop');
	$two->s_error('RESET ROLE', db => 'shop');
	return $error ? "$error->{C} " . Session::say_error({ error => $error }) : 'fine';
};
like($try->(), qr/^42501/, 'who has no USAGE on the server may not use it');
shop('GRANT USAGE ON FOREIGN SERVER safe TO clerk');
like($try->(), qr/^42704/, 'nor who has no user mapping');
mapping('safe', "user 'secured'");
like($try->(), qr/^(2F003|28P01|28000)/, 'who is no superuser needs a password');
mapping('safe', "user 'writer'");
like($try->(), qr/^2F003/, 'also where the server wants none');
mapping('safe', "user 'writer', password '$password'");
like($try->(), qr/^2F003/, 'and it must be really used');
mapping('safe', "user 'secured', password 'wrong-$password'");
like(my $wrong = $try->(), qr/^(28P01|08001|08006|28000)/, 'a wrong one');
unlike($wrong, qr/$password/, 'is not told');
$e = $two->s_error(clerk("ALTER USER MAPPING FOR clerk SERVER safe OPTIONS (ADD password_required 'false')"), db => 'shop');
ok($e, 'only a superuser may say that none is required') or diag('clerk set password_required');
$two->s_error('RESET ROLE', db => 'shop');
mapping('safe', "user 'secured', password '$password'");
is($try->(), 'fine', 'with the password it works');
is(hq('SELECT string_agg(v, $$,$$) FROM app.mine'), 'x', 'and pushes');
shop("UPDATE app.mine SET v = 'y';; SELECT tracksync.disconnect('safe')");
mapping('safe', "user 'writer', password_required 'false'");
hq('GRANT USAGE ON SCHEMA app TO writer; GRANT ALL ON SCHEMA tracksync_target TO writer; GRANT ALL ON ALL TABLES IN SCHEMA tracksync_target TO writer');
is($try->() =~ /^(42710|fine)/ ? 'fine' : $try->(), 'fine', 'or where a superuser says that none is required');
$e = $two->s_error("CREATE SERVER bad FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (hosst 'x')", db => 'shop');
is($e && $e->{C}, 'HV00D', 'an option that libpq does not know');
$e = $two->s_error("CREATE SERVER bad FOREIGN DATA WRAPPER tracksync_fdw OPTIONS (password 'x')", db => 'shop');
is($e && $e->{C}, 'HV00D', 'a password is not for the server');
refused("SELECT tracksync.create_link('bad', 'app.a', 'app.a', server => 'nowhere')", '42704', qr/nowhere/, 'a server that does not exist', db => 'shop');
shop('CREATE FOREIGN DATA WRAPPER dummy; CREATE SERVER dummy FOREIGN DATA WRAPPER dummy; CREATE USER MAPPING FOR CURRENT_USER SERVER dummy');
refused("SELECT tracksync.create_link('bad', 'app.a', 'app.a', server => 'dummy')", '42809|22023|0A000|55000|HV...', qr/dummy/, 'nor one of another wrapper', db => 'shop');

# a server of postgres_fdw does as well
SKIP:
{
	skip 'no postgres_fdw', 2 if s_("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") eq '0';
	shop('CREATE EXTENSION postgres_fdw');
	$two->server('pf', db => 'hq', at => 'shop', wrapper => 'postgres_fdw', options => { fetch_size => 100, use_remote_estimate => 'true' });
	shop('CREATE TABLE app.pf (id int PRIMARY KEY, v text); INSERT INTO app.pf VALUES (1, $$x$$)');
	hq('CREATE TABLE app.pf (id int PRIMARY KEY, v text)');
	shop("SELECT tracksync.create_link('pf', 'app.pf', 'app.pf', server => 'pf')");
	is(shop("SELECT sum(rows) FROM tracksync.push('pf')"), '1', 'a server of postgres_fdw');
	is(hq('SELECT string_agg(v, $$,$$) FROM app.pf'), 'x', 'takes it');
}

# nobody sees a password
my @views = split /\n/, shop("SELECT 'tracksync.' || quote_ident(relname) FROM pg_class WHERE relnamespace = 'tracksync'::regnamespace AND relkind IN ('r', 'v')");
my $seen = join ' ', grep { shop("SELECT count(*) FROM $_ x WHERE x::text LIKE '%$password%'") ne '0' } @views;
is($seen, '', 'no password in our tables and views');
is($two->$_("SELECT count(*) FROM pg_stat_activity WHERE application_name <> 'control' AND pg_stat_activity::text LIKE '%$password%'"), '0', 'nor in what is running') for qw(s t);
$two->stop;
for my $node ($two->source, $two->target)
{
	my @lines = grep { /$password/ } split /\n/, $two->log_text($node);
	is("@lines", '', 'nor in the log of ' . $node->name);
}
done_testing();
