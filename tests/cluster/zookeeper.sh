#!/bin/bash
# zookeeper.sh - ZooKeeper servers of one's own, on loopback, for tests and for trying things out.
#
#   zookeeper.sh up DIR [N [PORT]]   makes and starts an ensemble of N (1) in DIR, waits until it serves,
#                                    prints its connect string. PORT 0 (the default) takes free ports;
#                                    otherwise clients find server I at PORT + I - 1.
#   zookeeper.sh start DIR [I]       starts server I (all) again: same data, same ports; waits
#   zookeeper.sh stop DIR [I]        asks it to end (SIGTERM), waits
#   zookeeper.sh kill DIR [I]        SIGKILL, waits
#   zookeeper.sh pause DIR [I]       SIGSTOP: it keeps its connections and is silent
#   zookeeper.sh resume DIR [I]      SIGCONT
#   zookeeper.sh status DIR          one line a server: name pid address folder mode
#   zookeeper.sh connect DIR         prints the connect string
#   zookeeper.sh down DIR            stops all and removes DIR
#
# Exit code 77 where Java or ZooKeeper (Debian's packages zookeeper, default-jre-headless) is missing.
# Environment: OTTLA_ZOOKEEPER_HEAP (64m), OTTLA_ZOOKEEPER_SYNC=yes (fsync as in production),
# OTTLA_ZOOKEEPER_TICK (200 ms: sessions of 400 ms to 4 s; and up to 60 s when asked).
# DIR/I/zookeeper.log is a server's log, DIR/I/pid its process.
set -u

die() { echo "zookeeper.sh: $*" >&2; exit 1; }

. "$(dirname "$0")/ports.sh"

find_java() {
    java=${JAVA_HOME:+$JAVA_HOME/bin/java}
    [ -n "$java" ] && [ -x "$java" ] || java=$(command -v java) || return 1
    jar=/usr/share/java/zookeeper.jar
    [ -r "$jar" ]
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

configure() { # DIR I: its zoo.cfg, from DIR/ports ("client peer election" a line)
    local dir=$1 i=$2 n client peer election line
    n=$(wc -l <"$dir/ports")
    read -r client _ _ < <(sed -n "${i}p" "$dir/ports")
    mkdir -p "$dir/$i/data"
    echo "$i" >"$dir/$i/data/myid"
    {
        echo "tickTime=${OTTLA_ZOOKEEPER_TICK:-200}"
        echo "minSessionTimeout=400"
        echo "maxSessionTimeout=60000"
        echo "initLimit=50"
        echo "syncLimit=25"
        echo "dataDir=$dir/$i/data"
        echo "clientPortAddress=127.0.0.1"
        echo "clientPort=$client"
        echo "maxClientCnxns=0"
        echo "admin.enableServer=false"
        echo "4lw.commands.whitelist=*"
        echo "autopurge.purgeInterval=1"
        if [ "$n" -gt 1 ]; then
            line=0
            while read -r client peer election; do
                line=$((line + 1))
                echo "server.$line=127.0.0.1:$peer:$election"
            done <"$dir/ports"
        fi
    } >"$dir/$i/zoo.cfg"
}

pid_of() { # DIR I: prints the pid if that process is ours and lives
    local pid
    pid=$(cat "$1/$2/pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && grep -qsz "$1/$2/zoo.cfg" "/proc/$pid/cmdline" && echo "$pid"
}

port_of() { sed -n "${2}p" "$1/ports" | cut -d' ' -f1; }

ask() { # PORT WORD
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    echo -n "$2" >&3
    timeout 2 cat <&3
    exec 3>&-
}

mode_of() { ask "$(port_of "$1" "$2")" srvr 2>/dev/null | sed -n 's/^Mode: //p'; }

launch() { # DIR I
    local sync=no
    pid_of "$1" "$2" >/dev/null && return
    [ "${OTTLA_ZOOKEEPER_SYNC:-no}" = yes ] && sync=yes
    is_free "$(port_of "$1" "$2")" || die "port $(port_of "$1" "$2") is taken"
    setsid "$java" -Xms16m "-Xmx${OTTLA_ZOOKEEPER_HEAP:-64m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Xshare:auto -Dzookeeper.forceSync=$sync -Dzookeeper.jmx.log4j.disable=true \
        -Dorg.slf4j.simpleLogger.showDateTime=true \
        '-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS' \
        -cp "$jar:/usr/share/java/slf4j-simple.jar" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$1/$2/zoo.cfg" \
        >>"$1/$2/zookeeper.log" 2>&1 </dev/null 9>&- &
    echo $! >"$1/$2/pid"
}

await() { # DIR I…: until each serves
    local dir=$1 i tries
    shift
    for i in "$@"; do
        for tries in $(seq 2400); do
            [ -n "$(mode_of "$dir" "$i")" ] && continue 2
            kill -0 "$(cat "$dir/$i/pid")" 2>/dev/null || { tail -5 "$dir/$i/zookeeper.log" >&2; die "server $i ended"; }
            sleep 0.05
        done
        die "server $i does not serve, see $dir/$i/zookeeper.log"
    done
}

signal() { # DIR NAME I…
    local dir=$1 name=$2 i pid
    shift 2
    for i in "$@"; do
        pid=$(pid_of "$dir" "$i") && kill "-$name" "$pid" 2>/dev/null
    done
    return 0
}

# A process that was killed loses its command line before its sockets are closed; what is a zombie or
# away has closed them.
has_ended() { # DIR I
    local pid line
    pid=$(cat "$1/$2/pid" 2>/dev/null) && [ -n "$pid" ] || return 0
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 0
    case $line in
    *"$1/$2/zoo.cfg"*) return 1 ;;
    ?*) return 0 ;; # another process has the number now
    esac
    [ ! -e "/proc/$pid" ] || grep -qs '^State:.[ZX]' "/proc/$pid/status"
}

