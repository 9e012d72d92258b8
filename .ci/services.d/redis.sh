# shellcheck shell=bash
# Redis in three forms at once, from Debian's redis-server:
#
#   single     port
#   Sentinel   master port+1, replicas port+2 and port+3, sentinels port+10 to port+12, master name "onhand"
#   Cluster    port+20 to port+25, three masters and three replicas
#
# The single one writes no file by itself: killed and started it has forgotten all, or all since the last snapshot.
# The others append to a file and come back with what they had.

: "${state:?}"
redis_dir=$state-redis
redis_port=${ONHAND_CI_REDIS_PORT:-22379}
redis_sentinels=(10 11 12)
redis_members=(20 21 22 23 24 25)

redis_fetch() { :; }
redis_cli() { redis-cli -h 127.0.0.1 -p "$1" "${@:2}"; }
redis_answers() { redis_cli "$1" ping 2>/dev/null | grep -q .; }
redis_alive() { alive "$redis_dir/$1/pid" ":$1"; }
redis_is_server() { [[ $1 =~ ^[0-9]+$ && -e $redis_dir/$1/redis.conf ]] || die "no Redis on port ${1:-(none named)}"; }
redis_signal() { redis_is_server "$2" && signal "$1" "$redis_dir/$2/pid" ":$2"; }
redis_end() { redis_is_server "$1" && end_now "$redis_dir/$1/pid" ":$1"; }

redis_ports() {
  local server
  for server in "$redis_dir"/*/redis.conf; do
    [ ! -e "$server" ] || basename "$(dirname "$server")"
  done
}

# redis_configure writes the configuration of a port, once: Redis and Sentinel rewrite theirs after a failover.
redis_configure() {
  local port=$1
  [ ! -e "$redis_dir/$port/redis.conf" ] || return 0
  mkdir -p "$redis_dir/$port"
  printf '%s\n' "port $port" "bind 127.0.0.1" "dir $redis_dir/$port" "daemonize yes" \
    "pidfile $redis_dir/$port/pid" "logfile $redis_dir/$port/log" "${@:2}" >"$redis_dir/$port/redis.conf"
}

redis_start() {
  local port=$1 kind=()
  redis_is_server "$port"
  if redis_alive "$port"; then
    redis_signal CONT "$port"
    return
  fi
  refuse_taken_port "$port" ONHAND_CI_REDIS_PORT
  ! grep -q '^sentinel monitor' "$redis_dir/$port/redis.conf" || kind=(--sentinel)
  redis-server "$redis_dir/$port/redis.conf" "${kind[@]}" >/dev/null
  for _ in $(seq 200); do
    redis_answers "$port" && return
    sleep 0.05
  done
  die "Redis does not answer on port $port; its log ends with: $(tail "$redis_dir/$port/log")"
}

redis_up_single() {
  redis_configure "$redis_port" 'save ""' "maxmemory-policy noeviction"
  redis_start "$redis_port"
}

redis_up_sentinel() {
  local master=$((redis_port + 1)) i port
  redis_configure "$master" 'save ""' "appendonly yes" "maxmemory-policy noeviction"
  redis_start "$master"
  for i in 2 3; do
    port=$((redis_port + i))
    redis_configure "$port" 'save ""' "appendonly yes" "maxmemory-policy noeviction" "replicaof 127.0.0.1 $master"
    redis_start "$port"
  done
  for i in "${redis_sentinels[@]}"; do
    port=$((redis_port + i))
    redis_configure "$port" "sentinel monitor onhand 127.0.0.1 $master 2" \
      "sentinel down-after-milliseconds onhand 1000" "sentinel failover-timeout onhand 5000"
    redis_start "$port"
  done
}

redis_cluster_ready() {
  local i
  for i in "${redis_members[@]}"; do
    redis_cli $((redis_port + i)) cluster info | grep -q cluster_state:ok || return 1
  done
  (($(redis_cli $((redis_port + redis_members[0])) cluster nodes | grep -c slave) == 3))
}

redis_up_cluster() {
  local i port all=()
  for i in "${redis_members[@]}"; do
    port=$((redis_port + i))
    redis_configure "$port" 'save ""' "appendonly yes" "maxmemory-policy noeviction" \
      "cluster-enabled yes" "cluster-config-file nodes.conf" "cluster-node-timeout 2000"
    redis_start "$port"
    all+=("127.0.0.1:$port")
  done
  if redis_cli $((redis_port + redis_members[0])) cluster info | grep -q cluster_known_nodes:1; then
    redis-cli --cluster create "${all[@]}" --cluster-replicas 1 --cluster-yes >"$redis_dir/create.log" 2>&1 ||
      die "making the Redis Cluster: $(tail -5 "$redis_dir/create.log")"
  fi
  for _ in $(seq 150); do
    redis_cluster_ready && return
    sleep 0.2
  done
  die "the Redis Cluster is not ready after 30 s: $(redis_cli $((redis_port + redis_members[0])) cluster nodes)"
}

redis_up() {
  mkdir -p "$redis_dir"
  redis_up_single
  redis_up_sentinel
  redis_up_cluster
}

redis_down() {
  local port
  for port in $(redis_ports); do redis_end "$port"; done
  rm -rf "$redis_dir"
}

# redis_snapshot keeps what the single server holds now.
redis_snapshot() {
  redis_cli "$redis_port" save >/dev/null
  cp "$redis_dir/$redis_port/dump.rdb" "$redis_dir/$redis_port/kept.rdb"
}

# redis_rollback makes the single server forget every write since the snapshot, as a restored backup would.
redis_rollback() {
  local dir=$redis_dir/$redis_port
  [ -e "$dir/kept.rdb" ] || die "nothing to roll back to; take a snapshot first"
  redis_end "$redis_port"
  cp "$dir/kept.rdb" "$dir/dump.rdb"
  redis_start "$redis_port"
}

redis_addresses() {
  local i list=''
  for i in "$@"; do list+=,127.0.0.1:$((redis_port + i)); done
  echo "${list#,}"
}

redis_env() {
  [ -d "$redis_dir" ] || return 0
  echo "ONHAND_TEST_REDIS=redis://127.0.0.1:$redis_port/0"
  echo "ONHAND_TEST_REDIS_CLUSTER=redis+cluster://$(redis_addresses "${redis_members[@]:0:3}")"
  echo "ONHAND_TEST_REDIS_SENTINEL=redis+sentinel://$(redis_addresses "${redis_sentinels[@]}")/onhand"
}

redis_status() {
  local port
  for port in $(redis_ports); do
    if redis_alive "$port"; then
      echo "redis $port: pid $(<"$redis_dir/$port/pid")"
    else
      echo "redis $port: down"
    fi
  done
}

redis_log() {
  redis_is_server "$1"
  cat "$redis_dir/$1/log"
}
