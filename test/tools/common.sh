# Sourced by the tools in this folder: where PostgreSQL is, who may run a server, how a server finds the staged extension.

ts_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# ts_find_pgbin: sets TS_PGBIN to the directory of PostgreSQL's programs; fails when there is no server.
ts_find_pgbin() {
  local b
  if [ -z "${TS_PGBIN:-}" ]; then
    b=$("${PG_CONFIG:-pg_config}" --bindir 2>/dev/null)
    [ -x "$b/postgres" ] || b=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5n | tail -n 1)
    TS_PGBIN=$b
  fi
  [ -x "$TS_PGBIN/postgres" ]
}

# ts_as: sets the array that runs a command as a user who may run a server: nothing, or postgres when we are root.
ts_as() {
  as=()
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups env "HOME=$1")
  fi
}

# ts_mktemp NAME: prints a new private directory that the server's user owns; its path is short enough for a socket.
ts_mktemp() {
  local base=${TMPDIR:-/tmp} dir
  [ ${#base} -le 60 ] || base=/tmp
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups test -x "$base" || base=/tmp
  fi
  dir=$(mktemp -d "$base/$1.XXXXXX") || return 1
  chmod 700 "$dir"
  [ "$(id -u)" != 0 ] || chown postgres: "$dir"
  printf '%s\n' "$dir"
}

# ts_extension_conf DIR: copies the staged extension (TS_DESTDIR) to DIR, so that neither a rebuild nor the rights of the
# checkout's folders matter, and prints the settings with which a server finds it there.
ts_extension_conf() {
  local lib share
  [ -d "$TS_DESTDIR" ] || return 0
  { flock -s 9; cp -R "$TS_DESTDIR" "$1"; } 9<"$ts_top/Makefile" && chmod -R a+rX "$1" || return 1
  lib=$("$TS_PGBIN/pg_config" --pkglibdir)
  share=$("$TS_PGBIN/pg_config" --sharedir)
  if "$TS_PGBIN/postgres" --describe-config | grep -q '^extension_control_path	'; then
    echo "extension_control_path = '$1$share:\$system'"
  elif "$TS_PGBIN/postgres" --describe-config | grep -q '^extension_destdir	'; then
    echo "extension_destdir = '$1'"
  else
    echo "this server has neither extension_destdir nor extension_control_path: run make install first" >&2
    return 0
  fi
  echo "dynamic_library_path = '$1$lib:\$libdir'"
}

TS_DESTDIR=${TS_DESTDIR:-$ts_top/tmp_install}
