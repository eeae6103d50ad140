#include "base/prng.h"
#include "runtime/files.h"
#include "tests/unit/loop.h"

/* A server that notes its frames; how it answers is each test's. */
struct got {
    struct block *block;
    uint64_t ticket;
    struct conn *conn;
};
static struct server {
    struct env *env;
    struct shard shard;
    struct conn_limits limits;
    struct listener *listener;
    struct got *got;
    int count, capacity;
    int accepted, closed, replied;
    enum err closed_why;
    struct conn *last;
    bool echoes, drops;
} s;

struct answer {
    struct reply reply;
    struct reply_piece pieces[8];
    struct block *block;
    struct file *file;
};

static void answer_done(struct reply *reply)
{
    struct answer *answer = list_entry(reply, struct answer, reply);

    s.replied++;
    block_drop(&answer->block);
    free(answer);
}

static struct answer *answer_of(struct slice bytes)
{
    struct answer *answer = ensure_zalloc(sizeof(*answer));

    answer->pieces[0].bytes = bytes;
    answer->reply = (struct reply){.pieces = answer->pieces, .count = 1, .done = answer_done};
    return answer;
}

static void on_frame(struct conn *conn, struct block *block, uint64_t ticket)
{
    if (s.echoes) {
        struct answer *answer = answer_of(block_slice(block));
        answer->block = block;
        conn_reply(conn, ticket, &answer->reply);
        return;
    }
    if (s.drops) {
        conn_no_reply(conn, ticket);
        block_drop(&block);
        return;
    }
    if (s.count == s.capacity) {
        s.capacity = s.capacity == 0 ? 16 : s.capacity * 2;
        s.got = ensure_realloc(s.got, (size_t)s.capacity * sizeof(s.got[0]));
    }
    s.got[s.count++] = (struct got){block, ticket, conn};
}

static void on_closed(struct conn *conn, enum err why)
{
    (void)conn;
    s.closed++;
    s.closed_why = why;
}

static void on_accepted(void *owner, struct conn *conn)
{
    (void)owner;
    s.accepted++;
    s.last = conn;
}

static const struct conn_handlers handlers = {.frame = on_frame, .closed = on_closed};

static void start(void)
{
    s = (struct server){.env = env_posix_create(NULL)};
    conn_limits_init(&s.limits);
    loop_open(&s.shard, s.env, NULL, NULL);
    struct listener_options options = {
        .address = loop_address(0),
        .socket = LOOP_OPTIONS,
        .handlers = &handlers,
        .limits = &s.limits,
        .accepted = on_accepted,
    };
    ck_assert_int_eq(listener_open(&s.shard, &options, &s.listener), ERR_OK);
}

static int join(void)
{
    int before = s.accepted, fd = plain_connect(listener_port(s.listener));

    loop_until(&s.shard, s.accepted > before);
    return fd;
}

static void stop(void)
{
    for (int i = 0; i < s.count; i++)
        block_drop(&s.got[i].block);
    free(s.got);
    listener_close(&s.listener);
    list_each (node, &s.limits.conns)
        (void)node, ck_abort_msg("a connection was left");
    ck_assert_int_eq(s.closed, s.accepted);
    ck_assert_uint_eq(s.limits.memory_bytes, 0);
    ck_assert_uint_eq(s.limits.partial_bytes, 0);
    conn_limits_fini(&s.limits);
    shard_close(&s.shard);
    env_posix_destroy(&s.env);
}

static void leave(int fd)
{
    int before = s.closed;

    close(fd);
    loop_until(&s.shard, s.closed > before);
}

static void put_length(uint8_t *to, uint32_t len)
{
    to[0] = (uint8_t)(len >> 24), to[1] = (uint8_t)(len >> 16), to[2] = (uint8_t)(len >> 8);
    to[3] = (uint8_t)len;
}

/* A frame whose bytes tell where in it they stand. */
static uint8_t *frame_of(uint32_t len, uint8_t seed)
{
    uint8_t *frame = ensure_malloc(len + 4);

    put_length(frame, len);
    for (uint32_t i = 0; i < len; i++)
        frame[4 + i] = (uint8_t)(seed + i * 7 + i / 251);
    return frame;
}

static void expect_echo(int fd, const uint8_t *frame, size_t size)
{
    uint8_t *back = ensure_malloc(size);

    plain_receive(&s.shard, fd, back, size);
    ck_assert(memcmp(back, frame, size) == 0);
    free(back);
}

