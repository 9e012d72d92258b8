# shellcheck shell=bash
# The Apicurio schema registry with Confluent's API, version 7, from Maven Central; 142 MB at the first start.
#
# Unlike Confluent's: the global compatibility is NONE until it is set (there BACKWARD), asking for a subject's
# compatibility that was never set answers the global one (there 404), and /mode is not known (404).

: "${state:?}" "${maven_dependency:?}"
registry_dir=$state-registry
registry_port=${ONHAND_CI_REGISTRY_PORT:-28081}
registry_heap=${ONHAND_CI_REGISTRY_HEAP:-256m}
registry_version=2.6.13.Final
registry_lib=$state-lib/apicurio-$registry_version
registry_url=http://127.0.0.1:$registry_port/apis/ccompat/v7

registry_fetch() {
  [ -e "$registry_lib/.done" ] && return
  say "fetching Apicurio registry $registry_version"
  mkdir -p "$registry_lib"
  local archive=$registry_lib/apicurio-registry-app-$registry_version-all.tar.gz
  (cd "$registry_lib" && retry maven "$maven_dependency:copy" "-DoutputDirectory=$registry_lib" \
    "-Dartifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all") ||
    die "Maven could not fetch Apicurio registry $registry_version; is Maven Central reachable?"
  tar xzf "$archive" -C "$registry_lib"
  rm "$archive"
  touch "$registry_lib/.done"
}

registry_alive() { alive "$registry_dir/pid" "$registry_dir/h2"; }
registry_signal() { signal "$1" "$registry_dir/pid" "$registry_dir/h2"; }
registry_end() { end_now "$registry_dir/pid" "$registry_dir/h2"; }

registry_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$registry_port" &&
    printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 &&
    head -1 <&3 | grep -q ' 200') 2>/dev/null
}

registry_start() {
  if registry_alive; then
    registry_signal CONT
  else
    refuse_taken_port "$registry_port" ONHAND_CI_REGISTRY_PORT
    setsid java -Xms64m "-Xmx$registry_heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dquarkus.log.level=WARN \
      "-Dquarkus.http.port=$registry_port" -Dquarkus.http.host=127.0.0.1 \
      "-Dquarkus.datasource.jdbc.url=jdbc:h2:file:$registry_dir/h2/registry;WRITE_DELAY=0" \
      -jar "$registry_lib/apicurio-registry-app-$registry_version-runner.jar" \
      >>"$registry_dir/log" 2>&1 </dev/null &
    echo $! >"$registry_dir/pid"
  fi
  for _ in $(seq 300); do
    registry_answers && return
    registry_alive || die "the registry ended; its log ends with: $(tail -20 "$registry_dir/log")"
    sleep 0.2
  done
  die "the registry did not answer within 60 s; its log: $registry_dir/log"
}

registry_up() {
  registry_fetch
  mkdir -p "$registry_dir"
  registry_start
}

registry_down() {
  registry_end
  rm -rf "$registry_dir"
}

registry_env() { [ ! -d "$registry_dir" ] || echo "ONHAND_TEST_REGISTRY=$registry_url"; }

registry_status() {
  [ -d "$registry_dir" ] || return 0
  if registry_alive; then
    echo "registry: pid $(<"$registry_dir/pid"), port $registry_port"
  else
    echo "registry: down"
  fi
}

registry_log() { cat "$registry_dir/log"; }
