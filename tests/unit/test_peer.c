#include "client/peer.h"
#include "tests/unit/loop.h"
#include "wire/frame.h"
#include "wire/gen/api_versions.h"

/* A broker of one's own, behind a listener of the same shard; what it answers is each test's. */
#define API_HEARTBEAT_KEY 12 /* version 0: nothing flexible */

static struct broker {
    struct env *env;
    struct shard shard;
    struct conn_limits limits, client_limits;
    struct listener *listener;
    uint16_t port;
    struct asked {
        struct conn *conn;
        uint64_t ticket;
        struct frame_request_head head;
        char body[32];
    } asked[64];
    int count, conns, conns_closed;
    struct conn *last;
    int heartbeat_min, heartbeat_max; /* what it says of itself */
} b;

struct sent {
    struct reply reply;
    struct reply_piece piece;
    struct buf bytes;
};

static void sent_done(struct reply *reply)
{
    struct sent *sent = list_entry(reply, struct sent, reply);

    buf_fini(&sent->bytes);
    free(sent);
}

static struct sent *begin_answer(const struct asked *asked, int32_t correlation)
{
    struct sent *sent = ensure_zalloc(sizeof(*sent));

    frame_write_response_head(&sent->bytes, asked->head.api_key, asked->head.api_version,
                              correlation);
    return sent;
}

static void send_answer(const struct asked *asked, struct sent *sent)
{
    sent->piece.bytes = buf_slice(&sent->bytes);
    sent->reply = (struct reply){.pieces = &sent->piece, .count = 1, .done = sent_done};
    conn_reply(asked->conn, asked->ticket, &sent->reply);
}

static void answer(int i, int32_t correlation, const char *text)
{
    struct sent *sent = begin_answer(&b.asked[i], correlation);

    buf_add_text(&sent->bytes, text);
    send_answer(&b.asked[i], sent);
}

static void answer_versions(const struct asked *asked)
{
    struct api_versions_response_api_key keys[] = {{.api_key = API_HEARTBEAT_KEY,
                                                    .min_version = (int16_t)b.heartbeat_min,
                                                    .max_version = (int16_t)b.heartbeat_max}};
    struct api_versions_response response;

    wire_default(&api_versions_response_wire, &response);
    response.api_keys.at = keys;
    response.api_keys.count = 1;
    struct sent *sent = begin_answer(asked, asked->head.correlation_id);
    wire_write(&sent->bytes, 0, &api_versions_response_wire, &response);
    send_answer(asked, sent);
}

static void on_frame(struct conn *conn, struct block *block, uint64_t ticket)
{
    struct asked *asked = &b.asked[b.count];
    struct slice body;

    ck_assert_int_lt(b.count, 64);
    *asked = (struct asked){.conn = conn, .ticket = ticket};
    ck_assert_int_eq(frame_read_request_head(block_slice(block), &asked->head, &body), ERR_OK);
    ck_assert(slice_is(asked->head.client_id, "me"));
    ck_assert_uint_lt(body.len, sizeof(asked->body));
    memcpy(asked->body, body.ptr, body.len);
    if (asked->head.api_key == API_API_VERSIONS && b.heartbeat_max >= 0)
        answer_versions(asked);
    else
        b.count++;
    block_drop(&block);
}

static void on_closed(struct conn *conn, enum err why)
{
    (void)why;
    b.conns_closed++;
    if (b.last == conn) b.last = NULL;
}

static void on_accepted(void *owner, struct conn *conn)
{
    (void)owner;
    b.conns++;
    b.last = conn;
}

static const struct conn_handlers broker_handlers = {.frame = on_frame, .closed = on_closed};

static void listen_again(void)
{
    struct listener_options options = {
        .address = loop_address(b.port),
        .socket = LOOP_OPTIONS,
        .handlers = &broker_handlers,
        .limits = &b.limits,
        .accepted = on_accepted,
    };
    ck_assert_int_eq(listener_open(&b.shard, &options, &b.listener), ERR_OK);
    b.port = listener_port(b.listener);
}

