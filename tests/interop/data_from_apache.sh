#!/usr/bin/env bash
# What an Apache broker wrote, Ottla serves, and back: with idempotent and transactional producers' data and
# their snapshots, and with compacted segments.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
small=(log.segment.bytes=200000 log.index.interval.bytes=1000)
plain=idempotent-none,idempotent-snappy,transactions-lz4
topics=$plain,compact-zstd
committed="aborted-lz4 isolation.level=read_committed"

# What is told of every partition's beginning, end and times: in plain and in compressed batches.
offsets() { # address
    local time
    for time in earliest latest max-timestamp earliest-local latest-tiered 0 "${times[@]}"; do
        "$build/ottla" get-offsets --bootstrap-server "$1" --topic 'idempotent.*|transactions.*|aborted.*' --time "$time" |
            sed "s/^/$time /"
    done
}
times=()
note_time() { times+=("$(($(date +%s%N) / 1000000))"); }

start_apache 1 "${small[@]}" log.cleaner.backoff.ms=500
apache=$(address_of apache-1)
for topic in ${plain//,/ } aborted-lz4; do create_topic "$apache" "$topic" 2; done
create_topic "$apache" compact-zstd 2 --config cleanup.policy=compact --config segment.bytes=50000 \
    --config min.cleanable.dirty.ratio=0.01
interop write "$apache" idempotent-none,idempotent-snappy 0 1500 by-name batch.size=3000 enable.idempotence=true
note_time
interop write "$apache" transactions-lz4 0 1500 by-name batch.size=3000 enable.idempotence=true transactional.id=t
note_time
interop write "$apache" aborted-lz4 0 1500 by-name batch.size=3000 transactional.id=a aborts=true
interop write "$apache" compact-zstd 0 600 zstd batch.size=3000
interop write "$apache" compact-zstd 0 600 zstd batch.size=3000
until grep -qs '^compact-zstd' "$work/data-1/cleaner-offset-checkpoint" &&
    [[ ! $(find "$work/data-1" -name '*.cleaned' -o -name '*.swap') ]]; do sleep 0.1; done
wanted_committed=$(interop read "$apache" $committed)
# And some in the middle of a write, which lies within a batch.
last=$("$build/ottla" dump-log --files "$(ls "$work"/data-1/idempotent-snappy-0/*.log | head -n 1)" --print-data-log |
    sed -n 's/^| offset: 300 CreateTime: \([0-9]*\) .*/\1/p')
times+=("$last" "$((last + 1))")
wanted_offsets=$(offsets "$apache")
[[ $(wc -l <<< "$wanted_offsets") -ge 40 ]] || fail "few offsets: nothing tested: $wanted_offsets"
[[ $(awk '{n += $3} END {print n}' <<< "$wanted_committed") == 1500 ]] || fail "not the committed records"
stop_node apache-1
[[ $(find "$work/data-1" -name '*.txnindex' -size +0 | wc -l) -gt 0 ]] || fail "no aborted transactions: nothing tested"
[[ $(find "$work/data-1" -name '*.snapshot' | wc -l) -gt 3 ]] || fail "no snapshots: nothing tested"
logs=$(find "$work/data-1" -path '*/__transaction_state-*' -name '*.log' -size +0 | sort | paste -sd,)
told() { sed 's/partitions=\[[^]]*\]//'; } # Kafka keeps those of a transaction in no order
expect_equal "dump-log --transaction-log-decoder" \
    "$(apache_tool kafka.tools.DumpLogSegments --transaction-log-decoder --files "$logs" 2> /dev/null | told)" \
    "$(ottla dump-log --transaction-log-decoder --files "$logs" 2> /dev/null | told)"
grep -q 'partitions=\[transactions-lz4-[01]' <<< "$(ottla dump-log --transaction-log-decoder --files "$logs")" || fail "no transaction told"
# Records are compared: from here on nobody may compact any.
echo log.cleaner.enable=false >> "$work/apache-1/server.properties"

start_ottla_controller 101
start_ottla 1 "${small[@]}" log.cleaner.enable=false
ottla=$(address_of ottla-1)
wanted=$(interop read "$ottla" "$topics")
echo "$wanted"
[[ $(awk '$1 !~ /compact/ {n += $3} END {print n}' <<< "$wanted") == 4500 ]] || fail "not every record is there"
compacted=$(awk '$1 ~ /compact/ {n += $3} END {print n}' <<< "$wanted")
[[ $compacted -ge 600 && $compacted -lt 1200 ]] || fail "$compacted records in the compacted topic: nothing tested"
expect_equal "offsets as Ottla tells them" "$wanted_offsets" "$(offsets "$ottla")"
expect_equal "committed records as Ottla serves them" "$wanted_committed" "$(interop read "$ottla" $committed)"
stop_node ottla-1 KILL
start_ottla 1
expect_equal "committed records after a kill -9" "$wanted_committed" "$(interop read "$ottla" $committed)"
stop_node ottla-1
stop_node ottla-controller-101

start_apache 1
expect_equal "committed records as Apache serves them after Ottla" "$wanted_committed" "$(interop read "$apache" $committed)"
expect_equal "records as Apache serves them after Ottla" "$wanted" "$(interop read "$apache" "$topics")"
interop write "$apache" idempotent-none 1500 300 none batch.size=3000 enable.idempotence=true
interop write "$apache" transactions-lz4 1500 300 lz4 enable.idempotence=true transactional.id=t
wanted=$(interop read "$apache" "$topics")
stop_node apache-1

start_ottla_controller 101
start_ottla 1
expect_equal "records as Ottla serves them" "$wanted" "$(interop read "$ottla" "$topics")"
interop write "$ottla" "$plain" 1800 300 by-name batch.size=3000
wanted=$(interop read "$ottla" "$topics")
stop_node ottla-1
stop_node ottla-controller-101
check_files "$work/data-1"

start_apache 1
expect_equal "records as Apache serves them at last" "$wanted" "$(interop read "$apache" "$topics")"
interop write "$apache" idempotent-none,idempotent-snappy 2100 100 by-name enable.idempotence=true
say "the same records whoever serves them"
