# tests/cluster/ports.sh - ports that no other test takes, for scripts; sourced.
#
# A hundred ports belong to who holds the lock on their file: a shell that has called take_ports, and every
# process that it starts, to the end of the last of them. A server that is down for a moment finds its port
# free. All lie below the range from which the kernel takes ports for outgoing connections, and beside those
# of tests/cluster/cluster.c.

ports_file() { echo "${TMPDIR:-/tmp}/ottla-ports-$UID.$1"; } # slot

# Sets ports_slot, and ports_at to its first port. With a slot: takes that one again.
take_ports() {
    local slot
    for slot in ${1:-$(seq 0 79)}; do
        exec {ports_lock}> "$(ports_file "$slot")"
        if flock -n "$ports_lock" || [[ -n ${1:-} ]]; then
            ports_slot=$slot ports_at=$((11000 + slot * 100))
            return
        fi
        exec {ports_lock}>&-
    done
    echo "no free ports" >&2
    return 1
}
