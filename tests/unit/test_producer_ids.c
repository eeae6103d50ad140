/* InitProducerId: what is refused, what is told while there is no controller. */
#include "broker/api/producer_ids.h"
#include "broker_rig.h"
#include "wire/gen/init_producer_id.h"

struct fixture {
    struct rig rig;
    struct producer_ids *ids;
    struct arena arena;
    int client;
};

static void open_all(struct fixture *f, const char *settings)
{
    rig_open(&f->rig, settings);
    arena_init(&f->arena, 1024 * 1024);
    f->ids = producer_ids_create(&f->rig.control.api);
    f->client = rig_connect(&f->rig);
}
static void close_all(struct fixture *f)
{
    close(f->client);
    producer_ids_stop(f->ids);
    rig_close(&f->rig);
    producer_ids_destroy(&f->ids);
    arena_fini(&f->arena);
}
static struct init_producer_id_response
ask(struct fixture *f, int version, struct slice transactional_id, int64_t id, int16_t epoch)
{
    struct init_producer_id_request in;
    struct init_producer_id_response out;

    wire_default(&init_producer_id_request_wire, &in);
    in.transactional_id = transactional_id;
    in.transaction_timeout_ms = 1000;
    in.producer_id = id;
    in.producer_epoch = epoch;
    rig_ask(&f->rig, f->client, &init_producer_id_api, version, &in, &f->arena, &out);
    return out;
}

START_TEST(nonsense_and_transactional_ids_are_refused)
{
    struct fixture f;

    open_all(&f, "");
    ck_assert_int_eq(ask(&f, 4, SLICE_NULL, 5, -1).error_code, KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(ask(&f, 4, SLICE_NULL, -1, 0).error_code, KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(ask(&f, 4, SLICE(""), -1, -1).error_code, KAFKA_INVALID_REQUEST);
    struct init_producer_id_response out = ask(&f, 4, SLICE("tx"), -1, -1);
    ck_assert_int_eq(out.error_code, KAFKA_NOT_COORDINATOR);
    ck_assert_int_eq(out.producer_id, -1);
    ck_assert_int_eq(out.producer_epoch, -1);
    close_all(&f);
}
END_TEST

START_TEST(without_a_controller_producers_are_told_to_try_again)
{
    struct fixture f;

    open_all(&f, "");
    ck_assert_int_eq(ask(&f, 0, SLICE_NULL, -1, -1).error_code, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    close_all(&f);
}
END_TEST

UNIT(nonsense_and_transactional_ids_are_refused,
     without_a_controller_producers_are_told_to_try_again)
