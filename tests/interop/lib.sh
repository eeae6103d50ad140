# tests/interop/lib.sh - for tests against the real thing; sourced by each of them.
#
# A test has a folder ($work), ends what it started, and is over after ten minutes at the latest (a loaded
# machine is no failure). What is
# brought from package registries goes to $OTTLA_BUILD/interop, never into the source tree; where it cannot be
# had the test skips: exit code 77 and one line that says why.
# OTTLA_KEEP=1 keeps the folder. OTTLA_KAFKA_LIBS names a folder with Apache Kafka's jars, OTTLA_KAFKA_4_LIBS one with
# those of 4.x. A test that wants these sets kafka_release=4 before it sources this.
# A pipe into `grep -q` fails by chance, as grep does not wait for the rest: grep -q … <<< "$(command)".
set -euo pipefail

limit_seconds=600
if [[ -z ${OTTLA_INTEROP_TIMED:-} ]]; then
    OTTLA_INTEROP_TIMED=1 exec timeout -k 10 "$limit_seconds" bash "$0" "$@"
fi

root=${OTTLA_SOURCE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=$(cd "${OTTLA_BUILD:-$root/build}" && pwd)
cache=$build/interop
work=$(mktemp -d "${TMPDIR:-/tmp}/ottla-interop-XXXXXX")
case ${kafka_release:-3.9} in
    3.9) kafka_version=3.9.1 libs=${OTTLA_KAFKA_LIBS:-} ;;
    4) kafka_version=4.1.1 libs=${OTTLA_KAFKA_4_LIBS:-} ;;
esac
libs=${libs:-$cache/apache-kafka-$kafka_version}
classes=$cache/classes-$kafka_version
mkdir -p "$cache"
source "$root/tests/cluster/ports.sh"
take_ports

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '%3d s  %s\n' "$SECONDS" "$*"; }

finish() {
    local code=$? name
    trap - EXIT TERM
    [[ $code == 0 || $code == 77 ]] || show_logs
    for name in $(nodes); do kill -CONT "$(pid_of "$name")" 2> /dev/null || true; kill -9 "$(pid_of "$name")" 2> /dev/null || true; done
    [[ -z ${interop_pid:-} ]] || kill -9 "$interop_pid" 2> /dev/null || true
    "$root/tests/cluster/zookeeper.sh" down "$work/zookeeper" || true
    if [[ -n ${OTTLA_KEEP:-} ]]; then echo "kept: $work"; else rm -rf "$work"; fi
    exit "$code"
}
trap finish EXIT
trap 'echo "not done in $limit_seconds s" >&2; exit 124' TERM

