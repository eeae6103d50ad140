/* sim/planted.h - the bugs that can be put in (configure --enable-planted, sim --plant NAME), and
 * what each breaks: the simulator has to find every one. Where they are: grep for planted(NAME). */
#pragma once

/* name, what is broken and what comes of it */
#define PLANTED_TABLE(X)                                                                           \
    /* the follower */                                                                             \
    X(truncate_to_watermark, "a follower cuts to its high watermark, not by epoch (KIP-101)")      \
    X(divergence_unchecked, "a leader does not say where a follower's log parted (KIP-279)")       \
    X(epochs_not_cut, "what is cut off a log stays in its epochs (KIP-279)")                       \
    X(epochs_not_compared, "requests of older and newer leader epochs are served (KIP-320)")       \
    /* the leader */                                                                               \
    X(watermark_on_proposed, "the watermark advances on the proposed ISR alone (KIP-497)")         \
    X(fetch_counts_as_done, "what is sent to a follower counts as received")                       \
    X(append_before_fence, "produce is appended before it is asked who leads, then refused")       \
    X(ack_at_append, "acks=all is answered when the leader has appended")                          \
    X(reads_past_watermark, "consumers read to the end of the log")                                \
    X(min_insync_ignored, "acks=all is taken with fewer in sync than min.insync.replicas")         \
    X(joins_isr_behind, "a follower joins the ISR before it has what is committed")                \
    X(old_leader_epoch, "LeaderAndIsr of an older leader epoch is applied")                        \
    X(last_replica_rule_off, "the last of an ISR neither syncs nor stands back (KIP-966)")         \
    X(duplicate_appended, "what an idempotent producer sends again is appended again (KIP-98)")    \
    /* the disk */                                                                                 \
    X(checkpoint_ahead_of_sync, "the recovery point runs ahead of what is synced")                 \
    X(ack_before_flush, "flush.messages: acknowledged before it is on the device")                 \
    X(sync_skipped, "logs are not synced before their recovery point moves")                       \
    X(rename_without_directory_sync, "checkpoints are renamed, their directory is not synced")     \
    X(torn_tail_kept, "recovery believes batches whose checksum is wrong")                         \
    /* control */                                                                                  \
    X(broker_epoch_ignored, "requests of an earlier life of a broker are taken (KIP-380)")         \
    X(old_controller_epoch, "brokers obey a deposed controller")                                   \
    /* the controller */                                                                           \
    X(isr_without_partition_epoch, "an ISR is written whatever the state's version (KIP-497)")     \
    X(lost_answer_is_failure, "a write whose answer was lost counts as not done")                  \
    X(unclean_by_default, "a leader is taken from outside of the ISR")                             \
    X(leavers_forgotten, "who left the ISR with all does not lead before one that lost some")      \
    X(leavers_unwritten, "a later controller does not know who left the ISR with all")             \
    X(leader_epoch_kept, "an election does not raise the leader epoch")                            \
    X(election_without_version, "an election is written whatever the state's version")             \
    X(unfenced_writes, "writes are not fenced by the controller epoch")                            \
    X(equal_controller_epoch, "a new controller takes the epoch of the one before it")             \
    X(watch_not_rearmed, "topics are listed without a new watch")                                  \
    X(watch_after_read, "topics are listed, and a new watch is set when all is read")              \
    X(reassigned_before_in_sync, "a reassignment ends before its target is in sync")               \
    X(never_resigns, "a controller whose session is over goes on")
