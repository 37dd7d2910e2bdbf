# A dump and a restore of links with filters and expressions, whose source's columns have other numbers afterwards.
use TS;

my $node = ts_node('mapping', conf => "fsync = off\n");
sub sql { return $node->safe_psql(@_) }
sql('postgres', 'CREATE EXTENSION tracksync');
sql('postgres', q{CREATE TABLE src (gone int, id int PRIMARY KEY, away text, region text, "Qty" int, price numeric);
	ALTER TABLE src DROP COLUMN gone; ALTER TABLE src DROP COLUMN away;
	CREATE TABLE tgt (id int PRIMARY KEY, total numeric, region text);
	INSERT INTO src VALUES (1, 'eu', 2, 1.5), (2, 'us', 3, 1.5);
	SELECT tracksync.create_link('l', 'src', 'public.tgt', columns => '{"id": "id", "total": "\"Qty\" * price", "region": "lower(region)"}', filter => 'region = ''eu''',
		target_filter => 'region <> ''us''', on_conflict => 'merge');
	SELECT tracksync.set_merge_rule('l', 'total', 'add'); SELECT tracksync.push('l')});
# pending when it is dumped: a name that the filter knows under another one
sql('postgres', q{ALTER TABLE src RENAME COLUMN region TO area; UPDATE src SET area = 'eu' WHERE id = 2});
sql('postgres', 'CREATE DATABASE other');
my $dump = ts_tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('other'), '-f', $dump ], 'restore');
is(sql('other', q{SELECT string_agg(attname || attnum, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'src'::regclass AND attnum > 0}),
	'id1 area2 Qty3 price4', 'the test itself: other numbers');
for my $db ('postgres', 'other')
{
	sql($db, q{INSERT INTO src VALUES (3, 'eu', 5, 2), (4, 'us', 5, 2)});
	sql($db, q{SELECT tracksync.push('l')});
	is(sql($db, q{SELECT string_agg(id || ' ' || total, ', ' ORDER BY id) FROM tgt}), '1 3.0, 2 4.5, 3 10', "$db: rows");
	sql($db, q{UPDATE src SET "Qty" = 4 WHERE id = 1; UPDATE tgt SET total = total + 1 WHERE id = 1; UPDATE src SET area = NULL WHERE id = 3});
	is(sql($db, q{SELECT string_agg(kind || rows, ' ' ORDER BY step) FROM tracksync.push('l')}), 'delete1 update1', "$db: by the log");
	is(sql($db, q{SELECT string_agg(id || ' ' || total, ', ' ORDER BY id) FROM tgt}), '1 7.0, 2 4.5', "$db: with its merge rule");
}
$node->stop;
done_testing();
