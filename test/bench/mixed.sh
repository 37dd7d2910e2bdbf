# Sourced by push and peers: a table, its copies, and changes of three kinds that are made and unmade in turn.
#
# The keys of the table are the multiples of ten; new ones end with a five. State 0 is the table as it was filled. "Forward" deletes,
# updates and inserts, "backward" undoes just that, with as many rows of each kind: so the tables keep their size, and each step can be
# repeated without filling them anew. Keys are one block per kind ("clustered") or all over the rest of the table, and changed in no
# order ("scattered").
. "$(dirname "$0")/common.sh"
all=$((3 * changes))
few=$((changes / 10))
declare -A state=([clustered]=0 [scattered]=0)

# way DISTRIBUTION: the suffix of the lists that change the tables from the state they are in
way() { echo "$1_${state[$1]}"; }
flip() { state[$1]=$((1 - ${state[$1]})); }

# setup_tables NAME...: filled alike
setup_tables() {
  local t
  table_sql "bench.$1"
  echo "INSERT INTO bench.$1 SELECT $(row_sql 'k * 10') FROM generate_series(1, $rows) k;"
  for t in "${@:2}"; do
    table_sql "bench.$t"
    echo "INSERT INTO bench.$t SELECT * FROM bench.$1;"
  done
}

# setup_changes DISTRIBUTION: the lists of the changes, there and back
setup_changes() {
  local d=$1 block=$((rows / 10))
  echo "CREATE TABLE bench.pick (i int, d int, u int, n int);"
  if [ "$d" = clustered ]; then
    echo "INSERT INTO bench.pick SELECT i, $block + i, 2 * $block + i, 3 * $block + i FROM generate_series(1, $changes) i;"
  else
    # none of those above
    cat <<SQL
INSERT INTO bench.pick
WITH mixed AS (SELECT k, row_number() OVER (ORDER BY md5(k::text)) AS i
               FROM (SELECT k FROM generate_series(1, $rows) k
                     WHERE NOT EXISTS (SELECT FROM generate_series(1, 3) b WHERE k > b * $block AND k <= b * $block + $changes)
                     ORDER BY md5(k::text) LIMIT 3 * $changes) few)
SELECT d.i, d.k, u.k, n.k
FROM mixed d JOIN mixed u ON u.i = d.i + $changes JOIN mixed n ON n.i = d.i + 2 * $changes WHERE d.i <= $changes;
SQL
  fi
  cat <<SQL
CREATE TABLE bench.del_${d}_0 AS SELECT d * 10::bigint AS id FROM bench.pick ORDER BY i;
CREATE TABLE bench.ins_${d}_0 (LIKE bench.source);
INSERT INTO bench.ins_${d}_0 SELECT $(row_sql 'k * 10 + 5') FROM (SELECT i, n::bigint AS k FROM bench.pick) p ORDER BY i;
CREATE TABLE bench.del_${d}_1 AS SELECT id FROM bench.ins_${d}_0;
CREATE TABLE bench.ins_${d}_1 AS SELECT t.* FROM bench.pick JOIN bench.source t ON t.id = d * 10 ORDER BY i;
CREATE TABLE bench.upd_${d}_1 AS SELECT t.id, t.amount FROM bench.pick JOIN bench.source t ON t.id = u * 10 ORDER BY i;
CREATE TABLE bench.upd_${d}_0 AS SELECT id, amount + 0.5 AS amount FROM bench.upd_${d}_1;
DROP TABLE bench.pick;
VACUUM (ANALYZE) bench.del_${d}_0, bench.upd_${d}_0, bench.ins_${d}_0, bench.del_${d}_1, bench.upd_${d}_1, bench.ins_${d}_1;
SQL
}

# mix DISTRIBUTION: the changes themselves, made in the source, in the order of the lists
mix() {
  local w; w=$(way "$1")
  cat <<SQL
BEGIN;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
DELETE FROM bench.source t USING bench.del_$w s WHERE t.id = s.id;
UPDATE bench.source t SET amount = s.amount FROM bench.upd_$w s WHERE t.id = s.id;
INSERT INTO bench.source SELECT * FROM bench.ins_$w;
SELECT pg_current_wal_insert_lsn() AS lsn \\gset
COMMIT;
SQL
}

# hand_written DISTRIBUTION TARGET
hand_written() {
  local w; w=$(way "$1")
  cat <<SQL
DELETE FROM bench.$2 t USING (SELECT * FROM bench.del_$w ORDER BY id) s WHERE t.id = s.id;
UPDATE bench.$2 t SET amount = s.amount FROM (SELECT * FROM bench.upd_$w ORDER BY id) s WHERE t.id = s.id;
INSERT INTO bench.$2 SELECT * FROM bench.ins_$w ORDER BY id;
SQL
}

# loop DISTRIBUTION TARGET
loop() {
  local w; w=$(way "$1")
  cat <<SQL
DO \$\$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM bench.del_$w LOOP DELETE FROM bench.$2 WHERE id = r.id; END LOOP;
  FOR r IN SELECT * FROM bench.upd_$w LOOP UPDATE bench.$2 SET amount = r.amount WHERE id = r.id; END LOOP;
  FOR r IN SELECT * FROM bench.ins_$w LOOP
    INSERT INTO bench.$2 VALUES (r.id, r.customer, r.quantity, r.amount, r.code, r.note, r.at, r.done);
  END LOOP;
END
\$\$;
SQL
}

# push CONTENDER DISTRIBUTION ROUND: timed; with the time of its steps as a sample of its own
push() {
  timed push "$1" "$2" "$all" "$3" \
    <<<"SELECT extract(epoch FROM sum(elapsed)) * 1e6 AS steps, sum(rows) AS pushed FROM tracksync.push('bench') \\gset"
  echo "INSERT INTO bench.sample (part, contender, operation, rows, round, wall)" \
       "VALUES ('steps', '$1', '$2', $all / (:pushed = $all)::int, $3, :steps);"
}

# clean TABLE...: what earlier steps left behind is nobody's cost
clean() { local t; for t; do echo "VACUUM bench.$t;"; done; echo "CHECKPOINT;"; }

# same TABLE...: fails unless they hold the source's rows
same() {
  local t
  echo "SELECT count(*) AS n, sum(hashtextextended(t::text, 0)::numeric) AS hash FROM bench.source t \\gset"
  for t; do
    echo "SELECT 1 / (count(*) = :n AND sum(hashtextextended(t::text, 0)::numeric) = :hash)::int AS right_rows_in_$t FROM bench.$t t \\g :null"
  done
}

link() { echo "CREATE EXTENSION tracksync; SELECT tracksync.create_link('bench', 'bench.source', 'bench.target2', initial => 'none') \\g :null"; }

# shell COMMAND: psql input that runs it and stops if it fails
shell() { printf '\\set shell `{ %s; } >/dev/null && echo true || echo false`\n\\if :shell\n\\else\nSELECT 1 / 0;\n\\endif\n' "$1"; }

footnotes() {
  echo "tracksync: from the log to the commit. Hand-written: the lists of changes lie in tables of the same database."
  echo "Medians of $rounds rounds, ratios taken within a round, contenders in turn, each with tables of its own."
  echo "best/best compares the best rounds of both, the least disturbed ones."
}
