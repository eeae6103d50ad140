#include "tests/cluster/cluster.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_SECONDS 120

static const char *const kind_names[] = {"zookeeper", "controller", "broker"};

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool wait_for(bool (*condition)(void *of), void *of, double seconds)
{
    double until = seconds_now() + seconds;

    while (!condition(of)) {
        if (seconds_now() > until) return false;
        poll(NULL, 0, 2);
    }
    return true;
}

int run_command(char *out, int size, const char *format, ...)
{
    char command[8192];
    va_list args;
    int used = 0;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) return -1;
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), pipe)) > 0;) {
        int room = out == NULL ? 0 : size - 1 - used;
        int take = (int)n < room ? (int)n : room;
        if (take > 0) {
            memcpy(out + used, part, (size_t)take);
            used += take;
        }
    }
    if (out != NULL) out[used] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *tools_folder(void)
{
    return getenv("OTTLA_BUILD") == NULL ? "." : getenv("OTTLA_BUILD");
}

int cluster_ottla(const struct cluster *cluster, char *out, int size, const char *format, ...)
{
    char arguments[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(arguments, sizeof(arguments), format, args);
    va_end(args);
    return run_command(out, size, "%s/ottla %s --bootstrap-server %s 2>&1", tools_folder(),
                       arguments, cluster->bootstrap);
}

/* Below the range from which the kernel takes ports for outgoing connections, and ours until this
 * process ends, also while nobody listens there: it stays bound here. Who sets SO_REUSEADDR may
 * still listen; who looks for a free port, without it, finds this one taken. */
uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_ANY)}};
    static unsigned seed;
    int yes = 1;

    if (seed == 0) seed = (unsigned)getpid() * 7919U;
    for (int tries = 0; tries < 1000; tries++) {
        uint16_t port = (uint16_t)(20000 + (seed = seed * 1103515245U + 12345U) / 65536U % 12000U);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address.sin_port = htons(port);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
            return port;
        }
        close(fd);
    }
    fprintf(stderr, "no free port\n");
    exit(1);
}

const char *cluster_missing(void)
{
    if (access("/usr/share/java/zookeeper.jar", R_OK) != 0)
        return "ZooKeeper is not installed (Debian package zookeeper)";
    if (run_command(NULL, 0, "command -v java > /dev/null") != 0) return "Java is not installed";
    return NULL;
}

static void fail_with_log(const struct node *node, const char *what)
{
    fprintf(stderr, "%s-%d %s; its log %s/log ends:\n", kind_names[node->kind], node->number, what,
            node->folder);
    fflush(stderr);
    run_command(NULL, 0, "tail -n 20 %s/log >&2", node->folder);
    exit(1);
}

