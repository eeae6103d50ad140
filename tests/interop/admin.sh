# tests/interop/admin.sh - an Ottla cluster that Apache Kafka's tools change, and what the tests of these tools say again
# and again. Sourced after lib.sh.

need_kafka
start_zookeeper
# It would make the preferred replica lead before this asks for it.
start_ottla_controller 101 auto.leader.rebalance.enable=false
start_ottla 1 "log.dirs=$work/data-1,$work/data-1b"
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)
server=(--bootstrap-server "$bootstrap")

tool() { kafka_tool "org.apache.kafka.tools.$1" "${server[@]}" "${@:2}"; } # the last part of its name, arguments…
configs() { kafka_tool kafka.admin.ConfigCommand "${server[@]}" "$@"; }
reassign() { tool reassign.ReassignPartitionsCommand "$@"; }
groups() { tool consumer.group.ConsumerGroupCommand "$@"; }
elect() { tool LeaderElectionCommand --election-type preferred --topic moved --partition 0; }

says() { # what, words, output
    grep -qF -- "$2" <<< "$3" || fail "$1: wanted \"$2\", seen: $3"
}
soon_says() { # what, words, command…: a broker hears of a change a moment after it is answered
    local what=$1 words=$2 seen='' until=$((SECONDS + 60))
    shift 2
    while [[ $SECONDS -lt $until ]]; do
        seen=$("$@")
        ! grep -qF -- "$words" <<< "$seen" || return 0
        sleep 0.1
    done
    fail "$what: wanted \"$words\", seen: $seen"
}

soon_equal() { # what, two commands: soon both print the same
    local until=$((SECONDS + 60))
    while [[ $("$2") != "$("$3")" && $SECONDS -lt $until ]]; do sleep 0.1; done
    expect_equal "$1" "$("$2")" "$("$3")"
}

describe() { ottla topics "${server[@]}" --describe --topic "$1"; }
leader_of() { describe moved | sed -n "s/.*Partition: $1\tLeader: \([0-9]*\).*/\1/p"; }

# Topic "moved": two partitions on both brokers, 100 records on them.
make_moved() {
    ottla topics "${server[@]}" --create --topic moved --replica-assignment 1:2,1:2 > /dev/null
    await_topic "$bootstrap" moved 2
    seq 100 | sed 's/.*/&=line/' | ottla produce "${server[@]}" --topic moved --request-required-acks -1 \
        --property parse.key=true --property key.separator== # to both partitions
}

dirs() { # of either tool's JSON: a line per replica
    tail -n 1 | "${PYTHON:-python3}" -c 'import json, sys
for b in json.load(sys.stdin)["brokers"]:
    for d in b["logDirs"]:
        for p in d["partitions"]: print(b["broker"], d["logDir"], d["error"], *(p[k] for k in ("partition", "size", "offsetLag", "isFuture")))' | sort
}
same_dirs() { # topic: both tools tell the same of it
    local theirs
    theirs=$(tool LogDirsCommand --describe --topic-list "$1" | dirs)
    [[ $(wc -l <<< "$theirs") == 4 ]] || fail "kafka-log-dirs: $theirs"
    expect_equal "kafka-log-dirs and ottla log-dirs" "$theirs" "$(ottla log-dirs "${server[@]}" --describe --topic-list "$1" | dirs)"
}

await_moves() { # file: prints what --verify says at last
    local verified='' until=$((SECONDS + 120))
    while [[ $SECONDS -lt $until ]]; do
        verified=$(reassign --verify --reassignment-json-file "$1")
        grep -q 'in progress' <<< "$verified" || break
        sleep 0.1
    done
    echo "$verified"
}

# Topic "moved" again: one order of replicas changes, the other partition loses one.
reassign_moved() { # options of --execute…
    echo '{"version":1,"topics":[{"topic":"moved"}]}' > "$work/move.json"
    says "--generate" '"topic":"moved","partition":1,"replicas":[' "$(reassign --generate --topics-to-move-json-file "$work/move.json" --broker-list 1,2)"
    echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,1]},{"topic":"moved","partition":1,"replicas":[1]}]}' > "$work/plan.json"
    says "--execute" "Successfully started partition reassignments for moved-0,moved-1" \
        "$(reassign --execute "$@" --reassignment-json-file "$work/plan.json")"
    local verified
    verified=$(await_moves "$work/plan.json")
    says "--verify" "Reassignment of partition moved-0 is completed." "$verified"
    says "--verify" "Reassignment of partition moved-1 is completed." "$verified"
    says "--list" "No partition reassignments found." "$(reassign --list)"
    soon_says "replicas" $'Partition: 1\tLeader: 1\tReplicas: 1\tIsr: 1' describe moved
}

# After it: the preferred replica of moved-0 does not lead, by kafka-leader-election it does.
elect_moved() {
    [[ $(leader_of 0) == 1 ]] || fail "a new order of replicas moved the leader: $(leader_of 0)"
    says "election" "Successfully completed leader election (PREFERRED) for partitions moved-0" "$(elect)"
    soon_says "the preferred replica leads" 2 leader_of 0
    says "election, once more" "Valid replica already elected for partitions moved-0" "$(elect)"
}
