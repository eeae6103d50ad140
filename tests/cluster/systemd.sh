#!/usr/bin/env bash
# What the units promise, without systemd as process 1: a broker and a controller are started as their units start
# them, say READY=1 when they serve and not before, feed the watchdog, and at the unit's signal to stop say
# STOPPING=1, hand leadership over and end with 0 within the unit's time. (The units themselves: tests/house/units;
# under systemd itself: tests/packages/boot.)
source "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"

need_java
python=${PYTHON:-python3}

setting() { # unit, key: its value, or nothing
    sed -n "s/^$2=//p" "$root/etc/systemd/$1@.service" | tail -n 1
}

# A service manager of one process: hears NOTIFY_SOCKET, writes down what it hears and when, and how the process ends.
cat > "$work/manager.py" << 'END'
import os, socket, subprocess, sys, threading, time

folder, usec, *command = sys.argv[1:]
path = os.path.join(folder, "notify")
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind(path)
environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC=usec)
environment.pop("WATCHDOG_PID", None)
with open(os.path.join(folder, "log"), "ab") as log:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
with open(os.path.join(folder, "pid.new"), "w") as file:
    file.write(str(process.pid))
os.rename(os.path.join(folder, "pid.new"), os.path.join(folder, "pid"))
lines = open(os.path.join(folder, "heard"), "a", buffering=1)

def listen():
    while True:
        for line in heard.recv(4096).decode().splitlines():
            lines.write(line + "\n")

threading.Thread(target=listen, daemon=True).start()
code = process.wait()
time.sleep(0.2) # what it said last
with open(os.path.join(folder, "code.new"), "w") as file:
    file.write(str(code))
os.rename(os.path.join(folder, "code.new"), os.path.join(folder, "code"))
END

begin() { # name, unit: as the unit starts it; its watchdog is in a hurry
    local name=$1 unit=$2 program
    [[ $(setting "$unit" Type) == notify && $(setting "$unit" NotifyAccess) == main ]] || fail "$unit is no service that notifies"
    [[ $(setting "$unit" WatchdogSec) =~ ^[0-9]+$ ]] || fail "$unit has no watchdog"
    program=$(setting "$unit" ExecStart)
    [[ $program == "/usr/bin/$unit /etc/ottla/"* ]] || fail "$unit starts $program"
    : > "$work/$name/log"
    : > "$work/$name/heard"
    "$python" "$work/manager.py" "$work/$name" 1000000 "$build/$unit" "$work/$name/server.properties" \
        > "$work/$name/manager.log" 2>&1 < /dev/null 7>&- 8>&- 9>&- &
    disown
    soon "$name begins" test -s "$work/$name/pid"
}
has_heard() { grep -qx -- "$2" "$work/$1/heard"; } # name, line
is_fed() { [[ $(grep -cx WATCHDOG=1 "$work/$1/heard") -ge 5 ]]; }
seconds_of() { case $1 in *min) echo $((${1%min} * 60)) ;; *) echo "${1%s}" ;; esac; }
end() { # name, unit: as `systemctl stop` does
    local name=$1 unit=$2 signal limit began=$SECONDS
    signal=$(setting "$unit" KillSignal)
    limit=$(seconds_of "$(setting "$unit" TimeoutStopSec)")
    kill -s "${signal:-SIGTERM}" "$(pid_of "$name")"
    soon "$name ends" test -s "$work/$name/code"
    [[ $((SECONDS - began)) -lt $limit ]] || fail "$name takes longer to end than its unit allows ($limit s)"
    [[ $(cat "$work/$name/code") == 0 ]] || fail "$name ends with $(cat "$work/$name/code")"
    rm "$work/$name/pid"
    has_heard "$name" STOPPING=1 || fail "$name does not say that it stops: $(sort "$work/$name/heard" | uniq -c)"
    [[ $(grep -vx WATCHDOG=1 "$work/$name/heard" | head -n 1) == READY=1 ]] || fail "$name says something before READY=1"
}

start_zookeeper

# ---- a broker is not ready while there is no ZooKeeper that it could register in
mapfile -t lines < <(broker_lines 1)
configure_node ottla-1 "${lines[@]}"
nowhere=$(free_port)
sed -i "s|^zookeeper.connect=.*|zookeeper.connect=127.0.0.1:$nowhere|" "$work/ottla-1/server.properties"
begin ottla-1 ottla-broker
soon "the watchdog is fed before" is_fed ottla-1
! has_heard ottla-1 READY=1 || fail "ready without ZooKeeper"
kill -s SIGTERM "$(pid_of ottla-1)"
soon "it ends" test -s "$work/ottla-1/code"
rm -f "$work"/ottla-1/{code,pid,notify}

# ---- ready, fed
sed -i "s|^zookeeper.connect=.*|zookeeper.connect=$zookeeper|" "$work/ottla-1/server.properties"
configure_node ottla-controller-101 controller.id=101
begin ottla-controller-101 ottla-controller
begin ottla-1 ottla-broker
for name in ottla-controller-101 ottla-1; do
    soon "$name is ready" has_heard "$name" READY=1
    soon "$name feeds the watchdog" is_fed "$name"
done
answers ottla-1 || fail "READY=1, and nobody listens"
start_ottla 2
server=(--bootstrap-server "$(address_of ottla-1),$(address_of ottla-2)")
say "READY=1, WATCHDOG=1"

# ---- stopped: somebody else leads before it has gone
is_created() { ottla topics "${server[@]}" --create --if-not-exists --topic handed --replica-assignment 1:2,1:2,1:2,1:2,1:2,1:2 > /dev/null 2>&1; }
soon "a topic" is_created
led_by() { ottla topics "${server[@]}" --describe --topic handed 2> /dev/null | grep -c "Leader: $1"; }
all_led_by() { [[ $(led_by "$1") == 6 ]]; }
soon "broker 1 leads" all_led_by 1
end ottla-1 ottla-broker
grep -q 'controlled-shutdown attempt=.* why=OK code=0 remaining=0' "$work/ottla-1/log" ||
    fail "the broker's stop is no controlled shutdown: $(tail -n 5 "$work/ottla-1/log")"
all_led_by 2 || fail "after the stop broker 2 does not lead all: $(ottla topics "${server[@]}" --describe --topic handed)"
end ottla-controller-101 ottla-controller
say "STOPPING=1, a controlled shutdown, exit code 0"
