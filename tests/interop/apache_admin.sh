#!/usr/bin/env bash
# Apache Kafka's tools that change a cluster, on an Ottla cluster: what they do is done, and `ottla` says the same.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
# It would make the preferred replica lead before this asks for it.
start_ottla_controller 101 auto.leader.rebalance.enable=false
start_ottla 1 "log.dirs=$work/data-1,$work/data-1b"
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)
server=(--bootstrap-server "$bootstrap")

tool() { interop tool "$@" | sed '/^$/d'; } # class, arguments without blanks in them

says() { # what, words, output
    grep -qF -- "$2" <<< "$3" || fail "$1: wanted \"$2\", seen: $3"
}

ottla topics "${server[@]}" --create --topic moved --replica-assignment 1:2,1:2 > /dev/null
seq 100 | sed 's/.*/&=line/' | ottla produce "${server[@]}" --topic moved --request-required-acks -1 \
    --property parse.key=true --property key.separator== # to both partitions
end_of() { ottla get-offsets "${server[@]}" --topic moved --time "${1:-latest}" | tr '\n' ' '; }
leader_of() { ottla topics "${server[@]}" --describe --topic moved | sed -n "s/.*Partition: $1\tLeader: \([0-9]*\).*/\1/p"; }

# ---- kafka-get-offsets, kafka-broker-api-versions: the same lines
expect_equal "kafka-get-offsets and ottla get-offsets" "$(tool org.apache.kafka.tools.GetOffsetShell "${server[@]}")" \
    "$(ottla get-offsets "${server[@]}")"
expect_equal "kafka-broker-api-versions and ottla broker-api-versions" \
    "$(tool kafka.admin.BrokerApiVersionsCommand "${server[@]}" | sort)" "$(ottla broker-api-versions "${server[@]}" | sort)"
say "offsets, versions: equal lines"

# ---- kafka-log-dirs
dirs() { # of either tool's JSON: a line per replica
    tail -n 1 | "${PYTHON:-python3}" -c 'import json, sys
for b in json.load(sys.stdin)["brokers"]:
    for d in b["logDirs"]:
        for p in d["partitions"]: print(b["broker"], d["logDir"], d["error"], *(p[k] for k in ("partition", "size", "offsetLag", "isFuture")))' | sort
}
theirs=$(tool org.apache.kafka.tools.LogDirsCommand "${server[@]}" --describe --topic-list moved | dirs)
[[ $(wc -l <<< "$theirs") == 4 ]] || fail "kafka-log-dirs: $theirs"
expect_equal "kafka-log-dirs and ottla log-dirs" "$theirs" "$(ottla log-dirs "${server[@]}" --describe --topic-list moved | dirs)"
say "log directories: equal"

# ---- kafka-reassign-partitions: only the order changes, then a replica goes
reassign() { tool org.apache.kafka.tools.reassign.ReassignPartitionsCommand "${server[@]}" "$@"; }
echo '{"version":1,"topics":[{"topic":"moved"}]}' > "$work/move.json"
says "--generate" '"topic":"moved","partition":1,"replicas":[' "$(reassign --generate --topics-to-move-json-file "$work/move.json" --broker-list 1,2)"
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,1]},{"topic":"moved","partition":1,"replicas":[1]}]}' > "$work/plan.json"
says "--execute" "Successfully started partition reassignments for moved-0,moved-1" "$(reassign --execute --reassignment-json-file "$work/plan.json")"
for _ in $(seq 60); do
    verified=$(reassign --verify --reassignment-json-file "$work/plan.json")
    grep -q 'in progress' <<< "$verified" || break
done
says "--verify" "Reassignment of partition moved-0 is completed." "$verified"
says "--verify" "Reassignment of partition moved-1 is completed." "$verified"
says "--list" "No partition reassignments found." "$(reassign --list)"
is_alone() { ottla topics "${server[@]}" --describe --topic moved | grep -qF $'Partition: 1\tLeader: 1\tReplicas: 1\tIsr: 1'; }
soon "partition 1 has the replica that it was left" is_alone
say "reassignment"

# ---- the same, between the log directories of a broker; and Admin.alterReplicaLogDirs
ottla topics "${server[@]}" --create --topic dirs --replica-assignment 1:2 > /dev/null
head -c 2000000 /dev/urandom | base64 -w 2000 | ottla produce "${server[@]}" --topic dirs --request-required-acks -1
to=$work/data-1b from=$work/data-1
[[ -d $from/dirs-0 ]] || { to=$work/data-1 from=$work/data-1b; }
printf '{"version":1,"partitions":[{"topic":"dirs","partition":0,"replicas":[1,2],"log_dirs":["%s","any"]}]}' "$to" > "$work/dirs.json"
verify_both() { # both tools tell the same of the replica
    expect_equal "--verify, kafka-reassign-partitions and ottla reassign," \
        "$(reassign --verify --preserve-throttles --reassignment-json-file "$work/dirs.json" | grep -v '^Status')" \
        "$(ottla reassign "${server[@]}" --verify --preserve-throttles --reassignment-json-file "$work/dirs.json" | grep -v '^Status')"
}
said=$(reassign --execute --replica-alter-log-dirs-throttle 1000 --reassignment-json-file "$work/dirs.json")
says "--execute" "Successfully started moving log directory to $to for replica dirs-0 with broker 1" "$said"
says "--verify" "Reassignment of replica dirs-0-1 is still in progress." "$(reassign --verify --reassignment-json-file "$work/dirs.json")"
verify_both
expect_equal "kafka-log-dirs of a replica that moves" 1 \
    "$(tool org.apache.kafka.tools.LogDirsCommand "${server[@]}" --describe --topic-list dirs | dirs | grep -c ' True$')"
