#!/usr/bin/env bash
# Kafka Streams (a repartition topic, a changelog, two threads) and Kafka Connect (distributed: a file to a
# topic to a file) on an Ottla cluster. Their jars are large: only where OTTLA_INTEROP_LONG is set.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ -n ${OTTLA_INTEROP_LONG:-} ]] || skip "Kafka Streams and Connect: wants OTTLA_INTEROP_LONG=1"
for tool in curl kcat; do command -v $tool > /dev/null || skip "$tool is not installed"; done

bring_platform() {
    [[ -d $libs ]] && return 0
    mkdir -p "$cache/platform"
    { echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
      echo '<groupId>ottla</groupId><artifactId>platform</artifactId><version>1</version><dependencies>'
      for artifact in kafka-streams connect-file connect-runtime; do
          echo "<dependency><groupId>org.apache.kafka</groupId><artifactId>$artifact</artifactId><version>$kafka_version</version></dependency>"
      done
      echo '</dependencies></project>'; } > "$cache/platform/pom.xml"
    rm -rf "$libs.new"
    (cd "$cache/platform" && timeout 150 mvn -q -B dependency:copy-dependencies -DoutputDirectory="$libs.new" > "$cache/mvn.log" 2>&1) &&
        mv "$libs.new" "$libs"
}

need_java
command -v javac > /dev/null || skip "no Java compiler is installed"
libs=$cache/platform-$kafka_version
[[ -d $libs ]] || command -v mvn > /dev/null || skip "Maven is not installed"
locked bring_platform || skip "Kafka Streams and Connect cannot be had here (see $cache/mvn.log)"
mkdir -p "$work/classes"
javac -nowarn -cp "$libs/*" -d "$work/classes" "$root/tests/interop/Words.java"
# In a shell of its own: what is started is the process that is ended.
program() { exec java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$work/classes:$libs/*" "$@"; }

start_zookeeper
start_ottla_controller 101
start_ottla 1
start_ottla 2
bootstrap=$(address_of ottla-1),$(address_of ottla-2)

seq 1 20000 | sed 's/\(.*\)\(.\)\(.\)$/\1 \2 w\3/' > "$work/lines"

# ---- Streams

create_topic "$bootstrap" lines 4 --replication-factor 2
kcat -b "$bootstrap" -P -t lines -X acks=all -l "$work/lines"
# An empty first word counts too: a line may begin with a space.
wanted=$(awk '{ n += gsub(/ /, " ") + 1 } END { print n }' "$work/lines")
expect_equal "words counted by Streams" "$wanted" "$(program Words "$bootstrap" "$work/state" lines "$wanted" 2> "$work/streams.log")"
grep -q 'words-counts-changelog' <<< "$(ottla topics --bootstrap-server "$bootstrap" --list)" || fail "there is no changelog"
say "Streams has counted $wanted words"

# ---- Connect

cat > "$work/connect.properties" << END
bootstrap.servers=$bootstrap
group.id=connect
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic=connect-offsets
config.storage.topic=connect-configs
status.storage.topic=connect-status
offset.storage.replication.factor=2
config.storage.replication.factor=2
status.storage.replication.factor=2
offset.flush.interval.ms=1000
listeners=HTTP://127.0.0.1:$(free_port)
plugin.path=$libs
plugin.discovery=only_scan
END
rest=$(sed -n 's|^listeners=HTTP|http|p' "$work/connect.properties")
mkdir -p "$work/connect"
program org.apache.kafka.connect.cli.ConnectDistributed "$work/connect.properties" > "$work/connect/log" 2>&1 7>&- 8>&- &
echo $! > "$work/connect/pid"
disown

make_connector() { # name, lines of its configuration
    local body="{\"name\":\"$1\",\"config\":{$2,\"tasks.max\":\"1\"}}" answer
    # It answers 404 until it has read its topics, and 409 while it rebalances.
    until answer=$(curl -s -X POST -H 'Content-Type: application/json' "$rest/connectors" -d "$body") && [[ $answer == '{"name"'* ]]; do
        kill -0 "$(pid_of connect)" 2> /dev/null || fail "Connect ended"
        sleep 0.2
    done
    say "connector $1 is there"
}

touch "$work/out"
make_connector source "\"connector.class\":\"FileStreamSource\",\"file\":\"$work/lines\",\"topic\":\"connected\""
make_connector sink "\"connector.class\":\"FileStreamSink\",\"file\":\"$work/out\",\"topics\":\"connected\""
until [[ $(wc -l < "$work/out") -ge 20000 ]]; do sleep 0.2; done
cmp "$work/lines" "$work/out" || fail "the file that came out of Connect is not the one that went in"
say "Connect has moved a file through a topic"
# The sink's group has committed all of it.
until ottla groups --bootstrap-server "$bootstrap" --describe --group connect-sink 2> /dev/null | grep -q 'connected *0 *20000 *20000 *0 '; do sleep 0.3; done
stop_node connect
