#!/usr/bin/env bash
# A topic's retention and a broker's fetchers and quota change while brokers run: seen in zkCli, in DescribeConfigs with
# where they come from, and in what the brokers do. Nobody is started again.
source "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"

need_java
command -v /usr/share/zookeeper/bin/zkCli.sh > /dev/null || skip "zkCli.sh is not installed"
python=${PYTHON:-python3}
start_zookeeper
start_ottla_controller 101
page=127.0.0.1:$(free_port)
start_ottla 1 log.retention.check.interval.ms=300
start_ottla 2 log.retention.check.interval.ms=300 "metrics.listen=$page"
server=(--bootstrap-server "$(address_of ottla-1),$(address_of ottla-2)")
pids="$(pid_of ottla-1) $(pid_of ottla-2)"

stored() { /usr/share/zookeeper/bin/zkCli.sh -server "$zookeeper" get "$1" 2> /dev/null | grep '^{'; }
described() { ottla configs "${server[@]}" --describe "$@"; }
has() { grep -qF -- "$2" <<< "$3" || fail "$1: wanted $2, seen: $3"; }
lacks() { ! grep -qF -- "$2" <<< "$3" || fail "$1: has $2: $3"; }
# A broker hears of a change a moment after it is answered.
tells() { grep -qF -- "$1" <<< "$(described "${@:2}")"; } # words, what is described
is_silent_of() { ! tells "$@"; }
first() { ottla get-offsets "${server[@]}" --topic kept --time earliest | sed -n 's/^kept:0://p'; }
until_so() { # what, command…: soon it succeeds; whatever keeps it away for two minutes is a fault
    local what=$1 tries
    shift
    for tries in $(seq 400); do
        "$@" && return 0
        sleep 0.3
    done
    fail "never: $what"
}

# ---- a topic's retention
ottla topics "${server[@]}" --create --topic kept --replica-assignment 1:2 --config segment.bytes=100000 > /dev/null
for _ in $(seq 8); do # each less than a segment
    seq 1000 | sed 's/$/ a record that is kept until it is too old or too many are there/' |
        ottla produce "${server[@]}" --topic kept --request-required-acks -1
done
[[ $(first) == 0 ]] || fail "records went without need: $(first)"
lacks "before" retention.bytes "$(described --topic kept)"
ottla configs "${server[@]}" --alter --topic kept --add-config retention.bytes=200000 > /dev/null
has "zkCli" '"retention.bytes":"200000"' "$(stored /config/topics/kept)"
until_so "DescribeConfigs" tells 'retention.bytes=200000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.bytes=200000, DEFAULT_CONFIG:log.retention.bytes=-1}' \
    --topic kept
went() { [[ $(first) -gt 0 ]]; }
until_so "retention by size" went
[[ $(first) -lt 8000 ]] || fail "retention.bytes keeps nothing"
ottla configs "${server[@]}" --alter --topic kept --delete-config retention.bytes --add-config retention.ms=1 > /dev/null
document=$(stored /config/topics/kept)
has "zkCli" '"retention.ms":"1"' "$document"
lacks "zkCli" retention.bytes "$document"
all_went() { [[ $(first) == 8000 ]]; }
until_so "retention by time" all_went
say "retention: $document"

# ---- a broker's fetchers, and its quota of throttled replication (its effect: test_throttle)
assignment=$(printf '1:2,%.0s' $(seq 8))
ottla topics "${server[@]}" --create --topic followed --replica-assignment "${assignment%,}" > /dev/null
connections() { "$python" -c 'import sys, urllib.request
text = urllib.request.urlopen(sys.argv[1], timeout=20).read().decode()
print([line.split()[1] for line in text.splitlines() if line.startswith("ottla_fetchers_connections ")][0])' "http://$page/metrics"; }
few() { [[ $(connections) -ge 1 && $(connections) -le 2 ]]; }
many() { [[ $(connections) -ge 6 ]]; }
until_so "a connection or two" few
ottla configs "${server[@]}" --alter --broker 2 --add-config num.replica.fetchers=6,follower.replication.throttled.rate=7000000 > /dev/null
document=$(stored /config/brokers/2)
has "zkCli" '"num.replica.fetchers":"6"' "$document"
has "zkCli" '"follower.replication.throttled.rate":"7000000"' "$document"
until_so "DescribeConfigs" tells 'num.replica.fetchers=6 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:num.replica.fetchers=6, DEFAULT_CONFIG:num.replica.fetchers=1}' --broker 2
until_so "DescribeConfigs" tells 'DYNAMIC_BROKER_CONFIG:follower.replication.throttled.rate=7000000' --broker 2
lacks "another broker" num.replica.fetchers "$(described --broker 1)"
until_so "more connections" many
ottla configs "${server[@]}" --alter --broker 2 --delete-config num.replica.fetchers,follower.replication.throttled.rate > /dev/null
until_so "DescribeConfigs, without it" is_silent_of num.replica.fetchers --broker 2
until_so "as before" few
say "fetchers and quota"

# ---- how many connections a broker takes
cat > "$work/held.py" << 'END'
import select, socket, struct, subprocess, sys, time

port, command = int(sys.argv[1]), sys.argv[2:]

def connect():
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    return connection

def send(connection, key, version, body):
    frame = struct.pack(">hhih", key, version, 7, -1) + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)

def receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part: sys.exit("a connection was closed")
        data += part
    return data

def answer(connection):
    return receive(connection, struct.unpack(">i", receive(connection, 4))[0])

early = connect()
send(early, 18, 0, b"")
answer(early)
subprocess.run(command, check=True, stdout=subprocess.DEVNULL) # there is room for one, and it is taken: once the broker has heard of it
end = time.monotonic() + 120
while True:
    held = connect()
    send(held, 18, 0, b"")
    if not select.select([held], [], [], 2)[0]: break
    answer(held)
    held.close()
    if time.monotonic() > end: sys.exit("over max.connections, and answered")
    time.sleep(0.1)
name = b"max.connections"
config = struct.pack(">h", len(name)) + name + struct.pack(">bh", 1, -1) # delete it
send(early, 44, 0, struct.pack(">ibh1si", 1, 4, 1, b"2", 1) + config + b"\0")
code = struct.unpack(">h", answer(early)[12:14])[0]
if code != 0: sys.exit(f"taken away: code {code}")
answer(held)
END
"$python" "$work/held.py" "$(port_of ottla-2)" "$build/ottla" configs "${server[@]}" --alter --broker 2 --add-config max.connections=1 ||
    fail "max.connections does not change at run time"
until_so "DescribeConfigs, without it" is_silent_of max.connections --broker 2
say "connections"

[[ "$(pid_of ottla-1) $(pid_of ottla-2)" == "$pids" ]] && kill -0 $pids || fail "a broker was started again"