static void write_file(const char *folder, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void write_file(const char *folder, const char *name, const char *format, ...)
{
    char path[256];
    va_list args;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
}

static struct node *add_node(struct cluster *cluster, enum node_kind kind, int number)
{
    struct node *node = &cluster->nodes[cluster->count++];
    char data[128];

    *node =
        (struct node){.kind = kind, .number = number, .port = free_port(), .address = "127.0.0.1"};
    snprintf(node->folder, sizeof(node->folder), "%s/%s-%d", cluster->folder, kind_names[kind],
             number);
    mkdir(node->folder, 0755);
    snprintf(data, sizeof(data), "%s/data", node->folder);
    mkdir(data, 0755);
    if (cluster->options.place != NULL) cluster->options.place(node, cluster->options.place_of);
    return node;
}

static void configure_zookeepers(struct cluster *cluster)
{
    char servers[1024] = "";
    int count = cluster->options.zookeepers, used = 0;

    for (int i = 1; count > 1 && i <= count; i++)
        used +=
            snprintf(servers + used, sizeof(servers) - (size_t)used, "server.%d=%s:%d:%d\n", i,
                     cluster_node(cluster, NODE_ZOOKEEPER, i)->address, free_port(), free_port());
    used = 0;
    for (int i = 1; i <= count; i++) {
        struct node *node = cluster_node(cluster, NODE_ZOOKEEPER, i);
        char data[128];
        snprintf(data, sizeof(data), "%s/data", node->folder);
        write_file(data, "myid", "%d\n", i);
        write_file(node->folder, "zoo.cfg",
                   "tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\n"
                   "clientPortAddress=%s\n4lw.commands.whitelist=*\nadmin.enableServer=false\n"
                   "maxClientCnxns=0\nmaxSessionTimeout=60000\n%s",
                   data, node->port, node->address, servers);
        write_file(
            node->folder, "log4j.properties",
            "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.out.layout.ConversionPattern=%%d %%p %%c %%m%%n\n");
        used += snprintf(cluster->zookeeper_connect + used,
                         sizeof(cluster->zookeeper_connect) - (size_t)used, "%s%s:%d",
                         i > 1 ? "," : "", node->address, node->port);
    }
}

static void configure(struct cluster *cluster)
{
    const char *broker_lines = cluster->options.broker_properties;
    const char *controller_lines = cluster->options.controller_properties;
    int used = 0;

    configure_zookeepers(cluster);
    for (int i = 0; i < cluster->count; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->kind == NODE_CONTROLLER)
            write_file(node->folder, "server.properties",
                       "controller.id=%d\nlisteners=PLAINTEXT://%s:%d\nzookeeper.connect=%s\n%s\n",
                       100 + node->number, node->address, node->port, cluster->zookeeper_connect,
                       controller_lines == NULL ? "" : controller_lines);
        if (node->kind == NODE_BROKER) {
            char more[1024] = "";
            for (int d = 2; d <= cluster->options.log_dirs; d++)
                snprintf(more + strlen(more), sizeof(more) - strlen(more), ",%s/data-%d",
                         node->folder, d);
            write_file(node->folder, "server.properties",
                       "broker.id=%d\nlisteners=PLAINTEXT://%s:%d\nlog.dirs=%s/data%s\n"
                       "zookeeper.connect=%s\n%s\n",
                       node->number, node->address, node->port, node->folder, more,
                       cluster->zookeeper_connect, broker_lines == NULL ? "" : broker_lines);
            used += snprintf(cluster->bootstrap + used, sizeof(cluster->bootstrap) - (size_t)used,
                             "%s%s:%d", used > 0 ? "," : "", node->address, node->port);
        }
    }
}

struct node *cluster_node(struct cluster *cluster, enum node_kind kind, int number)
{
    for (int i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].kind == kind && cluster->nodes[i].number == number)
            return &cluster->nodes[i];
    fprintf(stderr, "no %s-%d in this cluster\n", kind_names[kind], number);
    exit(1);
}

/* Into the network namespace that was given to the node. */
static void enter_net(const struct node *node)
{
    char path[64];

    if (node->net_of == 0) return;
    snprintf(path, sizeof(path), "/proc/%d/ns/net", node->net_of);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        perror(path);
        _exit(127);
    }
}

