#include "tests/chaos/net.h"
#include "tests/cluster/cluster.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(const char *format, const char *command)
{
    if (run_command(NULL, 0, "{ %s; } 2>&1", command) == 0) return;
    fprintf(stderr, "%s: %s\n", format, command);
    exit(1);
}

/* In a child, so that nothing of the caller changes. */
static int try_namespaces(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) _exit(1);
        if (run_command(NULL, 0,
                        "{ ip link add hub type bridge && ip link add v1 type veth peer "
                        "name v2; } > /dev/null 2>&1") != 0)
            _exit(2);
        if (run_command(NULL, 0, "iptables -w -A INPUT -s 10.0.0.1 -j DROP > /dev/null 2>&1") != 0)
            _exit(3);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

const char *net_missing(void)
{
    if (geteuid() != 0) return "network namespaces want root";
    if (run_command(NULL, 0, "command -v ip > /dev/null") != 0)
        return "ip is not installed (Debian package iproute2)";
    if (run_command(NULL, 0, "command -v iptables > /dev/null") != 0)
        return "iptables is not installed (Debian package iptables)";
    switch (try_namespaces()) {
    case 0:
        return NULL;
    case 1:
        return "this machine gives no network namespaces";
    case 2:
        return "this machine gives no bridges between network namespaces";
    default:
        return "iptables does not work in a network namespace here";
    }
}

void net_enter(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        perror("namespaces");
        exit(1);
    }
    must("network", "ip link set lo up && ip link add hub type bridge && "
                    "ip address add 10.77.0.1/24 dev hub && ip link set hub up");
}

static pid_t start_holder(void)
{
    int ready[2];
    char one;

    if (pipe(ready) != 0) exit(1);
    pid_t holder = fork();
    if (holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "chaos-net");
        if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "", 1) != 1) _exit(1);
        for (int fd = 0; fd < 64; fd++)
            close(fd);
        for (;;)
            pause();
    }
    close(ready[1]);
    if (holder < 0 || read(ready[0], &one, 1) != 1) {
        perror("a network namespace");
        exit(1);
    }
    close(ready[0]);
    return holder;
}

pid_t net_add(int last, char address[16])
{
    pid_t holder = start_holder();
    char command[512];

    snprintf(address, 16, "10.77.0.%d", last);
    snprintf(
        command, sizeof(command),
        "ip link add v%d type veth peer name eth0 netns %d && ip link set v%d master hub up && "
        "nsenter -t %d -n sh -c 'ip link set lo up && ip address add %s/24 dev eth0 && "
        "ip link set eth0 up'",
        last, holder, last, holder, address);
    must("network", command);
    return holder;
}

void net_cut(pid_t holder, const char *address, enum net_way way)
{
    static const char *const chains[] = {"INPUT", "OUTPUT"};
    char command[256];

    for (int out = 0; out < 2; out++) {
        if (way == (out ? NET_IN : NET_OUT)) continue;
        char peer[32] = "";
        if (address != NULL) snprintf(peer, sizeof(peer), "%s %s", out ? "-d" : "-s", address);
        /* What a node says to itself is not on the network. */
        snprintf(command, sizeof(command), "nsenter -t %d -n iptables -w -A %s %s %s -j DROP",
                 holder, chains[out], address == NULL ? (out ? "-o eth0" : "-i eth0") : "", peer);
        must("cut", command);
    }
}

void net_heal(pid_t holder)
{
    char command[128];

    snprintf(command, sizeof(command), "nsenter -t %d -n iptables -w -F", holder);
    must("heal", command);
}

const char *net_mount_small(const char *folder, const char *image, int64_t bytes)
{
    char options[64];

    /* The loop device goes with its last mount. */
    if (run_command(NULL, 0,
                    "{ truncate -s %lld %s && mkfs.ext4 -q -m 0 -O ^has_journal %s && "
                    "mount -o loop %s %s && rm -rf %s/lost+found; } > /dev/null 2>&1",
                    (long long)bytes, image, image, image, folder, folder) == 0)
        return "ext4 on a loop device";
    snprintf(options, sizeof(options), "size=%lld", (long long)bytes);
    if (mount("tmpfs", folder, "tmpfs", 0, options) == 0) return "tmpfs";
    fprintf(stderr, "no small file system on %s: %s\n", folder, strerror(errno));
    exit(1);
}
