#!/usr/bin/env bash
# Apache Kafka's Java clients on an Ottla cluster: Admin, producer, consumer (no group).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
start_ottla_controller 101
start_ottla 1
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)

interop admin "$bootstrap"
say "admin"
interop data "$bootstrap"
say "data"
interop defaults "$bootstrap" data-none
