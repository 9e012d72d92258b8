# shellcheck shell=bash
# Apache Kafka in KRaft mode, 1 or 3 nodes, each broker and controller at once, from its Maven Central jars.
#
# Node i listens on port + 100·(i−1): plaintext, on the next port SASL/SCRAM-SHA-512, on the one after as controller.
# The ACL authorizer is on. Whoever comes by the plaintext listener may do everything, and so may the SCRAM user
# admin (admin-secret); the SCRAM user onhand (onhand-secret) may do what ACLs grant, at first nothing.

: "${here:?}" "${state:?}" "${maven_dependency:?}"
kafka_dir=$state-kafka
kafka_port=${ONHAND_CI_KAFKA_PORT:-29092}
kafka_heap=${ONHAND_CI_KAFKA_HEAP:-512m}
kafka_pom=$here/services.d/pom.xml
kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$kafka_pom")
kafka_lib=$state-lib/kafka-$kafka_version

kafka_fetch() {
  [ -e "$kafka_lib/.done" ] && return
  say "fetching Apache Kafka $kafka_version"
  mkdir -p "$kafka_lib"
  cp "$kafka_pom" "$kafka_lib/pom.xml"
  retry maven -f "$kafka_lib/pom.xml" "$maven_dependency:copy-dependencies" \
    -DincludeScope=runtime "-DoutputDirectory=$kafka_lib" ||
    die "Maven could not fetch Apache Kafka $kafka_version; is Maven Central reachable?"
  touch "$kafka_lib/.done"
}

kafka_nodes() { cat "$kafka_dir/nodes" 2>/dev/null || echo 0; }
kafka_node_port() { echo $((kafka_port + 100 * ($1 - 1))); }
kafka_is_node() { [[ $1 =~ ^[1-3]$ && $1 -le $(kafka_nodes) ]] || die "no Kafka node ${1:-(none named)}"; }
kafka_alive() { alive "$kafka_dir/$1/pid" "$kafka_dir/$1/server.properties"; }
kafka_signal() { kafka_is_node "$2" && signal "$1" "$kafka_dir/$2/pid" "$kafka_dir/$2/server.properties"; }
kafka_end() { kafka_is_node "$1" && end_now "$kafka_dir/$1/pid" "$kafka_dir/$1/server.properties"; }

# kafka_addresses lists the listeners at the given offset from each node's first port.
kafka_addresses() {
  local i list=''
  for i in $(seq "$(kafka_nodes)"); do list+=,127.0.0.1:$(($(kafka_node_port "$i") + $1)); done
  echo "${list#,}"
}

# kafka_id makes an id as Kafka writes them: 16 random bytes in URL-safe base64, not starting with a dash.
kafka_id() {
  local id=-
  while [[ $id == -* ]]; do id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  echo "$id"
}

# kafka_properties prints the configuration of node $1; $2 is the controller quorum, $3 the replication factor and
# $4 the number of replicas that must have a record. Times are cut so that tests need not wait for them.
kafka_properties() {
  local base
  base=$(kafka_node_port "$1")
  cat <<P
process.roles=broker,controller
node.id=$1
listeners=PLAIN://127.0.0.1:$base,SCRAM://127.0.0.1:$((base + 1)),CTRL://127.0.0.1:$((base + 2))
advertised.listeners=PLAIN://127.0.0.1:$base,SCRAM://127.0.0.1:$((base + 1)),CTRL://127.0.0.1:$((base + 2))
listener.security.protocol.map=PLAIN:PLAINTEXT,SCRAM:SASL_PLAINTEXT,CTRL:PLAINTEXT
inter.broker.listener.name=PLAIN
controller.listener.names=CTRL
controller.quorum.bootstrap.servers=$2
log.dirs=$kafka_dir/$1/data
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
auto.create.topics.enable=false
default.replication.factor=$3
min.insync.replicas=$4
unclean.leader.election.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$3
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$3
transaction.state.log.min.isr=$4
share.coordinator.state.topic.replication.factor=$3
share.coordinator.state.topic.min.isr=$4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.backoff.ms=500
P
}

