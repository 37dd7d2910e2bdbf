# A target whose rows live on several nodes, as Citus and engines like it have them: what such an engine does not take is not sent. The
# engine itself is no Debian package; its catalog table is enough to be taken for one, and the server's log has what was sent.
use TS;
use TwoServers;

my $two = TwoServers->new(target_conf => "log_statement = all\nallow_system_table_mods = on\n");
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub same { is($two->compare([ 'item', 'item', 'id' ]), '', $_[0]) }
sub sent { return $two->log_text($two->target) }

$two->server('hq', via => 'socket');
t_("CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod \"char\");; CREATE TABLE item (id int PRIMARY KEY, v text, u text UNIQUE, n numeric);; INSERT INTO pg_dist_partition VALUES ('item', 'h')");
s_("CREATE TABLE item (id int PRIMARY KEY, v text, u text, n numeric); INSERT INTO item SELECT i, 'v', 'u' || i, i FROM generate_series(1, 3000) i;; "
	. "SELECT tracksync.create_link('l', 'item', 'item', server => 'hq', on_conflict => 'source_wins');; SELECT tracksync.push('l')");
same('the first push');
my $from = length sent();
s_("UPDATE item SET v = 'w' WHERE id % 3 = 0; DELETE FROM item WHERE id % 5 = 0; INSERT INTO item SELECT i, 'new', 'n' || i, 1 FROM generate_series(4000, 4010) i; UPDATE item SET id = id + 10000 WHERE id < 10");
is(s_("SELECT string_agg(kind || ' ' || rows, ', ' ORDER BY step) FROM tracksync.plan('l')"), 'delete 608, update 797, insert 19', 'a row with another key is deleted and inserted');
t_("UPDATE item SET v = 'there' WHERE id IN (12, 21); DELETE FROM item WHERE id = 33; UPDATE item SET n = 0 WHERE id = 5");
s_("SELECT tracksync.push('l')");
same('a push with conflicts');
s_("UPDATE item SET u = CASE id WHEN 11 THEN 'u13' ELSE 'u11' END WHERE id IN (11, 13);; SELECT tracksync.push('l')");
same('unique values that change places');
my $log = substr(sent(), $from);
my @statements = $log =~ /LOG:  (?:execute [^:]*|statement): (.*?)(?=\n\d{4}-\d\d-\d\d |\z)/gs;
@statements = grep { /\bpublic\.item\b/ } @statements;
ok(@statements > 5, scalar(@statements) . ' statements were sent') or diag($log);
my %no = (
	'no lock on rows' => qr/item AS t.*\bFOR UPDATE/s,
	'no update of the key' => qr/UPDATE[^;]*\bSET\b[^;]*(?<![.\w])id =/s,
	'no ONLY' => qr/\bONLY\b/,
	'no MERGE, no cursor' => qr/\bMERGE\b|CURRENT OF/,
	'no delete by what is not there' => qr/DELETE[^;]*NOT EXISTS/s,
	'no unnest of a subquery' => qr/unnest\s*\(\s*\(\s*SELECT/i,
	'no rows of the table as parameters' => qr/::public\.item\[\]/,
	'no temporary table' => qr/CREATE TEMP/,
);
for my $what (sort keys %no)
{
	my @bad = grep { $_ =~ $no{$what} } @statements;
	is(scalar @bad, 0, $what) or diag($bad[0]);
}
like($log, qr/LOCK TABLE public\.item IN SHARE ROW EXCLUSIVE MODE/, 'the table is locked where rows are not as expected');
$two->stop;
done_testing();
