#include "tests/unit/broker_rig.h"
#include "broker/api/topic_configs.h"
#include "broker/api/update.h"
#include "wire/gen/leader_and_isr.h"
#include "wire/gen/stop_replica.h"

START_TEST(a_request_is_refused_by_old_epochs_only)
{
    int32_t seen = 5;

    ck_assert_int_eq(control_check_epochs(70, 69, &seen, 9), KAFKA_STALE_BROKER_EPOCH);
    ck_assert_int_eq(seen, 5); /* what is refused teaches nothing */
    ck_assert_int_eq(control_check_epochs(70, -1, &seen, 5), KAFKA_NONE);
    ck_assert_int_eq(control_check_epochs(70, 70, &seen, 5), KAFKA_NONE);
    /* The controller may know of a new registration first. */
    ck_assert_int_eq(control_check_epochs(70, 71, &seen, 6), KAFKA_NONE);
    ck_assert_int_eq(seen, 6);
    ck_assert_int_eq(control_check_epochs(70, 70, &seen, 5), KAFKA_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(seen, 6);
}
END_TEST

START_TEST(an_old_controller_changes_nothing)
{
    struct rig rig;

    rig_open(&rig, "");
    int fd = rig_connect_to(&rig, 1);
    ck_assert_int_eq(rig_update(&rig, fd, -1, 7), KAFKA_NONE);
    uint64_t version = image_version(rig.data.api.image);
    ck_assert_int_eq(rig_update(&rig, fd, -1, 6), KAFKA_STALE_CONTROLLER_EPOCH);
    ck_assert_uint_eq(image_version(rig.data.api.image), version);
    ck_assert_int_eq(rig_update(&rig, fd, -1, 7), KAFKA_NONE);
    ck_assert_uint_gt(image_version(rig.data.api.image), version);
    close(fd);
    rig_close(&rig);
}
END_TEST

START_TEST(what_was_meant_for_an_earlier_registration_is_refused)
{
    struct rig rig;

    rig_open(&rig, "");
    rig.control.api.broker_epoch = 100;
    int fd = rig_connect_to(&rig, 1);
    ck_assert_int_eq(rig_update(&rig, fd, 99, 7), KAFKA_STALE_BROKER_EPOCH);
    ck_assert_int_eq(image_topic_count(rig.data.api.image), 0);
    ck_assert_int_eq(rig_update(&rig, fd, 101, 7), KAFKA_NONE);
    ck_assert_int_eq(image_topic_count(rig.data.api.image), 1);
    close(fd);
    rig_close(&rig);
}
END_TEST

/* What comes before the registration could be for the life before: it is not answered, so that it
 * is sent again when the epoch can tell. */
START_TEST(before_the_registration_no_order_is_heard)
{
    struct update_metadata_request request;
    struct buf bytes;
    struct rig rig;

    rig_open(&rig, "");
    rig.control.api.broker_epoch = -1;
    int fd = rig_connect_to(&rig, 1);
    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = 101;
    request.controller_epoch = 7;
    request.broker_epoch = 99;
    buf_init(&bytes);
    rig_write(&bytes, API_UPDATE_METADATA, 8, &update_metadata_request_wire, &request);
    rig_send_frame(fd, buf_slice(&bytes));
    ck_assert(!rig_reply(&rig, fd, &bytes));
    buf_fini(&bytes);
    close(fd);
    rig.control.api.broker_epoch = 100;
    fd = rig_connect_to(&rig, 1);
    ck_assert_int_eq(rig_update(&rig, fd, 99, 7), KAFKA_STALE_BROKER_EPOCH);
    ck_assert_int_eq(rig_update(&rig, fd, 100, 7), KAFKA_NONE);
    close(fd);
    rig_close(&rig);
}
END_TEST

START_TEST(a_request_is_late_behind_a_later_one_of_its_channel)
{
    struct control_heard last = {0};

    ck_assert(!control_is_late(&last, 3, 100, 7));
    ck_assert(!control_is_late(&last, 3, 100, 8));
    ck_assert(control_is_late(&last, 3, 100, 7));
    ck_assert(!control_is_late(&last, 3, 100, 8)); /* what was late has changed nothing */
    ck_assert(!control_is_late(&last, 3, 101, 1)); /* another registration, another channel */
    ck_assert(!control_is_late(&last, 4, 101, 0)); /* another controller */
    ck_assert(!control_is_late(&last, 4, -1, 9));  /* old versions do not say */
    ck_assert(!control_is_late(&last, 4, 102, INT32_MAX));
    ck_assert(!control_is_late(&last, 4, 102, 0)); /* begins again */
    ck_assert(control_is_late(&last, 4, 102, INT32_MAX));
    ck_assert(!control_is_late(&last, 4, 102, INT32_MIN + 1)); /* as Apache's count */
}
END_TEST

/* The connection was lost, its request sent again and followed by another: then what the lost one
 * had carried arrives, and would bring back what is gone. */
START_TEST(what_comes_late_on_an_old_connection_is_not_heard)
{
    struct update_metadata_request request;
    struct frame_request_head head = {.api_key = API_UPDATE_METADATA, .api_version = 8};
    struct buf bytes, answer;
    struct rig rig;

    rig_open(&rig, "");
    rig.control.api.broker_epoch = 100;
    buf_init(&bytes);
    buf_init(&answer);
    int old = rig_connect_to(&rig, 1), now = rig_connect_to(&rig, 1);
    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = 101;
    request.controller_epoch = 7;
    request.broker_epoch = 100;
    for (int i = 0; i < 2; i++) {
        buf_clear(&bytes);
        head.correlation_id = i == 0 ? 12 : 11;
        frame_write_request_head(&bytes, &head);
        wire_write(&bytes, 8, &update_metadata_request_wire, &request);
        rig_send_frame(i == 0 ? now : old, buf_slice(&bytes));
        if (i == 0) ck_assert(rig_reply(&rig, now, &answer));
    }
    uint64_t version = image_version(rig.control.api.image);
    ck_assert(rig_is_closed(&rig, old));
    ck_assert_uint_eq(image_version(rig.control.api.image), version);
    close(old);
    close(now);
    buf_fini(&bytes);
    buf_fini(&answer);
    rig_close(&rig);
}
END_TEST

/* Frames that come before the registration are read after it, and a ping to the life before is not
 * answered by this one. */
START_TEST(who_is_not_registered_says_nothing)
{
    struct rig rig;
    struct buf bytes, answer;
    struct frame_request_head head = {.api_key = API_API_VERSIONS, .correlation_id = 7};

    rig_open(&rig, "");
    buf_init(&bytes);
    buf_init(&answer);
    rig.data.api.awaits_registration = true;
    int before = rig_connect_to(&rig, 1), now = rig_connect_to(&rig, 1);
    head.client_id = SLICE(HEARTBEAT_CLIENT "99");
    frame_write_request_head(&bytes, &head);
    rig_send_frame(before, buf_slice(&bytes));
    buf_clear(&bytes);
    head.client_id = SLICE(HEARTBEAT_CLIENT "100");
    frame_write_request_head(&bytes, &head);
    rig_send_frame(now, buf_slice(&bytes));
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    ck_assert_uint_eq(rig.data.api.requests.value, 0);

    rig.control.api.broker_epoch = 100;
    order_facts(&rig.control.api);
    ck_assert(rig_is_closed(&rig, before));
    ck_assert(rig_reply(&rig, now, &answer));
    ck_assert_uint_gt(answer.len, 0);
    close(before);
    close(now);
    buf_fini(&bytes);
    buf_fini(&answer);
    rig_close(&rig);
}
END_TEST

START_TEST(the_image_is_everywhere_before_the_controller_hears_so)
{
    struct rig rig;

    rig_open(&rig, "");
    int fd = rig_connect_to(&rig, 1);
    for (int32_t epoch = 1; epoch <= 5; epoch++) {
        ck_assert_int_eq(rig_update(&rig, fd, -1, epoch), KAFKA_NONE);
        ck_assert_ptr_eq(rig.data.api.image, rig.control.api.image);
    }
    close(fd);
    rig_close(&rig);
}
END_TEST

/* Brokers live for months, and topics come and go. */
START_TEST(what_a_topic_asked_for_goes_with_its_last_partition)
{
    struct update_metadata_request_partition_state gone = {.leader = LEADER_DURING_DELETE};
    struct update_metadata_request_topic_state topic = {.topic_name = SLICE("led"),
                                                        .topic_id = uuid_from_random(1, 2),
                                                        .partition_states = {&gone, 1}};
    struct update_metadata_request request;
    struct buf bytes, answer;
    struct rig rig;

    rig_open(&rig, "");
    struct topic_configs *configs = control_topic_configs(rig.control.api.control);
    buf_init(&bytes);
    buf_init(&answer);
    int fd = rig_connect_to(&rig, 1);
    ck_assert_int_eq(rig_update(&rig, fd, -1, 7), KAFKA_NONE);
    topic_configs_read_new(configs, SLICE("led"), NULL, NULL);
    topic_configs_read_new(configs, SLICE("other"), NULL, NULL);
    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = 101;
    request.controller_epoch = 7;
    request.broker_epoch = -1;
    request.topic_states.at = &topic;
    request.topic_states.count = 1;
    for (; gone.partition_index < 3; gone.partition_index++) {
        ck_assert(topic_configs_has_own(configs, SLICE("led")));
        rig_write(&bytes, API_UPDATE_METADATA, 8, &update_metadata_request_wire, &request);
        rig_send_frame(fd, buf_slice(&bytes));
        ck_assert(rig_reply(&rig, fd, &answer));
        buf_clear(&bytes);
    }
    ck_assert(!topic_configs_has_own(configs, SLICE("led")));
    ck_assert(topic_configs_has_own(configs, SLICE("other")));
    buf_fini(&bytes);
    buf_fini(&answer);
    close(fd);
    rig_close(&rig);
}
END_TEST

/* A refused LeaderAndIsr names every partition; the answer's form goes by its version. */
START_TEST(a_refused_leader_and_isr_says_so_for_each_partition)
{
    struct rig rig;
    struct arena arena;
    struct leader_and_isr_response out;
    int32_t one[] = {1};

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int fd = rig_connect_to(&rig, 1);
    rig_update(&rig, fd, -1, 9);
    struct leader_and_isr_request_partition_state states[] = {{.topic_name = SLICE("a"),
                                                               .partition_index = 3,
                                                               .leader = 1,
                                                               .isr = {one, 1},
                                                               .replicas = {one, 1}},
                                                              {.topic_name = SLICE("a"),
                                                               .partition_index = 4,
                                                               .leader = 1,
                                                               .isr = {one, 1},
                                                               .replicas = {one, 1}}};
    struct leader_and_isr_request_topic_state topics[] = {{.topic_name = SLICE("a"),
                                                           .topic_id = uuid_from_random(3, 4),
                                                           .partition_states = {states, 2}}};
    for (int version = 0; version <= 7; version++) {
        struct leader_and_isr_request in;
        wire_default(&leader_and_isr_request_wire, &in);
        in.controller_epoch = 8;
        if (version < 2) {
            in.ungrouped_partition_states.at = states;
            in.ungrouped_partition_states.count = 2;
        } else {
            in.topic_states.at = topics;
            in.topic_states.count = 1;
        }
        rig_ask(&rig, fd, &leader_and_isr_api, version, &in, &arena, &out);
        ck_assert_int_eq(out.error_code, KAFKA_STALE_CONTROLLER_EPOCH);
        struct leader_and_isr_response_partition_error *errors = out.partition_errors.at;
        int count = out.partition_errors.count;
        if (version >= 5) {
            ck_assert_int_eq(out.topics.count, 1);
            ck_assert(uuid_equal(out.topics.at[0].topic_id, uuid_from_random(3, 4)));
            errors = out.topics.at[0].partition_errors.at;
            count = out.topics.at[0].partition_errors.count;
        }
        ck_assert_int_eq(count, 2);
        ck_assert_int_eq(errors[1].partition_index, 4);
        ck_assert_int_eq(errors[1].error_code, KAFKA_STALE_CONTROLLER_EPOCH);
        arena_reset(&arena);
    }
    close(fd);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

START_TEST(a_refused_stop_replica_says_so_at_the_top_only)
{
    struct rig rig;
    struct arena arena;
    struct stop_replica_response out;

    rig_open(&rig, "");
    arena_init(&arena, 65536);
    int fd = rig_connect_to(&rig, 1);
    rig_update(&rig, fd, -1, 9);
    struct stop_replica_request_topic_state_partition_state states[] = {{.partition_index = 3}};
    struct stop_replica_request_topic_state topics[] = {
        {.topic_name = SLICE("a"), .partition_states = {states, 1}}};
    struct stop_replica_request in;
    wire_default(&stop_replica_request_wire, &in);
    in.controller_epoch = 8;
    in.topic_states.at = topics;
    in.topic_states.count = 1;
    rig_ask(&rig, fd, &stop_replica_api, 4, &in, &arena, &out);
    ck_assert_int_eq(out.error_code, KAFKA_STALE_CONTROLLER_EPOCH);
    ck_assert_int_eq(out.partition_errors.count, 0);
    close(fd);
    arena_fini(&arena);
    rig_close(&rig);
}
END_TEST

/* ---- an UpdateMetadata as a change of the image ---- */

START_TEST(old_layouts_are_gathered_by_topic_and_have_listeners_of_their_own)
{
    struct arena arena;
    struct image_change change;
    int32_t one[] = {1};

    arena_init(&arena, 65536);
    struct update_metadata_request_partition_state flat[] = {{.topic_name = SLICE("b"),
                                                              .partition_index = 1,
                                                              .leader = 1,
                                                              .replicas = {one, 1},
                                                              .isr = {one, 1}},
                                                             {.topic_name = SLICE("a"),
                                                              .partition_index = 0,
                                                              .leader = 1,
                                                              .replicas = {one, 1},
                                                              .isr = {one, 1}},
                                                             {.topic_name = SLICE("b"),
                                                              .partition_index = 0,
                                                              .leader = 1,
                                                              .replicas = {one, 1},
                                                              .isr = {one, 1}},
                                                             {.topic_name = SLICE("b"),
                                                              .partition_index = 1,
                                                              .leader = -2,
                                                              .replicas = {one, 1},
                                                              .isr = {one, 1}}};
    struct update_metadata_request_live_broker brokers[] = {
        {.id = 1, .v0_host = SLICE("h"), .v0_port = 9},
        {.id = 101, .v0_host = SLICE("c"), .v0_port = 10},
        {.id = 1, .v0_host = SLICE("later"), .v0_port = 11}};
    struct update_metadata_request in = {
        .controller_id = -5, .ungrouped_partition_states = {flat, 4}, .live_brokers = {brokers, 3}};
    update_change(&in, 0, 101, &arena, &change);
    ck_assert_int_eq(change.topic_count, 2);
    ck_assert(slice_is(change.topics[0].name, "b"));
    ck_assert_int_eq(change.topics[0].partition_count, 2); /* named twice is once: the later */
    ck_assert_int_eq(change.topics[0].partitions[0].leader, LEADER_DURING_DELETE);
    ck_assert_int_eq(change.broker_count, 1); /* the controller process is no broker */
    ck_assert(slice_is(change.brokers[0].endpoints[0].host, "later"));
    ck_assert(slice_is(change.brokers[0].endpoints[0].listener, "PLAINTEXT"));
    ck_assert_int_eq(change.controller_id, BROKER_NONE);
    arena_fini(&arena);
}
END_TEST

/* An UpdateMetadata, without waiting for its answer. */
static void send_update(int fd, int32_t controller_epoch)
{
    struct update_metadata_request request;
    struct buf bytes;

    wire_default(&update_metadata_request_wire, &request);
    request.controller_id = 101;
    request.controller_epoch = controller_epoch;
    request.broker_epoch = -1;
    buf_init(&bytes);
    rig_write(&bytes, update_metadata_api.key, 8, &update_metadata_request_wire, &request);
    rig_send_frame(fd, buf_slice(&bytes));
    buf_fini(&bytes);
}

static void note_stopped(void *to)
{
    *(bool *)to = true;
}

/* At the end: what is being done is finished and answered, what waits or comes loses its
 * connection, as if the broker had gone already, and the controller sends it again. */
START_TEST(who_is_ending_finishes_one_request_and_takes_no_other)
{
    bool is_stopped = false;
    struct buf answer;
    struct rig rig;

    rig_open(&rig, "");
    struct control *control = rig.control.api.control;
    int fds[] = {rig_connect_to(&rig, 1), rig_connect_to(&rig, 1), rig_connect_to(&rig, 1)};
    ck_assert_int_eq(rig_update(&rig, fds[0], -1, 1), KAFKA_NONE);
    uint64_t before = image_version(rig.data.api.image);

    send_update(fds[0], 2);
    send_update(fds[1], 3);
    /* The turn ends with the first one's image made, and not yet everywhere. */
    while (image_version(control_image(control)) == before)
        rig_turn(&rig);
    control_stop(control, note_stopped, &is_stopped);
    ck_assert(!is_stopped);
    buf_init(&answer);
    int answered = rig_reply(&rig, fds[0], &answer); /* either may have come first */
    answered += rig_reply(&rig, fds[1], &answer);
    ck_assert_int_eq(answered, 1);
    ck_assert(is_stopped);
    send_update(fds[2], 4);
    ck_assert(rig_is_closed(&rig, fds[2]));
    ck_assert_uint_eq(image_version(control_image(control)), before + 1);
    buf_fini(&answer);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    rig_close(&rig);
}
END_TEST

struct counted_watcher {
    struct image_watcher watcher; /* first */
    int told;
};

static void note_told(struct image_watcher *watcher)
{
    ((struct counted_watcher *)(void *)watcher)->told++;
    list_remove(&watcher->node);
}

/* An answer that is held until the image shows it would hold its request, and the request's memory,
 * beyond the end. */
START_TEST(who_waits_for_an_image_is_told_at_the_end)
{
    struct counted_watcher one = {.watcher.changed = note_told}, other = one;
    bool is_stopped = false;
    struct rig rig;

    rig_open(&rig, "");
    struct control *control = rig.control.api.control;
    control_watch(control, &one.watcher);
    control_watch(control, &other.watcher);
    ck_assert(!control_is_stopping(control));
    control_stop(control, note_stopped, &is_stopped);
    ck_assert(is_stopped);
    ck_assert(control_is_stopping(control));
    ck_assert_int_eq(one.told, 1);
    ck_assert_int_eq(other.told, 1);
    rig_close(&rig);
}
END_TEST

static void count_failures(void *to, enum log_level level, struct slice line)
{
    (void)level;
    if (memmem(line.ptr, line.len, "alter-partition", 15) != NULL) ++*(int *)to;
}

/* The end of the forwarding fails every call at once: a proposal that was sent again then would go
 * round as fast as the shard turns. */
START_TEST(at_the_end_a_proposal_is_not_sent_again)
{
    static const int32_t isr[] = {1};
    static const int64_t epochs[] = {-1};
    struct isr_change change = {.topic = SLICE("led"),
                                .topic_id = uuid_from_random(1, 2),
                                .leader_epoch = 4,
                                .isr = isr,
                                .broker_epochs = epochs,
                                .isr_count = 1};
    bool is_stopped = false;
    int failures = 0;
    struct rig rig;

    rig_open(&rig, "");
    log_to(count_failures, &failures);
    struct alter *alter = alter_create(&rig.control.api, &rig.control.routes);
    alter_listen(&rig.data.api, &rig.data.routes);
    alter_propose(&rig.data.api, &change);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    alter_stop(alter);
    forward_stop(rig.control.api.forward, note_stopped, &is_stopped);
    struct instant end = instant_add_ms(env_now(rig.env), 300);
    while (!is_stopped || instant_before(env_now(rig.env), end))
        rig_turn(&rig);
    ck_assert_int_eq(failures, 0);
    alter_propose(&rig.data.api, &change); /* nor is one that comes now */
    for (int i = 0; i < 100; i++)
        rig_turn(&rig);
    ck_assert_int_eq(failures, 0);
    alter_destroy(&alter);
    rig_close(&rig);
}
END_TEST

UNIT(a_request_is_refused_by_old_epochs_only, an_old_controller_changes_nothing,
     what_was_meant_for_an_earlier_registration_is_refused,
     before_the_registration_no_order_is_heard, who_is_not_registered_says_nothing,
     a_request_is_late_behind_a_later_one_of_its_channel,
     what_comes_late_on_an_old_connection_is_not_heard,
     the_image_is_everywhere_before_the_controller_hears_so,
     what_a_topic_asked_for_goes_with_its_last_partition,
     a_refused_leader_and_isr_says_so_for_each_partition,
     a_refused_stop_replica_says_so_at_the_top_only,
     old_layouts_are_gathered_by_topic_and_have_listeners_of_their_own,
     who_is_ending_finishes_one_request_and_takes_no_other,
     who_waits_for_an_image_is_told_at_the_end, at_the_end_a_proposal_is_not_sent_again)