/* What the owner of the peer hears. */
static char heard[256];
static int closed_count;

static void on_news(void *owner, struct peer *peer, enum peer_state state, enum err why)
{
    static const char *const names[] = {"waiting", "connecting", "up"};

    (void)owner, (void)peer;
    strncat(heard, names[state], sizeof(heard) - strlen(heard) - 1);
    if (why != ERR_OK) {
        strncat(heard, ":", sizeof(heard) - strlen(heard) - 1);
        strncat(heard, err_name(why), sizeof(heard) - strlen(heard) - 1);
    }
    strncat(heard, " ", sizeof(heard) - strlen(heard) - 1);
}

static void peer_gone(void *owner)
{
    (void)owner;
    closed_count++;
}

static struct peer_options options_of(void)
{
    return (struct peer_options){
        .address = loop_address(b.port),
        .socket = LOOP_OPTIONS,
        .client_id = "me",
        .limits = &b.client_limits,
        .in_flight_max = 5,
        .waiting_max = 100,
        .request_timeout_ms = 30000,
        .connect_timeout_ms = 10000,
        .backoff_ms = 1,
        .backoff_ms_max = 10,
        .news = on_news,
    };
}

static void start(void)
{
    b = (struct broker){.env = env_posix_create(NULL), .heartbeat_max = -1};
    heard[0] = '\0';
    conn_limits_init(&b.limits);
    conn_limits_init(&b.client_limits);
    loop_open(&b.shard, b.env, NULL, NULL);
    listen_again();
}

static void stop(struct peer **peer)
{
    int before = closed_count;

    peer_close(peer, peer_gone);
    ck_assert_ptr_null(*peer);
    ck_assert_int_eq(closed_count, before); /* never inside */
    loop_until(&b.shard, closed_count == before + 1);
    if (b.last != NULL) conn_close(b.last, false);
    listener_close(&b.listener);
    loop_until(&b.shard, b.conns_closed == b.conns);
    for (int i = 0; i < 3; i++)
        loop_turn(&b.shard);
    conn_limits_fini(&b.limits);
    conn_limits_fini(&b.client_limits);
    shard_close(&b.shard);
    env_posix_destroy(&b.env);
}

struct request {
    struct peer_call call;
    int done;
    enum err err;
    bool was_sent;
    char answer[32];
    struct peer *again; /* in `done`: sends itself once more */
};

static void request_done(struct peer_call *call, enum err err, struct slice got,
                         struct block *block)
{
    struct request *request = (struct request *)(void *)call;

    ck_assert_int_eq(err == ERR_OK && !call->no_answer, block != NULL);
    request->done++;
    request->err = err;
    request->was_sent = call->was_sent;
    ck_assert_uint_lt(got.len, sizeof(request->answer));
    if (got.len > 0) memcpy(request->answer, got.ptr, got.len);
    if (request->again != NULL) {
        struct peer *peer = request->again;
        request->again = NULL;
        buf_add_text(&call->body, "again");
        peer_send(peer, call);
    }
}

static void ask(struct peer *peer, struct request *request, const char *text)
{
    *request = (struct request){.call.api_key = API_HEARTBEAT_KEY, .call.done = request_done};
    buf_add_text(&request->call.body, text);
    peer_send(peer, &request->call);
    ck_assert_int_eq(request->done, 0); /* never inside the call */
}