nodes() { (cd "$work" && ls -d ./*/pid 2> /dev/null | cut -d/ -f2) || true; }
pid_of() { cat "$work/$1/pid" 2> /dev/null; }
show_logs() {
    local name
    for name in $(nodes); do
        echo "---- $name"
        grep -vE ' (INFO|DEBUG) |^\s+at ' "$work/$name/log" | tail -n 12
    done >&2
}

expect_equal() { # what wanted got
    [[ $2 == "$3" ]] && return 0
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") >&2 || true
    fail "$1 differ (left: wanted, right: seen)"
}

# ---- what is not ours

# For what comes a moment after the answer that says so: every broker hears of it for itself.
soon() { # what, command…: whatever keeps it away for two minutes is a fault
    local what=$1 until=$((SECONDS + 120))
    shift
    until "$@"; do
        [[ $SECONDS -lt $until ]] || fail "never: $what"
        sleep 0.2
    done
}

need_java() {
    command -v java > /dev/null || skip "Java is not installed"
    [[ -r /usr/share/java/zookeeper.jar ]] || skip "ZooKeeper is not installed"
}

# One at a time: tests run side by side and share the cache.
locked() { (flock 9; "$@") 9> "$cache/lock"; }

bring_kafka() {
    [[ -d $libs ]] && return 0
    mkdir -p "$cache/pom"
    cat > "$cache/pom/pom.xml" << END
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>ottla</groupId><artifactId>interop</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
END
    rm -rf "$libs.new"
    (cd "$cache/pom" && timeout 150 mvn -q -B dependency:copy-dependencies -DoutputDirectory="$libs.new" > "$cache/mvn.log" 2>&1) &&
        mv "$libs.new" "$libs"
}

compile_programs() {
    local source=$root/tests/interop/Interop.java
    [[ $classes/Interop.class -nt $source ]] && return 0
    javac -nowarn -cp "$libs/*" -d "$classes.new" "$source" 2> "$cache/javac.log" || { cat "$cache/javac.log" >&2; return 1; }
    rm -rf "$classes"
    mv "$classes.new" "$classes"
}

# Apache Kafka's jars, and the program of these tests compiled against them.
need_kafka() {
    need_java
    command -v javac > /dev/null || skip "no Java compiler is installed"
    [[ -d $libs ]] || command -v mvn > /dev/null || skip "Maven is not installed"
    locked bring_kafka || skip "Apache Kafka $kafka_version cannot be had here (see $cache/mvn.log)"
    locked compile_programs || fail "Interop.java does not compile"
    cat > "$work/log4j.properties" << 'END'
log4j.rootLogger=WARN, out
log4j.logger.kafka=INFO
log4j.logger.state.change.logger=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n
END
    sed 's/INFO/ERROR/; s/^\(log4j.rootLogger=\)WARN/\1ERROR/' "$work/log4j.properties" > "$work/log4j-tool.properties"
    start_interop
}

java_with() { # which log4j file, arguments…; java_prefix: what stands before it
    local log4j=$1
    shift
    ${java_prefix:-} java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Djava.awt.headless=true \
        "-Dlog4j.configuration=file:$work/$log4j.properties" -cp "$classes:$libs/*" "$@"
}

# One process for all commands of Interop.java: starting Java is most of what they would cost.
start_interop() {
    mkfifo "$work/asked" "$work/answered"
    exec 7<> "$work/asked" 8<> "$work/answered"
    java_with log4j-tool Interop serve < "$work/asked" > "$work/answered" 7>&- 8>&- &
    interop_pid=$!
    disown
}

interop() { # a command of Interop.java
    local line
    echo "$*" >&7
    while IFS= read -r line <&8 && [[ $line != '== '* ]]; do printf '%s\n' "$line"; done
    return "${line#== }"
}

apache_tool() { java_with log4j-tool "$@"; } # class, arguments…
# The same in that process, without empty lines; no argument has a blank.
kafka_tool() { interop tool "$@" | sed '/^$/d'; }

# ---- processes: each has a folder of its name in $work

free_port() { # the next of ours
    echo >> "$work/ports"
    echo $((ports_at + $(wc -l < "$work/ports")))
}

start_zookeeper() {
    zookeeper=$(OTTLA_ZOOKEEPER_TICK=1000 "$root/tests/cluster/zookeeper.sh" up "$work/zookeeper")
}

port_of() { sed -n 's|^listeners=.*:||p' "$work/$1/server.properties"; }
address_of() { echo "127.0.0.1:$(port_of "$1")"; }
answers() { (exec 3<> "/dev/tcp/127.0.0.1/$(port_of "$1")") 2> /dev/null; }

# Writes server.properties once; a node that starts again keeps it. The data is in a folder that nodes of the
# same id share, so that the other kind finds it there: data-ID.
configure_node() { # name, lines…
    local name=$1
    shift
    [[ ! -f $work/$name/server.properties ]] || return 0
    mkdir -p "$work/$name"
    printf '%s\n' "listeners=PLAINTEXT://127.0.0.1:$(free_port)" "zookeeper.connect=$zookeeper" "$@" \
        > "$work/$name/server.properties"
}

broker_lines() { # id
    mkdir -p "$work/data-$1"
    printf '%s\n' "broker.id=$1" "log.dirs=$work/data-$1" offsets.topic.replication.factor=1 \
        transaction.state.log.replication.factor=1 transaction.state.log.min.isr=1 \
        group.initial.rebalance.delay.ms=0 num.partitions=1
}

run_node() { # name, how its log says that it is ready, command…
    local name=$1 ready=$2
    shift 2
    : > "$work/$name/log"
    "$@" "$work/$name/server.properties" >> "$work/$name/log" 2>&1 < /dev/null 7>&- 8>&- 9>&- &
    echo $! > "$work/$name/pid"
    disown
    until grep -q "$ready" "$work/$name/log" && answers "$name"; do
        kill -0 "$(pid_of "$name")" 2> /dev/null || fail "$name ended"
        sleep 0.05
    done
    say "$name is up at $(address_of "$name")"
}

# A broker says that it is up before its controller has told it that there is a broker.
await_known() { # name
    until ottla cluster --bootstrap-server "$(address_of "$1")" 2> /dev/null | grep -q ":$(port_of "$1")\>"; do sleep 0.1; done
}

start_ottla_controller() { # id, lines…
    local id=$1
    shift
    configure_node "ottla-controller-$id" "controller.id=$id" "$@"
    run_node "ottla-controller-$id" ' ready' "$build/ottla-controller"
}

start_ottla() { # id, lines…
    local id=$1
    shift
    mapfile -t own < <(broker_lines "$id")
    configure_node "ottla-$id" "${own[@]}" "$@"
    run_node "ottla-$id" ' ready' "$build/ottla-broker"
    await_known "ottla-$id"
}

start_apache() { # id, lines…
    local id=$1
    shift
    mapfile -t own < <(broker_lines "$id")
    configure_node "apache-$id" "${own[@]}" "$@"
    run_node "apache-$id" 'started (kafka.server.KafkaServer)' java -Xmx384m -XX:+UseSerialGC \
        -XX:TieredStopAtLevel=1 -Xshare:auto -Djava.awt.headless=true \
        "-Dlog4j.configuration=file:$work/log4j.properties" -cp "$libs/*" kafka.Kafka
    await_known "apache-$id"
}

stop_node() { # name [signal]
    local name=$1 pid
    pid=$(pid_of "$name")
    kill "-${2:-TERM}" "$pid" 2> /dev/null || true
    while kill -0 "$pid" 2> /dev/null; do sleep 0.02; done
    rm "$work/$name/pid"
    say "$name ended"
}

# An Apache broker that finds the registration of a killed one does not start: until all have expired.
await_expiry() {
    while { exec 3<> "/dev/tcp/${zookeeper%:*}/${zookeeper#*:}"; echo -n dump >&3; cat <&3; } 2> /dev/null |
        grep -q '/brokers/ids/\|/controller'; do sleep 0.1; done
}

# ---- what the tests do again and again

ottla() { "$build/ottla" "$@"; }

# Until each of the brokers knows the topic with so many partitions, a leader for each.
await_topic() { # bootstrap, name, partitions
    local address
    for address in ${1//,/ }; do
        until [[ $(ottla topics --bootstrap-server "$address" --describe --topic "$2" 2> /dev/null |
            grep -c $'\tLeader: [0-9]') == "$3" ]]; do sleep 0.1; done
    done
}

create_topic() { # bootstrap, name, partitions, options of `ottla topics`…
    local bootstrap=$1 name=$2 partitions=$3 tries
    shift 3
    # The controller hears of a broker a moment after it is up.
    for tries in $(seq 300); do
        if ottla topics --bootstrap-server "$bootstrap" --create --topic "$name" --partitions "$partitions" "$@" > "$work/created" 2>&1; then
            await_topic "$bootstrap" "$name" "$partitions"
            return
        fi
        grep -qi 'replication factor' "$work/created" || break
        sleep 0.1
    done
    fail "topic $name: $(cat "$work/created")"
}

# Apache's own opinion of every segment and index of a broker's data.
check_files() { # data folder
    local logs indexes
    logs=$(find "$1" -name '*.log' -size +0 | sort | paste -sd,)
    indexes=$(find "$1" \( -name '*.index' -o -name '*.timeindex' \) -size +0 | sort | paste -sd,)
    apache_tool kafka.tools.DumpLogSegments --files "$logs" > "$work/dump.logs" 2>&1 || fail "segments cannot be read: $(tail -n 3 "$work/dump.logs")"
    ! grep -q 'isvalid: false\|Found .* invalid bytes\|Non-consecutive' "$work/dump.logs" || fail "$(grep -m1 'isvalid: false\|invalid bytes\|Non-con' "$work/dump.logs")"
    apache_tool kafka.tools.DumpLogSegments --index-sanity-check --files "$indexes" > "$work/dump.indexes" 2>&1 || fail "indexes cannot be read"
    ! grep -v 'passed sanity check\|^Dumping\|is empty\|^Index\|^SLF4J' "$work/dump.indexes" | grep . || fail "an index is not sane"
    apache_tool kafka.tools.DumpLogSegments --verify-index-only --files "$indexes" > "$work/dump.verify" 2>&1 || fail "indexes cannot be verified"
    ! grep -A3 'Mismatches\|timestamp mismatch\|Found out of order' "$work/dump.verify" | grep . || fail "an index does not agree with its segment"
    say "Apache's DumpLogSegments finds $(wc -l <<< "${logs//,/$'\n'}") segments and their indexes right"
}