START_TEST(a_frame_cut_anywhere_arrives_whole)
{
    uint8_t *frame = frame_of(41, 3);

    start();
    s.echoes = true;
    int fd = join();
    for (size_t cut = 0; cut <= 45; cut++) {
        uint64_t before = counter_value(&s.limits.bytes_in);
        plain_send(&s.shard, fd, frame, cut);
        loop_until(&s.shard, counter_value(&s.limits.bytes_in) == before + cut);
        plain_send(&s.shard, fd, frame + cut, 45 - cut);
        expect_echo(fd, frame, 45);
    }
    leave(fd);
    free(frame);
    stop();
}
END_TEST

START_TEST(frames_of_all_sizes_and_none_come_back_as_they_were)
{
    static const uint32_t sizes[] = {0,      1,      1023,   1024, 1025,    65531,   65532,
                                     65533,  65536,  200000, 0,    3000000, 2999999, 7,
                                     100000, 100000, 4096,   4092, 4093};

    start();
    s.echoes = true;
    int fd = join();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *frame = frame_of(sizes[i], (uint8_t)i);
        plain_send(&s.shard, fd, frame, sizes[i] + 4);
        expect_echo(fd, frame, sizes[i] + 4);
        free(frame);
    }
    leave(fd);
    stop();
}
END_TEST

START_TEST(replies_leave_in_the_order_of_the_requests)
{
    static const int order[] = {3, 1, 5, 0, 2, 7, 6, 4};
    uint8_t bytes[8 * 5], back[7 * 5];

    start();
    int fd = join();
    for (int i = 0; i < 8; i++) {
        put_length(bytes + i * 5, 1);
        bytes[i * 5 + 4] = (uint8_t)('a' + i);
    }
    plain_send(&s.shard, fd, bytes, sizeof(bytes));
    loop_until(&s.shard, s.count == 8);
    ck_assert_uint_eq(conn_pending(s.last), 8);
    for (int i = 0; i < 8; i++) {
        struct got *got = &s.got[order[i]];
        ck_assert_uint_eq(got->ticket, (uint64_t)order[i]);
        if (order[i] == 2) {
            conn_no_reply(s.last, got->ticket); /* acks=0: a gap that holds nobody up */
        } else {
            struct answer *answer = answer_of(block_slice(got->block));
            conn_reply(s.last, got->ticket, &answer->reply);
        }
        loop_turn(&s.shard);
        if (i < 3) ck_assert_int_eq(s.replied, 0); /* ticket 0 is not answered */
    }
    plain_receive(&s.shard, fd, back, sizeof(back));
    for (int i = 0, at = 0; i < 8; i++)
        if (i != 2) ck_assert_int_eq(back[at++ * 5 + 4], 'a' + i);
    loop_until(&s.shard, s.replied == 7);
    leave(fd);
    stop();
}
END_TEST

static void expect_refused(const void *bytes, size_t len, enum err why)
{
    int fd = join(), before = s.closed;

    plain_send(&s.shard, fd, bytes, len);
    loop_until(&s.shard, s.closed > before);
    ck_assert_int_eq(s.closed_why, why);
    ck_assert(plain_has_ended(fd));
    close(fd);
}

START_TEST(a_length_beyond_the_bound_costs_the_connection_and_no_memory)
{
    start();
    int other = join();
    s.echoes = true;
    s.limits.frame_bytes_max = 1000;
    expect_refused("\x7f\xff\xff\xff", 4, ERR_TOO_LARGE); /* 2 GiB − 1 */
    expect_refused("\x80\x00\x00\x00", 4, ERR_INVALID);
    expect_refused("\xff\xff\xff\xff", 4, ERR_INVALID);
    expect_refused("\x00\x00\x03\xe9", 4, ERR_TOO_LARGE);
    expect_refused("GET / HTTP/1.1\r\n\r\n", 18, ERR_TOO_LARGE);
    ck_assert_uint_eq(s.limits.memory_bytes, 0);
    ck_assert_uint_eq(counter_value(&s.limits.closed_limit), 5);
    plain_send(&s.shard, other, "\0\0\0\2hi", 6);
    expect_echo(other, (const uint8_t *)"\0\0\0\2hi", 6);
    leave(other);
    stop();
}
END_TEST

