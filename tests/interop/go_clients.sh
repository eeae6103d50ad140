#!/usr/bin/env bash
# franz-go: produce, consume, share a topic in groups; sarama: in groups.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_java
command -v go > /dev/null || skip "Go is not installed"

bring_packages() {
    local source=$root/tests/interop/go_clients.go
    [[ ! $cache/go/clients -nt $source ]] || return 0
    mkdir -p "$cache/go"
    cp "$source" "$cache/go/main.go"
    printf 'module interop\n\ngo 1.21\n' > "$cache/go/go.mod"
    (cd "$cache/go" && export GOFLAGS=-mod=mod GOMODCACHE=$cache/go-modules &&
        timeout 70 go get github.com/twmb/franz-go/pkg/kgo@v1.18.0 github.com/IBM/sarama@v1.43.3 && timeout 150 go build -modcacherw -o clients .) > "$cache/go.log" 2>&1
}
locked bring_packages || skip "franz-go and sarama cannot be had here, or not in this time (see $cache/go.log)"

start_zookeeper
start_ottla_controller 101
start_ottla 1
create_topic "$(address_of ottla-1)" go 2
"$cache/go/clients" "$(address_of ottla-1)"
