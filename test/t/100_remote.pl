# A target on another server: everything plan and push do, through a socket, TCP and the proxy.
use TS;
use TwoServers;

my $two = TwoServers->new;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub steps { my ($name, $f) = @_; return s_("SELECT coalesce(string_agg(kind || ' ' || rows, ', ' ORDER BY step), 'nothing') FROM tracksync." . ($f || 'push') . "('$name')") }
sub same { my ($what, @tables) = @_; is($two->compare(@tables), '', $what) }

sub fails { return $two->fails(@_) }

# whatever reads or writes values differently there must not matter
$two->t("ALTER DATABASE postgres SET timezone = 'Asia/Kolkata'; ALTER DATABASE postgres SET datestyle = 'SQL, DMY'; ALTER DATABASE postgres SET intervalstyle = 'sql_standard';
	ALTER DATABASE postgres SET extra_float_digits = -5; ALTER DATABASE postgres SET bytea_output = 'escape'; ALTER DATABASE postgres SET standard_conforming_strings = off;
	ALTER DATABASE postgres SET search_path = nowhere; ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read'; ALTER DATABASE postgres SET lock_timeout = '10s'");
$two->s("ALTER DATABASE postgres SET timezone = 'America/St_Johns'; ALTER DATABASE postgres SET datestyle = 'German'; ALTER DATABASE postgres SET intervalstyle = 'iso_8601';
	ALTER DATABASE postgres SET extra_float_digits = -3; ALTER DATABASE postgres SET bytea_output = 'escape'");
$two->forget;
for my $side (qw(s t))
{
	$two->$side("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex';
		SET standard_conforming_strings = on; SET search_path = app, public");
	$two->$side('CREATE SCHEMA app');
}

# three ways there
for my $via (qw(socket tcp proxy))
{
	$two->server("hq_$via", via => $via);
	s_("CREATE TABLE app.$via (id int PRIMARY KEY, v text, w numeric(8, 2) NOT NULL DEFAULT 0)");
	s_("INSERT INTO app.$via SELECT i, 'first', i FROM generate_series(1, 2500) i");
	s_("SELECT tracksync.create_link('$via', 'app.$via', 'app.$via', server => 'hq_$via', create_target => true)");
	like(steps($via, 'plan'), qr/^create_table \d+, insert 2500$/, "$via: the plan of the first push");
	is(t_("SELECT to_regclass('app.$via') IS NULL"), 't', "$via: which did nothing");
	$two->proxy->trace(1) if $via eq 'proxy';
	like(steps($via), qr/^create_table \d+, insert 2500$/, "$via: the push");
	ok((grep { / to_server d / } @{ $two->proxy->trace(0) }), 'an initial copy streams by COPY') if $via eq 'proxy';
	my @table = [ "app.$via", "app.$via", 'id' ];
	same("$via: same after the first push", @table);
	is(t_("SELECT string_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'app.$via'::regclass AND attnum > 0"),
		'id integer t, v text f, w numeric(8,2) t', "$via: the table that was made");
	is(steps($via), 'nothing', "$via: a second push does nothing");
	is(steps($via, 'plan'), 'nothing', "$via: nor would a third");
	s_("UPDATE app.$via SET v = 'changed', w = 1.5 WHERE id % 5 = 0; DELETE FROM app.$via WHERE id % 7 = 0; INSERT INTO app.$via SELECT i, NULL, 0 FROM generate_series(5001, 6001) i; UPDATE app.$via SET id = -id WHERE id BETWEEN 31 AND 33");
	my $plan = steps($via, 'plan');
	like($plan, qr/^delete \d+, update 3, update \d+, insert 1001$/, "$via: a plan of everything");
	is(s_("SELECT count(*) FROM tracksync.push('$via', dry_run => true)"), '4', "$via: a dry run has these steps");
	is(t_("SELECT count(*) FROM app.$via WHERE id > 5000"), '0', "$via: and changes nothing");
	is(steps($via), $plan, "$via: the push does it");
	same("$via: same again", @table);
	s_("UPDATE app.$via SET id = -1 WHERE id = 1; UPDATE app.$via SET id = 1 WHERE id = 2; UPDATE app.$via SET id = 2 WHERE id = -1; UPDATE app.$via SET id = 10003 WHERE id = 3");
	steps($via);
	same("$via: keys change places", @table);
	s_("TRUNCATE app.$via; INSERT INTO app.$via VALUES (1, '')");
	steps($via);
	same("$via: emptied", @table);
	is(s_("SELECT name || ' ' || server || ' ' || state || ' ' || pending FROM tracksync.status WHERE name = '$via'"), "$via hq_$via active 0", "$via: its status");
	is(s_("SELECT count(*) > 2 FROM tracksync.push_history WHERE link = '$via' AND outcome = 'done'"), 't', "$via: its history");
}
SKIP:
{
	skip 'no verify yet', 3 if s_("SELECT count(*) FROM pg_proc WHERE proname = 'verify' AND pronamespace = 'tracksync'::regnamespace") eq '0';
	is(s_("SELECT count(*) FROM tracksync.verify('tcp')"), '0', 'verify sees no difference');
	t_("UPDATE app.tcp SET v = 'by hand'");
	is(s_("SELECT kind || key::text FROM tracksync.verify('tcp')"), 'differs{"id": 1}', 'or the one there is');
	s_("SELECT tracksync.repair('tcp')");
	same('repair', [ 'app.tcp', 'app.tcp', 'id' ]);
}

# the connection
my ($pid) = $two->remote_pids;
like(t_("SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid()"), qr/tracksync.*(socket|tcp|proxy)/s, 'it says what it is for');
s_("INSERT INTO app.tcp VALUES (2, 'kept');; SELECT tracksync.push('tcp')");
ok((grep { $_ eq $pid } $two->remote_pids), 'it is kept');
s_("SELECT tracksync.disconnect('hq_$_')") for qw(socket tcp proxy);
ok($two->wait_for($two->target, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'tracksync%'"), 'until disconnect');
steps('tcp');
t_("SELECT pg_terminate_backend($_)") for $two->remote_pids;
s_("INSERT INTO app.tcp VALUES (3, 'lost')");
is(steps('tcp'), 'insert 1', 'a connection that was lost meanwhile is made again');
$two->kill9_server($two->target);
$two->restart($two->target);
s_("INSERT INTO app.tcp VALUES (4, 'restarted')");
is(steps('tcp'), 'insert 1', 'and after a crash of the server');
$two->t("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET standard_conforming_strings = on; SET search_path = app, public");

# values of all types, as they are
$two->$_(<<'SQL') for qw(s t);
CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'very, happy');
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.positive AS numeric CHECK (VALUE > 0);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE TABLE app.types (id int PRIMARY KEY, t text, c char(5), vc varchar(9), ch "char", n name, b boolean, i2 smallint, i8 bigint, nu numeric, nu2 numeric(20, 5), f4 real, f8 float8, mo money,
  by bytea, d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, ia int[], ta text[], j json, jb jsonb, u uuid, ip inet, cd cidr, mac macaddr, bi bit(4), vb varbit,
  pt point, bx box, ci circle, pa path, tv tsvector, tq tsquery, r int4range, tr tstzrange, m app.mood, ma app.mood[], p app.pair, pp app.pair[], dom app.positive, sp app.span, rc regclass, x xid, o oid);
SQL
s_(<<'SQL');
INSERT INTO app.types (id) VALUES (0);
INSERT INTO app.types (id, t, c, vc, n, by, ta, j, jb, tv, p) VALUES (1, '', '', '', '', '', '{}', '""', '""', '', '(,"")');
INSERT INTO app.types VALUES (2, E'tab\t newline\n cr\r back\\slash quote\' "double" {brace} \\N \x01 \u20ac \U0001F600 end', 'a ', 'b ', 'c', 'n''"', true, -32768, -9223372036854775808,
  'NaN', -0.00001, '1.1754944e-38', '5e-324', '-12345.67', '\x00ff275c', '4713-01-01 BC', '24:00', '23:59:59.999999+15:59', '-infinity', 'infinity', '-1 year 2 mons -3 days 04:05:06.000007',
  '[-1:1]={1,NULL,-3}', ARRAY['a,b', NULL, 'NULL', '', '"', '\', ' x '], '{"a" : 1,  "a": 2}', '{"b": [1.0, 1e100, null, "\u0001"]}', '12345678-9abc-def0-1234-56789abcdef0', '::1/64', '10.0.0.0/8',
  '08:00:2b:01:02:03', B'1010', B'', '(1e-300,-0)', '(3,4),(1,2)', '<(0,0),1e300>', '[(0,0),(1,1),(2,0)]', '''a b'':1A,2 c:3', '!a & (b | ''c d'')', 'empty', '(,2024-02-29 12:00+00]',
  'it''s ok', '{sad,"very, happy"}', ROW(1, 'x,"y'), ARRAY[ROW(NULL, NULL), ROW(2, '(')]::app.pair[], 0.0000000000000000000000001, '[0.1,0.3)', 'pg_class', '4294967295', 4294967295);
INSERT INTO app.types (id, i8, nu, nu2, f4, f8, mo, d, ts, tstz, iv, ia, jb) VALUES
  (3, 9223372036854775807, 123456789012345678901234567890.12345678900000, 1.10000, '-Infinity', 'NaN', 92233720368547758.07, 'infinity', '294276-12-31 23:59:59.999999', '4713-01-01 00:00 BC', '178000000 years', '{{1,2},{3,4}}', 'null'),
  (4, 0, 1.0, 0, 'NaN', 0.1 + 0.2::float8, 0, '2024-02-29', '2024-03-31 02:30', '2024-10-27 02:30+02', '24:00:00', '{}', '{}'),
  (5, 1, 1.00, 1, 'Infinity', '1.7976931348623157e308', 1, '0001-01-01', '0001-01-01', '1970-01-01 00:00:00.000001+00', '1 day', NULL, '[]'),
  (6, 2, -0.0, 2, '-0', '-0', -0.01, '5874897-12-31', now(), now(), '0.000001 sec', '{0}', '"\\"');
SELECT tracksync.create_link('types', 'app.types', 'app.types', server => 'hq_tcp');
SQL
is(steps('types'), 'insert 7', 'values of all types by the initial copy');
my @types = [ 'app.types', 'app.types', 'id' ];
same('are the same there', @types);
is(t_("SELECT mo::numeric, f8, iv, tstz AT TIME ZONE 'UTC' FROM app.types WHERE id = 5"), s_("SELECT mo::numeric, f8, iv, tstz AT TIME ZONE 'UTC' FROM app.types WHERE id = 5"), 'whatever the settings');
my $columns = s_("SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'app.types'::regclass AND attnum > 1");
s_("INSERT INTO app.types (id, $columns) SELECT id + 10, $columns FROM app.types WHERE id IN (0, 1, 2, 4)");
is(steps('types'), 'insert 4', 'by INSERT');
same('are the same there', @types);
s_("UPDATE app.types t SET ($columns) = (SELECT $columns FROM app.types o WHERE o.id = CASE t.id WHEN 0 THEN 2 WHEN 1 THEN 3 WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 4 THEN 6 WHEN 5 THEN 4 WHEN 6 THEN 5 ELSE 2 END)");
like(steps('types'), qr/^update \d+$/, 'and by UPDATE');
same('are the same there', @types);
s_("UPDATE app.types SET nu = 1.00, iv = '1 day' WHERE id = 4; UPDATE app.types SET t = NULL WHERE t = ''");
steps('types');
same('1.0 and 1.00 differ', @types);
s_("UPDATE app.types SET iv = '24:00:00' WHERE id = 4; UPDATE app.types SET f8 = '-0' WHERE f8 = 0; UPDATE app.types SET t = '' WHERE t IS NULL");
steps('types');
same('so do 1 day and 24 hours', @types);

# keys of several columns and types
$two->$_('CREATE TABLE app.keys (a text COLLATE "C", b timestamptz, c numeric, v int, PRIMARY KEY (a, b, c))') for qw(s t);
s_("INSERT INTO app.keys SELECT x, b, c, 1 FROM unnest('{\"\",a,A,\"a \",\"a,b\",\"''\",\\\\\\\\}'::text[]) x, unnest('{-infinity,infinity,2024-01-01 00:00:00.000001+00}'::timestamptz[]) b, unnest('{NaN,0,1.50,1e30}'::numeric[]) c;
	SELECT tracksync.create_link('keys', 'app.keys', 'app.keys', server => 'hq_tcp')");
is(steps('keys'), 'insert 84', 'keys of three columns');
s_("UPDATE app.keys SET v = 2 WHERE c = 'NaN'; DELETE FROM app.keys WHERE c = 0; UPDATE app.keys SET c = 1.5 WHERE c = 1.50; UPDATE app.keys SET a = a || 'x' WHERE c = 1e30");
steps('keys');
same('are found', [ 'app.keys', 'app.keys', 'a, b, c' ]);

# the other database has another encoding
t_("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$two->server('hq_latin', db => 'latin');
$two->t('CREATE SCHEMA app; CREATE TABLE app.words (id int PRIMARY KEY, v text)', db => 'latin');
s_("CREATE TABLE app.words (id int PRIMARY KEY, v text); INSERT INTO app.words VALUES (1, 'caf\x{e9}'), (2, 'plain'); SELECT tracksync.create_link('words', 'app.words', 'app.words', server => 'hq_latin')");
is(steps('words'), 'insert 2', 'a target in LATIN1');
my @words = [ 'app.words', 'app.words', 'id', undef, t_db => 'latin' ];
same('has the same text', @words);
is($two->t('SELECT octet_length(v) FROM app.words WHERE id = 1', db => 'latin'), '4', 'in its encoding');
s_("UPDATE app.words SET v = v || '\x{fc}'; INSERT INTO app.words VALUES (3, 'price in \x{20ac}')");
my $e = fails("SELECT tracksync.push('words')", '22P05', qr/words/, 'a character that it does not have is an error');
like(Session::say_error({ error => $e }), qr/"id": 3|\(3\)|=\(3|= 3/, 'that names the row') if $e;
is($two->t("SELECT string_agg(v, ',' ORDER BY id) FROM app.words", db => 'latin'), "caf\x{e9},plain", 'and nothing changes');
s_("UPDATE app.words SET v = 'price' WHERE id = 3");
steps('words');
same('until it is gone', @words);

# the schema travels
s_("CREATE TABLE app.evolve (id int PRIMARY KEY, a text, b int, c text); INSERT INTO app.evolve SELECT i, 'a', i, '1' FROM generate_series(1, 50) i;
	SELECT tracksync.create_link('evolve', 'app.evolve', 'app.evolve', server => 'hq_tcp', create_target => true)");
steps('evolve');
s_("ALTER TABLE app.evolve ADD d timestamptz DEFAULT '2024-01-01 00:00+00'; ALTER TABLE app.evolve RENAME a TO \"A b\"; ALTER TABLE app.evolve DROP b; ALTER TABLE app.evolve ALTER c TYPE int USING c::int + 1;
	ALTER TABLE app.evolve ALTER c SET NOT NULL; INSERT INTO app.evolve VALUES (51, 'new', 7, now()); DELETE FROM app.evolve WHERE id = 1");
my $plan = steps('evolve', 'plan');
like($plan, qr/rename_column.*drop_column.*add_column.*alter_column.*delete 1.*insert 1/, "the plan has schema steps: $plan");
is(s_("SELECT count(*) FROM tracksync.push('evolve', dry_run => true) WHERE kind = 'rename_column'"), '1', 'a dry run too');
is(t_("SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.evolve'::regclass AND attname = 'b'"), '1', 'which changes nothing');
steps('evolve');
same('columns and rows in one push', [ 'app.evolve', 'app.evolve', 'id', '"A b", c, d, id' ]);
is(t_("SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attname COLLATE \"C\") FROM pg_attribute WHERE attrelid = 'app.evolve'::regclass AND attnum > 0 AND NOT attisdropped"),
	'A b text, c integer, d timestamp with time zone, id integer', 'the columns of the target');

# sequences
$two->$_('CREATE TABLE app.serial (id bigserial PRIMARY KEY, v text); CREATE TABLE app.ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, g int GENERATED ALWAYS AS (length(v)) STORED)') for qw(s t);
s_("INSERT INTO app.serial (v) SELECT 'v' FROM generate_series(1, 30); INSERT INTO app.ident (v) SELECT 'vv' FROM generate_series(1, 40);
	SELECT tracksync.create_link(x, ('app.' || x)::regclass, 'app.' || x, server => 'hq_tcp'), 1 FROM unnest('{serial,ident}'::text[]) x");
like(steps('serial'), qr/^insert 30, sequence \d+$/, 'a sequence of the target is advanced');
like(steps('ident'), qr/^insert 40, sequence \d+$/, 'and that of an identity column');
is(t_("INSERT INTO app.serial (v) VALUES ('here') RETURNING id") . ' ' . t_("INSERT INTO app.ident (v) VALUES ('here') RETURNING id"), '31 41', 'so that the target may go on');

$two->stop;
done_testing();
