#!/usr/bin/env bash
# Apache Kafka's consumers in groups of an Ottla cluster: eager, cooperative, static; Admin's calls about groups.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
start_ottla_controller 101
start_ottla 1
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)

interop groups "$bootstrap"
say "groups"
