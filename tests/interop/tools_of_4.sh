#!/usr/bin/env bash
# The tools and clients of Apache Kafka 4.x, which no longer know clusters on ZooKeeper, on an Ottla cluster: what they
# ask is served, what they do is done, and `ottla` says the same.
kafka_release=4
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/admin.sh"

topics() { tool TopicCommand "$@"; }

# ---- the clients: a producer (idempotent, as it is by default), consumers, Admin
interop data "$bootstrap"
interop admin "$bootstrap"
say "clients"

# ---- kafka-topics
says "--create" "Created topic lines." "$(topics --create --topic lines --partitions 3 --replication-factor 2 --config segment.bytes=1048576)"
await_topic "$bootstrap" lines 3
says "--create, again" "already exists" "$(topics --create --topic lines --partitions 3)"
topics --alter --topic lines --partitions 4
await_topic "$bootstrap" lines 4
theirs() { topics --describe --topic lines; }
ours() { describe lines; }
soon_equal "kafka-topics --describe and ottla topics --describe" theirs ours
theirs() { topics --describe --partition-size-limit-per-response 2 | sort; }
ours() { ottla topics "${server[@]}" --describe | sort; }
soon_equal "kafka-topics --describe, all of them piece by piece," theirs ours
theirs() { topics --list; }
ours() { ottla topics "${server[@]}" --list; }
soon_equal "kafka-topics --list and ottla topics --list" theirs ours
under_replicated() { topics --describe --under-replicated-partitions | wc -l; }
soon_says "kafka-topics --describe, under-replicated," 0 under_replicated
says "--delete" "lines" "$(topics --list)"
topics --delete --topic lines
left() { ottla topics "${server[@]}" --list | grep -cx lines || true; }
soon_says "kafka-topics --delete" 0 left
say "kafka-topics"

# ---- kafka-get-offsets, kafka-log-dirs
make_moved
for time in latest earliest max-timestamp -1 -2; do
    expect_equal "kafka-get-offsets --time $time" "$(tool GetOffsetShell --topic moved --time $time)" \
        "$(ottla get-offsets "${server[@]}" --topic moved --time $time)"
done
same_dirs moved
say "kafka-get-offsets, kafka-log-dirs"

# ---- kafka-reassign-partitions: only the order changes, a replica goes, one changes its directory
reassign_moved --throttle 50000000
throttles() { configs --describe --broker 1 | grep -c throttled || true; }
soon_says "no throttle is left" 0 throttles
to=$work/data-1b from=$work/data-1
[[ -d $from/moved-1 ]] || { to=$work/data-1 from=$work/data-1b; }
printf '{"version":1,"partitions":[{"topic":"moved","partition":1,"replicas":[1],"log_dirs":["%s"]}]}' "$to" > "$work/dirs.json"
says "--execute" "Successfully started moving log directory to $to for replica moved-1 with broker 1" \
    "$(reassign --execute --reassignment-json-file "$work/dirs.json")"
says "--verify" "Reassignment of replica moved-1-1 completed successfully." "$(await_moves "$work/dirs.json")"
is_there() { [[ -d $to/moved-1 && ! -d $from/moved-1 ]]; }
soon "the replica is in the directory that it was sent to, and there only" is_there
say "kafka-reassign-partitions"

# ---- kafka-leader-election
elect_moved
say "kafka-leader-election"

# ---- kafka-delete-records
echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"offset":5}]}' > "$work/delete.json"
says "delete-records" $'partition: moved-0\tlow_watermark: 5' "$(tool DeleteRecordsCommand --offset-json-file "$work/delete.json")"
says "delete-records" "moved:0:5" "$(tool GetOffsetShell --topic moved --time earliest)"
say "kafka-delete-records"

# ---- kafka-configs: topics, brokers, loggers
says "a topic's" "Completed updating config for topic moved." "$(configs --alter --topic moved --add-config retention.ms=12345678)"
soon_says "a topic's" "  retention.ms=12345678 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345678" configs --describe --topic moved
theirs() { configs --describe --topic moved | sort; }
ours() { ottla configs "${server[@]}" --describe --topic moved | sort; }
soon_equal "kafka-configs and ottla configs" theirs ours
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
soon_says "--describe --state" "Empty" groups --describe --group four --state
groups --reset-offsets --group four --topic moved:0 --to-offset 7 --execute > "$work/reset"
grep -qE '^four +moved +0 +7' "$work/reset" || fail "--reset-offsets: $(cat "$work/reset")"
says "after it" "0 7 " "$(described)"
says "--delete-offsets" "Request succeeded for deleting offsets from group four." "$(groups --delete-offsets --group four --topic moved:0)"
says "--delete" "Deletion of requested consumer groups ('four') was successful." "$(groups --delete --group four)"
! grep -qx four <<< "$(groups --list)" || fail "a deleted group is listed"
say "kafka-consumer-groups"

# ---- what else they have
says "kafka-cluster" "Cluster ID: " "$(interop tool org.apache.kafka.tools.ClusterTool cluster-id "${server[@]}")"
[[ $(tool BrokerApiVersionsCommand | grep -c ' -> (') == 2 ]] || fail "kafka-broker-api-versions"
says "kafka-transactions describe-producers" "ProducerId" "$(tool TransactionsCommand describe-producers --topic moved --partition 0)"
says "kafka-features upgrade" "no broker supports this feature" \
    "$(interop tool-all org.apache.kafka.tools.FeatureCommand "${server[@]}" upgrade --feature metadata.version=20 || true)"
say "others"
