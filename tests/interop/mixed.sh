# tests/interop/mixed.sh - what must hold in a cluster of both kinds of broker, whoever is the controller.
# Sourced; $ottla and $apache are the brokers' addresses. Broker 1 is Ottla's, broker 2 Apache's.

isr_of() { # topic, address: a line a partition, its leader and who is in sync
    ottla topics --bootstrap-server "$2" --describe --topic "$1" |
        sed -n 's/.*Leader: \([^\t]*\)\t.*Isr: \([0-9,]*\).*/\1 \2/p'
}

await_isr() { # topic, replicas, address: until each of four partitions has a leader and that many in sync
    until [[ $(isr_of "$1" "$3" | awk -v n="$2" '$1 != "none" && split($2, x, ",") == n' | wc -l) == 4 ]]; do
        sleep 0.1
    done
}

same_everywhere() { # topic: both brokers tell the same, and it is what was written
    local theirs ours
    ours=$(interop read "$ottla" "$1")
    theirs=$(interop read "$apache" "$1")
    expect_equal "records of $1 asked by way of either broker" "$theirs" "$ours"
    [[ $(awk '{n += $3} END {print n}' <<< "$ours") == "$2" ]] || fail "$1 has not $2 records: $ours"
}

mixed_checks() { # name of the Ottla broker, name of the Apache broker, "alone" if that is the only controller
    # One replica: led by either, made, written and read by way of either.
    create_topic "$ottla" single 4
    until [[ $(isr_of single "$ottla" | cut -d' ' -f1 | sort -u | paste -sd,) == 1,2 ]]; do sleep 0.1; done
    interop write "$ottla" single 0 500 zstd
    interop write "$apache" single 500 500 none
    same_everywhere single 1000
    apache_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$apache" --create --topic theirs \
        --partitions 2 --replication-factor 1 > /dev/null
    interop write "$ottla" theirs 0 100 lz4
    same_everywhere theirs 100
    ottla topics --bootstrap-server "$apache" --alter --topic theirs --partitions 5
    ottla topics --bootstrap-server "$ottla" --delete --topic theirs
    until [[ $(ottla topics --bootstrap-server "$ottla" --list) == "$(ottla topics --bootstrap-server "$apache" --list)" ]] &&
        [[ ! $(find "$work"/data-* -maxdepth 1 -name 'theirs-*' ! -name '*-delete') ]]; do sleep 0.1; done
    say "single replicas: made, written, read, expanded, deleted by way of either broker"

    # Two replicas: each kind follows the other.
    create_topic "$ottla" double 4 --replication-factor 2 --config min.insync.replicas=2
    await_isr double 2 "$ottla"
    interop write "$ottla" double 0 1000 lz4
    interop write "$apache" double 1000 1000 none
    same_everywhere double 2000
    say "two replicas: all in sync, acks=all"

    # A follower of the other kind takes over, the leader comes back and catches up: both ways.
    stop_node "$1"
    await_isr double 1 "$apache"
    start_ottla 1
    await_isr double 2 "$apache"
    stop_node "$2"
    # The last of the controllers may end before everybody has heard what it decided.
    [[ ${3:-} == alone ]] || await_isr double 1 "$ottla"
    start_apache 2
    await_isr double 2 "$ottla"
    same_everywhere double 2000
    interop write "$ottla,$apache" double 2000 200 gzip
    same_everywhere double 2200
    say "after each broker's restart: all in sync again, every record there"
}
