#!/usr/bin/env bash
# The tools and clients of Apache Kafka 4.x, which no longer know clusters on ZooKeeper, on an Ottla cluster: what they
# ask is served, what they do is done, and `ottla` says the same.
kafka_release=4
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
# It would make the preferred replica lead before this asks for it.
start_ottla_controller 101 auto.leader.rebalance.enable=false
start_ottla 1 "log.dirs=$work/data-1,$work/data-1b"
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)
server=(--bootstrap-server "$bootstrap")

tool() { interop tool "org.apache.kafka.tools.$1" "${server[@]}" "${@:2}" | sed '/^$/d'; } # class, arguments without blanks in them
configs() { interop tool kafka.admin.ConfigCommand "${server[@]}" "$@" | sed '/^$/d'; }
topics() { tool TopicCommand "$@"; }
reassign() { tool reassign.ReassignPartitionsCommand "$@"; }
groups() { tool consumer.group.ConsumerGroupCommand "$@"; }

says() { # what, words, output
    grep -qF -- "$2" <<< "$3" || fail "$1: wanted \"$2\", seen: $3"
}
soon_says() { # what, words, command…: a broker hears of a change a moment after it is answered
    local what=$1 words=$2 seen=
    shift 2
    for _ in $(seq 200); do
        seen=$("$@")
        ! grep -qF -- "$words" <<< "$seen" || return 0
        sleep 0.1
    done
    fail "$what: wanted \"$words\", seen: $seen"
}
leader_of() { ottla topics "${server[@]}" --describe --topic moved | sed -n "s/.*Partition: $1\tLeader: \([0-9]*\).*/\1/p"; }

# ---- the clients: a producer (idempotent, as it is by default), consumers, Admin
interop data "$bootstrap"
interop admin "$bootstrap"
say "clients"

# ---- kafka-topics
says "--create" "Created topic lines." "$(topics --create --topic lines --partitions 3 --replication-factor 2 --config segment.bytes=1048576)"
says "--create, again" "already exists" "$(topics --create --topic lines --partitions 3)"
topics --alter --topic lines --partitions 4
expect_equal "kafka-topics --describe and ottla topics --describe" "$(topics --describe --topic lines)" \
    "$(ottla topics "${server[@]}" --describe --topic lines)"
expect_equal "kafka-topics --describe, all of them piece by piece," "$(topics --describe --partition-size-limit-per-response 2 | sort)" \
    "$(ottla topics "${server[@]}" --describe | sort)"
expect_equal "kafka-topics --list and ottla topics --list" "$(topics --list)" "$(ottla topics "${server[@]}" --list)"
expect_equal "kafka-topics --describe, under-replicated," "" "$(topics --describe --under-replicated-partitions)"
says "--delete" "lines" "$(topics --list)"
topics --delete --topic lines
is_gone() { ! ottla topics "${server[@]}" --list | grep -qx lines; }
for _ in $(seq 300); do ! is_gone || break; sleep 0.1; done
is_gone || fail "kafka-topics --delete"
say "kafka-topics"

# ---- kafka-get-offsets, kafka-log-dirs
ottla topics "${server[@]}" --create --topic moved --replica-assignment 1:2,1:2 > /dev/null
seq 100 | sed 's/.*/&=line/' | ottla produce "${server[@]}" --topic moved --request-required-acks -1 \
    --property parse.key=true --property key.separator== # to both partitions
for time in latest earliest max-timestamp -1 -2; do
    expect_equal "kafka-get-offsets --time $time" "$(tool GetOffsetShell --topic moved --time $time)" \
        "$(ottla get-offsets "${server[@]}" --topic moved --time $time)"
done
dirs() { # of either tool's JSON: a line per replica
    tail -n 1 | "${PYTHON:-python3}" -c 'import json, sys
for b in json.load(sys.stdin)["brokers"]:
    for d in b["logDirs"]:
        for p in d["partitions"]: print(b["broker"], d["logDir"], d["error"], *(p[k] for k in ("partition", "size", "offsetLag", "isFuture")))' | sort
}
theirs=$(tool LogDirsCommand --describe --topic-list moved | dirs)
[[ $(wc -l <<< "$theirs") == 4 ]] || fail "kafka-log-dirs: $theirs"
expect_equal "kafka-log-dirs and ottla log-dirs" "$theirs" "$(ottla log-dirs "${server[@]}" --describe --topic-list moved | dirs)"
say "kafka-get-offsets, kafka-log-dirs"

# ---- kafka-reassign-partitions: only the order changes, a replica goes, one changes its directory
await_moves() { # file
    local verified
    for _ in $(seq 300); do
        verified=$(reassign --verify --reassignment-json-file "$1")
        grep -q 'in progress' <<< "$verified" || break
        sleep 0.1
    done
    echo "$verified"
}
echo '{"version":1,"topics":[{"topic":"moved"}]}' > "$work/move.json"
says "--generate" '"topic":"moved","partition":1,"replicas":[' "$(reassign --generate --topics-to-move-json-file "$work/move.json" --broker-list 1,2)"
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,1]},{"topic":"moved","partition":1,"replicas":[1]}]}' > "$work/plan.json"
says "--execute" "Successfully started partition reassignments for moved-0,moved-1" \
    "$(reassign --execute --throttle 50000000 --reassignment-json-file "$work/plan.json")"
