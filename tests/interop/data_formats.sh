#!/usr/bin/env bash
# Message formats v0, v1 and v2, each with every compression that it has, as an Apache broker writes them (with the
# protocol version of before 3.0, from which on either kind writes v2 alone): Ottla reads, recovers and appends to
# them, Apache reads all of it again, and by all four the same records are told.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
small=(log.segment.bytes=200000 log.index.interval.bytes=1000 log.retention.ms=-1)
old=(inter.broker.protocol.version=2.8)
topics=
for format in 0 1 2; do
    for codec in none gzip snappy lz4 zstd; do
        [[ $format == 2 || $codec != zstd ]] && topics+=${topics:+,}format$format-$codec
    done
done
versions=(0.9.0 0.10.2 2.8)

write_each() { interop write "$1" "$topics" "$2" "$3" by-name batch.size=3000 "${@:4}"; } # bootstrap, from, count

start_apache 1 "${small[@]}" "${old[@]}"
apache=$(address_of apache-1)
for topic in ${topics//,/ }; do
    create_topic "$apache" "$topic" 1 --config "message.format.version=${versions[${topic:6:1}]}"
done
write_each "$apache" 0 1000 enable.idempotence=false
wanted=$(interop read "$apache" "$topics")
echo "$wanted"
[[ $(awk '{n += $3} END {print n}' <<< "$wanted") == 13000 ]] || fail "not every record is there"
stop_node apache-1
for format in 0 1 2; do
    log=$(find "$work/data-1/format$format-gzip-0" -name '*.log' | sort | head -n 1)
    [[ $(od -An -tu1 -j16 -N1 "$log" | tr -d ' ') == "$format" ]] || fail "$log is not of format $format: nothing tested"
done
logs=$(find "$work"/data-1/format* -name '*.log' -size +0 | sort | paste -sd,)
dump=(--deep-iteration --files "$logs")
expect_equal "every record of dump-log" "$(apache_tool kafka.tools.DumpLogSegments "${dump[@]}" 2> /dev/null)" \
    "$(ottla dump-log "${dump[@]}" 2> /dev/null)"

start_ottla_controller 101
start_ottla 1 "${small[@]}"
ottla=$(address_of ottla-1)
expect_equal "records as Ottla serves them" "$wanted" "$(interop read "$ottla" "$topics")"
write_each "$ottla" 1000 300
wanted=$(interop read "$ottla" "$topics")
[[ $(awk '{n += $3} END {print n}' <<< "$wanted") == 16900 ]] || fail "not every record is there"
stop_node ottla-1 KILL
rm "$work"/data-1/recovery-point-offset-checkpoint # all of it is scanned, formats v0 and v1 too
start_ottla 1
expect_equal "records as Ottla recovers them" "$wanted" "$(interop read "$ottla" "$topics")"
stop_node ottla-1
stop_node ottla-controller-101
await_expiry
check_files "$work/data-1"

start_apache 1
expect_equal "records as Apache serves them after Ottla" "$wanted" "$(interop read "$apache" "$topics")"
! grep -i 'corrupt\|rebuilding index\|Recovering unflushed' "$work/apache-1/log" || fail "Apache found something to mend"
say "the same records in every format, whoever serves them"
