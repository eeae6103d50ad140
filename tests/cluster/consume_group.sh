#!/usr/bin/env bash
# tests/cluster/consume_group.sh - `ottla consume --group`: two members and a third share a topic, one leaves, one
# is killed, and what was committed is not read again.
#
#   consume_group.sh BOOTSTRAP FOLDER          test_groups calls it, with a cluster that stands
set -euo pipefail

bootstrap=$1 work=$2/consume-group
ottla=${OTTLA_BUILD:-.}/ottla
mkdir -p "$work"
pids=()
session_ms=20000 # far more than a loaded machine holds a member up: who is expelled reads twice
trap 'kill -9 "${pids[@]}" 2> /dev/null || true' EXIT

fail() {
    echo "FAILED: $*" >&2
    tail -n 5 "$work"/*.err >&2 || true
    "$ottla" groups --bootstrap-server "$bootstrap" --describe --group shared --members --verbose >&2 || true
    exit 1
}
until_true() { # seconds, what, command…
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [[ $SECONDS -lt $until ]] || fail "$what"
        sleep 0.1
    done
}
read_by() { cat "$work/$1".out 2> /dev/null | wc -l; }
member() { # name, options…: runs in the background
    local name=$1
    shift
    "$ottla" consume --bootstrap-server "$bootstrap" --topic shared --group shared --from-beginning \
        --consumer-property heartbeat.interval.ms=200 --consumer-property session.timeout.ms="$session_ms" "$@" \
        > "$work/$name.out" 2> "$work/$name.err" &
    pids+=($!)
    last=$!
}
send() { # first, last: one to each partition in turn, so that every member has some
    local p
    for p in 0 1 2 3 4 5; do
        seq $(($1 + p)) 6 "$2" | kcat -b "$bootstrap" -P -t shared -p $p
    done
}
all_of() { [[ $(cat "$work"/*.out | sort -un | wc -l) -ge $1 ]]; }
members_are() {
    [[ $("$ottla" groups --bootstrap-server "$bootstrap" --describe --group shared --state 2> /dev/null |
        awk '$1 == "shared" {print $(NF - 1), $NF}') == "Stable $1" ]]
}
each_once() { # so far nobody crashed
    [[ $(cat "$work"/*.out | sort -n | uniq -d | wc -l) == 0 ]] || fail "read twice: $(cat "$work"/*.out | sort -n | uniq -d | head -n 3 | xargs)"
}

"$ottla" topics --bootstrap-server "$bootstrap" --create --topic shared --partitions 6 > /dev/null
send 1 600
member a
a=$last
until_true 90 "one member reads all" all_of 600
member b
until_true 90 "a second member" members_are 2
send 601 1200
until_true 90 "two members read all" all_of 1200
[[ $(read_by b) -gt 0 ]] || fail "the second member read nothing"
each_once

kill -TERM "$a"
wait "$a" || fail "a member that was asked to end: exit code $?"
until_true 90 "the other has everything" members_are 1
send 1201 1500
until_true 90 "the other reads all" all_of 1500
each_once

# Another strategy is agreed upon by vote: range is what both have.
session_ms=3000
member c --consumer-property partition.assignment.strategy=roundrobin,range
c=$last
until_true 90 "a member with two strategies" members_are 2
kill -9 "$c"
send 1501 1800
until_true 90 "the session of a killed member ends" all_of 1800

# A member that is told how many records to read stops there, and the next goes on after it.
kill -TERM "${pids[1]}"
wait "${pids[1]}" || fail "the second member: exit code $?"
send 1801 1860
timeout 120 "$ottla" consume --bootstrap-server "$bootstrap" --topic shared --group shared --max-messages 20 \
    > "$work/d.out" 2> "$work/d.err" || fail "exit code of --max-messages"
timeout 120 "$ottla" consume --bootstrap-server "$bootstrap" --topic shared --group shared --max-messages 40 \
    --consumer-property group.instance.id=i --timeout-ms 60000 > "$work/e.out" 2> "$work/e.err" || fail "a static member"
cmp <(cat "$work"/[de].out | sort -n) <(seq 1801 1860) || fail "what two members read one after the other"

# What cannot be is said.
for wrong in "--partition 0" "--consumer-property group.id=other" "--consumer-property partition.assignment.strategy=sticky"; do
    # shellcheck disable=SC2086
    "$ottla" consume --bootstrap-server "$bootstrap" --topic shared --group shared $wrong > /dev/null 2> "$work/wrong.err" &&
        fail "$wrong was taken"
    [[ -s $work/wrong.err ]] || fail "$wrong: nothing was said"
done
[[ $(sort -un "$work"/*.out | wc -l) == 1860 ]] || fail "not all was read"