static void exec_node(struct cluster *cluster, struct node *node)
{
    char log[128], config[128], program[256], class_path[256], log4j[160];
    const char *binaries = cluster->options.binaries;

    if (binaries == NULL) binaries = getenv("OTTLA_BUILD") != NULL ? getenv("OTTLA_BUILD") : ".";
    snprintf(log, sizeof(log), "%s/log", node->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter_net(node);
    if (node->kind == NODE_ZOOKEEPER) {
        snprintf(config, sizeof(config), "%s/zoo.cfg", node->folder);
        snprintf(class_path, sizeof(class_path), "%s:/usr/share/java/zookeeper.jar", node->folder);
        snprintf(log4j, sizeof(log4j), "-Dlog4j.configuration=file:%s/log4j.properties",
                 node->folder);
        execlp("java", "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log4j,
               "-Dzookeeper.jmx.log4j.disable=true", "-cp", class_path,
               "org.apache.zookeeper.server.quorum.QuorumPeerMain", config, (char *)NULL);
    } else {
        snprintf(config, sizeof(config), "%s/server.properties", node->folder);
        snprintf(program, sizeof(program), "%s/ottla-%s", binaries, kind_names[node->kind]);
        execl(program, program, config, (char *)NULL);
    }
    fprintf(stderr, "cannot run: %s\n", strerror(errno));
    _exit(127);
}

void node_start(struct cluster *cluster, struct node *node)
{
    char log[128], before[144];

    snprintf(log, sizeof(log), "%s/log", node->folder);
    snprintf(before, sizeof(before), "%s.%d", log, node->starts);
    if (cluster->options.keep_logs && node->starts > 0) rename(log, before);
    node->starts++;
    node->pid = fork();
    if (node->pid == 0) exec_node(cluster, node);
    if (node->pid < 0) {
        perror("fork");
        exit(1);
    }
}

static int connect_to(const struct node *node)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(node->port)};

    inet_pton(AF_INET, node->address, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
}

/* ZooKeeper's four letters; true if the answer has `want`. */
static bool zookeeper_says(const struct node *node, const char *word, const char *want)
{
    char answer[4096];
    int fd = connect_to(node);
    size_t used = 0;

    if (fd < 0) return false;
    struct timeval limit = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    bool sent = write(fd, word, strlen(word)) == (ssize_t)strlen(word);
    for (ssize_t n; sent && used < sizeof(answer) - 1; used += (size_t)n)
        if ((n = read(fd, answer + used, sizeof(answer) - 1 - used)) <= 0) break;
    answer[used] = '\0';
    close(fd);
    return strstr(answer, want) != NULL;
}

bool node_has_logged(const struct node *node, const char *text)
{
    return run_command(NULL, 0, "grep -qF -- '%s' %s/log 2> /dev/null", text, node->folder) == 0;
}

/* Where its log says that the pages are. */
static uint16_t metrics_port(const struct node *node)
{
    char out[64];

    run_command(out, sizeof(out), "sed -n 's/.* metrics listen=.* port=//p' %s/log | tail -n 1",
                node->folder);
    return (uint16_t)strtol(out, NULL, 10);
}

int node_get(const struct node *node, const char *path, char *out, int size)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(metrics_port(node))};
    struct timeval limit = {.tv_sec = 10};
    char request[200];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), len = 0;
    ssize_t n = 0;

    out[0] = '\0';
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* To HTTP/1.0 the body comes as it is, not in chunks. */
    int wanted = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        write(fd, request, (size_t)wanted) == wanted)
        while (len < size - 1 && (n = read(fd, out + len, (size_t)(size - 1 - len))) > 0)
            len += (int)n;
    close(fd);
    out[len] = '\0';
    return strncmp(out, "HTTP/1.", 7) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}

double node_metric(const struct node *node, const char *name)
{
    static char text[1 << 20];
    char line[300];

    if (node_get(node, "/metrics", text, sizeof(text)) != 200) return -1;
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    return at == NULL ? -1 : strtod(at + strlen(line), NULL);
}

static bool is_ready(void *of)
{
    struct node *node = of;
    int status;

    if (waitpid(node->pid, &status, WNOHANG) == node->pid) {
        node->pid = 0;
        fail_with_log(node, "ended");
    }
    if (node->kind == NODE_ZOOKEEPER) return zookeeper_says(node, "srvr", "Mode:");
    int fd = connect_to(node);
    if (fd < 0) return false;
    close(fd);
    return node_has_logged(node, " ready");
}

void node_wait_ready(struct cluster *cluster, struct node *node, int seconds)
{
    (void)cluster;
    if (!wait_for(is_ready, node, seconds)) fail_with_log(node, "did not become ready");
}

static void start_kind(struct cluster *cluster, enum node_kind kind)
{
    for (int i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].kind == kind) node_start(cluster, &cluster->nodes[i]);
    for (int i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].kind == kind)
            node_wait_ready(cluster, &cluster->nodes[i], READY_SECONDS);
}

