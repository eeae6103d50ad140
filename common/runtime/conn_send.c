/* runtime/conn_send.c - replies go out, in the order of their requests. */
#include "base/log.h"
#include "runtime/conn_private.h"
#include "runtime/files.h"
#include <stdlib.h>

/* File slices up to this size are read into the chain of memory pieces; larger ones go by sendfile,
 * which is a system call and a segment of its own. Where both cost the same was measured:
 * README.md, "Copy or sendfile". */
#define FILE_COPY_MAX 16384
#define PARTS_MAX     64
#define RING_KEPT_MAX 64

/* False if no length word can tell how long it is: then none of it is to be sent. */
static bool reply_begin(struct reply *reply, bool is_counted)
{
    size_t len = 0;

    for (int i = 0; i < reply->count; i++)
        len += reply->pieces[i].file != NULL ? reply->pieces[i].len : reply->pieces[i].bytes.len;
    reply->is_counted = is_counted && len <= INT32_MAX;
    reply->unsent = len + 4;
    reply->at = -1;
    reply->at_sent = 0;
    reply->queued_at = INSTANT_ZERO;
    reply->length[0] = (uint8_t)(len >> 24);
    reply->length[1] = (uint8_t)(len >> 16);
    reply->length[2] = (uint8_t)(len >> 8);
    reply->length[3] = (uint8_t)len;
    return len <= INT32_MAX;
}

/* Who asked so much gets the end instead, after what was answered before. */
static void refuse_reply(struct conn *conn, struct reply *reply)
{
    counter_add(&conn->limits->closed_limit, 1);
    log_error("runtime", "reply-too-large", "peer=%s:%d length=%zu", conn->peer.host,
              conn->peer.port, reply->unsent - 4);
    conn_close(conn, true);
    conn_owe(conn, reply);
    shard_post(conn->shard, &conn->finish);
}

static size_t piece_len(const struct reply *reply, int at)
{
    if (at < 0) return sizeof(reply->length);
    return reply->pieces[at].file != NULL ? reply->pieces[at].len : reply->pieces[at].bytes.len;
}

/* What one system call is to send. */
struct chain {
    struct iovec parts[PARTS_MAX];
    int count;
    size_t len;
    size_t scratch_used;
    bool more;         /* something follows at once */
    struct file *file; /* with count == 0: a file slice stands first */
    uint64_t position;
    size_t file_len;
};

static void chain_add(struct chain *chain, const uint8_t *bytes, size_t len)
{
    if (len == 0) return;
    chain->parts[chain->count++] = (struct iovec){(void *)(uintptr_t)bytes, len};
    chain->len += len;
}

/* A small slice of a file becomes a piece of memory, if it is in the page cache. */
static bool chain_copy(struct conn *conn, struct chain *chain, const struct reply_piece *piece,
                       size_t skip)
{
    size_t len = piece->len - skip, got = 0;
    uint8_t *to = conn->shard->scratch + chain->scratch_used;

    if (piece->len > FILE_COPY_MAX || len > SHARD_SCRATCH_BYTES - chain->scratch_used) return false;
    if (file_read_cached(conn_env(conn), piece->file, piece->position + skip, to, len, &got) !=
            ERR_OK ||
        got < len)
        return false;
    chain->scratch_used += len;
    chain_add(chain, to, len);
    return true;
}

/* Adds what is unsent of `reply`; false when the chain ends within it. */
static bool chain_reply(struct conn *conn, struct chain *chain, const struct reply *reply)
{
    size_t skip = reply->at_sent;

    for (int at = reply->at; at < reply->count; at++, skip = 0) {
        size_t len = piece_len(reply, at);
        if (len == skip) continue;
        if (chain->count == PARTS_MAX) return false;
        if (at < 0) {
            chain_add(chain, reply->length + skip, len - skip);
        } else if (reply->pieces[at].file == NULL) {
            chain_add(chain, reply->pieces[at].bytes.ptr + skip, len - skip);
        } else if (!chain_copy(conn, chain, &reply->pieces[at], skip)) {
            if (chain->count == 0) {
                chain->file = reply->pieces[at].file;
                chain->position = reply->pieces[at].position + skip;
                chain->file_len = len - skip;
            }
            return false;
        }
    }
    return true;
}

static void chain_gather(struct conn *conn, struct chain *chain, size_t budget)
{
    chain->count = 0;
    chain->len = chain->scratch_used = 0;
    chain->more = false;
    chain->file = NULL;
    list_each (node, &conn->sending) {
        if (!chain_reply(conn, chain, list_entry(node, struct reply, node))) {
            chain->more = true;
            return;
        }
        if (chain->len >= budget || chain->count == PARTS_MAX) {
            chain->more = node_next != &conn->sending.head;
            return;
        }
    }
}

