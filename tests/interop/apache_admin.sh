#!/usr/bin/env bash
# Apache Kafka's tools that change a cluster, on an Ottla cluster: what they do is done, and `ottla` says the same.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/admin.sh"

make_moved
end_of() { ottla get-offsets "${server[@]}" --topic moved --time "${1:-latest}" | tr '\n' ' '; }

# ---- kafka-get-offsets, kafka-broker-api-versions: the same lines
expect_equal "kafka-get-offsets and ottla get-offsets" "$(tool GetOffsetShell)" \
    "$(ottla get-offsets "${server[@]}")"
expect_equal "kafka-broker-api-versions and ottla broker-api-versions" \
    "$(kafka_tool kafka.admin.BrokerApiVersionsCommand "${server[@]}" | sort)" "$(ottla broker-api-versions "${server[@]}" | sort)"
say "offsets, versions: equal lines"

# ---- kafka-log-dirs
same_dirs moved
say "log directories: equal"

# ---- kafka-reassign-partitions: only the order changes, then a replica goes
reassign_moved
say "reassignment"

# ---- the same, between the log directories of a broker; and Admin.alterReplicaLogDirs
ottla topics "${server[@]}" --create --topic dirs --replica-assignment 1:2 > /dev/null
await_topic "$bootstrap" dirs 1
head -c 2000000 /dev/urandom | base64 -w 2000 | ottla produce "${server[@]}" --topic dirs --request-required-acks -1
to=$work/data-1b from=$work/data-1
[[ -d $from/dirs-0 ]] || { to=$work/data-1 from=$work/data-1b; }
printf '{"version":1,"partitions":[{"topic":"dirs","partition":0,"replicas":[1,2],"log_dirs":["%s","any"]}]}' "$to" > "$work/dirs.json"
verify_both() { # both tools tell the same of the replica
    expect_equal "--verify, kafka-reassign-partitions and ottla reassign," \
        "$(reassign --verify --preserve-throttles --reassignment-json-file "$work/dirs.json" | grep -v '^Status')" \
        "$(ottla reassign "${server[@]}" --verify --preserve-throttles --reassignment-json-file "$work/dirs.json" | grep -v '^Status')"
}
# The move must not have ended before the broker has heard of its limit.
throttle=replica.alter.log.dirs.io.max.bytes.per.second
says "throttle" "Completed" "$(configs --alter --broker 1 --add-config $throttle=1000)"
soon_says "throttle" "  $throttle=1000 " configs --describe --broker 1
said=$(reassign --execute --replica-alter-log-dirs-throttle 1000 --reassignment-json-file "$work/dirs.json")
says "--execute" "Successfully started moving log directory to $to for replica dirs-0 with broker 1" "$said"
says "--verify" "Reassignment of replica dirs-0-1 is still in progress." "$(reassign --verify --reassignment-json-file "$work/dirs.json")"
verify_both
expect_equal "kafka-log-dirs of a replica that moves" 1 \
    "$(tool LogDirsCommand --describe --topic-list dirs | dirs | grep -c ' True$')"
says "--cancel" "Successfully started moving log directory to $from for replica dirs-0 with broker 1" \
    "$(reassign --cancel --preserve-throttles --reassignment-json-file "$work/dirs.json")"
verify_both
expect_equal "a directory that is not the broker's" "LogDirNotFoundException" "$(interop move-dir "$bootstrap" dirs 1 /nowhere)"
expect_equal "a partition that is not there" "ReplicaNotAvailableException" "$(interop move-dir "$bootstrap" absent 1 "$to")"
expect_equal "Admin.alterReplicaLogDirs" "begun" "$(interop move-dir "$bootstrap" dirs 1 "$to")"
says "throttle" "Completed" "$(configs --alter --broker 1 --delete-config $throttle)"
says "--verify" "Reassignment of replica dirs-0-1 completed successfully." "$(await_moves "$work/dirs.json")"
verify_both
is_there() { [[ -d $to/dirs-0 && ! -d $from/dirs-0 ]]; }
soon "the replica is in the directory that it was sent to, and there only" is_there
files="--deep-iteration --print-data-log --files $to/dirs-0/00000000000000000000.log"
# shellcheck disable=SC2086
expect_equal "the moved log, as both read it," "$(kafka_tool kafka.tools.DumpLogSegments $files | grep -c 'payload')" \
    "$(ottla dump-log $files | grep -c 'payload')"
say "moves between log directories"

# ---- kafka-leader-election
elect_moved
say "election"

# ---- kafka-delete-records
before=$(end_of)
count=$(sed -n 's/.*moved:0:\([0-9]*\).*/\1/p' <<< "$before")
[[ $count -gt 10 ]] || fail "keys do not spread: $before"
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"offset":'$((count / 2))'}]}' > "$work/delete.json"
says "delete-records" $'partition: moved-0\tlow_watermark: '$((count / 2)) \
    "$(tool DeleteRecordsCommand --offset-json-file "$work/delete.json")"
[[ $(end_of earliest) == *"moved:0:$((count / 2)) "* && $(end_of) == "$before" ]] || fail "records are not deleted: $(end_of earliest), $(end_of)"
say "deleted records"

# ---- kafka-configs: topics and brokers, at run time
says "a topic's" "Completed updating config for topic moved." "$(configs --alter --topic moved --add-config retention.ms=12345678)"
soon_says "a topic's" "  retention.ms=12345678 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345678" configs --describe --topic moved
says "a broker's" "Completed updating config for broker 1." "$(configs --alter --broker 1 --add-config log.cleaner.io.max.bytes.per.second=1000000.0)"
says "all brokers'" "Completed updating default config for brokers in the cluster." "$(configs --alter --broker-defaults --add-config log.retention.ms=3600000)"
soon_says "a broker's" "  log.cleaner.io.max.bytes.per.second=1000000.0 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.cleaner.io.max.bytes.per.second=1000000.0" configs --describe --broker 1
soon_says "all brokers'" "  log.retention.ms=3600000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000" configs --describe --broker-defaults
theirs() { configs --describe --topic moved | sort; }
ours() { ottla configs "${server[@]}" --describe --topic moved | sort; }
soon_equal "kafka-configs and ottla configs" theirs ours
says "taken away" "Completed updating config for topic moved." "$(configs --alter --topic moved --delete-config retention.ms)"
kept() { configs --describe --topic moved | grep -c retention.ms || true; }
soon_says "retention.ms taken away" 0 kept
! configs --alter --topic moved --add-config no.such.key=1 2> /dev/null || fail "an unknown key was taken"
say "configurations"

# ---- kafka-consumer-groups
groups --reset-offsets --group g --topic moved:0 --to-offset $((count / 2 + 1)) --execute > "$work/reset"
says "reset" "g                              moved                          0          $((count / 2 + 1))" "$(cat "$work/reset")"
expect_equal "groups" "g" "$(groups --list)"
expect_equal "kafka-consumer-groups and ottla groups" "$(groups --describe --group g)" "$(ottla groups "${server[@]}" --describe --group g 2> /dev/null | sed '/^$/d')"
says "deleted" "Deletion of requested consumer groups ('g') was successful." "$(groups --delete --group g)"
[[ -z $(groups --list) ]] || fail "a deleted group is listed"
say "groups"
