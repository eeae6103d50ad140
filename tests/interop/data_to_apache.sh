#!/usr/bin/env bash
# What Ottla wrote, an Apache broker serves, and back: same ZooKeeper, same broker.id, same log.dirs. Groups, too:
# what they have committed and who is in them, by either's __consumer_offsets.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_kafka
start_zookeeper
small=(log.segment.bytes=200000 log.index.interval.bytes=1000)
topics=plain-none,plain-gzip,plain-snappy,plain-lz4,plain-zstd

# Group "read" comes and goes, and must get every record of plain-none once; "left" has a member that is gone
# without a word, for whom the coordinator waits.
read_on() { # bootstrap, records
    timeout 100 "$build/ottla" consume --bootstrap-server "$1" --group read --topic plain-none --from-beginning \
        --max-messages "$2" --property print.partition=true --property print.offset=true \
        --property print.value=false >> "$work/read.lines" 2> /dev/null || fail "group read, at $1: exit code $?"
}
offsets_of() { # bootstrap, group
    ottla groups --bootstrap-server "$1" --describe --group "$2" --offsets 2> /dev/null | awk -v g="$2" '$1 == g {print $1, $2, $3, $4}' | sort
}
members_of() { ottla groups --bootstrap-server "$1" --describe --group "$2" --members 2> /dev/null | awk -v g="$2" '$1 == g {$1 = $1; print}'; }
groups_of() { # bootstrap
    ottla groups --bootstrap-server "$1" --list --state | sort
    offsets_of "$1" read
    offsets_of "$1" left
    members_of "$1" left
}
leave_one_behind() { # bootstrap
    local pid
    "$build/ottla" consume --bootstrap-server "$1" --group left --topic plain-gzip --from-beginning \
        --consumer-property session.timeout.ms=600000 > /dev/null 2>&1 &
    pid=$!
    disown
    until [[ $(offsets_of "$1" left | awk '{n += $4} END {print n + 0}') == "$2" ]]; do sleep 0.1; done
    kill -9 "$pid"
}

write_each() { interop write "$1" "$topics" "$2" "$3" by-name batch.size=3000; } # bootstrap, from, count

start_ottla_controller 101
start_ottla 1 "${small[@]}"
ottla=$(address_of ottla-1)
for topic in ${topics//,/ }; do create_topic "$ottla" "$topic" 2; done
write_each "$ottla" 0 1500
stop_node ottla-1 KILL
start_ottla 1
write_each "$ottla" 1500 1500
wanted=$(interop read "$ottla" "$topics")
say "written, with a kill -9 between; per topic and partition: count and digest"
echo "$wanted"
[[ $(awk '{n += $3} END {print n}' <<< "$wanted") == 15000 ]] || fail "not every record is there"
[[ $(find "$work/data-1/plain-none-0" -name '*.log' | wc -l) -ge 3 ]] || fail "one segment only: nothing tested"
read_on "$ottla" 1000
leave_one_behind "$ottla" 3000
wanted_groups=$(groups_of "$ottla")
echo "$wanted_groups"
[[ $(wc -l <<< "$wanted_groups") -ge 8 ]] || fail "a group is missing: nothing tested"
stop_node ottla-1
stop_node ottla-controller-101
check_files "$work/data-1"

start_apache 1 "${small[@]}"
apache=$(address_of apache-1)
expect_equal "records as Apache serves them" "$wanted" "$(interop read "$apache" "$topics")"
! grep -i 'corrupt\|rebuilding index\|Recovering unflushed' "$work/apache-1/log" || fail "Apache found something to mend"
expect_equal "groups as Apache has read them" "$wanted_groups" "$(groups_of "$apache")"
write_each "$apache" 3000 300
wanted=$(interop read "$apache" "$topics")
read_on "$apache" 1500
wanted_groups=$(groups_of "$apache")
stop_node apache-1

start_ottla_controller 101
start_ottla 1
expect_equal "records as Ottla serves them" "$wanted" "$(interop read "$ottla" "$topics")"
expect_equal "groups as Ottla has read them" "$wanted_groups" "$(groups_of "$ottla")"
read_on "$ottla" 800
[[ $(sort "$work/read.lines" | uniq | wc -l) == 3300 && $(wc -l < "$work/read.lines") == 3300 ]] ||
    fail "group read: $(wc -l < "$work/read.lines") records, $(sort -u "$work/read.lines" | wc -l) different, of 3300"
say "the same records whoever serves them"