/* What brokers say of the cluster the controller has told them. */
static bool is_known(void *of)
{
    const struct cluster *cluster = of;
    char text[8192];
    int known = 0;

    if (cluster_ottla(cluster, text, sizeof(text), "cluster") != 0) return false;
    for (const char *at = text; (at = strstr(at, "Broker: ")) != NULL; at++)
        known++;
    return known >= cluster->options.brokers;
}

/* A broker is ready when it is registered; the controller, which a topic's first leaders depend on,
 * hears of it in its own time. */
static void await_known(struct cluster *cluster)
{
    char program[256];

    snprintf(program, sizeof(program), "%s/ottla", tools_folder());
    if (cluster->options.controllers == 0 || cluster->options.brokers == 0 ||
        cluster_node(cluster, NODE_BROKER, 1)->net_of != 0 || access(program, X_OK) != 0)
        return;
    if (!wait_for(is_known, cluster, READY_SECONDS))
        fail_with_log(cluster_node(cluster, NODE_CONTROLLER, 1), "does not know all brokers");
}

void cluster_start(struct cluster *cluster, const struct cluster_options *options)
{
    const char *temporary = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

    *cluster = (struct cluster){.options = *options};
    snprintf(cluster->folder, sizeof(cluster->folder), "%.40s/ottla-XXXXXX", temporary);
    if (mkdtemp(cluster->folder) == NULL) {
        perror(cluster->folder);
        exit(1);
    }
    for (int i = 1; i <= options->zookeepers; i++)
        add_node(cluster, NODE_ZOOKEEPER, i);
    for (int i = 1; i <= options->controllers; i++)
        add_node(cluster, NODE_CONTROLLER, i);
    for (int i = 1; i <= options->brokers; i++)
        add_node(cluster, NODE_BROKER, i);
    configure(cluster);
    start_kind(cluster, NODE_ZOOKEEPER);
    start_kind(cluster, NODE_CONTROLLER);
    start_kind(cluster, NODE_BROKER);
    await_known(cluster);
}

int node_signal(struct cluster *cluster, struct node *node, int signal)
{
    int status = 0;

    (void)cluster;
    if (node->pid == 0) return 0;
    kill(node->pid, signal);
    if (signal != SIGKILL && signal != SIGTERM) return 0;
    double until = seconds_now() + READY_SECONDS;
    while (waitpid(node->pid, &status, WNOHANG) == 0) {
        if (seconds_now() > until) fail_with_log(node, "does not end");
        poll(NULL, 0, 1);
    }
    node->pid = 0;
    return status;
}

void cluster_stop(struct cluster *cluster)
{
    /* Together, and brokers before what they say farewell to. */
    for (int kind = NODE_BROKER; kind >= NODE_ZOOKEEPER; kind--) {
        for (int i = 0; i < cluster->count; i++) {
            struct node *node = &cluster->nodes[i];
            if ((int)node->kind == kind && node->pid != 0) {
                kill(node->pid, SIGCONT);
                kill(node->pid, kind == NODE_ZOOKEEPER ? SIGKILL : SIGTERM);
            }
        }
        for (int i = 0; i < cluster->count; i++)
            if ((int)cluster->nodes[i].kind == kind)
                node_signal(cluster, &cluster->nodes[i],
                            kind == NODE_ZOOKEEPER ? SIGKILL : SIGTERM);
    }
    if (getenv("OTTLA_KEEP") == NULL) run_command(NULL, 0, "rm -rf %s", cluster->folder);
}

bool process_use(pid_t pid, struct process_use *out)
{
    char path[64], text[1024];
    unsigned long user, system;
    long pages;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    if (at == NULL ||
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return false;
    out->cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    if (file != NULL) fclose(file);
    out->rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    out->open_files = 0;
    while (dir != NULL && readdir(dir) != NULL)
        out->open_files++;
    if (dir != NULL) closedir(dir);
    return true;
}
