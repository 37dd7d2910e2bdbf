# A push to another server, cut at each message that it sends or gets, in a new connection and in one that was kept: nothing is lost, nothing
# comes twice, the next push just works. Each third message; TS_FAULTS_TURNS=3: all of them, 9: each before it is passed on, after that,
# and in its middle.
use TS;
use TwoServers;

my $two = TwoServers->new;
my $proxy = $two->proxy;
sub s_ { return $two->s(@_) }
sub t_ { return $two->t(@_) }
$two->server('hq', via => 'proxy');
# what is inserted once has applied = 1, whose value the source added to is that much greater, whatever the target did to it
$two->$_('CREATE SCHEMA app; CREATE TABLE app.a (id int PRIMARY KEY, v text); CREATE TABLE app.b (id bigserial PRIMARY KEY, a int REFERENCES app.a, v text); CREATE TABLE app.n (id int PRIMARY KEY, n int)') for qw(s t);
t_('ALTER TABLE app.b ADD applied int NOT NULL DEFAULT 0;
	CREATE FUNCTION app.applied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.applied := CASE TG_OP WHEN $x$INSERT$x$ THEN 1 ELSE OLD.applied + 1 END; RETURN NEW; END $$;
	CREATE TRIGGER applied BEFORE INSERT OR UPDATE ON app.b FOR EACH ROW EXECUTE FUNCTION app.applied()');
s_("INSERT INTO app.a SELECT i, 'first' FROM generate_series(1, 50) i; INSERT INTO app.n SELECT i, 0 FROM generate_series(1, 5) i;
	SELECT tracksync.create_link(x, ('app.' || x)::regclass, 'app.' || x, server => 'hq', on_conflict => CASE x WHEN 'n' THEN 'merge' ELSE 'error' END) FROM unnest('{a,b,n}'::text[]) x;
	SELECT tracksync.set_merge_rule('n', 'n', 'add'); SELECT tracksync.create_group('g', '{a,b,n}')");
my $push = "SELECT count(*) FROM tracksync.push('g')";
s_($push);

my ($turn, $there) = (0, 0);
sub change
{
	$turn++;
	s_("BEGIN; UPDATE app.a SET v = 'v$turn' WHERE id % 7 = $turn % 7; INSERT INTO app.a VALUES (1000 + $turn, 'new'); DELETE FROM app.a WHERE id = 999 + $turn AND id > 1001 AND NOT EXISTS (SELECT FROM app.b WHERE a = id);
		INSERT INTO app.b (a, v) SELECT id, 'b' FROM app.a WHERE id % 10 = $turn % 10 ORDER BY id LIMIT 3; UPDATE app.n SET n = n + 1; COMMIT");
	t_('UPDATE app.n SET n = n + 1000 WHERE id = 1');
	$there += 1000;
}

# wrong(): what is not as it should be; ''
sub wrong
{
	return $two->compare([ 'app.a', 'app.a', 'id' ], [ 'app.b', 'app.b', 'id', 'id, a, v' ], [ 'app.n', "(SELECT id, CASE id WHEN 1 THEN n - $there ELSE n END AS n FROM app.n) x", 'id', 'id, n' ])
		. t_("SELECT string_agg(format('b %s was written %s times', id, applied), ', ') FROM app.b WHERE applied <> 1");
}

# forget(): the connection goes, if there is one
sub forget { s_("SELECT tracksync.disconnect('hq')") }

for my $kept (0, 1)
{
	my $what = $kept ? 'a connection that was kept' : 'a new connection';
	change();
	forget() if !$kept;
	$proxy->trace(1);
	$proxy->reset;
	s_($push);
	my %n = %{ $proxy->messages };
	my @trace = @{ $proxy->trace(0) };
	is(wrong(), '', "$what: a push of $n{to_server} messages and $n{to_client} answers");
	for my $direction ('to_server', 'to_client')
	{
		my @way = grep { / $direction / } @trace;
		my @wrong;
		for my $time (1 .. $ENV{TS_FAULTS_TURNS} || 1)
		{
			for my $i (grep { $_ % 3 == $time % 3 } 1 .. $n{$direction})
			{
				my $when = ('before', 'after', 'middle')[ ($i + $i / 3 + $time / 3) % 3 ];
				my $where = "$when message $i of $n{$direction} $direction (" . ($way[ $i - 1 ] // '') . ')';
				change();
				if ($kept) { s_($push); change() }
				else { forget() }
				$proxy->fault({ direction => $direction, at => $i, when => $when, action => 'cut', rst => ('', 'client', 'server', 'both')[ $i % 4 ] });
				# without retries it is told
				my $e = $two->s_error(($i % 10 ? 'SET tracksync.retries = 0;; ' : '') . $push);
				$two->s_error('RESET tracksync.retries');
				push @wrong, "not fired $where" if !$proxy->fired;
				push @wrong, Session::say_error({ error => $e }) . " $where" if $e && $e->{C} !~ /^(08...|57P0.)$/;
				$proxy->clear;
				$e = $two->s_error($push);
				push @wrong, 'the next push: ' . Session::say_error({ error => $e }) . ", $where" if $e;
				my $wrong = wrong();
				push @wrong, "$wrong $where" if $wrong;
				last if @wrong > 3;
			}
		}
		is(join("\n", @wrong), '', "$what: cut at each of $n{$direction} messages $direction");
	}
}
$two->stop;
done_testing();
