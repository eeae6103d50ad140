#!/bin/sh
# kafka-server-stop.sh - Kafka's name for ending brokers in order; --help says how.
usage="usage: ${0##*/} [--node-id ID]"
refuse() { echo "$usage" >&2; exit 1; }
id=
case $1 in
    '') ;;
    --help | -h)
        cat << END
kafka-server-stop.sh - ends brokers in order, by Kafka's name for that

$usage

  --node-id ID   only the broker with this broker.id
  --help         print this help

Asks this user's brokers on this host to hand leadership over and to end. It does not wait for that.
END
        exit 0 ;;
    --node-id) [ -n "$2" ] && [ $# -eq 2 ] && id=$2 || refuse ;;
    --node-id=?*) [ $# -eq 1 ] && id=${1#--node-id=} || refuse ;;
    *) refuse ;;
esac

# The broker.id of a process: as an argument says, or the file that it was given.
id_of() { # pid
    tr '\0' '\n' < "/proc/$1/cmdline" | {
        file= override= last=
        while IFS= read -r word; do
            case $last in
                --override) case $word in broker.id=*) override=${word#broker.id=} ;; esac ;;
                *) case $word in -*) ;; *) file=$word ;; esac ;;
            esac
            last=$word
        done
        case $file in /*) ;; *) file=$(readlink "/proc/$1/cwd")/$file ;; esac
        [ -n "$override" ] || override=$(sed -n 's/^[ \t]*broker\.id[ \t]*[=:][ \t]*\([0-9]*\).*/\1/p' "$file" 2> /dev/null | tail -n 1)
        echo "$override"
    }
}

found=
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    { read -r name < "$process/comm"; } 2> /dev/null || continue
    [ "$name" = ottla-broker ] && [ -O "$process" ] || continue
    [ -z "$id" ] || [ "$(id_of "$pid")" = "$id" ] || continue
    kill -s TERM "$pid" && found=yes
done
[ -n "$found" ] || { echo "No kafka server to stop" >&2; exit 1; }
