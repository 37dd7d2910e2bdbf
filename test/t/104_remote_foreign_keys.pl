# Foreign keys between targets on another server: checked, or acting, while a push is under way. A row that they would make another than the
# source's is an error.
use TS;
use TwoServers;

my $two = TwoServers->new;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
sub steps { return s_("SELECT coalesce(string_agg(link || ' ' || kind || ' ' || rows, ', ' ORDER BY step), 'nothing') FROM tracksync.push('$_[0]')") }
sub same { my ($what, @names) = @_; is($two->compare(map { [ $_, $_, 'id' ] } @names), '', $what) }
$two->server('hq', via => 'socket');

# the source has no foreign key; the target's acts
s_("CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE DEFERRABLE); CREATE TABLE c (id int PRIMARY KEY, code text, v int);
	INSERT INTO p SELECT i, 'c' || i FROM generate_series(1, 10) i; INSERT INTO c SELECT i, 'c' || i, 0 FROM generate_series(1, 10) i");
t_('CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES p (code) ON UPDATE CASCADE ON DELETE CASCADE, v int)');
s_("SELECT tracksync.create_link(x, x::regclass, x, server => 'hq') FROM unnest('{p,c}'::text[]) x;; SELECT tracksync.create_group('g', '{p,c}')");
is(steps('g'), 'p insert 10, c insert 10', 'parents first');
s_("UPDATE c SET v = 1; UPDATE p SET code = code || 'x' WHERE id = 1; UPDATE c SET code = code || 'x' WHERE id = 1");
steps('g');
same('what the foreign key did is what the source has', 'p', 'c');
for ([ "UPDATE p SET code = CASE id WHEN 2 THEN 'c3' ELSE 'c2' END WHERE id IN (2, 3)", 'values that change places', "UPDATE p SET code = CASE id WHEN 2 THEN 'c2' ELSE 'c3' END WHERE id IN (2, 3)" ],
	[ 'DELETE FROM p WHERE id = 9', 'a parent that goes', "INSERT INTO p VALUES (9, 'c9')" ])
{
	my ($sql, $what, $back) = @$_;
	my $before = t_('SELECT md5(string_agg(c::text, $$,$$ ORDER BY id)) FROM c');
	s_($sql);
	my $e = $two->s_error("SELECT tracksync.push('g')");
	is($e && $e->{C}, '09000', "$what, and children that stay: an error");
	like($e->{D}, qr/"id": /, 'that names a row');
	is(t_('SELECT md5(string_agg(c::text, $$,$$ ORDER BY id)) FROM c'), $before, 'and nothing changed');
	s_($back);
	steps('g');
	same('and the next push works', 'p', 'c');
}
# alone, the parent's link says that the child's has to compare
s_('DELETE FROM p WHERE id = 8;; SELECT tracksync.push(\'p\')');
is(t_('SELECT count(*) FROM c WHERE id = 8'), '0', 'a parent pushed alone takes the child with it');
s_("INSERT INTO p VALUES (8, 'c8');; SELECT tracksync.push('p')");
is(steps('c'), 'c insert 1', 'which the next push of the child brings back');
same('so that all is there', 'p', 'c');

# deferrable ones wait, in a circle too; a tree of rows is written whole
for my $n ('s', 't')
{
	$two->$n("CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE INITIALLY DEFERRED);
		ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED; CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree)");
}
s_("SELECT tracksync.create_link(x, x::regclass, x, server => 'hq') FROM unnest('{a,b,tree}'::text[]) x;; SELECT tracksync.create_group('circle', '{a,b}');;
	INSERT INTO a SELECT i, i FROM generate_series(1, 50) i; INSERT INTO b SELECT i, i FROM generate_series(1, 50) i;; SELECT tracksync.push('circle')");
same('a circle', 'a', 'b');
s_('DELETE FROM a WHERE id < 20; DELETE FROM b WHERE id < 20;; SELECT tracksync.push(\'circle\')');
same('of which a part goes', 'a', 'b');
s_('INSERT INTO tree SELECT i, nullif(i - 1, 0) FROM generate_series(1, 100) i;; UPDATE tree SET id = -id, up = -up;; SET tracksync.batch_rows = 7;; SELECT tracksync.push(\'tree\')');
same('a tree', 'tree');
s_('DELETE FROM tree WHERE id < -5;; SELECT tracksync.push(\'tree\');; INSERT INTO tree SELECT i, i + 1 FROM generate_series(1, 60) i UNION ALL SELECT 61, NULL;; SELECT tracksync.push(\'tree\')');
same('of which a part goes, and another comes', 'tree');
# a child in quarantine that its parent would take with it
$two->$_('CREATE TABLE qp (id int PRIMARY KEY); CREATE TABLE qc (id int PRIMARY KEY, up int REFERENCES qp ON DELETE CASCADE, v int)') for qw(s t);
t_('ALTER TABLE qc ADD CHECK (v <> 13)');
s_("INSERT INTO qp VALUES (1), (2); INSERT INTO qc VALUES (1, 1, 0), (2, 2, 0);;
	SELECT tracksync.create_link(x, x::regclass, x, server => 'hq', on_error => 'quarantine') FROM unnest('{qp,qc}'::text[]) x;; SELECT tracksync.create_group('q', '{qp,qc}');; SELECT tracksync.push('q')");
s_('UPDATE qc SET up = 2, v = 13 WHERE id = 1; DELETE FROM qp WHERE id = 1');
my $e = $two->s_error("SELECT tracksync.push('q')");
is($e && $e->{C}, '09000', 'a row in quarantine is not lost to a foreign key: an error');
is(t_('SELECT count(*) FROM qc'), '2', 'it is still there');
s_("UPDATE qc SET v = 12 WHERE id = 1");
steps('q');
same('and goes when it can', 'qp', 'qc');
s_("UPDATE qc SET v = 13 WHERE id = 2; INSERT INTO qp VALUES (3)");
steps('q');
is(s_("SELECT string_agg(key::text, ' ') FROM tracksync.quarantine"), '{"id": 2}', 'a row that no foreign key touches waits in quarantine');
is(t_('SELECT count(*) FROM qp'), '2', 'and the others go');

# a foreign key that waits, and a parent in quarantine: the child waits with it
$two->$_('CREATE TABLE wp (id int PRIMARY KEY, v int); CREATE TABLE wc (id int PRIMARY KEY, up int REFERENCES wp DEFERRABLE INITIALLY DEFERRED)') for qw(s t);
t_('ALTER TABLE wp ADD CHECK (v <> 13)');
s_("SELECT tracksync.create_link(x, x::regclass, x, server => 'hq', on_error => 'quarantine') FROM unnest('{wp,wc}'::text[]) x;; SELECT tracksync.create_group('w', '{wp,wc}');;
	INSERT INTO wp VALUES (1, 13), (2, 0); INSERT INTO wc VALUES (1, 1), (2, 2)");
steps('w');
is(s_("SELECT string_agg(link || ' ' || key::text || ' ' || sqlstate, ', ' ORDER BY link) FROM tracksync.quarantine WHERE link LIKE 'w%'"), 'wc {"id": 1} 23503, wp {"id": 1} 23514', 'a child of a row in quarantine waits with it');
is(t_('SELECT string_agg(id::text, $$ $$) FROM wc'), '2', 'and the others go');
s_('UPDATE wp SET v = 1 WHERE id = 1');
steps('w');
same('until it is mended', 'wp', 'wc');

$two->stop;
done_testing();
