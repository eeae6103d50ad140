#!/bin/sh
# kafka-server-start.sh [-daemon] server.properties [--override key=value]... - Kafka's name for starting a broker.
#
# With -daemon the broker goes to the background; its lines go to $LOG_DIR/server.log (LOG_DIR: the current folder).
here=$(cd "$(dirname "$0")" && pwd) || exit 1
broker=${OTTLA_BROKER:-$here/ottla-broker}
daemon=
if [ "$1" = -daemon ]; then
    daemon=yes
    shift
fi
[ -x "$broker" ] || { echo "${0##*/}: $broker is not installed" >&2; exit 1; }
[ $# -gt 0 ] || { echo "usage: ${0##*/} [-daemon] server.properties [--override key=value]..." >&2; exit 1; }
[ -n "$daemon" ] || exec "$broker" "$@"
"$broker" --check-config "$@" > /dev/null || exit 1
mkdir -p "${LOG_DIR:=.}" || exit 1
nohup "$broker" "$@" >> "$LOG_DIR/server.log" 2>&1 < /dev/null &