START_TEST(requests_leave_in_order_within_the_bound_and_answers_find_theirs)
{
    struct request requests[12];
    char text[16];

    start();
    struct peer_options options = options_of();
    struct peer *peer = peer_open(&b.shard, &options);
    for (int i = 0; i < 12; i++) {
        snprintf(text, sizeof(text), "q%d", i);
        ask(peer, &requests[i], text); /* before it is connected */
    }
    loop_until(&b.shard, b.count == 5);
    for (int i = 0; i < 3; i++)
        loop_turn(&b.shard);
    ck_assert_int_eq(b.count, 5); /* in_flight_max */
    ck_assert_int_eq(peer_in_flight(peer), 5);
    ck_assert_int_eq(peer_waiting(peer), 7);
    for (int i = 0; i < 12; i++) {
        loop_until(&b.shard, b.count > i);
        snprintf(text, sizeof(text), "q%d", i);
        ck_assert_str_eq(b.asked[i].body, text);
        snprintf(text, sizeof(text), "a%d", i);
        answer(i, b.asked[i].head.correlation_id, text);
        loop_until(&b.shard, requests[i].done == 1);
        ck_assert_int_eq(requests[i].err, ERR_OK);
        ck_assert_str_eq(requests[i].answer, text);
    }
    ck_assert_str_eq(heard, "connecting up ");
    stop(&peer);
}
END_TEST

START_TEST(a_late_answer_ends_the_connection_and_all_that_was_sent)
{
    struct request late = {0}, other = {0}, waits = {0};

    start();
    struct peer_options options = options_of();
    options.in_flight_max = 2;
    struct peer *peer = peer_open(&b.shard, &options);
    late = (struct request){.call.api_key = API_HEARTBEAT_KEY, .call.done = request_done};
    late.call.timeout_ms = 50;
    peer_send(peer, &late.call);
    ask(peer, &other, "other");
    ask(peer, &waits, "waits");
    loop_until(&b.shard, late.done == 1);
    ck_assert_int_eq(late.err, ERR_TIMED_OUT);
    ck_assert(late.was_sent);
    ck_assert_int_eq(other.done, 1);
    ck_assert_int_eq(other.err, ERR_CLOSED);
    ck_assert(other.was_sent);       /* maybe executed */
    ck_assert_int_eq(waits.done, 0); /* never sent: it goes with the next connection */
    loop_until(&b.shard, b.conns == 2 && b.count == 3);
    ck_assert_str_eq(b.asked[2].body, "waits");
    answer(2, b.asked[2].head.correlation_id, "ok");
    loop_until(&b.shard, waits.done == 1);
    ck_assert_int_eq(waits.err, ERR_OK);
    ck_assert_str_eq(heard, "connecting up waiting:TIMED_OUT connecting up ");
    stop(&peer);
}
END_TEST

START_TEST(a_lost_connection_ends_what_was_sent_and_comes_back)
{
    struct request first, second;

    start();
    struct peer_options options = options_of();
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &first, "first");
    first.again = peer; /* sends itself again as soon as it hears */
    loop_until(&b.shard, b.count == 1);
    conn_close(b.last, false);
    loop_until(&b.shard, b.count == 2);
    ck_assert_int_eq(first.done, 1);
    ck_assert_int_eq(first.err, ERR_CLOSED);
    ck_assert_str_eq(b.asked[1].body, "again");
    answer(1, b.asked[1].head.correlation_id, "ok");
    loop_until(&b.shard, first.done == 2);
    ck_assert_int_eq(first.err, ERR_OK);

    /* Nobody there: each attempt fails those that waited for it, and says so. */
    listener_close(&b.listener);
    conn_close(b.last, false);
    loop_until(&b.shard, peer_state(peer) != PEER_UP);
    ask(peer, &second, "second");
    loop_until(&b.shard, second.done == 1);
    ck_assert_int_eq(second.err, ERR_REFUSED);
    ck_assert(!second.was_sent);
    ck_assert_ptr_nonnull(strstr(heard, "waiting:REFUSED"));
    heard[0] = '\0';
    listen_again();
    loop_until(&b.shard, peer_state(peer) == PEER_UP);
    stop(&peer);
}
END_TEST

START_TEST(without_backoff_it_waits_until_it_is_told)
{
    struct request request;

    start();
    struct peer_options options = options_of();
    options.backoff_ms = 0;
    listener_close(&b.listener);
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &request, "x");
    loop_until(&b.shard, request.done == 1);
    ck_assert_int_eq(request.err, ERR_REFUSED);
    listen_again();
    for (int i = 0; i < 5; i++)
        loop_turn(&b.shard);
    ck_assert_str_eq(heard, "connecting waiting:REFUSED ");
    peer_connect(peer);
    loop_until(&b.shard, peer_state(peer) == PEER_UP);
    stop(&peer);
}
END_TEST

