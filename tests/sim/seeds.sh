#!/usr/bin/env bash
# The fixed seeds of the simulator, one of them twice, and with OTTLA_SIM_MINUTES fresh ones. See docs/testing.md.
set -euo pipefail

source=${OTTLA_SOURCE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
sim=${OTTLA_BUILD:-.}/tests/sim/sim

# Ten minutes of faults each: with sanitizers all of it takes about a minute.
"$sim" --list "$source/tests/sim/seeds" --set safety-s=600
"$sim" --seed 2 --twice --hashes --set safety-s=100
# A smaller ISR, decided before ZooKeeper was away, was written when it was back: who was to stay had lost power meanwhile.
"$sim" --seed 4001033 --set safety-s=2010
# A reassignment ended, and deleted a replica, while the one that was to stay was silent.
"$sim" --seed 1300571 --set safety-s=850
# A replica stood back from leading while its topic was being deleted, and the deletion never ended.
"$sim" --seed 1302694 --set safety-s=745
# The budget let a second broker lose power while the first was back only on paper: ZooKeeper had been away all the time.
"$sim" --seed 4000961 --set safety-s=1260
# A new controller did not know who had left the ISR with all that was acknowledged: the last of it, which had lost power, led.
"$sim" --seed 4000434 --set safety-s=970
# A replica that was to be removed stayed in the ISR, because the target was going, and was no replica any more.
"$sim" --seed 1200353 --set safety-s=570
# A reserve had lost its room with the power, and was taken for whole: a disk that filled took its directory offline.
"$sim" --seed 7000042 --set safety-s=3300
# A job on the disk took longer than the end waits for it, and the broker's memory was given back under it.
"$sim" --seed 7000892 --set safety-s=1100
# As 7001793 in the list, with a controlled shutdown.
"$sim" --seed 7002019 --set safety-s=1240
# A follower was cut to where the leader's log began, in the middle of a batch, and refused that batch for ever.
"$sim" --seed 8000909 --set safety-s=816
# A leader that writes its ISR by itself did not know yet who was no replica any more.
"$sim" --seed 7004044 --set safety-s=880
# A leader that had returned unseen was told to lead in its old epoch, for whom it was to give way to had gone meanwhile.
"$sim" --seed 9201157 --set safety-s=1330
# A directory failed while a log was created in it, and the log was created in another: with both back the broker did not start.
"$sim" --seed 9200182 --set safety-s=1360
# Of the record with which an epoch began compaction left nothing, and a deposed leader kept its own at that offset.
"$sim" --seed 9305646 --set safety-s=2360
# A controller whose ZooKeeper server lagged had a broker lead that had lost power and was registered anew.
"$sim" --seed 9402146 --set safety-s=740
# After an unclean election a broker wrote over what it was sending: a client's checksum found it.
"$sim" --seed 9500167 --set safety-s=2235
# Led by who was elected in a write whose answer was lost, and gone at once: nobody led, and nobody was elected.
"$sim" --seed 9624123
# A sync failed and a whole segment was gone; a line of the cleaner's checkpoint was of an earlier topic of the name, and
# said that holes mean nothing.
"$sim" --seed 9628198
# The rest of a write that a full disk had stopped came back at the end of a segment that was believed.
"$sim" --seed 9628955
# A follower of a compacted leader was killed: its holes were taken for a loss at the next start, and what came after cut.
"$sim" --seed 9632678
# Of the model: a replica that began where its leader's log began does not know the producers of what was gone.
"$sim" --seed 9632669
# Of the model: who is in the ISR is kept as a replica by a reassignment that is under way, too.
"$sim" --seed 9628660
# The answer to a write of the ISR was lost, a lagging server did not show the write, and the leader was told that it was
# refused: it went on without one that was in the ISR.
"$sim" --seed 9658995
# Of the model: a network that carries a kilobyte at a time takes longer than a quarter of an hour for all there is to read.
"$sim" --seed 9680082
# Of the model: a batch that stood still in the network came when its topic had been deleted and made again.
"$sim" --seed 9708108 --set safety-s=750
# Told to end, a broker whose one shard had been asked by another to watch a partition that was gone by then kept the fetch.
"$sim" --seed 9719693
# A step of the end that had taken too long was left behind, and deleted a log while it was being closed.
"$sim" --seed 9723642
# A disk filled during a start, had room, and filled again: nothing was left of the reserve, and its directory went offline.
"$sim" --seed 9724070
# Four hours of a slow world, at the end of which an operator was asleep that was to give up what was lost.
"$sim" --seed 15 --set safety-s=14400 --set replica.fetch.wait.max.ms=2500
# A follower on a full disk was to begin where its leader's log began: it dropped what it had, and had no room for a new segment.
"$sim" --scenario a_disk_is_full_for_a_while --seed 3
# Power goes everywhere at once, and what was flushed by order is there.
"$sim" --scenario everything_loses_power_but_what_was_flushed --seed 1
if [[ ${OTTLA_SIM_MINUTES:-0} != 0 ]]; then
    "$sim" --minutes "$OTTLA_SIM_MINUTES" --jobs "$(nproc)"
fi
