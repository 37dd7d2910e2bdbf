# Sourced by capture, push, many, tables, append and remote: SQL of all, and the printing of tables.
set -eu -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rows=$BENCH_ROWS changes=$BENCH_CHANGES rounds=$BENCH_ROUNDS
export PGOPTIONS='-c client_min_messages=warning' PGAPPNAME=bench
psql=(psql -X -q -v ON_ERROR_STOP=1)

# new_database NAME: with what all measurements need
new_database() {
  createdb "$1"
  "${psql[@]}" -d "$1" -f "$here/common.sql"
  # the first use of each page of shared memory costs as much as writing to it: not to be paid by whoever comes first
  "${psql[@]}" -d "$1" <<'SQL'
CREATE UNLOGGED TABLE bench.warm (x text);
ALTER TABLE bench.warm ALTER x SET STORAGE PLAIN;
INSERT INTO bench.warm SELECT repeat('x', 7900) FROM generate_series(1, (SELECT setting::int FROM pg_settings WHERE name = 'shared_buffers') - 2000);
DROP TABLE bench.warm;
CHECKPOINT;
SQL
}

# table_sql NAME: the table of all measurements, eight columns
table_sql() {
  echo "CREATE TABLE $1 (id bigint PRIMARY KEY, customer int, quantity int, amount numeric, code text, note text,
    at timestamptz, done boolean);"
}

# row_sql: the columns of a row, made from k; its key is the expression $1
row_sql() {
  echo "$1, (k::bigint * 7919 % 100000)::int, (k % 100)::int, (k % 1000003)::numeric / 100, left(md5(k::text), 20),
    left(md5(k::text) || md5((-k)::text), 40), timestamptz '2024-01-01 00:00+00' + k * interval '1 second', k % 2 = 0"
}

# pick DISTRIBUTION: the numbers of the rows to delete (d) and to update (u), and of those next to which one is inserted (n)
pick() {
  case $1 in
    clustered) echo "SELECT i, $rows / 5 + i AS d, $rows / 2 + i AS u, $rows * 7 / 10 + i AS n FROM generate_series(1, $changes) i" ;;
    scattered) cat <<SQL
WITH mixed AS (SELECT k, row_number() OVER (ORDER BY md5(k::text)) AS i
               FROM (SELECT k FROM generate_series(1, $rows) k ORDER BY md5(k::text) LIMIT 3 * $changes) few)
SELECT d.i, d.k AS d, u.k AS u, n.k AS n
FROM mixed d JOIN mixed u ON u.i = d.i + $changes JOIN mixed n ON n.i = d.i + 2 * $changes WHERE d.i <= $changes
SQL
  esac
}

# timed PART CONTENDER OPERATION ROWS ROUND, statements on standard input: psql input that runs them and records a sample
timed() {
  echo "SELECT bench.log_bytes() AS log0, pg_current_wal_insert_lsn() AS wal0, bench.cpu() AS cpu0, clock_timestamp() AS t0 \\gset"
  cat
  echo "SELECT bench.record('$1', '$2', '$3', $4, $5, clock_timestamp() - :'t0', bench.cpu() - nullif(:'cpu0', '')::float8,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'wal0'), bench.log_bytes() - :log0) \\g $BENCH_TMP/null"
}

# table ALIGNMENT: rows of fields separated by '|' become an aligned table, or a Markdown one; one letter per column, l or r.
# The first row has the headings; a row that is only "-" is a gap.
table() {
  awk -F'|' -v align="$1" -v markdown="${BENCH_MARKDOWN:-}" '
    { n = NR; nf[NR] = NF
      for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) }
      if (NR == 1) columns = NF }
    function pad(text, w, how) { return how == "r" ? sprintf("%" w "s", text) : sprintf("%-" w "s", text) }
    END {
      for (r = 1; r <= n; r++) {
        if (cell[r, 1] == "-") { if (!markdown) print ""; continue }
        line = markdown ? "|" : ""
        for (i = 1; i <= columns; i++)
          line = line (markdown ? " " : (i > 1 ? "  " : "")) pad(cell[r, i], width[i], substr(align, i, 1)) (markdown ? " |" : "")
        sub(/ +$/, "", line)
        print line
        if (r > 1) continue
        line = markdown ? "|" : ""
        for (i = 1; i <= columns; i++) {
          dashes = sprintf("%" width[i] "s", ""); gsub(/ /, "-", dashes)
          if (markdown && substr(align, i, 1) == "r") dashes = substr(dashes, 2) ":"
          line = line (markdown ? " " : (i > 1 ? "  " : "")) dashes (markdown ? " |" : "")
        }
        print line
      }
    }'
}

# report ALIGNMENT, a query on standard input: its rows as a table
report() {
  local out
  out=$("${psql[@]}" -d bench -A -F'|' -P footer=off -P null= -f -)
  table "$1" <<<"$out"
}

title() { if [ -n "${BENCH_MARKDOWN:-}" ]; then printf '### %s\n\n' "$*"; else printf '%s\n\n' "$*"; fi; }

# settings: what the server runs with, as far as it is not the default and matters
settings() {
  local out
  out=$("${psql[@]}" -d bench -At <<'SQL'
SELECT 'PostgreSQL ' || current_setting('server_version') || '; ' || string_agg(name || '=' || current_setting(name), ' ' ORDER BY name)
FROM pg_settings
WHERE source = 'configuration file' AND name !~
  '^(listen|port|unix_socket|timezone|log_|lc_|DateStyle|TimeZone|default_text|extension_|dynamic_|max_connections|max_prepared|client_min)'
SQL
)
  printf '%s\n' "$out" | if [ -n "${BENCH_MARKDOWN:-}" ]; then cat; else fold -s -w 120; fi
}

# keep_samples: the raw samples, into a file of this part; its first line is the caption of plots
keep_samples() {
  local file
  [ -n "${BENCH_KEEP:-}" ] || return 0
  file=$BENCH_KEEP/$(basename "$0")
  echo "# $(date +%F), ${BENCH_MACHINE:-}, PostgreSQL $("${psql[@]}" -d bench -At -c "SELECT split_part(current_setting('server_version'), ' ', 1)")${BENCH_QUICK:+, a quick run: small and noisy}" >"$file"
  "${psql[@]}" -d bench -A -F'|' -P footer=off -c 'TABLE bench.sample' >>"$file"
}
