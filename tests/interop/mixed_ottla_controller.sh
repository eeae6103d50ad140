#!/usr/bin/env bash
# One cluster of an Ottla broker and an Apache broker, under an Ottla controller.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
# An Apache broker finds its controller among the live brokers only, so the controller tells of itself there,
# and clients of Apache brokers see it and ask it. What an Apache broker makes on first use would be given to
# all of those, hence no auto-creation.
start_ottla_controller 101 controller.in.live.brokers=true
start_ottla 1
start_apache 2 auto.create.topics.enable=false
ottla=$(address_of ottla-1) apache=$(address_of apache-2)
source "$(dirname "${BASH_SOURCE[0]}")/mixed.sh"
mixed_checks ottla-1 apache-2
# And with the controller as the only address that a client was given.
controller=$(address_of ottla-controller-101)
expect_equal "records asked by way of the controller" "$(interop read "$ottla" double)" "$(interop read "$controller" double)"
