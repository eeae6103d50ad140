#!/usr/bin/env bash
# kafka-consumer-groups and `ottla groups`, kafka-console-consumer and `ottla consume`: on an Ottla cluster and on
# an Apache one the same is said and done by either.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper

group_tool() { interop groups-tool --bootstrap-server "$bootstrap" --timeout 60000 "$@"; }
ottla_groups() { ottla groups --bootstrap-server "$bootstrap" "$@" 2> /dev/null; }

# Tables: the same words in the same columns; the lines of a table have no order of their own.
words() { awk 'NF {$1 = $1; print}' | sort; }
four() { xargs -n 4 | sort; } # of a reset: 3.9 forgets the ends of its lines

both() { # what, arguments: neither changes anything
    local what=$1 theirs ours
    shift
    local how=words
    [[ $1 != --reset-offsets ]] || how=four
    theirs=$(group_tool "$@" | $how) || true
    ours=$(ottla_groups "$@" | $how) || true
    [[ -n $theirs ]] || fail "$what: nothing said"
    expect_equal "$cluster: $what, kafka-consumer-groups and ottla groups," "$theirs" "$ours"
    say "$cluster: $what: $(wc -l <<< "$theirs") equal lines"
}

committed() { # group: of partitions 0, 1, 2
    ottla_groups --describe --group "$1" --offsets | awk -v g="$1" '$1 == g {print $3, $4}' | sort -n | cut -d' ' -f2 | xargs
}

until_true() { # what, command…: a member in Java begins slowly on a busy machine
    local until=$((SECONDS + 240)) what=$1
    shift
    until "$@"; do
        [[ $SECONDS -lt $until ]] || fail "$cluster: $what"
        sleep 0.2
    done
}
is_stable() { [[ $(ottla_groups --describe --group "$1" --state | awk -v g="$1" '$1 == g {print $(NF - 1), $NF}') == "Stable $2" ]]; }

try() { # cluster, bootstrap
    cluster=$1 bootstrap=$2
    local topic=lines console=(--bootstrap-server "$bootstrap" --topic lines --group shared --from-beginning)

    create_topic "$bootstrap" $topic 3
    for p in 0 1 2; do seq $((p * 100 + 1)) $((p * 100 + 100)) | kcat -b "$bootstrap" -P -t $topic -p $p; done

    # What one has read and committed the other does not read again.
    apache_tool org.apache.kafka.tools.consumer.ConsoleConsumer "${console[@]}" --max-messages 300 2> /dev/null | sort -n > "$work/one"
    cmp "$work/one" <(seq 300) || fail "$cluster: the console consumer's records"
    seq 301 330 | kcat -b "$bootstrap" -P -t $topic -p 1
    timeout 120 "$build/ottla" consume "${console[@]}" --max-messages 30 2> /dev/null | sort -n > "$work/two"
    cmp "$work/two" <(seq 301 330) || fail "$cluster: what ottla consume read after it"
    both "list" --list
    both "list with states" --list --state
    both "describe an empty group" --describe --group shared
    both "state of an empty group" --describe --group shared --state
    expect_equal "$cluster: offsets" "100 130 100" "$(committed shared)"

    # Both in one group, at once.
    java_prefix="exec timeout -k 5 500" apache_tool org.apache.kafka.tools.consumer.ConsoleConsumer "${console[@]}" \
        > "$work/theirs" 2> /dev/null &
    local java=$!
    timeout -k 5 500 "$build/ottla" consume "${console[@]}" > "$work/ours" 2> "$work/ours.err" &
    local own=$!
    until_true "two members" is_stable shared 2
    both "describe members" --describe --group shared --members --verbose
    both "describe a group at work" --describe --group shared
    both "describe its state" --describe --group shared --state
    for p in 0 1 2; do seq $((p * 100 + 1001)) $((p * 100 + 1100)) | kcat -b "$bootstrap" -P -t $topic -p $p; done
    all_read() { [[ $(cat "$work/theirs" "$work/ours" | sort -u | wc -l) -ge 300 ]]; }
    until_true "two members read all" all_read
    cmp <(cat "$work/theirs" "$work/ours" | sort -n) <(seq 1001 1300) || fail "$cluster: two members read something else"
    [[ -s $work/theirs && -s $work/ours ]] || fail "$cluster: one member has read all"
    kill -TERM $java $own
    wait $own || fail "$cluster: ottla consume: exit code $?"
    wait $java || true
    is_empty() { ottla_groups --describe --group shared --state | grep -q ' Empty '; }
    until_true "they leave" is_empty
    expect_equal "$cluster: offsets when both have left" "200 230 200" "$(committed shared)"

    # Resets: what would be done is printed alike, what either does the other sees.
    local spec
    for spec in --to-earliest --to-latest "--to-offset 50" "--shift-by -30" "--shift-by 1000" --to-current; do
        # shellcheck disable=SC2086
        both "reset-offsets $spec" --reset-offsets --group shared --topic lines $spec --dry-run
    done
    both "reset-offsets of partitions" --reset-offsets --group shared --topic lines:0,2 --to-offset 5 --dry-run
    group_tool --reset-offsets --group shared --topic lines:0 --to-offset 11 --execute > /dev/null
    ottla_groups --reset-offsets --group shared --topic lines:1 --to-offset 22 --execute > /dev/null
    expect_equal "$cluster: offsets after resets" "11 22 200" "$(committed shared)"
    both "describe after resets" --describe --group shared

    # Deletions.
    ottla_groups --reset-offsets --group other --topic lines --to-latest --execute > /dev/null || fail "$cluster: ottla groups resets three partitions"
    group_tool --delete-offsets --group shared --topic lines:0 > /dev/null
    ottla_groups --delete-offsets --group shared --topic lines:1 > /dev/null
    expect_equal "$cluster: offsets after deletions" "200" "$(committed shared)"
    group_tool --delete --group shared > /dev/null
    ottla_groups --delete --group other > /dev/null
    [[ -z $(ottla_groups --list | awk '$1 == "shared" || $1 == "other"') ]] || fail "$cluster: deleted groups are listed"
    say "$cluster: resets and deletions"

    # What all of that has left in the log.
    logs=$(find "$work"/data-* -path '*/__consumer_offsets-*' -name '*.log' -size +0 | sort | paste -sd,)
    expect_equal "$cluster: dump-log --offsets-decoder" \
        "$(apache_tool kafka.tools.DumpLogSegments --offsets-decoder --files "$logs" 2> /dev/null)" \
        "$(ottla dump-log --offsets-decoder --files "$logs" 2> /dev/null)"
    say "$cluster: $(ottla dump-log --offsets-decoder --files "$logs" 2> /dev/null | grep -c '^| ') records of groups are told alike"
}

start_ottla_controller 101
start_ottla 1
start_ottla 2
try ottla "$(address_of ottla-1),$(address_of ottla-2)"
for name in ottla-1 ottla-2 ottla-controller-101; do stop_node $name; done

"$root/tests/cluster/zookeeper.sh" down "$work/zookeeper"
rm -rf "$work/zookeeper"
start_zookeeper
start_apache 3
try apache "$(address_of apache-3)"
