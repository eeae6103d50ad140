#include "cluster/listeners.h"
#include "tests/unit/unit.h"
#include <stdarg.h>
#include <stdio.h>

static char told[2048];

static void tell(void *to, bool is_error, const char *message)
{
    (void)to;
    ck_assert(is_error);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", message);
}

static const struct options_report report = {.problem = tell};

/* Pairs of key and value, ended by NULL. */
static enum err read_with(struct listeners *out, const char *key, ...)
{
    struct options *options = options_create();
    struct conf conf;
    va_list args;

    told[0] = '\0';
    conf_init(&conf);
    va_start(args, key);
    for (; key != NULL; key = va_arg(args, const char *))
        conf_set(&conf, key, va_arg(args, const char *), 1);
    va_end(args);
    ck_assert_int_eq(options_load(options, &conf, "f", &report), ERR_OK);
    enum err err = listeners_read(options, &report, out);
    conf_fini(&conf);
    options_destroy(&options);
    return err;
}

START_TEST(without_any_key_one_listener_takes_all)
{
    struct listeners l;

    ck_assert_int_eq(read_with(&l, NULL), ERR_OK);
    ck_assert_int_eq(l.count, 1);
    ck_assert(slice_is(l.at[0].name, "PLAINTEXT"));
    ck_assert(slice_is(l.at[0].bind_host, "") && l.at[0].bind_port == 9092);
    ck_assert(slice_is(l.at[0].host, "") && l.at[0].port == 9092);
    ck_assert(l.inter_broker == 0 && l.control_plane == -1);
    listeners_fini(&l);
}
END_TEST

START_TEST(names_map_to_protocols_and_roles)
{
    struct listeners l;

    ck_assert_int_eq(
        read_with(
            &l, "listeners", "client://0.0.0.0:9092, REPL://[::1]:9093,CTRL://127.0.0.1:9094",
            "advertised.listeners", "CLIENT://b1.example.org:19092,REPL://[::1]:9093,CTRL://h:1",
            "listener.security.protocol.map", "Client:PLAINTEXT,REPL:plaintext,CTRL:PLAINTEXT",
            "inter.broker.listener.name", "repl", "control.plane.listener.name", "CTRL", NULL),
        ERR_OK);
    ck_assert_int_eq(l.count, 3);
    ck_assert(slice_is(l.at[0].name, "CLIENT"));
    ck_assert(slice_is(l.at[0].host, "b1.example.org") && l.at[0].port == 19092);
    ck_assert(slice_is(l.at[1].bind_host, "::1"));
    ck_assert_int_eq(l.inter_broker, 1);
    ck_assert_int_eq(l.control_plane, 2);
    ck_assert_int_eq(listeners_find(&l, SLICE("REPL")), 1);
    ck_assert_int_eq(listeners_find(&l, SLICE("X")), -1);
    listeners_fini(&l);
}
END_TEST

START_TEST(one_port_may_serve_ipv4_and_ipv6)
{
    struct listeners l;

    ck_assert_int_eq(read_with(&l, "listeners", "PLAINTEXT://127.0.0.1:9092,B://[::1]:9092",
                               "listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,B:PLAINTEXT",
                               NULL),
                     ERR_OK);
    listeners_fini(&l);
}
END_TEST

START_TEST(tls_and_sasl_are_refused_by_name)
{
    struct listeners l;

    ck_assert_int_eq(read_with(&l, "listeners", "PLAINTEXT://:9092,SSL://:9093", NULL),
                     ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(told, "listeners="));
    ck_assert_ptr_nonnull(strstr(told, "SSL speaks SSL"));
}
END_TEST

START_TEST(each_rule_is_told)
{
    struct listeners l = {.count = 77};
    struct {
        const char *key, *value, *key2, *value2, *expected;
    } bad[] = {
        {"listeners", "PLAINTEXT", NULL, NULL, "NAME://host:port"},
        {"listeners", "", NULL, NULL, "NAME://host:port"},
        {"listeners", "X://:9092", NULL, NULL, "no protocol"},
        {"listeners", "PLAINTEXT://:1,PLAINTEXT://:2", NULL, NULL, "occurs twice"},
        {"listeners", "PLAINTEXT://:1,B://:1", "listener.security.protocol.map",
         "PLAINTEXT:PLAINTEXT,B:PLAINTEXT", "port 1 occurs twice"},
        {"listeners", "PLAINTEXT://0.0.0.0:1", NULL, NULL, "nobody can connect"},
        {"advertised.listeners", "PLAINTEXT://0.0.0.0:1", NULL, NULL, "nobody can connect"},
        {"advertised.listeners", "OTHER://h:1", NULL, NULL, "not among listeners"},
        {"advertised.listeners", "PLAINTEXT://h:1,PLAINTEXT://i:1", NULL, NULL, "occurs twice"},
        {"inter.broker.listener.name", "X", NULL, NULL, "advertised listener"},
        {"inter.broker.listener.name", "PLAINTEXT", "security.inter.broker.protocol", "PLAINTEXT",
         "together"},
        {"security.inter.broker.protocol", "SSL", NULL, NULL, "advertised listener"},
        {"control.plane.listener.name", "PLAINTEXT", NULL, NULL, "differ from"},
        {"control.plane.listener.name", "C", NULL, NULL, "advertised listener"},
        {"listener.security.protocol.map", "PLAINTEXT:TLS", NULL, NULL, "PROTOCOL pairs"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum err err = read_with(&l, bad[i].key, bad[i].value, bad[i].key2, bad[i].value2, NULL);
        ck_assert_msg(err == ERR_INVALID, "%s=%s", bad[i].key, bad[i].value);
        ck_assert_msg(strstr(told, bad[i].expected) != NULL, "%s=%s told %s", bad[i].key,
                      bad[i].value, told);
        ck_assert_ptr_nonnull(strstr(told, "="));
    }
    ck_assert_int_eq(l.count, 77); /* untouched */
}
END_TEST

UNIT(without_any_key_one_listener_takes_all, names_map_to_protocols_and_roles,
     one_port_may_serve_ipv4_and_ipv6, tls_and_sasl_are_refused_by_name, each_rule_is_told)