START_TEST(what_came_before_a_refused_frame_is_answered)
{
    uint8_t bytes[] = {0, 0, 0, 1, 'a', 0, 0, 0, 1, 'b', 0x7f, 0xff, 0xff, 0xff, 'x', 'y'};
    uint8_t back[10];

    start();
    s.limits.frame_bytes_max = 1000;
    int fd = join();
    plain_send(&s.shard, fd, bytes, sizeof(bytes));
    loop_until(&s.shard, s.count == 2);
    for (int i = 1; i >= 0; i--) {
        ck_assert_int_eq(s.closed, 0);
        conn_reply(s.last, s.got[i].ticket, &answer_of(block_slice(s.got[i].block))->reply);
        loop_turn(&s.shard);
    }
    plain_receive(&s.shard, fd, back, sizeof(back));
    ck_assert(memcmp(back, bytes, sizeof(back)) == 0);
    loop_until(&s.shard, plain_has_ended(fd));
    leave(fd);
    ck_assert_int_eq(s.closed_why, ERR_TOO_LARGE);
    ck_assert_int_eq(s.replied, 2);
    stop();
}
END_TEST

/* Only its length is looked at: there is no such memory behind it. */
START_TEST(a_reply_that_no_frame_can_hold_costs_the_connection_only)
{
    static const uint8_t few[4];

    start();
    int fd = join();
    plain_send(&s.shard, fd, "\0\0\0\1a\0\0\0\1b", 10);
    loop_until(&s.shard, s.count == 2);
    conn_reply(s.last, s.got[0].ticket, &answer_of(block_slice(s.got[0].block))->reply);
    conn_reply(s.last, s.got[1].ticket, &answer_of(slice_of(few, (size_t)INT32_MAX + 1))->reply);
    expect_echo(fd, (const uint8_t *)"\0\0\0\1a", 5);
    loop_until(&s.shard, plain_has_ended(fd));
    leave(fd);
    ck_assert_int_eq(s.replied, 2);
    stop();
}
END_TEST

START_TEST(memory_grows_with_what_came_not_with_what_was_claimed)
{
    uint8_t head[4 + 100] = {0};

    start();
    put_length(head, 90 * 1024 * 1024);
    int fd = join();
    plain_send(&s.shard, fd, head, sizeof(head));
    loop_until(&s.shard, counter_value(&s.limits.bytes_in) == sizeof(head));
    ck_assert_uint_le(s.limits.memory_bytes, 4096);
    leave(fd);
    stop();
}
END_TEST

START_TEST(reading_stops_at_the_bound_of_unanswered_frames_and_goes_on)
{
    uint8_t bytes[5 * 1000];

    start();
    s.limits.frames_pending_max = 10;
    int fd = join();
    for (int i = 0; i < 1000; i++) {
        put_length(bytes + i * 5, 1);
        bytes[i * 5 + 4] = (uint8_t)i;
    }
    plain_send(&s.shard, fd, bytes, sizeof(bytes));
    for (int i = 0; i < 1000; i++) {
        loop_until(&s.shard, s.count > i);
        ck_assert_int_le(s.count, i + 10);
        ck_assert_int_eq(s.got[i].block->bytes[0], (uint8_t)i);
        ck_assert_uint_eq(s.got[i].ticket, (uint64_t)i);
        conn_no_reply(s.last, s.got[i].ticket);
    }
    ck_assert_uint_gt(counter_value(&s.limits.waits_pending), 0);
    leave(fd);
    stop();
}
END_TEST

