#!/usr/bin/env bash
# kafka-python and confluent-kafka: produce, consume, share topics in groups.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The versions are named: a test must not change with what a registry has. Not kafka-python 3.0.12: where the time-out
# of a poll strikes between JoinGroup and SyncGroup its consumer never goes on (it has its assignment, sends no heartbeat
# and no other join), on every broker; one group in five on a busy machine.
kafka_python=2.3.3 confluent=2.16.1

need_java
python=${PYTHON:-python3}
packages=$cache/python-$kafka_python-$confluent

bring_packages() {
    [[ ! -d $packages ]] || return 0
    rm -rf "$packages.new"
    timeout 60 "$python" -m pip install -q --target "$packages.new" "kafka-python==$kafka_python" "confluent-kafka==$confluent" > "$cache/pip.log" 2>&1 &&
        mv "$packages.new" "$packages"
}
"$python" -m pip --version > /dev/null 2>&1 || skip "pip is not installed"
locked bring_packages || skip "kafka-python and confluent-kafka cannot be had here (see $cache/pip.log)"

start_zookeeper
start_ottla_controller 101
start_ottla 1
bootstrap=$(address_of ottla-1)
create_topic "$bootstrap" python 2
create_topic "$bootstrap" confluent 2
PYTHONPATH=$packages "$python" "$root/tests/interop/python_clients.py" "$bootstrap"
