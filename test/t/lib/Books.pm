# Books: the tables of 110_remote_faults.pl on both servers, the statements that change them at the source, and what must hold at the
# target at any time.
#
# item: any change, keys too; its target is made by the first push. parent, child, acct, ledger: a group; the child goes with its parent.
# A transfer moves an amount between two accounts with a row of the ledger for each: at no time may anybody see less than the whole of it.
# The ledger is for inserts only, and each of its rows comes once: the target counts. acct.n grows with each update: a change that comes
# again, or late, does not make it greater. odd: on_error => 'quarantine', 'source_wins'; the target refuses rows for a while. stock: on
# both sides amounts are added to, by rule 'add': what comes twice is added twice.
package Books;

use strict;
use warnings;

our @links = qw(item parent child acct ledger odd stock);
our @units = qw(item books odd stock);

our $tables = <<'SQL';
CREATE SCHEMA app;
SET search_path = app;
CREATE TABLE item (id int PRIMARY KEY, v text, n int, t timestamptz, j jsonb);
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent ON DELETE CASCADE, v text);
CREATE TABLE acct (id int PRIMARY KEY, amount int NOT NULL, n int NOT NULL);
CREATE TABLE ledger (id bigserial PRIMARY KEY, acct int NOT NULL REFERENCES acct, delta int NOT NULL);
CREATE TABLE odd (id int PRIMARY KEY, v int, w text);
CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL, v text);
RESET search_path;
SQL

our $source = <<'SQL';
INSERT INTO app.acct SELECT i, 0, 0 FROM generate_series(1, 20) i;
INSERT INTO app.stock SELECT i, 100, 'new' FROM generate_series(1, 20) i;
INSERT INTO app.item SELECT i, 'first', i, now(), '{}' FROM generate_series(1, 200) i;
INSERT INTO app.parent SELECT i, 'first' FROM generate_series(1, 20) i;
SQL

our $target = <<'SQL';
DROP TABLE app.item;
ALTER TABLE app.ledger ADD applied int NOT NULL DEFAULT 0;
CREATE TABLE app.ledger_event (at bigserial, id bigint, op text);
CREATE TABLE app.wrong (what text);
CREATE TABLE app.stock_here (id int, delta int);
CREATE TABLE app.refuse (state text, of text);
CREATE FUNCTION app.applied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.applied := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE OLD.applied + 1 END;
  RETURN NEW;
END $$;
CREATE TRIGGER applied BEFORE INSERT OR UPDATE ON app.ledger FOR EACH ROW EXECUTE FUNCTION app.applied();
CREATE FUNCTION app.event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO app.ledger_event (id, op) VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, TG_OP);
  RETURN NULL;
END $$;
CREATE TRIGGER event AFTER INSERT OR UPDATE OR DELETE ON app.ledger FOR EACH ROW EXECUTE FUNCTION app.event();
CREATE FUNCTION app.grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.n <= OLD.n THEN INSERT INTO app.wrong VALUES (format('acct %s: %s after %s', NEW.id, NEW.n, OLD.n)); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER grows BEFORE UPDATE ON app.acct FOR EACH ROW EXECUTE FUNCTION app.grows();
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  r app.refuse;
BEGIN
  SELECT * INTO r FROM app.refuse WHERE of = TG_TABLE_NAME OR of = 'all';
  IF FOUND THEN RAISE EXCEPTION 'refused for a while' USING ERRCODE = r.state; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON app.acct FOR EACH STATEMENT EXECUTE FUNCTION app.refuse();
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON app.odd FOR EACH STATEMENT EXECUTE FUNCTION app.refuse();
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON app.stock FOR EACH STATEMENT EXECUTE FUNCTION app.refuse();
CREATE FUNCTION app.odd() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.v % 5 = 2 AND EXISTS (SELECT FROM app.refuse WHERE state = 'odd') THEN RAISE EXCEPTION 'an odd value' USING ERRCODE = '23514'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER odd BEFORE INSERT OR UPDATE ON app.odd FOR EACH ROW EXECUTE FUNCTION app.odd();
SQL

# for a target made by the first push: an update that changes nothing
our $target_later = <<'SQL';
CREATE FUNCTION app.same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO app.wrong VALUES (format('%s: written without a change: %s', TG_TABLE_NAME, NEW));
  RETURN NULL;
END $$;
DO $$ BEGIN FOR i IN 1 .. 7 LOOP
  EXECUTE format('CREATE TRIGGER same AFTER UPDATE ON app.%I FOR EACH ROW WHEN (OLD IS NOT DISTINCT FROM NEW) EXECUTE FUNCTION app.same()', ('{item,parent,child,acct,ledger,odd,stock}'::text[])[i]);
END LOOP; END $$;
SQL

# links($api): what makes them
sub links
{
	my ($api, $server) = @_;
	return map { s/API/$api/r } (
		"SELECT API.create_link('item', 'app.item', 'app.item', server => '$server', create_target => true)",
		(map { "SELECT API.create_link('$_', 'app.$_', 'app.$_', server => '$server')" } qw(parent child acct ledger)),
		"SELECT API.create_group('books', '{parent,child,acct,ledger}')",
		"SELECT API.create_link('odd', 'app.odd', 'app.odd', server => '$server', on_error => 'quarantine', on_conflict => 'source_wins')",
		"SELECT API.create_link('stock', 'app.stock', 'app.stock', server => '$server', on_conflict => 'merge')",
		"SELECT API.set_merge_rule('stock', 'amount', 'add')");
}

