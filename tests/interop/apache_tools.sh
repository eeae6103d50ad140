#!/usr/bin/env bash
# Apache Kafka's own tools on an Ottla cluster; where `ottla` has the same command, the same output.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
start_ottla_controller 101
start_ottla 1
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)
server=(--bootstrap-server "$bootstrap")

topic_tool() { kafka_tool org.apache.kafka.tools.TopicCommand "${server[@]}" "$@"; }

both() { # what, arguments of kafka-topics and of `ottla topics`: equal output
    local what=$1 theirs ours
    shift
    theirs=$(topic_tool "$@" 2> /dev/null | sed "s/'Optional\[\(.*\)\]'/'\1'/") || true # a slip of 3.9's
    ours=$(ottla topics "${server[@]}" "$@" 2> /dev/null) || true
    [[ -n $theirs ]] || fail "$what: nothing said"
    expect_equal "$what, kafka-topics and ottla topics," "$theirs" "$ours"
    say "$what: $(wc -l <<< "$theirs") equal lines"
}

# ---- kafka-topics
expect_equal "kafka-topics --create" "Created topic lines." "$(topic_tool --create --topic lines --partitions 3 \
    --replication-factor 1 --config segment.bytes=100000 --config compression.type=producer)"
topic_tool --create --topic copied --partitions 1 --replication-factor 2 > /dev/null
await_topic "$bootstrap" lines 3
await_topic "$bootstrap" copied 1
both "list" --list
both "describe" --describe
both "describe what is missing" --describe --topic missing
said=$(topic_tool --create --topic lines --partitions 3 2> /dev/null) && fail "what is there was created again"
[[ $said == "Error while executing topic command : "*"already exists"* ]] || fail "created again: $said"
topic_tool --alter --topic lines --partitions 4
await_topic "$bootstrap" lines 4
both "describe after --alter" --describe --topic lines

# ---- console producer and consumer, without a group
seq 2000 | sed 's/.*/key-&:line &/' > "$work/sent"
apache_tool kafka.tools.ConsoleProducer "${server[@]}" --topic copied --property parse.key=true \
    --property key.separator=: --request-required-acks -1 \
    --compression-codec lz4 < "$work/sent"
apache_tool org.apache.kafka.tools.consumer.ConsoleConsumer "${server[@]}" --topic copied --partition 0 \
    --offset earliest --max-messages 2000 --property print.key=true --property key.separator=: \
    > "$work/received" 2> "$work/consumer.log"
cmp "$work/sent" "$work/received" || fail "the console consumer did not get what the console producer sent"
grep -q 'Processed a total of 2000 messages' "$work/consumer.log" || fail "$(cat "$work/consumer.log")"
formatted=(--topic copied --partition 0 --offset 1990 --max-messages 5 --property print.timestamp=true
    --property print.offset=true --property print.partition=true --property print.key=true --property print.headers=true)
expect_equal "console consumers' lines" \
    "$(kafka_tool org.apache.kafka.tools.consumer.ConsoleConsumer "${server[@]}" "${formatted[@]}")" \
    "$(ottla consume "${server[@]}" "${formatted[@]}" 2> /dev/null)"
say "console producer and consumer"

# ---- offsets, configurations, versions
expect_equal "kafka-get-offsets" "copied:0:2000" \
    "$(kafka_tool org.apache.kafka.tools.GetOffsetShell "${server[@]}" --topic copied)"
expect_equal "kafka-get-offsets --time earliest" "copied:0:0" \
    "$(kafka_tool org.apache.kafka.tools.GetOffsetShell "${server[@]}" --topic copied --time earliest)"
configs=$(kafka_tool kafka.admin.ConfigCommand "${server[@]}" --describe --entity-type topics --entity-name lines)
grep -q '^  segment.bytes=100000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:segment.bytes=100000, .*DEFAULT_CONFIG:log.segment.bytes=1073741824}' \
    <<< "$configs" || fail "kafka-configs says: $configs"
kafka_tool kafka.admin.ConfigCommand "${server[@]}" --describe --all --entity-type brokers --entity-name 1 > "$work/broker-configs"
grep -q '^  broker.id=1 sensitive=false synonyms={STATIC_BROKER_CONFIG:broker.id=1' "$work/broker-configs" || fail "broker configurations: $(grep broker.id "$work/broker-configs")"
kafka_tool kafka.admin.BrokerApiVersionsCommand "${server[@]}" > "$work/versions"
grep -q 'Produce(0): 0 to 11 \[usable: 11\]' "$work/versions" && grep -q 'Fetch(1): [0-9] to 17 \[usable: 17\]' "$work/versions" ||
    fail "versions: $(head -n 5 "$work/versions")"
[[ $(grep -c ' -> (' "$work/versions") == 2 ]] || fail "versions of two brokers"
expect_equal "kafka-cluster cluster-id" "22" \
    "$(kafka_tool org.apache.kafka.tools.ClusterTool cluster-id "${server[@]}" | sed 's/Cluster ID: //' | tr -d '\n' | wc -c)"
say "offsets, configurations, versions, cluster id"

# ---- kafka-dump-log, on what is there
interop write "$bootstrap" lines 0 600 none
data=$work/data-$(topic_tool --describe --topic copied | sed -n 's/.*Leader: \([0-9]*\).*/\1/p')
log=$data/copied-0/00000000000000000000
lines=$(find "$work"/data-* -path '*/lines-1/*' -name '*.log' | sort | head -n 1)
for files in "--print-data-log --files $log.log" "--files $log.log,$log.index,$log.timeindex" \
    "--deep-iteration --print-data-log --files $lines" "--index-sanity-check --files $log.index,$log.timeindex"; do
    # shellcheck disable=SC2086
    expect_equal "dump-log $files" "$(kafka_tool kafka.tools.DumpLogSegments $files)" "$(ottla dump-log $files 2>&1 | sed '/^$/d')"
done
say "dump-log: equal lines"

topic_tool --delete --topic lines
until [[ $(ottla topics "${server[@]}" --list) == copied ]]; do sleep 0.1; done
