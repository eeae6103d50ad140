#!/usr/bin/env bash
# A replica moves between log directories; its broker is killed on the way, and an Apache broker goes on with the move.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
lines=("log.dirs=$work/data-1,$work/data-1b" zookeeper.session.timeout.ms=10000)
start_ottla_controller 101
start_ottla 1 "${lines[@]}"
server=(--bootstrap-server "$(address_of ottla-1)")

other_dir_of() { [[ -d $work/data-1/$1-0 ]] && echo "$work/data-1b" || echo "$work/data-1"; } # topic
begin_move() { # topic
    printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"replicas":[1],"log_dirs":["%s"]}]}' \
        "$1" "$(other_dir_of "$1")" > "$work/moves.json"
    ottla reassign "${server[@]}" --execute --reassignment-json-file "$work/moves.json" > "$work/said"
    grep -q 'Successfully started moving log directory' "$work/said" || fail "$(cat "$work/said")"
}
digest() { # bootstrap, topic
    ottla consume --bootstrap-server "$1" --topic "$2" --partition 0 --offset earliest --max-messages 1000 2> /dev/null | md5sum
}

for topic in moved moving; do
    ottla topics "${server[@]}" --create --topic $topic --replica-assignment 1 --config segment.bytes=1048576 > /dev/null
    await_topic "$(address_of ottla-1)" $topic 1
    head -c 3000000 /dev/urandom | base64 -w 2000 | ottla produce "${server[@]}" --topic $topic --request-required-acks -1
done
to=$(other_dir_of moved)
begin_move moved
until [[ -d $to/moved-0 ]]; do sleep 0.1; done
to=$(other_dir_of moving)
# The move must not have ended before the broker has heard of its limit.
throttle=replica.alter.log.dirs.io.max.bytes.per.second
ottla configs "${server[@]}" --alter --broker 1 --add-config $throttle=10000 > /dev/null
until ottla configs "${server[@]}" --describe --broker 1 | grep -q "^  $throttle=10000 "; do sleep 0.1; done
begin_move moving
moved=$(digest "$(address_of ottla-1)" moved)
moving=$(digest "$(address_of ottla-1)" moving)
stop_node ottla-1 KILL
stop_node ottla-controller-101
[[ $(find "$to" -maxdepth 1 -name 'moving-0.*-future' | wc -l) == 1 && ! -d $to/moving-0 ]] || fail "$(ls "$to")"
await_expiry

start_apache 1 "${lines[@]}"
apache=$(address_of apache-1)
apache_tool kafka.admin.ConfigCommand --bootstrap-server "$apache" --alter --entity-type brokers --entity-name 1 \
    --delete-config $throttle > /dev/null
until [[ -d $to/moving-0 ]]; do sleep 0.1; done
expect_equal "what had moved" "$moved" "$(digest "$apache" moved)"
expect_equal "what Apache has moved" "$moving" "$(digest "$apache" moving)"
say "Apache went on with the move"