START_TEST(one_that_never_reads_its_replies_is_bounded)
{
    enum { SIZE = 100000, FRAMES = 400 };
    uint8_t *frame = frame_of(SIZE, 1);
    size_t most = 0, sent = 0, total = (size_t)FRAMES * (SIZE + 4);

    start();
    s.echoes = true;
    s.limits.reply_bytes_max = 1 << 20;
    int fd = plain_connect_sized(listener_port(s.listener), 65536);
    loop_until(&s.shard, s.accepted == 1);

    /* It sends as long as we read; then nothing moves any more. */
    for (int still = 0; still < 50;) {
        size_t at = sent % (SIZE + 4);
        ssize_t n = send(fd, frame + at, SIZE + 4 - at, MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        still = n > 0 ? 0 : still + 1;
        ck_assert_uint_lt(sent, total);
        loop_turn(&s.shard);
        most = s.limits.memory_bytes > most ? s.limits.memory_bytes : most;
    }
    ck_assert_uint_le(most, (1 << 20) + 4 * SIZE);
    ck_assert_uint_gt(counter_value(&s.limits.waits_replies), 0);

    /* It begins to read: everything comes. */
    uint8_t *back = ensure_malloc(SIZE + 4);
    for (size_t whole = sent / (SIZE + 4), i = 0; i < whole; i++) {
        plain_receive(&s.shard, fd, back, SIZE + 4);
        ck_assert(memcmp(back, frame, SIZE + 4) == 0);
    }
    leave(fd);
    free(back);
    free(frame);
    stop();
}
END_TEST

START_TEST(frames_wait_for_the_shards_memory)
{
    enum { SIZE = 10000, CLIENTS = 8 };
    uint8_t *frame = frame_of(SIZE, 9);
    int fds[CLIENTS];

    start();
    s.limits.memory_bytes_max = 3 * SIZE;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = join();
    for (int i = 0; i < CLIENTS; i++)
        plain_send(&s.shard, fds[i], frame, SIZE + 4);
    loop_until(&s.shard, counter_value(&s.limits.waits_memory) >= CLIENTS - 4);
    for (int i = 0; i < 20; i++)
        loop_turn(&s.shard);
    /* At the bound nothing more is taken, whatever comes. */
    ck_assert_int_le(s.count, 3);
    ck_assert_int_ge(s.count, 1);
    for (int i = 0; i < CLIENTS; i++) {
        loop_until(&s.shard, s.count > i);
        conn_no_reply(s.got[i].conn, s.got[i].ticket);
        block_drop(&s.got[i].block);
    }
    for (int i = 0; i < CLIENTS; i++)
        leave(fds[i]);
    free(frame);
    stop();
}
END_TEST

START_TEST(parts_of_frames_that_hold_all_memory_do_not_stop_each_other)
{
    enum { SIZE = 400000, CLIENTS = 6 };
    uint8_t *frame = frame_of(SIZE, 5);
    int fds[CLIENTS];

    start();
    s.drops = true;
    s.limits.memory_bytes_max = 500000;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = join();
    /* All halves first: together more than there is. */
    for (int i = 0; i < CLIENTS; i++)
        plain_send(&s.shard, fds[i], frame, SIZE / 2);
    for (int i = 0; i < 20; i++)
        loop_turn(&s.shard);
    for (int i = CLIENTS - 1; i >= 0; i--)
        plain_send(&s.shard, fds[i], frame + SIZE / 2, SIZE + 4 - SIZE / 2);
    loop_until(&s.shard, counter_value(&s.limits.frames_in) == CLIENTS);
    ck_assert_uint_eq(s.limits.memory_bytes, 0);
    for (int i = 0; i < CLIENTS; i++)
        leave(fds[i]);
    free(frame);
    stop();
}
END_TEST

START_TEST(one_that_stalls_with_the_memory_others_wait_for_loses_its_connection)
{
    enum { SIZE = 400000 };
    uint8_t *frame = frame_of(SIZE, 5);

    start();
    s.drops = true;
    s.limits.memory_bytes_max = 100000;
    s.limits.stall_ms_max = 100;
    int greedy = join(), second = join(), other = join();
    /* Both hold all that there is, one of them even more: and say nothing any more. */
    plain_send(&s.shard, greedy, frame, SIZE / 2);
    plain_send(&s.shard, second, frame, SIZE / 2);
    for (int i = 0; i < 10; i++)
        loop_turn(&s.shard);
    plain_send(&s.shard, other, frame, SIZE + 4);
    loop_until(&s.shard, counter_value(&s.limits.frames_in) == 1);
    ck_assert_int_ge(s.closed, 1);
    ck_assert_int_eq(s.closed_why, ERR_TIMED_OUT);
    ck_assert(!plain_has_ended(other));
    leave(other);
    close(greedy);
    close(second);
    loop_until(&s.shard, s.closed == 3);
    free(frame);
    stop();
}
END_TEST

START_TEST(pauses_are_counted)
{
    start();
    s.drops = true;
    int fd = join();
    conn_pause(s.last);
    conn_pause(s.last);
    plain_send(&s.shard, fd, "\0\0\0\1x", 5);
    conn_resume(s.last);
    for (int i = 0; i < 5; i++)
        loop_turn(&s.shard);
    ck_assert_uint_eq(counter_value(&s.limits.frames_in), 0);
    conn_resume(s.last);
    ck_assert_uint_eq(counter_value(&s.limits.frames_in), 0); /* never inside the call */
    loop_until(&s.shard, counter_value(&s.limits.frames_in) == 1);
    leave(fd);
    stop();
}
END_TEST

START_TEST(a_connection_moves_with_its_one_unanswered_frame)
{
    struct shard other;
    struct conn_limits limits;
    struct listener *listener = NULL;
    uint8_t *first = frame_of(100, 1), *large = frame_of(300000, 2);

    start();
    conn_limits_init(&limits);
    loop_open(&other, s.env, NULL, NULL);
    int fd = join();
    plain_send(&s.shard, fd, first, 104);
    loop_until(&s.shard, s.count == 1);
    /* Nobody listens there yet. */
    ck_assert_int_eq(conn_move(s.last, s.got[0].block, other.net), ERR_NOT_FOUND);
    struct listener_options options = {
        .address = loop_address(listener_port(s.listener)),
        .socket = LOOP_OPTIONS,
        .handlers = &handlers,
        .limits = &limits,
        .accepted = on_accepted,
    };
    ck_assert_int_eq(listener_open(&other, &options, &listener), ERR_OK);

    /* Part of another frame, then all of it, then an answer that has not left: it stays. */
    uint64_t before = counter_value(&s.limits.bytes_in);
    plain_send(&s.shard, fd, first, 50);
    loop_until(&s.shard, counter_value(&s.limits.bytes_in) == before + 50);
    ck_assert_int_eq(conn_move(s.last, s.got[0].block, other.net), ERR_BUSY);
    plain_send(&s.shard, fd, first + 50, 54);
    loop_until(&s.shard, s.count == 2);
    ck_assert_int_eq(conn_move(s.last, s.got[1].block, other.net), ERR_BUSY);
    struct answer *answer = answer_of(block_slice(s.got[0].block));
    conn_reply(s.last, s.got[0].ticket, &answer->reply);
    ck_assert_int_eq(conn_move(s.last, s.got[1].block, other.net), ERR_BUSY);
    loop_until(&s.shard, s.replied == 1);
    uint8_t back[104];
    plain_receive(&s.shard, fd, back, sizeof(back));

    /* It goes, and what follows at once goes with it; here it has closed. */
    struct conn *here = s.last;
    ck_assert_int_eq(conn_move(here, s.got[1].block, other.net), ERR_OK);
    ck_assert_int_eq(send(fd, large, 1000, MSG_NOSIGNAL), 1000);
    loop_until(&s.shard, s.closed == 1);
    ck_assert_int_eq(s.closed_why, ERR_OK);
    ck_assert_int_eq(s.accepted, 1);
    ck_assert_int_eq(s.count, 2);
    s.echoes = true;
    plain_receive(&other, fd, back, sizeof(back));
    ck_assert(memcmp(back, first, sizeof(back)) == 0);
    ck_assert_int_eq(s.accepted, 2);
    ck_assert_ptr_eq(conn_shard(s.last), &other);
    plain_send(&other, fd, large + 1000, 300004 - 1000);
    uint8_t *all = ensure_malloc(300004);
    plain_receive(&other, fd, all, 300004);
    ck_assert(memcmp(all, large, 300004) == 0);
    free(all);

    /* And back: a frame larger than any buffer. */
    s.echoes = false;
    plain_send(&other, fd, large, 300004);
    loop_until(&other, s.count == 3);
    ck_assert_int_eq(conn_move(s.last, s.got[2].block, s.shard.net), ERR_OK);
    loop_until(&other, s.closed == 2);
    block_drop(&s.got[2].block);
    s.count = 2;
    s.echoes = true;
    all = ensure_malloc(300004);
    plain_receive(&s.shard, fd, all, 300004);
    ck_assert(memcmp(all, large, 300004) == 0);
    free(all);

    /* One that is on its way to a shard that stops listening is closed. */
    s.echoes = false;
    plain_send(&s.shard, fd, first, 104);
    loop_until(&s.shard, s.count == 3);
    ck_assert_int_eq(conn_move(s.last, s.got[2].block, other.net), ERR_OK);
    listener_close(&listener);
    loop_until(&s.shard, s.closed == 3);
    loop_until(&s.shard, plain_has_ended(fd));
    close(fd);
    conn_limits_fini(&limits);
    shard_close(&other);
    free(first);
    free(large);
    stop();
}
END_TEST

START_TEST(close_lets_given_replies_leave_and_drops_what_still_comes)
{
    char back[6];

    start();
    int fd = join();
    plain_send(&s.shard, fd, "\0\0\0\2hi\0\0\0\2ho", 12);
    loop_until(&s.shard, s.count == 2);
    struct answer *answer = answer_of(SLICE("ok"));
    conn_reply(s.last, s.got[0].ticket, &answer->reply);
    conn_close(s.last, true);
    ck_assert_int_eq(s.replied, 0); /* `done` is never inside a call */
    /* Bytes that nobody will read must not turn into a reset that overtakes the reply. */
    plain_send(&s.shard, fd, "\0\0\0\2hu", 6);
    plain_receive(&s.shard, fd, back, 6);
    ck_assert(memcmp(back, "\0\0\0\2ok", 6) == 0);
    loop_until(&s.shard, plain_has_ended(fd));
    ck_assert_int_eq(s.closed, 0); /* it waits for the peer to have seen it */
    close(fd);
    loop_until(&s.shard, s.closed == 1);
    ck_assert_int_eq(s.closed_why, ERR_OK);
    ck_assert_int_eq(s.count, 2);
    stop();
}
END_TEST

START_TEST(close_at_once_gives_back_every_reply)
{
    start();
    int fd = join();
    plain_send(&s.shard, fd, "\0\0\0\2hi\0\0\0\2ho\0\0\0\2hu", 18);
    loop_until(&s.shard, s.count == 3);
    struct answer *late = answer_of(SLICE("late")), *first = answer_of(SLICE("first"));
    conn_reply(s.last, s.got[2].ticket, &late->reply); /* not its turn */
    conn_close(s.last, false);
    ck_assert_int_eq(s.closed, 0);
    conn_reply(s.last, s.got[0].ticket, &first->reply); /* still valid: until `closed` */
    ck_assert_int_eq(s.replied, 0);
    loop_until(&s.shard, s.closed == 1);
    ck_assert_int_eq(s.replied, 2);
    ck_assert(plain_has_ended(fd));
    close(fd);
    stop();
}
END_TEST

static struct file *file_with(const char *path, size_t size)
{
    struct file *file = NULL;
    uint8_t *bytes = ensure_malloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 253);
    ck_assert_int_eq(files_open(s.env, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file),
                     ERR_OK);
    ck_assert_int_eq(file_write_at(s.env, file, 0, slice_of(bytes, size)), ERR_OK);
    free(bytes);
    return file;
}

