# Rules of links to another server, and rules after a dump and a restore.
use TS;
use TwoServers;

my $two = TwoServers->new;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub steps { my ($name) = @_; return s_("SELECT coalesce(string_agg(kind || ' ' || rows, ', ' ORDER BY step), 'nothing') FROM tracksync.push('$name')") }
sub broken { my ($name) = @_; return s_("SELECT coalesce(string_agg((key ->> 'id') || ' ' || rule, ', ' ORDER BY key, rule), 'none') FROM tracksync.validate('$name')") }
sub waiting { my ($name) = @_; return s_("SELECT coalesce(string_agg(format('%s %s %s', key ->> 'id', sqlstate, \"constraint\"), ', ' ORDER BY key), 'none') FROM tracksync.quarantine WHERE link = '$name'") }
sub same { my ($what, $name) = @_; is($two->compare([ "app.$name", "app.$name", 'id' ]), '', $what) }

$two->$_('CREATE SCHEMA app') for qw(s t);
$two->server('hq', via => 'tcp');
$two->$_('CREATE TABLE app.r (id int PRIMARY KEY, email text, n int, v varchar(5))') for qw(s t);
s_("INSERT INTO app.r SELECT i, 'e' || i, i FROM generate_series(1, 100) i; SELECT tracksync.create_link('r', 'app.r', 'app.r', server => 'hq')");
is(steps('r'), 'insert 100', 'rows are there');
s_(q{SELECT tracksync.add_rule('r', 'required', 'email'), tracksync.add_rule('r', 'unique', 'email'), tracksync.add_rule('r', 'sane', 'n > 0 AND length(v) < 5')});
# what the target has, and the push leaves alone
s_(q{INSERT INTO app.r VALUES (201, 'e7', 1, 'x'), (202, 'it''s \ "new"', 1, NULL), (203, NULL, 1, 'x'); UPDATE app.r SET n = -1 WHERE id = 5; UPDATE app.r SET email = 'e3' WHERE id = 4});
is(broken('r'), '4 unique, 5 sane, 201 unique, 203 required', 'violations, also with what only the target knows');
my $before = t_('SELECT count(*), md5(string_agg(r::text, $$ $$ ORDER BY id)) FROM app.r r');
$two->fails(q{SELECT tracksync.push('r')}, '23514', qr/4 rows that break rules/, 'the push stops');
$two->fails(q{SELECT tracksync.push('r', dry_run => true)}, '23514', qr/4 rows that break rules/, 'and so does a rehearsal');
is(t_('SELECT count(*), md5(string_agg(r::text, $$ $$ ORDER BY id)) FROM app.r r'), $before, 'nothing is written');
s_(q{UPDATE app.r SET email = 'e4x' WHERE id = 3; DELETE FROM app.r WHERE id = 7});
is(broken('r'), '5 sane, 203 required', 'values that are given up');
s_(q{SELECT tracksync.alter_link('r', on_error => 'quarantine')});
is(steps('r'), 'delete 1, update 2, insert 2', 'the others go');
is(waiting('r'), '5 23514 sane, 203 23514 required', 'these do not');
# a value that a row which is left out has still
s_(q{UPDATE app.r SET email = 'moved', n = -5 WHERE id = 10; UPDATE app.r SET email = 'e10' WHERE id = 11});
is(broken('r'), '5 sane, 10 sane, 203 required', 'one would be free');
steps('r');
is(waiting('r'), '5 23514 sane, 10 23514 sane, 11 23514 unique, 203 23514 required', 'but is not');
s_(q{UPDATE app.r SET n = 1 WHERE n < 0; UPDATE app.r SET email = 'here' WHERE email IS NULL});
steps('r');
is(waiting('r'), 'none', 'all are mended');
same('the same on both sides', 'r');
# so many that the whole target is fetched; while a column has another name there; with another column to come
s_(q{ALTER TABLE app.r RENAME email TO mail; ALTER TABLE app.r ADD w int DEFAULT 7; INSERT INTO app.r SELECT i, 'f' || i, i, NULL, i FROM generate_series(1001, 26000) i; INSERT INTO app.r VALUES (30000, 'e50', 1, NULL, 0)});
s_(q{SELECT tracksync.add_rule('r', 'w', 'unique(w, n)'), tracksync.add_rule('r', 'w0', 'w > 0')});
is(broken('r'), '30000 unique, 30000 w0', 'of many');
s_(q{UPDATE app.r SET mail = 'f30000', w = 1 WHERE id = 30000});
steps('r');
is(waiting('r'), 'none', 'they go');
same('the same on both sides', 'r');
is(s_(q{SELECT string_agg(rule || ' ' || array_to_string(columns, ','), ', ' ORDER BY rule) FROM tracksync.rule}), 'required mail, sane n,v, unique mail, w w,n, w0 w', 'rules have taken to the new name');
# types that this server does not have are text here
t_(q{CREATE TYPE app.mood AS ENUM ('good', 'bad'); CREATE TABLE app.o (id int PRIMARY KEY, m app.mood)});
s_(q{CREATE TABLE app.o (id int PRIMARY KEY, m text); SELECT tracksync.create_link('o', 'app.o', 'app.o', server => 'hq'); SELECT tracksync.add_rule('o', 'one_of', 'm, good'), tracksync.add_rule('o', 'unique', 'm')});
t_(q{INSERT INTO app.o VALUES (9, 'good')});
s_(q{INSERT INTO app.o VALUES (1, 'good'), (2, 'bad'), (9, 'good')});
is(s_(q{SELECT string_agg((key ->> 'id') || ' ' || rule, ', ' ORDER BY key, rule) FROM tracksync.validate('o')}), '1 unique, 2 one_of', 'a type of the other server');