/* `n` bytes have left: replies that are whole are owed their `done`. */
static void note_sent(struct conn *conn, size_t n)
{
    counter_add(&conn->limits->bytes_out, n);
    while (!list_is_empty(&conn->sending)) {
        struct reply *reply = list_entry(list_first(&conn->sending), struct reply, node);
        size_t now = n < reply->unsent ? n : reply->unsent;

        n -= now;
        reply->unsent -= now;
        if (reply->is_counted) conn->reply_bytes -= now;
        if (reply->unsent > 0) {
            reply->at_sent += now;
            while (reply->at_sent >= piece_len(reply, reply->at))
                reply->at_sent -= piece_len(reply, reply->at++);
            return;
        }
        counter_add(&conn->limits->frames_out, 1);
        list_remove(&reply->node);
        list_push(&conn->owed, &reply->node);
    }
    ensure(n == 0);
}

/* One system call. False: it did not take all. */
static bool send_some(struct conn *conn, size_t *budget)
{
    struct chain chain;
    size_t n = 0, len;
    enum err err;

    chain_gather(conn, &chain, *budget);
    if (chain.file != NULL) {
        len = chain.file_len < *budget ? chain.file_len : *budget;
        err = net_send_file(conn_env(conn), conn->sock, chain.file, chain.position, len, &n);
    } else {
        len = chain.len;
        err = net_write(conn_env(conn), conn->sock, chain.parts, chain.count, chain.more, &n);
    }
    if (err != ERR_OK) {
        if (err == ERR_TRUNCATED || err == ERR_IO)
            log_error("runtime", "reply-file-failed", "peer=%s:%d error=%s", conn->peer.host,
                      conn->peer.port, err_name(err));
        conn_end(conn, err);
        return false;
    }
    if (n > 0) {
        conn_note_active(conn);
        note_sent(conn, n);
    }
    *budget -= n < *budget ? n : *budget;
    return n == len;
}

void conn_flush(struct conn *conn)
{
    size_t budget = SEND_TURN_MAX;

    while (conn->state != CONN_ENDED && !list_is_empty(&conn->sending) && budget > 0)
        if (!send_some(conn, &budget)) break;
    if (conn->state == CONN_FINISHING && list_is_empty(&conn->sending)) conn_linger(conn);
    conn_set_wants(conn); /* what is left is told to be writable */
    conn_consider_resume(conn);
    if (!list_is_empty(&conn->owed)) shard_look(conn->shard);
    /* Last: what `done` calls may do anything to this connection but free it. */
    conn_pay(conn);
}

void conn_run_flush(struct post *post)
{
    conn_flush(list_entry(post, struct conn, flush));
}

/* Replies whose turn it is go to the end of what is being sent. */
static void queue_in_order(struct conn *conn)
{
    while (conn->ticket_head != conn->ticket_next) {
        struct reply **slot = conn_slot(conn, conn->ticket_head);
        if (*slot == NULL) break;
        if (*slot != &conn_nothing) {
            (*slot)->queued_at = shard_looked(conn->shard);
            list_push(&conn->sending, &(*slot)->node);
            shard_post_last(conn->shard, &conn->flush);
        }
        *slot = NULL;
        conn->ticket_head++;
    }
    if (conn->ticket_head == conn->ticket_next && conn->ring_capacity > RING_KEPT_MAX) {
        free(conn->ring);
        conn->ring = conn->ring_inline;
        conn->ring_capacity = RING_INLINE;
        memset(conn->ring_inline, 0, sizeof(conn->ring_inline));
    }
    if (conn->ticket_head == conn->ticket_next && conn->refused != ERR_OK)
        conn_close(conn, true);
    else
        conn_consider_resume(conn);
}

static void answer(struct conn *conn, uint64_t ticket, struct reply *reply)
{
    ensure(ticket - conn->ticket_head < conn->ticket_next - conn->ticket_head);
    ensure(*conn_slot(conn, ticket) == NULL);
    *conn_slot(conn, ticket) = reply;
    queue_in_order(conn);
}

void conn_reply(struct conn *conn, uint64_t ticket, struct reply *reply)
{
    if (!reply_begin(reply, true)) {
        refuse_reply(conn, reply);
        return;
    }
    conn->reply_bytes += reply->unsent;
    if (conn->state == CONN_OPEN) {
        answer(conn, ticket, reply);
    } else {
        conn_owe(conn, reply);
        shard_post(conn->shard, &conn->finish);
    }
}

void conn_no_reply(struct conn *conn, uint64_t ticket)
{
    if (conn->state == CONN_OPEN) answer(conn, ticket, (struct reply *)(uintptr_t)&conn_nothing);
}

void conn_send(struct conn *conn, struct reply *frame)
{
    if (!reply_begin(frame, false)) {
        refuse_reply(conn, frame);
        return;
    }
    if (conn->state == CONN_OPEN) {
        list_push(&conn->sending, &frame->node);
        shard_post_last(conn->shard, &conn->flush);
    } else {
        conn_owe(conn, frame);
        shard_post(conn->shard, &conn->finish);
    }
}
