#!/usr/bin/env bash
# kafka-server-start.sh and kafka-server-stop.sh: a broker in the background, and its end by its id.
source "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"

need_java
start=$root/tools/kafka-server-start.sh stop=$root/tools/kafka-server-stop.sh
export OTTLA_BROKER=$build/ottla-broker
id=$((2000000 + $$)) # of nobody else on this machine: what is stopped here is ours

for name in "$start" "$stop"; do
    "$name" --help | grep -q "^usage: ${name##*/} " || fail "$name --help says nothing"
done
! "$start" 2> "$work/said" || fail "starts without a file"
grep -q '^usage: kafka-server-start.sh ' "$work/said" || fail "usage: $(cat "$work/said")"
! "$start" -daemon /no/such/file 2> "$work/said" || fail "starts with a file that is not there"
grep -q '/no/such/file' "$work/said" || fail "does not say why: $(cat "$work/said")"
! "$stop" --node-id $id 2> "$work/said" || fail "stops what does not run"
grep -q '^No kafka server to stop' "$work/said" || fail "stop: $(cat "$work/said")"
! "$stop" --no-such-option 2> "$work/said" || fail "takes any option"

start_zookeeper
start_ottla_controller 101
configure_node named "broker.id=$id" reserved.broker.max.id=9999999 "log.dirs=$work/data-named" offsets.topic.replication.factor=1
LOG_DIR=$work/named/logs "$start" -daemon "$work/named/server.properties" --override num.partitions=3
until grep -q 'started (kafka.server.KafkaServer)' "$work/named/logs/server.log" 2> /dev/null && answers named; do sleep 0.1; done
pgrep -f -- "$work/named/server.properties" > "$work/named/pid" || fail "it does not run"
pid=$(pid_of named)
[[ $pid =~ ^[0-9]+$ ]] || fail "it runs more than once: $pid"
! "$stop" --node-id $((id + 1)) 2> /dev/null || fail "another id stops something"
kill -0 "$pid" || fail "another id has stopped it"
"$stop" --node-id $id || fail "it is not found"
while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done
grep -q 'controlled-shutdown' "$work/named/logs/server.log" || fail "it did not end in order"
rm "$work/named/pid"
say "started and stopped by name"
