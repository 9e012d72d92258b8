# shellcheck shell=bash
# What the services need of the machine: packages, downloads, processes.

# shellcheck disable=SC2034 # read by the files beside this one
state=${ONHAND_CI_STATE:-${TMPDIR:-/tmp}/onhand-ci}
# shellcheck disable=SC2034
maven_dependency=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

say() { echo "services: $*" >&2; }
die() {
  say "$@"
  exit 1
}

# retry runs a command up to four times, 2, 4 and 8 s apart: package mirrors drop a download now and then.
retry() {
  local wait=2
  until "$@"; do
    ((wait <= 8)) || return 1
    say "again in $wait s: $*"
    sleep "$wait"
    wait=$((wait * 2))
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

java_release() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }

# maven runs Maven quietly; Debian's colours its output even where no terminal is.
maven() { mvn -B -q "$@" 2>&1 </dev/null | sed $'s/\e\\[[0-9;]*m//g' >&2; }

# install_packages installs the Debian packages named. Their postinst scripts would start a Redis on its usual port;
# policy-rc.d forbids that for as long as the installation takes.
install_packages() {
  (($#)) || return 0
  command -v apt-get >/dev/null || die "missing: $*; install them, or run on Debian"
  local policy=/usr/sbin/policy-rc.d made=0 rc=0
  if [ ! -e "$policy" ]; then
    made=1
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  say "installing $*"
  { retry as_root apt-get -qq -o Acquire::Retries=3 update &&
    retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
      install --no-install-recommends "$@" >/dev/null; } || rc=$?
  ((made)) && as_root rm -f "$policy"
  ((rc == 0)) || die "installing $* ended with code $rc; install them by hand and run again"
}

# install_missing makes sure of the programs that the services named ("kafka", "redis", "registry") need.
install_missing() {
  local service missing=()
  command -v ps >/dev/null || missing+=(procps)
  for service in "$@"; do
    case $service in
      redis) command -v redis-server >/dev/null && command -v redis-cli >/dev/null || missing+=(redis-server) ;;
      *)
        command -v mvn >/dev/null || missing+=(maven)
        local release=0
        command -v java >/dev/null && release=$(java_release)
        ((${release:-0} >= 17)) || missing+=(default-jre-headless)
        ;;
    esac
  done
  install_packages "${missing[@]}"
}

# alive says whether the process in a pid file runs and is ours: its command line holds the given text, so that a
# stale file never leads to a stranger. A killed process that its parent has not reaped yet is dead.
alive() {
  local pid line
  [ -s "$1" ] || return 1
  pid=$(<"$1")
  line=$(ps -ww -o stat=,args= -p "$pid") || return 1
  [[ $line != Z* && $line == *"$2"* ]]
}

# signal sends a signal to the process in a pid file if it is alive.
signal() {
  ! alive "$2" "$3" || kill "-$1" "$(<"$2")"
}

# end_now kills a process and returns when it is gone.
end_now() {
  signal KILL "$1" "$2"
  for _ in $(seq 100); do
    alive "$1" "$2" || return 0
    sleep 0.1
  done
  die "process $(<"$1") does not end"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# refuse_taken_port stops with a clear word before a server is started on a port that something else holds. The threads
# of a server that was just killed may hold it a moment longer than the process seems to live.
refuse_taken_port() {
  for _ in $(seq 30); do
    listens "$1" || return 0
    sleep 0.1
  done
  die "port $1 is taken by another program; choose another with $2"
}