START_TEST(pieces_of_memory_and_files_come_in_order_to_the_byte)
{
    enum { SIZE = 3000000 };
    char path[128];
    struct buf expected;

    start();
    snprintf(path, sizeof(path), "/tmp/ottla-conn-%d", (int)getpid());
    struct file *file = file_with(path, SIZE);
    static const struct {
        uint64_t position;
        size_t len;
    } cuts[] = {{0, 10}, {5, 100}, {1000, 16384}, {77, 16385}, {0, SIZE}, {SIZE - 1, 1}, {0, 0}};

    buf_init(&expected);
    int fd = plain_connect_sized(listener_port(s.listener), 4096);
    loop_until(&s.shard, s.accepted == 1);
    plain_send(&s.shard, fd, "\0\0\0\1x\0\0\0\1y\0\0\0\1z", 15);
    loop_until(&s.shard, s.count == 3);
    for (int i = 0; i < 3; i++) {
        struct answer *answer = answer_of(SLICE("head"));
        uint32_t len = 4;
        uint8_t head[4];
        for (int c = 0; c < 7; c++) {
            /* File slices of the three replies at other places each, with memory between. */
            size_t k = (size_t)(c + i) % 7;
            answer->pieces[1 + c] = (struct reply_piece){
                .file = file, .position = cuts[k].position, .len = cuts[k].len};
            len += (uint32_t)cuts[k].len;
        }
        if (i == 1) {
            len -= (uint32_t)answer->pieces[3].len;
            answer->pieces[3] = (struct reply_piece){.bytes = SLICE("between")};
            len += 7;
        }
        answer->reply.count = 8;
        put_length(head, len);
        buf_add(&expected, head, 4);
        for (int p = 0; p < 8; p++) {
            struct reply_piece *piece = &answer->pieces[p];
            if (piece->file == NULL) {
                buf_add_slice(&expected, piece->bytes);
            } else {
                size_t n = 0;
                uint8_t *to = buf_extend(&expected, piece->len);
                ck_assert_int_eq(file_read_at(s.env, file, piece->position, to, piece->len, &n),
                                 ERR_OK);
                ck_assert_uint_eq(n, piece->len);
            }
        }
        conn_reply(s.last, s.got[i].ticket, &answer->reply);
    }
    uint8_t *back = ensure_malloc(expected.len);
    plain_receive(&s.shard, fd, back, expected.len);
    ck_assert(memcmp(back, expected.ptr, expected.len) == 0);
    loop_until(&s.shard, s.replied == 3);
    leave(fd);
    free(back);
    buf_fini(&expected);
    file_close(s.env, &file);
    unlink(path);
    stop();
}
END_TEST

