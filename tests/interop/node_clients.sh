#!/usr/bin/env bash
# kafkajs: its admin, its producer (what it wrote is read with `ottla consume` too), its consumer, which is always in a group.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_java
command -v node > /dev/null && command -v npm > /dev/null || skip "node and npm are not installed"

bring_packages() {
    [[ ! -d $cache/node ]] || return 0
    rm -rf "$cache/node.new"
    mkdir -p "$cache/node.new"
    timeout 60 npm install --silent --no-audit --no-fund --prefix "$cache/node.new" kafkajs@2.2.4 > "$cache/npm.log" 2>&1 &&
        mv "$cache/node.new" "$cache/node"
}
locked bring_packages || skip "kafkajs cannot be had here (see $cache/npm.log)"

start_zookeeper
start_ottla_controller 101
start_ottla 1
bootstrap=$(address_of ottla-1)
NODE_PATH=$cache/node/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1 node "$root/tests/interop/node_clients.js" "$bootstrap"
seq 0 999 | sed 's/.*/&	value &/' > "$work/wanted"
ottla consume --bootstrap-server "$bootstrap" --topic node --from-beginning --max-messages 1002 \
    --property print.key=true 2> /dev/null | grep -v last | sort -n > "$work/got"
cmp "$work/wanted" "$work/got" || fail "not what kafkajs wrote"
say "kafkajs: admin, producer, group"