says "--cancel" "Successfully started moving log directory to $from for replica dirs-0 with broker 1" \
    "$(reassign --cancel --preserve-throttles --reassignment-json-file "$work/dirs.json")"
verify_both
expect_equal "a directory that is not the broker's" "LogDirNotFoundException" "$(interop move-dir "$bootstrap" dirs 1 /nowhere)"
expect_equal "a partition that is not there" "ReplicaNotAvailableException" "$(interop move-dir "$bootstrap" absent 1 "$to")"
expect_equal "Admin.alterReplicaLogDirs" "begun" "$(interop move-dir "$bootstrap" dirs 1 "$to")"
configs() { tool kafka.admin.ConfigCommand "${server[@]}" "$@"; }
says "throttle" "Completed" "$(configs --alter --broker 1 --delete-config replica.alter.log.dirs.io.max.bytes.per.second)"
for _ in $(seq 60); do
    verified=$(reassign --verify --reassignment-json-file "$work/dirs.json")
    grep -q 'in progress' <<< "$verified" || break
done
says "--verify" "Reassignment of replica dirs-0-1 completed successfully." "$verified"
verify_both
is_there() { [[ -d $to/dirs-0 && ! -d $from/dirs-0 ]]; }
soon "the replica is in the directory that it was sent to, and there only" is_there
files="--deep-iteration --print-data-log --files $to/dirs-0/00000000000000000000.log"
# shellcheck disable=SC2086
expect_equal "the moved log, as both read it," "$(tool kafka.tools.DumpLogSegments $files | grep -c 'payload')" \
    "$(ottla dump-log $files | grep -c 'payload')"
say "moves between log directories"

# ---- kafka-leader-election
[[ $(leader_of 0) == 1 ]] || fail "a new order of replicas moved the leader: $(leader_of 0)"
says "election" "Successfully completed leader election (PREFERRED) for partitions moved-0" \
    "$(tool org.apache.kafka.tools.LeaderElectionCommand "${server[@]}" --election-type preferred --topic moved --partition 0)"
leads() { [[ $(leader_of "$1") == "$2" ]]; }
soon "the preferred replica leads" leads 0 2
says "election, once more" "Valid replica already elected for partitions moved-0" \
    "$(tool org.apache.kafka.tools.LeaderElectionCommand "${server[@]}" --election-type preferred --topic moved --partition 0)"
say "election"

# ---- kafka-delete-records
before=$(end_of)
count=$(sed -n 's/.*moved:0:\([0-9]*\).*/\1/p' <<< "$before")
[[ $count -gt 10 ]] || fail "keys do not spread: $before"
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"offset":'$((count / 2))'}]}' > "$work/delete.json"
says "delete-records" $'partition: moved-0\tlow_watermark: '$((count / 2)) \
    "$(tool org.apache.kafka.tools.DeleteRecordsCommand "${server[@]}" --offset-json-file "$work/delete.json")"
[[ $(end_of earliest) == *"moved:0:$((count / 2)) "* && $(end_of) == "$before" ]] || fail "records are not deleted: $(end_of earliest), $(end_of)"
say "deleted records"

# ---- kafka-configs: topics and brokers, at run time
configs() { tool kafka.admin.ConfigCommand "${server[@]}" "$@"; }
says "a topic's" "Completed updating config for topic moved." "$(configs --alter --topic moved --add-config retention.ms=12345678)"
says "a topic's" "  retention.ms=12345678 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345678" "$(configs --describe --topic moved)"
says "a broker's" "Completed updating config for broker 1." "$(configs --alter --broker 1 --add-config log.cleaner.io.max.bytes.per.second=1000000.0)"
says "all brokers'" "Completed updating default config for brokers in the cluster." "$(configs --alter --broker-defaults --add-config log.retention.ms=3600000)"
says "a broker's" "  log.cleaner.io.max.bytes.per.second=1000000.0 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.cleaner.io.max.bytes.per.second=1000000.0" "$(configs --describe --broker 1)"
says "all brokers'" "  log.retention.ms=3600000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000" "$(configs --describe --broker-defaults)"
expect_equal "kafka-configs and ottla configs" "$(configs --describe --topic moved | sort)" "$(ottla configs "${server[@]}" --describe --topic moved | sort)"
says "taken away" "Completed updating config for topic moved." "$(configs --alter --topic moved --delete-config retention.ms)"
! configs --describe --topic moved | grep -q retention.ms || fail "retention.ms is still the topic's"
! configs --alter --topic moved --add-config no.such.key=1 2> /dev/null || fail "an unknown key was taken"
say "configurations"

# ---- kafka-consumer-groups
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "${server[@]}" "$@"; }
groups --reset-offsets --group g --topic moved:0 --to-offset $((count / 2 + 1)) --execute > "$work/reset"
says "reset" "g                              moved                          0          $((count / 2 + 1))" "$(cat "$work/reset")"
expect_equal "groups" "g" "$(groups --list)"
expect_equal "kafka-consumer-groups and ottla groups" "$(groups --describe --group g)" "$(ottla groups "${server[@]}" --describe --group g 2> /dev/null | sed '/^$/d')"
says "deleted" "Deletion of requested consumer groups ('g') was successful." "$(groups --delete --group g)"
[[ -z $(groups --list) ]] || fail "a deleted group is listed"
say "groups"