START_TEST(a_file_that_ends_early_ends_the_connection)
{
    char path[128];

    start();
    snprintf(path, sizeof(path), "/tmp/ottla-conn-%d", (int)getpid());
    struct file *file = file_with(path, 50000);
    int fd = join();
    plain_send(&s.shard, fd, "\0\0\0\1x", 5);
    loop_until(&s.shard, s.count == 1);
    struct answer *answer = answer_of(SLICE("head"));
    answer->pieces[1] = (struct reply_piece){.file = file, .position = 0, .len = 50001};
    answer->reply.count = 2;
    conn_reply(s.last, s.got[0].ticket, &answer->reply);
    loop_until(&s.shard, s.closed == 1);
    ck_assert_int_eq(s.closed_why, ERR_TRUNCATED);
    ck_assert_int_eq(s.replied, 1);
    close(fd);
    file_close(s.env, &file);
    unlink(path);
    stop();
}
END_TEST

/* Clients that send and read in pieces of any size, a server that answers in any order, all bounds
 * tight: every reply comes in its place, and nothing waits for ever. */
enum { WILD_CLIENTS = 6, WILD_FRAMES = 120 };
struct wild {
    int fd;
    struct buf out, in;
    size_t out_at;
    uint32_t made, answered; /* frames put into `out`; replies that came */
};