verified=$(await_moves "$work/plan.json")
says "--verify" "Reassignment of partition moved-0 is completed." "$verified"
says "--verify" "Reassignment of partition moved-1 is completed." "$verified"
says "--list" "No partition reassignments found." "$(reassign --list)"
says "replicas" $'Partition: 1\tLeader: 1\tReplicas: 1\tIsr: 1' "$(ottla topics "${server[@]}" --describe --topic moved)"
throttles() { configs --describe --broker 1 | grep -c throttled || true; }
soon_says "no throttle is left" 0 throttles
to=$work/data-1b from=$work/data-1
[[ -d $from/moved-1 ]] || { to=$work/data-1 from=$work/data-1b; }
printf '{"version":1,"partitions":[{"topic":"moved","partition":1,"replicas":[1],"log_dirs":["%s"]}]}' "$to" > "$work/dirs.json"
says "--execute" "Successfully started moving log directory to $to for replica moved-1 with broker 1" \
    "$(reassign --execute --reassignment-json-file "$work/dirs.json")"
says "--verify" "Reassignment of replica moved-1-1 completed successfully." "$(await_moves "$work/dirs.json")"
[[ -d $to/moved-1 && ! -d $from/moved-1 ]] || fail "$(ls -d "$work"/data-1*/moved*)"
say "kafka-reassign-partitions"

# ---- kafka-leader-election
[[ $(leader_of 0) == 1 ]] || fail "a new order of replicas moved the leader: $(leader_of 0)"
elect() { tool LeaderElectionCommand --election-type preferred --topic moved --partition 0; }
says "election" "Successfully completed leader election (PREFERRED) for partitions moved-0" "$(elect)"
[[ $(leader_of 0) == 2 ]] || fail "the preferred replica does not lead: $(leader_of 0)"
says "election, once more" "Valid replica already elected for partitions moved-0" "$(elect)"
say "kafka-leader-election"

# ---- kafka-delete-records
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"offset":5}]}' > "$work/delete.json"
says "delete-records" $'partition: moved-0\tlow_watermark: 5' "$(tool DeleteRecordsCommand --offset-json-file "$work/delete.json")"
says "delete-records" "moved:0:5" "$(tool GetOffsetShell --topic moved --time earliest)"
say "kafka-delete-records"

# ---- kafka-configs: topics, brokers, loggers
says "a topic's" "Completed updating config for topic moved." "$(configs --alter --topic moved --add-config retention.ms=12345678)"
soon_says "a topic's" "  retention.ms=12345678 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345678" configs --describe --topic moved
ottla configs "${server[@]}" --describe --topic moved > "$work/ours"
soon_says "kafka-configs and ottla configs" "$(grep retention "$work/ours")" configs --describe --topic moved
says "a broker's" "Completed updating config for broker 1." "$(configs --alter --broker 1 --add-config num.replica.fetchers=3)"
soon_says "a broker's" "  num.replica.fetchers=3 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:num.replica.fetchers=3" configs --describe --broker 1
says "all brokers'" "Completed updating default config for brokers in the cluster." "$(configs --alter --broker-defaults --add-config log.retention.ms=3600000)"
soon_says "all brokers'" "  log.retention.ms=3600000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000" configs --describe --broker-defaults
says "a logger's" "Completed updating config for broker-logger 1." "$(configs --alter --broker-logger 1 --add-config kafka.request.logger=DEBUG)"
soon_says "a logger's" "kafka.request.logger=DEBUG" configs --describe --broker-logger 1
configs --alter --broker-logger 1 --delete-config kafka.request.logger > /dev/null
says "taken away" "Completed updating config for topic moved." "$(configs --alter --topic moved --delete-config retention.ms)"
kept() { ottla configs "${server[@]}" --describe --topic moved | grep -c retention.ms || true; }
soon_says "retention.ms taken away" 0 kept
! interop tool kafka.admin.ConfigCommand "${server[@]}" --alter --topic moved --add-config no.such.key=1 > /dev/null 2>&1 || fail "an unknown key was taken"
say "kafka-configs"

# ---- kafka-consumer-groups, the console's producer and consumer
consumed=$(interop tool org.apache.kafka.tools.consumer.ConsoleConsumer "${server[@]}" --topic moved --group four --from-beginning --max-messages 95 2> /dev/null | grep -c line) || true
[[ $consumed == 95 ]] || fail "the console consumer read $consumed of 95"
says "--list" "four" "$(groups --list)"
described() { groups --describe --group four | awk '$1 == "four" {print $3, $4, $5, $6}' | sort; }
expect_equal "kafka-consumer-groups and ottla groups" "$(described)" \
    "$(ottla groups "${server[@]}" --describe --group four 2> /dev/null | awk '$1 == "four" {print $3, $4, $5, $6}' | sort)"
says "--describe --state" "Empty" "$(groups --describe --group four --state)"
groups --reset-offsets --group four --topic moved:0 --to-offset 7 --execute > "$work/reset"
grep -qE '^four +moved +0 +7' "$work/reset" || fail "--reset-offsets: $(cat "$work/reset")"
says "after it" "0 7 " "$(described)"
says "--delete-offsets" "Request succeeded for deleting offsets from group four." "$(groups --delete-offsets --group four --topic moved:0)"
says "--delete" "Deletion of requested consumer groups ('four') was successful." "$(groups --delete --group four)"
! groups --list | grep -qx four || fail "a deleted group is listed"
say "kafka-consumer-groups"

# ---- what else they have
says "kafka-cluster" "Cluster ID: " "$(interop tool org.apache.kafka.tools.ClusterTool cluster-id "${server[@]}")"
[[ $(tool BrokerApiVersionsCommand | grep -c ' -> (') == 2 ]] || fail "kafka-broker-api-versions"
says "kafka-transactions describe-producers" "ProducerId" "$(tool TransactionsCommand describe-producers --topic moved --partition 0)"
says "kafka-features upgrade" "" "$(interop tool org.apache.kafka.tools.FeatureCommand "${server[@]}" upgrade --feature metadata.version=20 2>&1 || true)"
say "others"
