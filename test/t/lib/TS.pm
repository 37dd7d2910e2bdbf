# TS: nodes for the TAP tests, the same on PostgreSQL 13 to 18.
#
#   use TS;                       # also strict, warnings and Test::More
#   my $node = ts_node('a');      # initialised, started; conf => "work_mem = '8MB'", start => 0, allows_streaming => ...
#   $node->safe_psql('postgres', 'CREATE EXTENSION tracksync');
#   $node->stop('immediate');
#   done_testing();
#
# A node is a PostgreSQL::Test::Cluster (PostgresNode before 15). test/tools/run_tap gives every node wal_level = logical,
# max_prepared_transactions = 10 and the settings that find the staged extension, through TEMP_CONFIG.
package TS;

use strict;
use warnings;
use Test::More;
use Exporter ();
use File::Temp ();

our @ISA = ('Exporter');
our @EXPORT = (qw(ts_node ts_connstr ts_tempdir), @Test::More::EXPORT);

my $old = !eval { require PostgreSQL::Test::Cluster; require PostgreSQL::Test::Utils; 1 };
if ($old) { require PostgresNode; require TestLib; }

sub import
{
	strict->import;
	warnings->import;
	TS->export_to_level(1, shift);
}

# ts_node(NAME, OPTION => VALUE, ...): a new node; conf is text for postgresql.conf, start => 0 leaves it stopped, all other
# options go to the node's init.
sub ts_node
{
	my ($name, %opt) = @_;
	my $conf = delete $opt{conf};
	my $start = exists $opt{start} ? delete $opt{start} : 1;
	my $node = $old ? PostgresNode->get_new_node($name) : PostgreSQL::Test::Cluster->new($name);

	$node->init(%opt, extra => [ '-E', 'UTF8', '--locale=C.UTF-8', @{ $opt{extra} || [] } ]);
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$node->start if $start;
	return $node;
}

# ts_tempdir(): a folder that goes with the test
sub ts_tempdir { return File::Temp::tempdir(CLEANUP => 1) }

# ts_connstr(NODE, DATABASE): host and port options as a foreign server wants them, e.g. "host '...', port '...'"
sub ts_connstr
{
	my ($node, $db) = @_;
	return sprintf "host '%s', port '%s', dbname '%s'", $node->host, $node->port, $db || 'postgres';
}

1;