START_TEST(the_cancelled_is_over_and_its_answer_is_dropped)
{
    struct request gone, stays, queued;

    start();
    struct peer_options options = options_of();
    options.in_flight_max = 2;
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &gone, "gone");
    ask(peer, &stays, "stays");
    ask(peer, &queued, "queued");
    loop_until(&b.shard, b.count == 2);
    peer_cancel(&gone.call);
    peer_cancel(&queued.call);
    ck_assert_int_eq(gone.done, 0);
    loop_until(&b.shard, gone.done == 1 && queued.done == 1);
    ck_assert_int_eq(gone.err, ERR_CANCELLED);
    ck_assert(gone.was_sent && !queued.was_sent);
    peer_cancel(&gone.call);           /* one that has ended is fine */
    memset(&gone, 0xee, sizeof(gone)); /* nobody may touch it any more */
    answer(0, b.asked[0].head.correlation_id, "late");
    answer(1, b.asked[1].head.correlation_id, "mine");
    loop_until(&b.shard, stays.done == 1);
    ck_assert_str_eq(stays.answer, "mine");
    stop(&peer);
}
END_TEST

START_TEST(an_answer_to_another_request_ends_the_connection)
{
    struct request request;

    start();
    struct peer_options options = options_of();
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &request, "x");
    loop_until(&b.shard, b.count == 1);
    answer(0, b.asked[0].head.correlation_id + 1, "not yours");
    loop_until(&b.shard, request.done == 1);
    ck_assert_int_eq(request.err, ERR_CLOSED);
    ck_assert_ptr_nonnull(strstr(heard, "waiting:CORRUPT"));
    stop(&peer);
}
END_TEST

START_TEST(one_that_expects_no_answer_is_over_when_it_has_left)
{
    struct request silent = {0}, next;

    start();
    struct peer_options options = options_of();
    struct peer *peer = peer_open(&b.shard, &options);
    silent = (struct request){.call.api_key = API_HEARTBEAT_KEY, .call.done = request_done};
    silent.call.no_answer = true;
    peer_send(peer, &silent.call);
    ask(peer, &next, "next");
    loop_until(&b.shard, silent.done == 1 && b.count == 2);
    ck_assert_int_eq(silent.err, ERR_OK);
    conn_no_reply(b.asked[0].conn, b.asked[0].ticket);
    answer(1, b.asked[1].head.correlation_id, "ok");
    loop_until(&b.shard, next.done == 1);
    ck_assert_str_eq(next.answer, "ok");
    stop(&peer);
}
END_TEST

START_TEST(closing_cancels_everything)
{
    struct request sent, queued;

    start();
    struct peer_options options = options_of();
    options.in_flight_max = 1;
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &sent, "sent");
    ask(peer, &queued, "queued");
    loop_until(&b.shard, b.count == 1);
    stop(&peer);
    ck_assert_int_eq(sent.done, 1);
    ck_assert_int_eq(sent.err, ERR_CANCELLED);
    ck_assert_int_eq(queued.done, 1);
    ck_assert_int_eq(queued.err, ERR_CANCELLED);
}
END_TEST

START_TEST(more_than_may_wait_is_refused)
{
    struct request requests[4];

    start();
    struct peer_options options = options_of();
    options.waiting_max = 3;
    struct peer *peer = peer_open(&b.shard, &options);
    for (int i = 0; i < 4; i++)
        ask(peer, &requests[i], "x");
    loop_until(&b.shard, requests[3].done == 1);
    ck_assert_int_eq(requests[3].err, ERR_LIMIT);
    loop_until(&b.shard, b.count == 3);
    stop(&peer);
}
END_TEST

static void write_body(struct peer_call *call, int version, struct buf *body)
{
    ck_assert_int_eq(call->version, version);
    buf_printf(body, "v%d", version);
}

