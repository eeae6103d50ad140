#!/usr/bin/env bash
# What a killed Ottla broker leaves, an Apache broker recovers, and the other way round.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
small=(log.segment.bytes=200000 log.index.interval.bytes=1000 zookeeper.session.timeout.ms=10000)
topics=plain-none,plain-zstd

start_ottla_controller 101 zookeeper.session.timeout.ms=10000
start_ottla 1 "${small[@]}"
ottla=$(address_of ottla-1)
for topic in ${topics//,/ }; do create_topic "$ottla" "$topic" 2; done
interop write "$ottla" "$topics" 0 2000 by-name batch.size=3000
wanted=$(interop read "$ottla" "$topics")
stop_node ottla-1 KILL
stop_node ottla-controller-101 KILL
await_expiry

start_apache 1 "${small[@]}"
apache=$(address_of apache-1)
expect_equal "records as Apache recovers them" "$wanted" "$(interop read "$apache" "$topics")"
interop write "$apache" "$topics" 2000 1000 by-name batch.size=3000 enable.idempotence=true
wanted=$(interop read "$apache" "$topics")
stop_node apache-1 KILL

start_ottla_controller 101
start_ottla 1
expect_equal "records as Ottla recovers them" "$wanted" "$(interop read "$ottla" "$topics")"
interop write "$ottla" "$topics" 3000 500 by-name batch.size=3000
interop read "$ottla" "$topics"
stop_node ottla-1 KILL
check_files "$work/data-1"
say "the same records whoever recovers them"
