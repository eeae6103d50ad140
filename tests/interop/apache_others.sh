#!/usr/bin/env bash
# Apache Kafka's tools that measure and check, and those that ask for what is not here: the first do their work on an
# Ottla cluster, the others end at once and say why.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
start_ottla_controller 101
start_ottla 1
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)
server=(--bootstrap-server "$bootstrap")

tool() { # class without its package, arguments without blanks in them
    local class=$1
    shift
    case $class in ConfigCommand | AclCommand) class=kafka.admin.$class ;; *) class=org.apache.kafka.tools.$class ;; esac
    interop tool-all "$class" "$@"
}
says() { # what, words, output
    grep -qF -- "$2" <<< "$3" || fail "$1: wanted \"$2\", seen: $3"
}
refuses() { # what, words that it ends with, class, arguments
    local what=$1 words=$2 said
    shift 2
    ! said=$(tool "$@") || fail "$what was not refused: $said"
    says "$what" "$words" "$said"
}

# ---- kafka-producer-perf-test, kafka-consumer-perf-test, kafka-e2e-latency
ottla topics "${server[@]}" --create --topic perf --partitions 3 --replication-factor 2 > /dev/null
says "kafka-producer-perf-test" "20000 records sent, " "$(tool ProducerPerformance --topic perf --num-records 20000 --record-size 100 \
    --throughput -1 --producer-props "bootstrap.servers=$bootstrap" acks=all compression.type=lz4)"
ends() { ottla get-offsets "${server[@]}" --topic perf | awk -F: '{sum += $3} END {print sum}'; }
expect_equal "records of kafka-producer-perf-test" 20000 "$(ends)"
read_by=$(tool ConsumerPerformance "${server[@]}" --topic perf --messages 20000 --timeout 60000 --hide-header)
expect_equal "records of kafka-consumer-perf-test" 20000 "$(awk -F', ' 'NF == 10 {print $5}' <<< "$read_by")"
says "kafka-e2e-latency" "Percentiles: 50th = " "$(tool EndToEndLatency "$bootstrap" late 20 all 100)"
say "what measures"

# ---- kafka-verifiable-producer, kafka-verifiable-consumer
# Each in a process of its own: it tells all when that ends.
sent=$(apache_tool org.apache.kafka.tools.VerifiableProducer "${server[@]}" --topic verified --max-messages 300 --acks -1 --value-prefix 7)
says "kafka-verifiable-producer" '"name":"tool_data","sent":300,"acked":300' "$sent"
expect_equal "sends that kafka-verifiable-producer tells" 300 "$(grep -c '"producer_send_success"' <<< "$sent")"
checked=$(apache_tool org.apache.kafka.tools.VerifiableConsumer "${server[@]}" --topic verified --group-id checks --max-messages 300 \
    --reset-policy earliest)
expect_equal "records that kafka-verifiable-consumer tells" 300 \
    "$(sed -n 's/.*"records_consumed","count":\([0-9]*\).*/\1/p' <<< "$checked" | awk '{sum += $1} END {print sum}')"
says "kafka-verifiable-consumer" '"offsets_committed"' "$checked"
says "kafka-verifiable-consumer" '"shutdown_complete"' "$checked"
say "what checks"

# ---- kafka-streams-application-reset, kafka-transactions as far as there is something to tell
is_empty() { ottla groups "${server[@]}" --describe --group checks --state | grep -q Empty; }
soon "the group has no members" is_empty
said=$(tool StreamsResetter "${server[@]}" --application-id checks --input-topics verified --to-earliest)
says "kafka-streams-application-reset" "Topic: verified Partition: 0 Offset: 0" "$said"
expect_equal "what the group has committed then" "0" "$(ottla groups "${server[@]}" --describe --group checks --offsets 2> /dev/null | awk '$2 == "verified" {print $4}' | sort -u)"
says "kafka-transactions describe-producers" "ProducerId" "$(tool TransactionsCommand "${server[@]}" describe-producers --topic verified --partition 0)"
says "kafka-transactions find-hanging" "ProducerId" "$(tool TransactionsCommand "${server[@]}" find-hanging --broker-id 1)"
says "kafka-features describe" "" "$(tool FeatureCommand "${server[@]}" describe)"
say "what tells of groups and producers"

# ---- what is not here is refused at once, and by its name
refuses "kafka-metadata-quorum" "does not support DESCRIBE_QUORUM" MetadataQuorumCommand "${server[@]}" describe --status
refuses "kafka-features upgrade" "no broker supports this feature" FeatureCommand "${server[@]}" upgrade --feature metadata.version=20
refuses "kafka-transactions list" "does not support LIST_TRANSACTIONS" TransactionsCommand "${server[@]}" list
refuses "kafka-transactions describe" "failed due to an unexpected error" TransactionsCommand "${server[@]}" \
    describe --transactional-id mine
refuses "a producer with transactions" "Transactions and share groups are not supported." ProducerPerformance --topic perf --num-records 1 \
    --record-size 10 --throughput -1 --producer-props "bootstrap.servers=$bootstrap" --transactional-id mine --transaction-duration-ms 1000
refuses "kafka-configs of users" "does not support DESCRIBE_CLIENT_QUOTAS" ConfigCommand "${server[@]}" --describe --entity-type users
refuses "kafka-configs of addresses" "does not support DESCRIBE_CLIENT_QUOTAS" ConfigCommand "${server[@]}" --describe --entity-type ips
refuses "kafka-acls" "does not support DESCRIBE_ACLS" AclCommand "${server[@]}" --list
refuses "kafka-client-metrics" "does not support LIST_CLIENT_METRICS_RESOURCES" ClientMetricsCommand "${server[@]}" --list
says "kafka-cluster unregister" "does not support the broker unregistration API" "$(tool ClusterTool unregister "${server[@]}" --id 7)"
say "what is not here"
