#!/usr/bin/env bash
# Java's producer as it is by default (idempotent, five requests in flight) through what makes it send again: brokers
# that die with answers unsent, that fall silent until their connections are dropped and then execute what was sent
# on these, that end in order, and leaders that move. Each record is there once, in order, and none is missing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rounds=${OTTLA_IDEMPOTENCE_ROUNDS:-1}

need_kafka
start_zookeeper
start_ottla_controller 101
for id in 1 2 3; do start_ottla "$id" log.segment.bytes=1048576; done
bootstrap=$(address_of ottla-1),$(address_of ottla-2),$(address_of ottla-3)
create_topic "$bootstrap" storm 6 --replication-factor 3 --config min.insync.replicas=2

await_in_sync() {
    local what=''
    until what=$(ottla topics --bootstrap-server "$bootstrap" --describe --under-replicated-partitions 2> /dev/null) && [[ -z $what ]]; do
        sleep 0.2
    done
}
leaders_move() {
    ottla elect-leaders --bootstrap-server "$bootstrap" --election-type preferred --all-topic-partitions > /dev/null || true
}

await_in_sync
interop storm "$bootstrap" storm "$work/enough" > "$work/sent" &
storm=$!
sleep 1
for round in $(seq "$rounds"); do
    for id in 1 2 3; do
        stop_node "ottla-$id" KILL
        sleep 1
        start_ottla "$id"
        await_in_sync
        leaders_move
        if [[ $id == 2 || $rounds -gt 1 ]]; then
            # Longer than its clients wait for an answer, and than the controller believes in it.
            kill -STOP "$(pid_of "ottla-$id")"
            sleep 4
            kill -CONT "$(pid_of "ottla-$id")"
            await_in_sync
            leaders_move
        fi
        stop_node "ottla-$id"
        start_ottla "$id"
        await_in_sync
        leaders_move
    done
    say "round $round: brokers killed, paused, stopped"
done
touch "$work/enough"
wait "$storm" || fail "the producer failed"
sent=$(cat "$work/sent")
[[ $sent -gt 3000 ]] || fail "only $sent records sent: nothing tested"
read=$(interop read "$bootstrap" storm)
echo "$read"
[[ $(awk '{n += $3} END {print n}' <<< "$read") == "$sent" ]] || fail "sent $sent records"
say "$sent records, each once and in order"