gone() { # DIR I…: waits until they have ended
    local dir=$1 i tries
    shift
    for i in "$@"; do
        for tries in $(seq 6000); do
            has_ended "$dir" "$i" && continue 2
            sleep 0.02
        done
        die "server $i does not end"
    done
}

[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
verb=$1
[ "$verb" != up ] || mkdir -p "$2" || exit 1
dir=$(cd "$2" 2>/dev/null && pwd) || dir=$2
all() { seq "$(wc -l <"$dir/ports" 2>/dev/null || echo 0)"; }
if [ "$verb" != up ] && [ ! -r "$dir/ports" ]; then
    [ "$verb" = down ] && exit 0
    die "nothing is in $dir"
fi

case $verb in
up)
    find_java || { echo "zookeeper.sh: Java or ZooKeeper is not installed" >&2; exit 77; }
    if [ ! -r "$dir/ports" ]; then
        take_ports || exit 1
        echo "$ports_slot" >"$dir/slot"
        n=${3:-1} port=${4:-$ports_at}
        [ "$port" -gt 0 ] || port=$ports_at
        for i in $(seq "$n"); do
            echo "$((port + i - 1)) $((ports_at + 30 + i)) $((ports_at + 60 + i))"
        done >"$dir/ports.new"
        mv "$dir/ports.new" "$dir/ports"
    fi
    [ -n "${ports_slot:-}" ] || take_ports "$(cat "$dir/slot")"
    for i in $(all); do configure "$dir" "$i"; launch "$dir" "$i"; done
    await "$dir" $(all)
    "$0" connect "$dir"
    ;;
start)
    find_java || exit 77
    take_ports "$(cat "$dir/slot")"
    which=${3:-$(all)}
    for i in $which; do launch "$dir" "$i"; done
    await "$dir" $which
    ;;
stop) which=${3:-$(all)}; signal "$dir" TERM $which; signal "$dir" CONT $which; gone "$dir" $which ;;
kill) which=${3:-$(all)}; signal "$dir" KILL $which; gone "$dir" $which ;;
pause) signal "$dir" STOP ${3:-$(all)} ;;
resume) signal "$dir" CONT ${3:-$(all)} ;;
status)
    for i in $(all); do
        pid=$(pid_of "$dir" "$i") || pid=-
        echo "zookeeper-$i $pid 127.0.0.1:$(port_of "$dir" "$i") $dir/$i $( [ "$pid" = - ] && echo down || mode_of "$dir" "$i")"
    done
    ;;
connect)
    cut -d' ' -f1 "$dir/ports" | sed 's/^/127.0.0.1:/' | paste -sd,
    ;;
down)
    signal "$dir" KILL $(all)
    gone "$dir" $(all)
    rm -rf "$dir"
    ;;
*) die "no such command: $verb" ;;
esac