/* The first byte of the body says whether a reply is wanted. */
static bool wants_reply(uint32_t number)
{
    return number % 5 != 3;
}

static void wild_send(struct wild *w, struct prng *prng)
{
    if (w->out_at == w->out.len && w->made < WILD_FRAMES) {
        uint32_t len = 8 + (uint32_t)prng_below(prng, prng_below(prng, 10) == 0 ? 150000 : 600);
        buf_clear(&w->out);
        w->out_at = 0;
        uint8_t *to = buf_extend(&w->out, len + 4);
        memset(to, (int)w->made, len + 4);
        put_length(to, len);
        put_length(to + 4, w->made);
        to[8] = wants_reply(w->made);
        w->made++;
    }
    size_t n = 1 + (size_t)prng_below(prng, 60000), left = w->out.len - w->out_at;
    ssize_t sent = send(w->fd, w->out.ptr + w->out_at, n < left ? n : left, MSG_DONTWAIT);
    w->out_at += sent > 0 ? (size_t)sent : 0;
}

static void wild_receive(struct wild *w, struct prng *prng)
{
    size_t n = 1 + (size_t)prng_below(prng, 40000);
    ssize_t got = recv(w->fd, buf_reserve(&w->in, n), n, MSG_DONTWAIT);

    ck_assert(got > 0 || (got < 0 && errno == EAGAIN));
    if (got > 0) buf_extend(&w->in, (size_t)got);
    for (;;) {
        const uint8_t *at = w->in.ptr;
        if (w->in.len < 8) return;
        size_t len = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (w->in.len < len + 4) return;
        while (!wants_reply(w->answered))
            w->answered++;
        ck_assert_uint_eq((uint32_t)at[6] << 8 | at[7], w->answered);
        bool is_right = true; /* Check writes each assertion down: one for all */
        for (size_t i = 13; i < len + 4; i++)
            is_right &= at[i] == (uint8_t)w->answered;
        ck_assert(is_right);
        w->answered++;
        buf_drop_head(&w->in, len + 4);
    }
}

static void wild_answer(struct prng *prng)
{
    size_t i = (size_t)prng_below(prng, (uint64_t)s.count);
    struct got got = s.got[i];

    s.got[i] = s.got[--s.count];
    if (got.block->bytes[4] == 0) {
        conn_no_reply(got.conn, got.ticket);
        block_drop(&got.block);
        return;
    }
    struct answer *answer = answer_of(block_slice(got.block));
    answer->block = got.block;
    conn_reply(got.conn, got.ticket, &answer->reply);
}

static bool wild_is_over(const struct wild *clients)
{
    for (int i = 0; i < WILD_CLIENTS; i++) {
        uint32_t last = WILD_FRAMES - 1;
        while (!wants_reply(last))
            last--;
        if (clients[i].answered <= last || clients[i].out_at < clients[i].out.len) return false;
    }
    return true;
}

