/* ottla - one multi-call tool: `ottla topics`, `ottla produce`, … with the options of the kafka-*
 * scripts.
 *
 * A copy or link that is named kafka-topics, kafka-topics.sh, ottla-topics and so on is that
 * command. */
#include "tools/api_versions.h"
#include "tools/configs.h"
#include "tools/consume.h"
#include "tools/delete_records.h"
#include "tools/dump.h"
#include "tools/elect.h"
#include "tools/get_offsets.h"
#include "tools/groups.h"
#include "tools/log_dirs.h"
#include "tools/overview.h"
#include "tools/produce.h"
#include "tools/reassign.h"
#include "tools/topics.h"
#include "base/log.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

struct command {
    const char *name;
    const char *script; /* the name that Kafka's users know */
    int (*run)(int argc, char **argv);
    const struct args_command *args;
};

static const struct command commands[] = {
    {"topics", "kafka-topics", topics_main, &topics_command},
    {"produce", "kafka-console-producer", produce_main, &produce_command},
    {"consume", "kafka-console-consumer", consume_main, &consume_command},
    {"configs", "kafka-configs", configs_main, &configs_command},
    {"log-dirs", "kafka-log-dirs", log_dirs_main, &log_dirs_command},
    {"get-offsets", "kafka-get-offsets", get_offsets_main, &get_offsets_command},
    {"delete-records", "kafka-delete-records", delete_records_main, &delete_records_command},
    {"groups", "kafka-consumer-groups", groups_main, &groups_command},
    {"reassign", "kafka-reassign-partitions", reassign_main, &reassign_command},
    {"elect-leaders", "kafka-leader-election", elect_main, &elect_command},
    {"cluster", "kafka-cluster", overview_main, &overview_command},
    {"broker-api-versions", "kafka-broker-api-versions", api_versions_main, &api_versions_command},
    {"dump-log", "kafka-dump-log", dump_main, &dump_command},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *to)
{
    fprintf(to, "ottla - a tool for clusters of Ottla and Apache Kafka\n\n"
                "usage: ottla COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-19s %s (as %s)\n", commands[i].name, commands[i].args->summary,
                commands[i].script);
    fprintf(
        to,
        "\nottla COMMAND --help tells the options of a command; ottla --version the version.\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0 || strcmp(name, commands[i].script) == 0)
            return &commands[i];
    return NULL;
}

/* The command that the program's own name means, or NULL. */
static const struct command *find_by_program(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash == NULL ? program : slash + 1;
    char base[64];

    snprintf(base, sizeof(base), "%s", strncmp(name, "ottla-", 6) == 0 ? name + 6 : name);
    char *end = strstr(base, ".sh");
    if (end != NULL && end[3] == '\0') *end = '\0';
    return find(base);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a server that goes away is an error of one connection */
    log_level = LOG_WARN;     /* what a command does it prints; life-cycles are for servers */
    const struct command *command = find_by_program(argv[0]);
    if (command != NULL) return command->run(argc - 1, argv + 1);
    if (argc < 2) {
        print_usage(stderr);
        return 1;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ottla %s (Apache Kafka 3.9)\n", PACKAGE_VERSION);
        return 0;
    }
    command = find(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "%s is not a command\n\n", argv[1]);
        print_usage(stderr);
        return 1;
    }
    return command->run(argc - 2, argv + 2);
}
