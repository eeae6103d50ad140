#include "cluster/options.h"
#include "tests/unit/unit.h"
#include <stdio.h>

struct told {
    char text[8192];
    int errors, warnings;
};

static void tell(void *to, bool is_error, const char *message)
{
    struct told *told = to;

    *(is_error ? &told->errors : &told->warnings) += 1;
    snprintf(told->text + strlen(told->text), sizeof(told->text) - strlen(told->text), "%s\n",
             message);
}

static struct told told;
static const struct options_report report = {.problem = tell, .to = &told};

static enum err load(struct options *options, const char *text)
{
    struct conf conf;
    int line = 0;

    told = (struct told){0};
    conf_init(&conf);
    ck_assert_int_eq(conf_read(&conf, slice_text(text), &line), ERR_OK);
    enum err err = options_load(options, &conf, "server.properties", &report);
    conf_fini(&conf);
    return err;
}

START_TEST(a_value_is_read_by_its_type)
{
    struct options *o = options_create();

    ck_assert_int_eq(load(o, "log.segment.bytes= 1000 \nauto.create.topics.enable=FALSE\n"
                             "log.cleaner.io.buffer.load.factor=0.25\nbroker.rack=r1\n"
                             "log.cleanup.policy=compact , delete\nlog.retention.ms=-1\n"
                             "log.flush.interval.messages=9223372036854775807\n"),
                     ERR_OK);
    ck_assert_int_eq(told.errors + told.warnings, 0);
    ck_assert_int_eq(options_int(o, OPTION_LOG_SEGMENT_BYTES), 1000);
    ck_assert(!options_bool(o, OPTION_AUTO_CREATE_TOPICS_ENABLE));
    ck_assert(options_double(o, OPTION_LOG_CLEANER_IO_BUFFER_LOAD_FACTOR) == 0.25);
    ck_assert_str_eq(options_text(o, OPTION_BROKER_RACK), "r1");
    ck_assert(slice_is(options_item(o, OPTION_LOG_CLEANUP_POLICY, 1), "delete"));
    ck_assert(slice_is_null(options_item(o, OPTION_LOG_CLEANUP_POLICY, 2)));
    ck_assert(options_list_has(o, OPTION_LOG_CLEANUP_POLICY, "compact"));
    ck_assert(options_long(o, OPTION_LOG_FLUSH_INTERVAL_MESSAGES) == INT64_MAX);
    ck_assert(options_has(o, OPTION_LOG_RETENTION_MS) &&
              options_is_set(o, OPTION_LOG_RETENTION_MS));
    ck_assert(!options_has(o, OPTION_LOG_ROLL_MS) && !options_is_set(o, OPTION_NUM_PARTITIONS));
    options_destroy(&o);
}
END_TEST