# a dump, restored elsewhere: rules go along, and know their columns, whatever numbers these have there
my $node = $two->source;
$node->safe_psql('postgres', q{CREATE TABLE public.d (gone int, id int PRIMARY KEY, "V v" text, n int); ALTER TABLE public.d DROP COLUMN gone; CREATE TABLE public.td (LIKE public.d INCLUDING ALL);
	SELECT tracksync.create_link('d', 'public.d', 'public.td');});
$node->safe_psql('postgres', q{SELECT tracksync.add_rule('d', 'length', '"V v", 1, 3', 'too long'); SELECT tracksync.add_rule('d', 'expr', 'n::text || "V v" <> ''1x'''); SELECT tracksync.add_rule('d', 'unique', 'n, V v')});
$node->safe_psql('postgres', q{SELECT tracksync.push('d'); ALTER TABLE public.d RENAME "V v" TO w; SELECT tracksync.push('d')});
$node->safe_psql('postgres', 'CREATE DATABASE other');
my $dump = TS::ts_tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('other'), '-f', $dump ], 'restore');
$node->safe_psql('other', q{INSERT INTO public.d VALUES (1, 'long', 1), (2, 'x', 1), (3, 'abc', 3), (4, 'abc', 3)});
is($node->safe_psql('other', q{SELECT string_agg(key ->> 'id' || ' ' || rule || ' ' || message, ', ' ORDER BY key, rule) FROM tracksync.validate('d')}),
	'1 length too long, 2 expr does not hold: (((n)::text || w) <> \'1x\'::text), 3 unique n, w must be unique, 4 unique n, w must be unique', 'rules after a restore');
$node->safe_psql('other', q{DELETE FROM public.d WHERE id IN (1, 2, 4); SELECT tracksync.push('d'); ALTER TABLE public.d RENAME w TO z; SELECT tracksync.push('d')});
is($node->safe_psql('other', q{SELECT string_agg(rule || ' ' || array_to_string(columns, ','), ', ' ORDER BY rule) FROM tracksync.rule WHERE link = 'd'}), 'expr z,n, length z, unique n,z', 'and after a push');
$two->stop;
done_testing();
