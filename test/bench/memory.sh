# Sourced by netchange and scale: the memory of a backend while it works, its own, without shared buffers.

# watch NAME: psql input after which that backend's memory is watched, until "watched"; what it had before and at most, in MB, is kept
watch() {
  echo "SELECT pg_backend_pid() AS pid \\gset"
  echo "\\setenv WATCHED :pid"
  echo "\\! rm -f $BENCH_TMP/watch_end; ($here/anon_peak \$WATCHED $BENCH_TMP/watch_end >$BENCH_TMP/watched) & sleep 0.1"
}
watched() {
  echo "\\! touch $BENCH_TMP/watch_end; while [ -e $BENCH_TMP/watch_end ]; do sleep 0.01; done"
  echo "\\set peak \`cat $BENCH_TMP/watched\`"
  echo "INSERT INTO bench.memory SELECT '$1', a[1]::float8 / 1024, a[2]::float8 / 1024 FROM string_to_array(:'peak', ' ') a;"
}
setup_memory() { echo "CREATE TABLE bench.memory (what text, before float8, peak float8);"; }
