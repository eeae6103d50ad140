/* tests/sim/cluster.h - brokers and controllers of the production code, each on a host of its own,
 * with a ZooKeeper ensemble between them. What main() does for a process is done here for a
 * simulated one. */
#pragma once
#include "tests/sim/env_sim.h"
#include "tests/sim/net.h"

struct broker;
struct controller;

#define MEMBERS_MAX 16

struct cluster;

/* A broker or a controller of the cluster: through all its lives. */
struct member {
    struct cluster *cluster;
    bool is_controller;
    int id;
    struct sim_host *host;
    struct sim_process *process; /* NULL: down */
    void *program;               /* of cluster.c, in the process's memory */
    bool is_wanted;              /* it is started again when it ends by itself */
    bool is_ending;              /* it was told to end in order */
    int starts, failures;        /* failures: ends that nobody asked for */
    struct world_event restart;
};

struct setting {
    char key[80], value[80];
};

struct cluster {
    struct world *world;
    int brokers, controllers, count; /* members: brokers first */
    struct member members[MEMBERS_MAX];
    struct setting settings[64];
    int setting_count;
    int data_shards;
    int log_dirs; /* of each broker, each on a device of its own */
    struct world_part part;
    /* An orderly end, or one of its own accord; the process is gone. */
    void (*ended)(void *owner, struct member *member, bool is_failure);
    void *owner;
};

/* Draws what is not set; the world has its parts. No process runs yet. */
struct cluster *cluster_create(struct world *world, int brokers, int controllers);
void cluster_destroy(struct cluster **cluster);
/* A line of everybody's server.properties. Before the start. */
void cluster_set(struct cluster *cluster, const char *key, const char *value);
void cluster_set_number(struct cluster *cluster, const char *key, int64_t value);
const char *cluster_setting(const struct cluster *cluster, const char *key); /* NULL: default */

/* The path of a log directory, from 0 on; valid until the next call. */
const char *cluster_log_dir(int index);

struct member *cluster_broker(struct cluster *cluster, int32_t id); /* NULL: none */
struct member *cluster_controller(struct cluster *cluster, int index);

/* Starts it if it is down and its host has power. */
void member_start(struct member *member);
/* SIGTERM. */
void member_stop(struct member *member);
void member_kill(struct member *member);
void member_power_loss(struct member *member);
static inline bool member_is_up(const struct member *member)
{
    return member->process != NULL && member->process->state == PROCESS_RUNNING;
}
/* Its machines, for oracles that look inside; NULL while it is down. */
struct broker *member_broker(const struct member *member);
struct controller *member_controller(const struct member *member);