START_TEST(versions_are_the_best_that_both_have)
{
    struct request good = {0}, bad = {0}, unknown = {0};
    int min = 0, max = 0;

    start();
    b.heartbeat_min = 1;
    b.heartbeat_max = 2;
    struct peer_options options = options_of();
    options.negotiate = true;
    struct peer *peer = peer_open(&b.shard, &options);
    ck_assert_int_eq(peer_versions(peer, API_HEARTBEAT_KEY, &min, &max), ERR_NOT_FOUND);
    good = (struct request){
        .call = {.api_key = API_HEARTBEAT_KEY, .version_max = 3, .done = request_done}};
    good.call.write = write_body;
    bad = good;
    bad.call.version_min = 3;
    unknown = good;
    unknown.call.api_key = API_FETCH;
    peer_send(peer, &good.call);
    peer_send(peer, &bad.call);
    peer_send(peer, &unknown.call);
    loop_until(&b.shard, b.count == 1 && bad.done == 1 && unknown.done == 1);
    ck_assert_int_eq(b.asked[0].head.api_version, 2);
    ck_assert_str_eq(b.asked[0].body, "v2");
    ck_assert_int_eq(bad.err, ERR_UNSUPPORTED);
    ck_assert_int_eq(unknown.err, ERR_UNSUPPORTED);
    ck_assert(!bad.was_sent);
    ck_assert_int_eq(peer_versions(peer, API_HEARTBEAT_KEY, &min, &max), ERR_OK);
    ck_assert(min == 1 && max == 2);
    answer(0, b.asked[0].head.correlation_id, "ok");
    loop_until(&b.shard, good.done == 1);
    stop(&peer);
}
END_TEST

START_TEST(one_that_accepts_and_says_nothing_is_given_up)
{
    struct request request = {0};

    start();
    struct peer_options options = options_of();
    options.negotiate = true; /* it never answers that */
    options.connect_timeout_ms = 50;
    options.backoff_ms = 0;
    struct peer *peer = peer_open(&b.shard, &options);
    ask(peer, &request, "x");
    loop_until(&b.shard, request.done == 1);
    ck_assert_int_eq(request.err, ERR_TIMED_OUT);
    ck_assert(!request.was_sent);
    ck_assert_str_eq(heard, "connecting waiting:TIMED_OUT ");
    stop(&peer);
}
END_TEST

START_TEST(another_address_is_taken_with_the_next_attempt)
{
    struct request request;

    start();
    struct peer_options options = options_of();
    struct peer *peer = peer_open(&b.shard, &options);
    loop_until(&b.shard, peer_state(peer) == PEER_UP);
    int conns = b.conns;
    struct net_address same = loop_address(b.port), other = {.host = "localhost", .port = b.port};
    peer_set_address(peer, &same); /* no news */
    loop_turn(&b.shard);
    ck_assert_int_eq(peer_state(peer), PEER_UP);
    peer_set_address(peer, &other);
    ck_assert_int_eq(peer_state(peer), PEER_UP); /* never inside */
    loop_until(&b.shard, b.conns == conns + 1 && peer_state(peer) == PEER_UP);
    ask(peer, &request, "x");
    loop_until(&b.shard, b.count == 1);
    stop(&peer);
    ck_assert_int_eq(request.err, ERR_CANCELLED);
}
END_TEST

UNIT(requests_leave_in_order_within_the_bound_and_answers_find_theirs,
     a_late_answer_ends_the_connection_and_all_that_was_sent,
     a_lost_connection_ends_what_was_sent_and_comes_back, without_backoff_it_waits_until_it_is_told,
     the_cancelled_is_over_and_its_answer_is_dropped,
     an_answer_to_another_request_ends_the_connection,
     one_that_expects_no_answer_is_over_when_it_has_left, closing_cancels_everything,
     more_than_may_wait_is_refused, versions_are_the_best_that_both_have,
     one_that_accepts_and_says_nothing_is_given_up, another_address_is_taken_with_the_next_attempt)