# kafka_format writes configuration and empty storage for $1 nodes.
kafka_format() {
  local nodes=$1 i cluster quorum='' voters='' factor=1 in_sync=1 how=(--standalone)
  ((nodes == 1)) || factor=3 in_sync=2
  cluster=$(kafka_id)
  for i in $(seq "$nodes"); do
    quorum+=,127.0.0.1:$(($(kafka_node_port "$i") + 2))
    voters+=,$i@127.0.0.1:$(($(kafka_node_port "$i") + 2)):$(kafka_id)
  done
  ((nodes == 1)) || how=(--initial-controllers "${voters#,}")
  for i in $(seq "$nodes"); do
    mkdir -p "$kafka_dir/$i"
    kafka_properties "$i" "${quorum#,}" "$factor" "$in_sync" >"$kafka_dir/$i/server.properties"
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
      -cp "$kafka_lib/*" kafka.tools.StorageTool format --cluster-id "$cluster" "${how[@]}" \
      --config "$kafka_dir/$i/server.properties" \
      --add-scram 'SCRAM-SHA-512=[name=admin,password=admin-secret]' \
      --add-scram 'SCRAM-SHA-512=[name=onhand,password=onhand-secret]' >"$kafka_dir/$i/format.log" 2>&1 ||
      die "formatting the storage of Kafka node $i: $(tail -5 "$kafka_dir/$i/format.log")"
  done
  echo "$nodes" >"$kafka_dir/nodes"
}

kafka_launch() {
  kafka_is_node "$1"
  if kafka_alive "$1"; then
    kafka_signal CONT "$1"
    return
  fi
  refuse_taken_port "$(kafka_node_port "$1")" ONHAND_CI_KAFKA_PORT
  setsid java "-Xms$kafka_heap" "-Xmx$kafka_heap" -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$kafka_lib/*" kafka.Kafka "$kafka_dir/$1/server.properties" \
    >>"$kafka_dir/$1/log" 2>&1 </dev/null &
  echo $! >"$kafka_dir/$1/pid"
}

kafka_await() {
  for _ in $(seq 300); do
    listens "$(kafka_node_port "$1")" && return
    kafka_alive "$1" || die "Kafka node $1 ended; its log ends with: $(tail -20 "$kafka_dir/$1/log")"
    sleep 0.2
  done
  die "Kafka node $1 did not listen within 60 s; its log: $kafka_dir/$1/log"
}

kafka_start() {
  kafka_launch "$1"
  kafka_await "$1"
}

kafka_up() {
  local nodes=${ONHAND_CI_KAFKA_NODES:-1} i
  [[ $nodes == [13] ]] || die "ONHAND_CI_KAFKA_NODES is $nodes; choose 1 or 3"
  kafka_fetch
  if [ "$(kafka_nodes)" != "$nodes" ]; then
    kafka_down
    kafka_format "$nodes"
  fi
  for i in $(seq "$nodes"); do kafka_launch "$i"; done
  for i in $(seq "$nodes"); do kafka_await "$i"; done
}

kafka_down() {
  local i
  for i in $(seq "$(kafka_nodes)"); do kafka_end "$i"; done
  rm -rf "$kafka_dir"
}

kafka_env() {
  (($(kafka_nodes))) || return 0
  echo "ONHAND_TEST_BROKERS=$(kafka_addresses 0)"
  echo "ONHAND_TEST_BROKERS_SCRAM=$(kafka_addresses 1)"
}

kafka_status() {
  local i
  for i in $(seq "$(kafka_nodes)"); do
    if kafka_alive "$i"; then
      echo "kafka $i: pid $(<"$kafka_dir/$i/pid"), port $(kafka_node_port "$i")"
    else
      echo "kafka $i: down"
    fi
  done
}

kafka_log() {
  kafka_is_node "$1"
  cat "$kafka_dir/$1/log"
}
