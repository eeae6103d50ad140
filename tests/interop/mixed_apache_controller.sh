#!/usr/bin/env bash
# One cluster of an Apache broker, which is the controller, and an Ottla broker.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
start_apache 2 auto.create.topics.enable=false
start_ottla 1
ottla=$(address_of ottla-1) apache=$(address_of apache-2)
source "$(dirname "${BASH_SOURCE[0]}")/mixed.sh"
mixed_checks ottla-1 apache-2 alone