START_TEST(a_bad_value_says_where_what_and_the_range)
{
    static const struct {
        const char *line, *expected;
    } bad[] = {
        {"log.segment.bytes=13", "server.properties:2: log.segment.bytes=13: must be at least 14"},
        {"log.segment.bytes=x", "log.segment.bytes=x: must be a number at least 14"},
        {"broker.id=99999999999", "whole number in -2147483648 … 2147483647"},
        {"offsets.topic.replication.factor=0", "must be at least 1"},
        {"offsets.commit.required.acks=40000", "-32768 … 32767"},
        {"delete.topic.enable=yes", "must be true or false"},
        {"compression.type=brotli", "one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
        {"log.cleanup.policy=delete,shrink", "a list of: compact, delete"},
        {"compression.gzip.level=0", "-1 or in 1 … 9"},
        {"compression.lz4.level=18", "in 1 … 17"},
        {"log.cleaner.min.cleanable.ratio=1.5", "in 0 … 1"},
        {"inter.broker.protocol.version=4.0", "a release in"},
        {"remote.log.storage.manager.class.name=", "not empty"},
        {"listener.name.client.max.connections=-1", "must be at least 0"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct options *o = options_create();
        char text[256];
        snprintf(text, sizeof(text), "# first\n%s\n", bad[i].line);
        ck_assert_int_eq(load(o, text), ERR_INVALID);
        ck_assert_int_eq(told.errors, 1);
        ck_assert_msg(strstr(told.text, bad[i].expected) != NULL, "%s told %s", bad[i].line,
                      told.text);
        options_destroy(&o);
    }
}
END_TEST

START_TEST(an_unknown_key_warns_and_is_kept)
{
    struct options *o = options_create();

    ck_assert_int_eq(
        load(o, "my.plugin.key=1\nsuper.users=User:a\nlistener.name.x.ssl.key.password=p\n"),
        ERR_OK);
    ck_assert_int_eq(told.warnings, 1);
    ck_assert_ptr_nonnull(
        strstr(told.text, "server.properties:1: my.plugin.key is not a known key"));
    ck_assert_str_eq(conf_get(options_unknown(o), "my.plugin.key")->value, "1");
    options_destroy(&o);
}
END_TEST

START_TEST(a_secret_is_never_told)
{
    struct options *o = options_create();
    struct buf out = {0};

    ck_assert_int_eq(load(o, "ssl.key.password=hunter2\nsecret.of.plugin=hunter2\nbroker.id=1\n"),
                     ERR_OK);
    options_print(o, &out);
    buf_add(&out, "", 1);
    ck_assert_ptr_null(strstr((char *)out.ptr, "hunter2"));
    ck_assert_ptr_null(strstr(told.text, "hunter2"));
    ck_assert_ptr_nonnull(strstr((char *)out.ptr, "ssl.key.password is set"));
    buf_fini(&out);
    options_destroy(&o);
}
END_TEST

START_TEST(what_is_printed_can_be_read_back)
{
    struct options *o = options_create(), *again = options_create();
    struct buf out = {0};

    ck_assert_int_eq(load(o, "broker.id=7\nlog.dirs=/a\\\\b,/c d\nzookeeper.connect=h:1/x\n"),
                     ERR_OK);
    options_print(o, &out);
    buf_add(&out, "", 1);
    ck_assert_int_eq(load(again, (char *)out.ptr), ERR_OK);
    ck_assert_int_eq(options_int(again, OPTION_BROKER_ID), 7);
    ck_assert_str_eq(options_text(again, OPTION_LOG_DIRS), "/a\\b,/c d");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options_has(o, (enum option)i) && !option_is_internal((enum option)i))
            ck_assert_msg(strstr((char *)out.ptr, option_key((enum option)i)) != NULL, "%s",
                          option_key((enum option)i));
    buf_fini(&out);
    options_destroy(&o);
    options_destroy(&again);
}
END_TEST

START_TEST(run_time_values_are_layered)
{
    struct options *o = options_create();
    enum option key = OPTION_MESSAGE_MAX_BYTES;

    ck_assert_int_eq(load(o, "message.max.bytes=1000\n"), ERR_OK);
    ck_assert_int_eq(
        options_set_dynamic(o, OPTION_SOURCE_DYNAMIC_BROKER, "message.max.bytes", "3000", &report),
        ERR_OK);
    ck_assert_int_eq(
        options_set_dynamic(o, OPTION_SOURCE_DYNAMIC_DEFAULT, "message.max.bytes", "2000", &report),
        ERR_OK);
    ck_assert_int_eq(options_int(o, key), 3000);
    struct options *copy = options_copy(o);
    ck_assert_int_eq(
        options_set_dynamic(o, OPTION_SOURCE_DYNAMIC_BROKER, "message.max.bytes", NULL, &report),
        ERR_OK);
    ck_assert_int_eq(options_int(o, key), 2000);
    ck_assert_int_eq(options_source(o, key), OPTION_SOURCE_DYNAMIC_DEFAULT);
    ck_assert_int_eq(
        options_set_dynamic(o, OPTION_SOURCE_DYNAMIC_DEFAULT, "message.max.bytes", NULL, &report),
        ERR_OK);
    ck_assert_int_eq(options_int(o, key), 1000);
    ck_assert_int_eq(options_int(copy, key), 3000); /* a copy is its own */
    options_destroy(&o);
    options_destroy(&copy);
}
END_TEST

START_TEST(what_may_not_change_at_run_time_is_refused)
{
    struct options *o = options_create();
    static const struct {
        enum option_source source;
        const char *key, *value;
        enum err expected;
    } cases[] = {
        {OPTION_SOURCE_DYNAMIC_BROKER, "broker.id", "3", ERR_INVALID},
        {OPTION_SOURCE_DYNAMIC_DEFAULT, "advertised.listeners", "PLAINTEXT://h:1", ERR_INVALID},
        {OPTION_SOURCE_DYNAMIC_BROKER, "advertised.listeners", "PLAINTEXT://h:1", ERR_OK},
        {OPTION_SOURCE_DYNAMIC_BROKER, "ssl.keystore.location", "/k", ERR_INVALID},
        {OPTION_SOURCE_DYNAMIC_BROKER, "listener.name.x.ssl.keystore.location", "/k", ERR_OK},
        {OPTION_SOURCE_DYNAMIC_DEFAULT, "listener.name.x.ssl.keystore.location", "/k", ERR_INVALID},
        {OPTION_SOURCE_DYNAMIC_DEFAULT, "message.max.bytes", "-5", ERR_INVALID},
        {OPTION_SOURCE_DYNAMIC_BROKER, "leader.replication.throttled.rate", "5", ERR_OK},
        {OPTION_SOURCE_DYNAMIC_BROKER, "unknown.key", "5", ERR_OK},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(options_set_dynamic(o, cases[i].source, cases[i].key, cases[i].value,
                                          &report) == cases[i].expected,
                      "%s", cases[i].key);
    ck_assert_int_eq(options_int(o, OPTION_BROKER_ID), -1);
    options_destroy(&o);
}
END_TEST

START_TEST(a_listener_may_have_its_own_limit)
{
    struct options *o = options_create();

    ck_assert_int_eq(load(o, "max.connections=10\nlistener.name.client.max.connections=7\n"),
                     ERR_OK);
    ck_assert_int_eq(options_listener_long(o, SLICE("CLIENT"), OPTION_MAX_CONNECTIONS), 7);
    ck_assert_int_eq(options_listener_long(o, SLICE("REPL"), OPTION_MAX_CONNECTIONS), 10);
    options_destroy(&o);
}
END_TEST

START_TEST(log_dirs_fall_back_to_log_dir)
{
    struct options *o = options_create();

    ck_assert(slice_is(options_log_dir(o, 0), "/tmp/kafka-logs"));
    ck_assert_int_eq(load(o, "log.dirs=/a, ,/b\n"), ERR_OK);
    ck_assert(slice_is(options_log_dir(o, 0), "/a") && slice_is(options_log_dir(o, 1), "/b"));
    ck_assert(slice_is_null(options_log_dir(o, 2)));
    options_destroy(&o);
}
END_TEST

#define BROKER "zookeeper.connect=h:2181\nbroker.id=1\n"

START_TEST(keys_are_checked_against_each_other)
{
    static const struct {
        const char *text, *expected;
        enum err err;
    } cases[] = {
        {"", "zookeeper.connect", ERR_INVALID},
        {BROKER "process.roles=broker\n", "process.roles", ERR_INVALID},
        {BROKER "broker.id=1001\n", "reserved.broker.max.id", ERR_INVALID},
        {BROKER "broker.id=-1\nbroker.id.generation.enable=false\n", "at least 0", ERR_INVALID},
        {BROKER "node.id=2\n", "must equal broker.id", ERR_INVALID},
        {BROKER "log.roll.ms=0\n", "log.roll.ms=0", ERR_INVALID},
        {BROKER "log.retention.hours=0\n", "log.retention.hours=0", ERR_INVALID},
        {BROKER "log.retention.ms=0\n", "log.retention.ms=0", ERR_INVALID},
        {BROKER "log.dirs=\n", "log.dirs", ERR_INVALID},
        {BROKER "log.cleaner.dedupe.buffer.size=1048576\n", "more than 1048576", ERR_INVALID},
        {BROKER "replica.fetch.wait.max.ms=30001\n", "replica.lag.time.max.ms", ERR_INVALID},
        {BROKER "offsets.commit.required.acks=4\n", "offsets.topic.replication.factor",
         ERR_INVALID},
        {BROKER "queued.max.request.bytes=5\n", "socket.request.max.bytes", ERR_INVALID},
        {BROKER "max.connections.per.ip=0\n", "overrides", ERR_INVALID},
        {BROKER "max.connections.per.ip.overrides=h\n", "host:count", ERR_INVALID},
        {BROKER "connections.max.idle.ms=50\n", "connections.max.idle.ms", ERR_INVALID},
        {BROKER "compression.type=zstd\ninter.broker.protocol.version=2.0\n", "2.1", ERR_INVALID},
        {BROKER "authorizer.class.name=kafka.security.authorizer.AclAuthorizer\n",
         "authorizer.class.name", ERR_UNSUPPORTED},
        {BROKER "remote.log.storage.system.enable=true\n", "remote.log.storage", ERR_UNSUPPORTED},
        {BROKER "listeners=SSL://:9093\nsecurity.inter.broker.protocol=SSL\n", "listeners",
         ERR_UNSUPPORTED},
        {BROKER "config.providers=file\n", "config.providers", ERR_UNSUPPORTED},
        {BROKER "log.retention.ms=-5\nconnections.max.idle.ms=-1\n", NULL, ERR_OK},
        {BROKER "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5, h:2\n",
         NULL, ERR_OK},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options *o = options_create();
        ck_assert_int_eq(load(o, cases[i].text), ERR_OK);
        told = (struct told){0};
        ck_assert_msg(options_check(o, OPTIONS_BROKER, &report) == cases[i].err, "%s told %s",
                      cases[i].text, told.text);
        ck_assert_msg(cases[i].expected == NULL || strstr(told.text, cases[i].expected) != NULL,
                      "%s told %s", cases[i].text, told.text);
        options_destroy(&o);
    }
}
END_TEST

START_TEST(a_controller_needs_an_id_of_its_own)
{
    struct options *o = options_create();

    ck_assert_int_eq(load(o, "zookeeper.connect=h:1\n"), ERR_OK);
    ck_assert_int_eq(options_check(o, OPTIONS_CONTROLLER, &report), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(told.text, "controller.id"));
    ck_assert_int_eq(load(o, "controller.id=100\n"), ERR_OK);
    ck_assert_int_eq(options_check(o, OPTIONS_CONTROLLER, &report), ERR_OK);
    options_destroy(&o);
}
END_TEST

static const struct option_entry *entry_of(const struct option_entry *entries, int count,
                                           const char *name)
{
    for (int i = 0; i < count; i++)
        if (slice_is(entries[i].name, name)) return &entries[i];
    return NULL;
}

START_TEST(descriptions_hide_secrets_and_list_sources)
{
    struct options *o = options_create();
    struct option_entry *entries;
    struct arena arena;

    arena_init(&arena, 4 << 20);
    ck_assert_int_eq(
        load(o, "ssl.key.password=x\nlog.retention.hours=5\nmine=1\nlog.retention.ms=9\n"), ERR_OK);
    ck_assert_int_eq(
        options_set_dynamic(o, OPTION_SOURCE_DYNAMIC_DEFAULT, "log.retention.ms", "7", &report),
        ERR_OK);
    int n = options_describe(o, false, &arena, &entries);
    const struct option_entry *e = entry_of(entries, n, "ssl.key.password");
    ck_assert(e->is_sensitive && slice_is_null(e->value) && slice_is_null(e->synonyms[0].value));
    e = entry_of(entries, n, "mine");
    ck_assert(e->is_sensitive && e->type == OPTION_TYPE_UNKNOWN && slice_is_null(e->value));
    e = entry_of(entries, n, "log.retention.ms");
    ck_assert(slice_is(e->value, "7") && e->source == OPTION_SOURCE_DYNAMIC_DEFAULT);
    ck_assert(!e->is_read_only);
    ck_assert_int_eq(e->synonym_count, 4); /* dynamic ms; static ms, hours; default hours */
    ck_assert(slice_is(e->synonyms[2].name, "log.retention.hours"));
    ck_assert_int_eq(e->synonyms[3].source, OPTION_SOURCE_DEFAULT);
    e = entry_of(entries, n, "log.retention.hours");
    ck_assert_int_eq(e->synonym_count, 2); /* what stands before its own name is dropped */
    ck_assert(e->is_read_only && e->source == OPTION_SOURCE_STATIC);
    ck_assert_ptr_null(entry_of(entries, n, "unstable.api.versions.enable"));

    n = options_describe(o, true, &arena, &entries);
    ck_assert_int_eq(n, 1);
    ck_assert(slice_is(entries[0].name, "log.retention.ms") && entries[0].synonym_count == 1);
    arena_fini(&arena);
    options_destroy(&o);
}
END_TEST

/* ---- against the reference page, row by row, where it is present ---- */

static FILE *open_reference(void)
{
    static const char *const places[] = {"%s/../shared/reference/configs.md",
                                         "%s/../../shared/reference/configs.md"};
    const char *source = getenv("OTTLA_SOURCE");
    char path[1024];
    FILE *file = NULL;

    for (size_t i = 0; source != NULL && file == NULL && i < 2; i++) {
        snprintf(path, sizeof(path), i == 0 ? places[0] : places[1], source);
        file = fopen(path, "r");
    }
    return file;
}

/* Cell `index` of a table row, trimmed of blanks, back-quotes and a dagger. */
static const char *cell(const char *line, int index, char out[512])
{
    const char *from = strchr(line, '|');

    for (int i = 0; from != NULL && i < index; i++)
        from = strchr(from + 1, '|');
    const char *to = from == NULL ? NULL : strchr(from + 1, '|');
    out[0] = '\0';
    if (to == NULL) return out;
    from++;
    while (from < to && (*from == ' ' || *from == '`'))
        from++;
    while (to > from && (to[-1] == ' '))
        to--;
    snprintf(out, 512, "%.*s", (int)(to - from), from);
    return out;
}

static const char *const type_names[] = {"",     "boolean", "string", "int",   "short",
                                         "long", "double",  "list",   "class", "password"};

/* The page's way to write a default. */
static void expect_default(const char *key, const char *ours, const char *page)
{
    if (strcmp(page, "–") == 0)
        ck_assert_msg(ours == NULL, "%s: default %s", key, ours);
    else if (strcmp(page, "(empty)") == 0)
        ck_assert_msg(ours != NULL && ours[0] == '\0', "%s", key);
    else if (strcmp(page, "2^63-1") == 0)
        ck_assert_str_eq(ours, "9223372036854775807");
    else if (strcmp(page, "2^31-1") == 0)
        ck_assert_str_eq(ours, "2147483647");
    else if (strcmp(page, "max double") == 0)
        ck_assert_str_eq(ours, "1.7976931348623157E308");
    else
        ck_assert_msg(ours != NULL && strcmp(ours, page) == 0, "%s: %s, page %s", key, ours, page);
}

static void expect_range(const char *key, enum option option, const char *page)
{
    char ours[512], expected[512];
    const char *dots = strstr(page, "..");

    option_range(option, ours, sizeof(ours));
    if (strncmp(page, ">= ", 3) == 0)
        snprintf(expected, sizeof(expected), "at least %s", page + 3);
    else if (dots != NULL && strchr(page, ',') == NULL)
        snprintf(expected, sizeof(expected), "in %.*s … %s", (int)(dots - page), page, dots + 2);
    else
        return; /* lists of words are in the values tests */
    ck_assert_msg(strcmp(ours, expected) == 0, "%s: %s, page %s", key, ours, page);
}

START_TEST(every_broker_key_is_as_the_reference_says)
{
    static const char *const classes[] = {"no", "cluster", "per-broker"};
    FILE *page = open_reference();
    char line[4096], text[512];
    int rows = 0, section = 0;

    if (page == NULL) return;
    while (fgets(line, sizeof(line), page) != NULL) {
        if (strncmp(line, "## ", 3) == 0) section = atoi(line + 3);
        if (section == 0 || strncmp(line, "|", 1) != 0 || strchr(line, '`') == NULL) continue;
        char key[512];
        snprintf(key, sizeof(key), "%s", cell(line, 1, text));
        bool is_internal = strstr(key, "(int)") != NULL;
        bool is_common = cell(line, 0, text)[0] == '*';
        key[strcspn(key, "`")] = '\0';
        enum option option = option_find(slice_text(key));
        ck_assert_msg(option != OPTION_NONE, "%s is missing", key);
        ck_assert_msg(option_is_internal(option) == is_internal, "%s", key);
        ck_assert_msg(option_is_common(option) == is_common, "%s", key);
        ck_assert_msg(strcmp(type_names[option_type(option)], cell(line, 2, text)) == 0, "%s", key);
        expect_default(key, option_default(option), cell(line, 3, text));
        expect_range(key, option, cell(line, 4, text));
        ck_assert_msg(strncmp(cell(line, 5, text), classes[option_dynamic(option)],
                              strlen(classes[option_dynamic(option)])) == 0,
                      "%s", key);
        rows++;
    }
    fclose(page);
    ck_assert_int_eq(rows, 328);
    ck_assert_int_eq(OPTION_COUNT, 328 + 3 + 9); /* with the run-time ones and our own */
}
END_TEST

START_TEST(every_topic_key_is_as_the_reference_says)
{
    FILE *page = open_reference();
    struct options *o = options_create();
    struct option_entry *entries;
    struct arena arena;
    char line[4096], text[512];
    int rows = 0;
    bool is_inside = false;

    arena_init(&arena, 4 << 20);
    int n = topic_options_describe(o, NULL, 0, &arena, &entries);
    while (page != NULL && fgets(line, sizeof(line), page) != NULL) {
        if (strncmp(line, "## ", 3) == 0)
            is_inside = strncmp(line, "## Topic configurations", 23) == 0;
        if (!is_inside || line[0] != '|' || strchr(line, '`') == NULL) continue;
        char key[512];
        snprintf(key, sizeof(key), "%s", cell(line, 1, text));
        key[strcspn(key, "`")] = '\0';
        const struct option_entry *entry = entry_of(entries, n, key);
        ck_assert_msg(entry != NULL, "%s is missing", key);
        ck_assert_msg(strcmp(type_names[entry->type], cell(line, 2, text)) == 0, "%s", key);
        char value[512];
        snprintf(value, sizeof(value), "%.*s", SLICE_ARGS(entry->value));
        expect_default(key, value, cell(line, 3, text));
        cell(line, 5, text);
        const char *synonym = strtok(text, "` ,");
        int i = 0;
        for (; synonym != NULL && strcmp(synonym, "(none)") != 0; synonym = strtok(NULL, "` ,"))
            ck_assert_msg(option_find(slice_text(synonym)) != OPTION_NONE, "%s", synonym);
        for (; i < entry->synonym_count; i++)
            ck_assert_int_eq(entry->synonyms[i].source, OPTION_SOURCE_DEFAULT);
        rows++;
    }
    if (page != NULL) {
        fclose(page);
        ck_assert_int_eq(rows, 36);
    }
    ck_assert_int_eq(n, 36);
    arena_fini(&arena);
    options_destroy(&o);
}
END_TEST

UNIT(a_value_is_read_by_its_type, a_bad_value_says_where_what_and_the_range,
     an_unknown_key_warns_and_is_kept, a_secret_is_never_told, what_is_printed_can_be_read_back,
     run_time_values_are_layered, what_may_not_change_at_run_time_is_refused,
     a_listener_may_have_its_own_limit, log_dirs_fall_back_to_log_dir,
     keys_are_checked_against_each_other, a_controller_needs_an_id_of_its_own,
     descriptions_hide_secrets_and_list_sources, every_broker_key_is_as_the_reference_says,
     every_topic_key_is_as_the_reference_says)