static void be_wild(uint64_t seed)
{
    struct wild clients[WILD_CLIENTS] = {{0}};
    struct prng prng;
    size_t most = 0;

    start();
    s.limits.frames_pending_max = 5;
    s.limits.reply_bytes_max = 30000;
    s.limits.memory_bytes_max = 120000;
    s.limits.stall_ms_max = 1000000;
    prng_init(&prng, seed);
    for (int i = 0; i < WILD_CLIENTS; i++)
        clients[i].fd = join();
    struct instant end = instant_add_ms(env_now(s.env), LOOP_SECONDS_MAX * INT64_C(1000));
    while (!wild_is_over(clients)) {
        for (int i = 0; i < WILD_CLIENTS; i++) {
            if (prng_below(&prng, 3) != 0) wild_send(&clients[i], &prng);
            if (prng_below(&prng, 3) != 0) wild_receive(&clients[i], &prng);
        }
        while (s.count > 0 && prng_below(&prng, 4) != 0)
            wild_answer(&prng);
        most = s.limits.memory_bytes > most ? s.limits.memory_bytes : most;
        if (!instant_before(env_now(s.env), end)) ck_abort_msg("it does not end");
        struct timer tick = {.fire = loop_tick};
        timer_arm(&s.shard, &tick, INSTANT_ZERO); /* never wait */
        shard_turn(&s.shard);
        timer_cancel(&s.shard, &tick);
    }
    ck_assert_uint_le(most, 120000 + 2 * 150012 + 65536);
    for (int i = 0; i < WILD_CLIENTS; i++) {
        leave(clients[i].fd);
        buf_fini(&clients[i].out);
        buf_fini(&clients[i].in);
    }
    stop();
}

START_TEST(whatever_the_order_and_the_sizes_every_reply_comes_in_its_place)
{
    be_wild(1);
    be_wild(2);
    be_wild(22); /* all memory in parts of frames, the privilege with one that had none */
}
END_TEST

START_TEST(the_idle_are_closed_and_the_waiting_are_not)
{
    start();
    s.limits.idle_ms_max = 50;
    int idle = join();
    int waiting = join();
    plain_send(&s.shard, waiting, "\0\0\0\1x", 5);
    loop_until(&s.shard, s.count == 1);
    loop_until(&s.shard, s.closed == 1);
    ck_assert(plain_has_ended(idle));
    ck_assert(!plain_has_ended(waiting));
    ck_assert_uint_eq(counter_value(&s.limits.closed_idle), 1);
    close(idle);
    leave(waiting);
    stop();
}
END_TEST

START_TEST(a_thousand_connections_come_and_go)
{
    enum { COUNT = 400 };
    int fds[COUNT];

    start();
    s.echoes = true;
    for (int i = 0; i < COUNT; i++)
        fds[i] = plain_connect(listener_port(s.listener));
    loop_until(&s.shard, s.accepted == COUNT);
    for (int i = 0; i < COUNT; i += 7) {
        plain_send(&s.shard, fds[i], "\0\0\0\1x", 5);
        expect_echo(fds[i], (const uint8_t *)"\0\0\0\1x", 5);
    }
    ck_assert_int_eq(gauge_value(&s.limits.connections), COUNT);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    loop_until(&s.shard, s.closed == COUNT);
    ck_assert_int_eq(gauge_value(&s.limits.connections), 0);
    stop();
}
END_TEST

UNIT(a_frame_cut_anywhere_arrives_whole, frames_of_all_sizes_and_none_come_back_as_they_were,
     replies_leave_in_the_order_of_the_requests,
     a_length_beyond_the_bound_costs_the_connection_and_no_memory,
     what_came_before_a_refused_frame_is_answered,
     a_reply_that_no_frame_can_hold_costs_the_connection_only,
     memory_grows_with_what_came_not_with_what_was_claimed,
     reading_stops_at_the_bound_of_unanswered_frames_and_goes_on,
     one_that_never_reads_its_replies_is_bounded, frames_wait_for_the_shards_memory,
     parts_of_frames_that_hold_all_memory_do_not_stop_each_other,
     one_that_stalls_with_the_memory_others_wait_for_loses_its_connection, pauses_are_counted,
     a_connection_moves_with_its_one_unanswered_frame,
     close_lets_given_replies_leave_and_drops_what_still_comes,
     close_at_once_gives_back_every_reply, pieces_of_memory_and_files_come_in_order_to_the_byte,
     a_file_that_ends_early_ends_the_connection,
     whatever_the_order_and_the_sizes_every_reply_comes_in_its_place,
     the_idle_are_closed_and_the_waiting_are_not, a_thousand_connections_come_and_go)
