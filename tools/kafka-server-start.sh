#!/bin/sh
# kafka-server-start.sh - Kafka's name for starting a broker; --help says how.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
broker=${OTTLA_BROKER:-$here/ottla-broker}
usage="usage: ${0##*/} [-daemon] server.properties [--override key=value]..."
daemon=
case $1 in
    --help | -h)
        cat << END
kafka-server-start.sh - starts a broker, by Kafka's name for that

$usage

  --override KEY=VALUE   as in the file; again and again is fine
  --help                 print this help

-daemon, before the file: the broker goes to the background, and its lines to server.log in the folder that LOG_DIR
names (the current one, if it is not set). Other options are those of ottla-broker.
END
        exit 0 ;;
    -daemon)
        daemon=yes
        shift ;;
esac
[ -x "$broker" ] || { echo "${0##*/}: $broker is not installed" >&2; exit 1; }
[ $# -gt 0 ] || { echo "$usage" >&2; exit 1; }
[ -n "$daemon" ] || exec "$broker" "$@"
"$broker" --check-config "$@" > /dev/null || exit 1
mkdir -p "${LOG_DIR:=.}" || exit 1
nohup "$broker" "$@" >> "$LOG_DIR/server.log" 2>&1 < /dev/null &