# statement(): one at the source
sub statement
{
	my @r = map { int rand 200 } 1 .. 4;
	my ($p, $q) = map { 1 + int rand 20 } 1 .. 2;
	my $d = 1 + int rand 50;
	my $kind = int rand 18;
	return "INSERT INTO app.item VALUES ($r[0], 'v$r[1]', $d, clock_timestamp(), '{\"a\": $r[2]}') ON CONFLICT DO NOTHING" if $kind == 0;
	return "INSERT INTO app.item SELECT i, repeat('x', i), $d, now(), NULL FROM generate_series($r[0], $r[0] + $d) i ON CONFLICT DO NOTHING" if $kind == 1;
	return "UPDATE app.item SET v = v || '$p', n = n + 1 WHERE id = $r[0]" if $kind == 2;
	return "UPDATE app.item SET n = n + $d, v = NULL WHERE id % 20 = $p" if $kind == 3;
	return "DELETE FROM app.item WHERE id = $r[0]" if $kind == 4;
	return "DELETE FROM app.item WHERE id BETWEEN $r[0] AND $r[0] + $p" if $kind == 5;
	return "UPDATE app.item SET id = $r[1] WHERE id = $r[0] AND NOT EXISTS (SELECT FROM app.item WHERE id = $r[1])" if $kind == 6;
	return "UPDATE app.item SET id = -1 WHERE id = $r[0]; UPDATE app.item SET id = $r[0] WHERE id = $r[1]; UPDATE app.item SET id = $r[1] WHERE id = -1" if $kind == 7;
	return "INSERT INTO app.parent VALUES ($p, 'p$r[0]') ON CONFLICT (id) DO UPDATE SET v = excluded.v" if $kind == 8;
	return "INSERT INTO app.child SELECT $r[0], id, 'c$d' FROM app.parent WHERE id >= $p ORDER BY id LIMIT 1 ON CONFLICT DO NOTHING" if $kind == 9;
	return "UPDATE app.child SET parent = (SELECT min(id) FROM app.parent WHERE id > $p), v = v || '.' WHERE parent = $q AND EXISTS (SELECT FROM app.parent WHERE id > $p)" if $kind == 10;
	return "DELETE FROM app.parent WHERE id = $p" if $kind == 11;
	return "DELETE FROM app.child WHERE id % 20 = $p" if $kind == 12;
	return "UPDATE app.acct SET amount = amount + CASE id WHEN $p THEN -$d ELSE $d END, n = n + 1 WHERE id IN ($p, $q) AND $p <> $q; "
		. "INSERT INTO app.ledger (acct, delta) SELECT x, y FROM (VALUES ($p, -$d), ($q, $d)) v (x, y) WHERE $p <> $q" if $kind <= 14;
	return "INSERT INTO app.odd VALUES ($r[0], $d, 'w$p') ON CONFLICT (id) DO UPDATE SET v = excluded.v" if $kind == 15;
	return "DELETE FROM app.odd WHERE id % 20 = $p" if $kind == 16;
	return "UPDATE app.stock SET amount = amount + $d WHERE id IN ($p, $q)";
}

# here(): somebody at the target changes its stock
sub here
{
	# never what the source adds: both sides with the same new value agree, and that is no conflict
	my ($p, $d) = (1 + int rand 20, 1000 * (1 + int rand 50));
	return "BEGIN; UPDATE app.stock SET amount = amount + $d WHERE id = $p; INSERT INTO app.stock_here SELECT id, $d FROM app.stock WHERE id = $p; COMMIT";
}

# wrong(TWO, DB): what does not hold at the target, whatever the source does meanwhile; ''
sub wrong
{
	my ($two, $db) = @_;
	return $two->t(<<'SQL', db => $db);
SELECT what FROM app.wrong
UNION ALL SELECT format('account %s has %s, its ledger says %s', a.id, a.amount, l.delta) FROM app.acct a, LATERAL (SELECT coalesce(sum(delta), 0) AS delta FROM app.ledger WHERE acct = a.id) l
WHERE a.amount <> l.delta
UNION ALL SELECT format('the sum of all accounts is %s', sum(amount)) FROM app.acct HAVING sum(amount) <> 0
UNION ALL SELECT format('ledger %s was written %s times', id, applied) FROM app.ledger WHERE applied <> 1
UNION ALL SELECT format('ledger %s had %s events: %s', id, count(*), string_agg(op, ' ' ORDER BY at)) FROM app.ledger_event GROUP BY id HAVING count(*) <> 1 OR min(op) <> 'INSERT'
LIMIT 10
SQL
}

# compare(TWO, SOURCE'S DB, TARGET'S DB): when everything is there
sub compare
{
	my ($two, $s, $t) = @_;
	my %db = (s_db => $s, t_db => $t);
	my $same = $two->compare((map { [ "app.$_", "app.$_", 'id', undef, %db ] } qw(item parent child acct odd)), [ 'app.ledger', 'app.ledger', 'id', 'id, acct, delta', %db ],
		[ 'app.stock', '(SELECT id, amount - coalesce((SELECT sum(delta) FROM app.stock_here h WHERE h.id = s.id), 0) AS amount, v FROM app.stock s) x', 'id', 'id, amount, v', %db ]);
	return $same;
}

1;
