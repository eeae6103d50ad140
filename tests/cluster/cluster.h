/* tests/cluster/cluster.h - real processes for tests and benches: ZooKeeper, controllers, brokers.
 *
 * Everything on loopback, on free ports, in a folder of its own below TMPDIR; ended by pid, and by
 * the kernel if the test dies (PR_SET_PDEATHSIG). Functions print what went wrong, with the tail of
 * the process's log, and end the test (exit 1): a cluster that does not come up is no test result.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CLUSTER_NODES_MAX 32

enum node_kind { NODE_ZOOKEEPER, NODE_CONTROLLER, NODE_BROKER };

struct node {
    enum node_kind kind;
    int number; /* from 1; broker.id is this, controller.id 100 + this */
    uint16_t port;
    pid_t pid;        /* 0: does not run */
    char folder[96];  /* server.properties, log, data */
    char address[16]; /* where it listens */
    pid_t net_of;     /* it runs in this process's network namespace; 0: in ours */
    int starts;
};

struct cluster_options {
    int zookeepers, controllers, brokers;
    const char *broker_properties; /* lines added to every broker's server.properties, or NULL */
    const char *controller_properties; /* likewise */
    const char *binaries;              /* where the programs are; NULL: $OTTLA_BUILD or "." */
    /* Called for each node when its folder is there, before anything is written: may set `address`
     * (else 127.0.0.1) and `net_of`, and mount something on folder/data. NULL: nothing to do. */
    void (*place)(struct node *node, void *of);
    void *place_of;
    int log_dirs;   /* of each broker: data, data-2, …; 0: one */
    bool keep_logs; /* a node's log of before a restart stays, as log.1, log.2, … */
};

struct cluster {
    struct cluster_options options;
    struct node nodes[CLUSTER_NODES_MAX];
    int count;
    char folder[64];
    char zookeeper_connect[256];
    char bootstrap[256];
};

/* NULL, or why clusters cannot be had here (no Java, no ZooKeeper): then a test skips (exit 77). */
const char *cluster_missing(void);

/* Starts all and waits until every process is ready, and the controller knows all brokers. */
void cluster_start(struct cluster *cluster, const struct cluster_options *options);
/* Ends all, removes the folder unless OTTLA_KEEP is set. */
void cluster_stop(struct cluster *cluster);

struct node *cluster_node(struct cluster *cluster, enum node_kind kind, int number);
/* Starts a node that does not run; `node_wait_ready` waits for its port and its "ready" line. */
void node_start(struct cluster *cluster, struct node *node);
void node_wait_ready(struct cluster *cluster, struct node *node, int seconds);
/* Sends `signal`; for SIGKILL and SIGTERM waits until it has ended. Gives the exit status of
 * waitpid. */
int node_signal(struct cluster *cluster, struct node *node, int signal);
/* True if the node's log has a line with `text` (after the last start). */
bool node_has_logged(const struct node *node, const char *text);

/* What a node with metrics.listen=127.0.0.1:0 answers to GET `path`, head and all; the status code,
 * or 0 when it did not answer. */
int node_get(const struct node *node, const char *path, char *out, int size);
/* The value of a line of its /metrics: name, with labels if it has any. −1: there is none. */
double node_metric(const struct node *node, const char *name);

/* What /proc says of a process. */
struct process_use {
    double cpu_seconds; /* user and system */
    uint64_t rss_bytes;
    uint64_t open_files;
};
bool process_use(pid_t pid, struct process_use *out);

/* Runs a shell command; its output, at most `size` − 1 bytes, goes to `out` (which may be NULL).
 * Gives the exit code. `format` as printf. */
int run_command(char *out, int size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same of `ottla ARGUMENTS --bootstrap-server …` of this cluster; what it says on standard
 * error is in `out` too. */
int cluster_ottla(const struct cluster *cluster, char *out, int size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

uint16_t free_port(void); /* no other test's, to the end of this process */
double seconds_now(void); /* monotonic */
/* Polls `condition(of)` until true or `seconds` have passed; false then. */
bool wait_for(bool (*condition)(void *of), void *of, double seconds);
