#!/usr/bin/env bash
# What Ottla wrote, an Apache broker serves, and back: same ZooKeeper, same broker.id, same log.dirs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
small=(log.segment.bytes=200000 log.index.interval.bytes=1000 zookeeper.session.timeout.ms=4000)
topics=plain-none,plain-gzip,plain-lz4,plain-zstd

write_each() { interop write "$1" "$topics" "$2" "$3" by-name batch.size=3000; } # bootstrap, from, count

start_ottla_controller 101
start_ottla 1 "${small[@]}"
ottla=$(address_of ottla-1)
for topic in ${topics//,/ }; do create_topic "$ottla" "$topic" 2; done
write_each "$ottla" 0 1500
stop_node ottla-1 KILL
start_ottla 1
write_each "$ottla" 1500 1500
wanted=$(interop read "$ottla" "$topics")
say "written, with a kill -9 between; per topic and partition: count and digest"
echo "$wanted"
[[ $(awk '{n += $3} END {print n}' <<< "$wanted") == 12000 ]] || fail "not every record is there"
[[ $(find "$work/data-1/plain-none-0" -name '*.log' | wc -l) -ge 3 ]] || fail "one segment only: nothing tested"
stop_node ottla-1
stop_node ottla-controller-101
check_files "$work/data-1"

start_apache 1 "${small[@]}"
apache=$(address_of apache-1)
expect_equal "records as Apache serves them" "$wanted" "$(interop read "$apache" "$topics")"
! grep -i 'corrupt\|rebuilding index\|Recovering unflushed' "$work/apache-1/log" || fail "Apache found something to mend"
write_each "$apache" 3000 300
wanted=$(interop read "$apache" "$topics")
stop_node apache-1

start_ottla_controller 101
start_ottla 1
expect_equal "records as Ottla serves them" "$wanted" "$(interop read "$ottla" "$topics")"
say "the same records whoever serves them"
